//! Families with their samples, as a whole: for small expositions that are made anew each time.

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
    /// Counts and sums observations.
    Summary,
}

impl Type {
    /// Its name in an exposition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
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

/// One sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What its name has behind the family's: `_total`, `_sum`, or nothing.
    pub suffix: &'static str,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: Value,
}

/// A family with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilySamples {
    /// Its type.
    pub kind: Type,
    /// Its name, without `_total`.
    pub name: String,
    /// Its help text.
    pub help: String,
    /// Its samples, in order.
    pub samples: Vec<Sample>,
}
