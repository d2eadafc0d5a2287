//! Modes of gauges: how the values of many processes become one.

/// How the values of a gauge in many processes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GaugeMode {
    /// One series per process, with the label `pid`; the newest dead ones are kept.
    All = 0,
    /// One series per living process, with the label `pid`.
    LiveAll = 1,
    /// The sum over all processes.
    Sum = 2,
    /// The sum over living processes.
    LiveSum = 3,
    /// The greatest value over all processes.
    Max = 4,
    /// The greatest value over living processes.
    LiveMax = 5,
    /// The least value over all processes.
    Min = 6,
    /// The least value over living processes.
    LiveMin = 7,
    /// The value set last, over all processes.
    MostRecent = 8,
    /// The value set last, over living processes.
    LiveMostRecent = 9,
}

impl GaugeMode {
    /// Every mode, in the order of its number.
    pub const EVERY: [Self; 10] = [
        Self::All,
        Self::LiveAll,
        Self::Sum,
        Self::LiveSum,
        Self::Max,
        Self::LiveMax,
        Self::Min,
        Self::LiveMin,
        Self::MostRecent,
        Self::LiveMostRecent,
    ];

    /// The name of the mode, as `prometheus_client` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::LiveAll => "liveall",
            Self::Sum => "sum",
            Self::LiveSum => "livesum",
            Self::Max => "max",
            Self::LiveMax => "livemax",
            Self::Min => "min",
            Self::LiveMin => "livemin",
            Self::MostRecent => "mostrecent",
            Self::LiveMostRecent => "livemostrecent",
        }
    }

    /// Whether each process has a series of its own.
    #[must_use]
    pub fn is_per_process(self) -> bool {
        matches!(self, Self::All | Self::LiveAll)
    }

    /// Whether the dead still take part.
    #[must_use]
    pub fn outlives_its_process(self) -> bool {
        matches!(self, Self::All | Self::Sum | Self::Max | Self::Min | Self::MostRecent)
    }

    /// Whether stamps must be times, because their order decides.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::MostRecent | Self::LiveMostRecent)
    }
}
