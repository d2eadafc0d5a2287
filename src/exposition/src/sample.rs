//! Families with their samples: what encoders write and parsers read.

use std::borrow::Cow;

/// The type of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Type {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
    /// Counts things that are there now by size.
    GaugeHistogram,
    /// Counts and sums observations.
    Summary,
    /// Says what something is, in its labels.
    Info,
    /// Says which of a set of states holds.
    StateSet,
    /// Nobody said.
    #[default]
    Unknown,
}

impl Type {
    /// Every type.
    pub const EVERY: [Self; 8] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
        Self::Unknown,
    ];

    /// Its name in OpenMetrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

/// A value: integers are written without a fraction, however large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// Any number.
    Float(f64),
}

impl Value {
    /// The number as a float, rounded where it is too large to be one.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::Whole(0)
    }
}

/// A moment: seconds since 1970 and nanoseconds behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds behind them, below 10^9.
    pub nanos: u32,
}

impl Timestamp {
    /// The moment `millis` milliseconds after the start of 1970.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Self { seconds: millis.div_euclid(1000), nanos }
    }

    /// The moment so many nanoseconds after the start of 1970; `None` when its seconds do not fit.
    #[must_use]
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        Some(Self { seconds, nanos: nanos.rem_euclid(1_000_000_000) as u32 })
    }

    /// The moment so many seconds after the start of 1970, by their digits: what is written as `.123`
    /// is that many milliseconds, and not some nanoseconds less because of the float between. `None`
    /// when the seconds do not fit.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        /// From here on no float fits.
        const END: f64 = 9_223_372_036_854_775_808.0;
        if !(-END..END).contains(&seconds) {
            return None;
        }
        let text = seconds.abs().to_string();
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
        let whole = i128::from(seconds.trunc() as i64) * 1_000_000_000;
        Self::from_nanos(if seconds < 0.0 { whole - nanos } else { whole + nanos })
    }

    /// Seconds since 1970, as near as a float comes.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        let nanos = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        let sign = if nanos < 0 { "-" } else { "" };
        let nanos = nanos.unsigned_abs();
        let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
        text.parse().unwrap_or(self.seconds as f64)
    }

    /// Whether its milliseconds since 1970 fit 64 bits.
    #[must_use]
    pub fn has_millis(self) -> bool {
        (i64::MIN.div_euclid(1000) + 1..=i64::MAX / 1000 - 1).contains(&self.seconds)
    }

    /// Milliseconds since 1970, rounded down, and the first or last there is where they do not fit.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

/// An example of what was counted: a reference into a trace, mostly.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Label names and values.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When.
    pub timestamp: Option<Timestamp>,
}

/// Labels of a sample: names and values, in order.
pub type Labels = Vec<(String, String)>;

/// One sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What its name has behind the family's: `_total`, `_sum`, or nothing.
    pub suffix: Cow<'static, str>,
    /// Label names and values.
    pub labels: Labels,
    /// Its value.
    pub value: Value,
    /// When it had that value, if somebody said.
    pub timestamp: Option<Timestamp>,
    /// An example of what it counts.
    pub exemplar: Option<Exemplar>,
    /// Its buckets, when it is a native histogram: then it has no suffix, its value is the count,
    /// and the samples of the classic histogram, if there are any, stand behind it.
    pub native: Option<Box<NativeHistogram>>,
}

impl Sample {
    /// A sample without timestamp and exemplar.
    #[must_use]
    pub fn new(suffix: &'static str, labels: Labels, value: Value) -> Self {
        Self { suffix: suffix.into(), labels, value, timestamp: None, exemplar: None, native: None }
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The buckets of a native histogram
/// (<https://prometheus.io/docs/specs/native_histograms/>).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// Bucket `i` ends at 2^(`i` * 2^-`schema`), and includes its end; from -4 to 8.
    pub schema: i32,
    /// What is not further from zero than this is in the zero bucket.
    pub zero_threshold: f64,
    /// How much is in the zero bucket.
    pub zero_count: Value,
    /// The sum of what was observed.
    pub sum: f64,
    /// What is above the zero bucket.
    pub positive: NativeBuckets,
    /// What is below the zero bucket, by distance from zero.
    pub negative: NativeBuckets,
    /// Examples of what it counts.
    pub exemplars: Vec<Exemplar>,
}

/// The buckets of a native histogram on one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeBuckets {
    /// Which buckets there are; their lengths together are the length of `counts`.
    pub spans: Vec<Span>,
    /// How much is in each bucket, not in those before it and not as a difference.
    pub counts: Vec<Value>,
}

/// Consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// How many buckets are left out since the span before it; of the first span, the index of its
    /// first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// A family with its samples. When its series began stands in samples of suffix `_created`, in
/// seconds since 1970, as OpenMetrics 1.0 has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FamilySamples {
    /// Its type.
    pub kind: Type,
    /// Its name, without `_total`.
    pub name: String,
    /// Its unit, or nothing.
    pub unit: String,
    /// Its help text.
    pub help: String,
    /// Its samples, in order; those of one series stand together.
    pub samples: Vec<Sample>,
}

/// Adds families to others: those of one name become one.
pub fn add_families(all: &mut Vec<FamilySamples>, more: impl IntoIterator<Item = FamilySamples>) {
    for family in more {
        match all.iter_mut().find(|known| known.name == family.name) {
            Some(known) => known.samples.extend(family.samples),
            None => all.push(family),
        }
    }
}

impl FamilySamples {
    /// A family without unit and samples.
    #[must_use]
    pub fn new(kind: Type, name: &str, help: &str) -> Self {
        let (name, help) = (name.to_owned(), help.to_owned());
        Self { kind, name, unit: String::new(), help, samples: Vec::new() }
    }

    /// Whether this is its name, or that of one of its samples.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        name.strip_prefix(self.name.as_str()).is_some_and(|rest| {
            rest.is_empty() || self.samples.iter().any(|sample| *sample.suffix == *rest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_the_digits_that_were_written() {
        for (seconds, expect) in [
            (0.0, Some((0, 0))),
            (1_520_430_000.123, Some((1_520_430_000, 123_000_000))),
            (-0.25, Some((-1, 750_000_000))),
            (-2.0, Some((-2, 0))),
            (1e-12, Some((0, 0))),
            (-9_223_372_036_854_775_808.0, Some((i64::MIN, 0))),
            (9_223_372_036_854_775_808.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::NEG_INFINITY, None),
        ] {
            let found = Timestamp::from_seconds(seconds);
            assert_eq!(found.map(|at| (at.seconds, at.nanos)), expect, "{seconds}");
            if let Some(found) = found.filter(|_| seconds.abs() >= 1e-9) {
                assert_eq!(found.as_seconds(), seconds);
            }
        }
    }
}
