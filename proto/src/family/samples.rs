//! Families of samples: what collectors say, line by line, under the type that they say.

use crate::cell::{GaugeMode, Join};

/// What a family of samples is shown as, and how those of many processes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Samples {
    /// Its type.
    pub declared: Declared,
    /// How its samples are joined, where their suffix says nothing else.
    pub join: Join,
}

/// The type that a collector says of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Declared {
    /// Only goes up.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Counts observations by size.
    Histogram = 2,
    /// Counts and sums observations, maybe with quantiles.
    Summary = 3,
    /// Says what something is, in its labels.
    Info = 4,
    /// Says which of a set of states hold.
    StateSet = 5,
    /// Counts things that are there now by size.
    GaugeHistogram = 6,
    /// Nobody said.
    Unknown = 7,
}

impl Declared {
    /// Every type, in the order of its number.
    pub const EVERY: [Self; 8] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
        Self::GaugeHistogram,
        Self::Unknown,
    ];

    /// The name of the type in an exposition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Unknown => "unknown",
        }
    }

    /// What the names of its samples have behind that of the family.
    #[must_use]
    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total", "_created"],
            Self::Summary => &["", "_count", "_sum", "_created"],
            Self::Histogram => &["_bucket", "_count", "_sum", "_created"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
            Self::Info => &["_info"],
            Self::Gauge | Self::StateSet | Self::Unknown => &[""],
        }
    }

    /// How many samples a label set may have, as far as a limit of label sets is concerned.
    #[must_use]
    pub fn samples_of_a_set(self) -> usize {
        match self {
            Self::Gauge | Self::Info | Self::Unknown => 1,
            Self::Counter => 2,
            Self::StateSet | Self::Summary => 16,
            Self::Histogram | Self::GaugeHistogram => 32,
        }
    }
}

impl Samples {
    /// A family of this type, whose gauges are of this mode.
    #[must_use]
    pub fn new(declared: Declared, mode: GaugeMode) -> Self {
        let join = match declared {
            Declared::Counter | Declared::Histogram | Declared::Summary => Join::Add,
            Declared::Info | Declared::StateSet => Join::Gauge(GaugeMode::MostRecent),
            Declared::Gauge | Declared::GaugeHistogram | Declared::Unknown => Join::Gauge(mode),
        };
        Self { declared, join }
    }

    /// Whether there may be one like this: some types are always joined in one way.
    #[must_use]
    pub fn may_be(self) -> bool {
        let usual = |mode| Self::new(self.declared, mode) == self;
        GaugeMode::EVERY.into_iter().any(usual)
            || (self.declared == Declared::Unknown && self.join == Join::Add)
    }

    /// How the samples of a suffix are joined.
    #[must_use]
    pub fn join_of(self, suffix: &str) -> Join {
        match (self.declared, suffix) {
            // A quantile of many processes cannot be computed: the one that was said last is shown.
            (Declared::Summary, "") => Join::Gauge(GaugeMode::MostRecent),
            (Declared::Counter | Declared::Histogram | Declared::Summary, "_created") => {
                Join::Earliest
            }
            _ => self.join,
        }
    }
}
