//! What a family is, and which names and labels it may have. A [`Family`] that exists is valid:
//! both the worker that registers it and the supervisor that reads it from a log made it here.

use thiserror::Error;

use crate::native::{Bucket, MAX_BUCKETS, MAX_SCHEMA, MIN_SCHEMA, Native};
use crate::pairs;

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

impl std::str::FromStr for GaugeMode {
    type Err = FamilyError;

    /// Reads a mode's name; `latest` is an alias of `mostrecent`.
    fn from_str(name: &str) -> Result<Self, FamilyError> {
        let name = if name == "latest" { "mostrecent" } else { name };
        let found = Self::EVERY.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| FamilyError::Mode { found: name.to_owned() })
    }
}

/// What a family measures, with what only that kind has.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge(GaugeMode),
    /// Counts observations by size. The finite upper bounds of its buckets, rising; the bucket up
    /// to +Inf is implied.
    Histogram(Box<[f64]>),
    /// Counts observations by size in exponential buckets, see [`crate::native`].
    NativeHistogram(Native),
    /// Counts and sums observations.
    Summary,
    /// Says what something is, in labels that each process sets: a series has one more value than
    /// the family has labels, the pairs that [`crate::pairs`] writes.
    Info,
    /// Says which of these states holds.
    StateSet(Box<[Box<str>]>),
    /// Examples of what the series of another family count, see [`crate::exemplar`]. It is named
    /// [`EXEMPLAR_PREFIX`] and the name of that family, and is no family of an exposition.
    Exemplar,
    /// The buckets of the series of a native histogram, see [`crate::native`]. It is named
    /// [`BUCKET_PREFIX`] and the name of that family, and is no family of an exposition. It says what
    /// that family is, so that the buckets of another definition are not taken for its own.
    Bucket(Native),
}

impl Kind {
    /// The name of the type in an exposition.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
            Self::NativeHistogram(_) => "native histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet(_) => "stateset",
            Self::Exemplar => "exemplar",
            Self::Bucket(_) => "bucket",
        }
    }

    /// Whether its series are the buckets of other series.
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    /// How many cells a series of this kind owns.
    #[must_use]
    pub fn cells(&self) -> usize {
        crate::cell::Shape::of(self).width()
    }
}

/// A family: everything about a metric but its label values.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Type, and what only that type has.
    pub kind: Kind,
    /// Name without the suffix `_total` of a counter or `_info` of an info.
    pub name: Box<str>,
    /// Unit, or nothing.
    pub unit: Box<str>,
    /// Help text, or nothing.
    pub help: Box<str>,
    /// Label names, in the order of their values in a series.
    pub labels: Box<[Box<str>]>,
}

/// Longest name of a metric or label, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest help text, in bytes.
pub const MAX_HELP_BYTES: usize = 4096;
/// Longest label value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4096;
/// Most labels of a family.
pub const MAX_LABELS: usize = 64;
/// Most finite bounds of a histogram.
pub const MAX_BOUNDS: usize = 512;
/// Most states of a stateset.
pub const MAX_STATES: usize = 256;
/// What the name of a family of exemplars begins with; no other name does.
pub const EXEMPLAR_PREFIX: &str = "tallyboard_exemplar:";
/// What the name of a family of buckets begins with; no other name does.
pub const BUCKET_PREFIX: &str = "tallyboard_bucket:";
/// Prefix of the names that the supervisor exposes itself.
pub const RESERVED_PREFIX: &str = "tallyboard_";
/// The one name behind that prefix that workers count under: what collectors and callbacks failed.
pub const COLLECTOR_ERRORS: &str = "tallyboard_collector_errors";
/// The label of [`COLLECTOR_ERRORS`].
pub const COLLECTOR_LABEL: &str = "collector";
/// Label that tells the processes of a gauge apart when its own labels take all other names.
pub const LAST_WORKER_LABEL: &str = "tallyboard_worker";

/// A family that cannot be.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum FamilyError {
    /// The name is not a metric name.
    #[error(
        "metric names match [a-zA-Z_:][a-zA-Z0-9_:]* and have at most {MAX_NAME_BYTES} bytes, found {found:?}; rename the metric"
    )]
    Name {
        /// The name found.
        found: String,
    },
    /// The name is one of the supervisor's own.
    #[error(
        "names beginning with {RESERVED_PREFIX} are the supervisor's own, found {found:?}; choose another prefix"
    )]
    Reserved {
        /// The name found.
        found: String,
    },
    /// A label name is not one, or is one that the exposition needs itself.
    #[error("label names {expected}, found {found:?} on metric {metric:?}; rename the label")]
    Label {
        /// What was expected.
        expected: &'static str,
        /// The label name found.
        found: String,
        /// The metric it is on.
        metric: String,
    },
    /// Too many labels.
    #[error("a metric has at most {MAX_LABELS} labels, found {found} on {metric:?}; use fewer")]
    Labels {
        /// How many labels were found.
        found: usize,
        /// The metric they are on.
        metric: String,
    },
    /// The unit is not the end of the name.
    #[error(
        "a unit is the last part of the name (OpenMetrics 1.0), found unit {unit:?} on {metric:?}; name the metric {metric}_{unit}"
    )]
    Unit {
        /// The unit found.
        unit: String,
        /// The metric it is on.
        metric: String,
    },
    /// The help text is too long.
    #[error("a help text has at most {MAX_HELP_BYTES} bytes, found {found}; shorten it")]
    Help {
        /// How many bytes were found.
        found: usize,
    },
    /// The bounds do not rise.
    #[error(
        "histogram bounds are at least 1 and at most {MAX_BOUNDS} finite numbers, each greater than the one before, found {found}; sort them and leave +Inf out"
    )]
    Bounds {
        /// The bounds found.
        found: String,
    },
    /// The buckets of a native histogram are none that can be.
    #[error(
        "a native histogram has a schema from {MIN_SCHEMA} to {MAX_SCHEMA}, a finite zero threshold of 0 or more, from 1 to {MAX_BUCKETS} buckets, and classic bounds that rise, found {found}; correct what is out of range"
    )]
    Native {
        /// What was found.
        found: String,
    },
    /// The states are none that can be told apart.
    #[error(
        "a stateset has from 1 to {MAX_STATES} different states of 1 to {MAX_NAME_BYTES} bytes, found {found}; name each once"
    )]
    States {
        /// The states found.
        found: String,
    },
    /// A type that has no unit was given one.
    #[error("a family of type {kind} has no unit, found {unit:?} on {metric:?}; leave it out")]
    NoUnit {
        /// The type.
        kind: &'static str,
        /// The unit found.
        unit: String,
        /// The metric it is on.
        metric: String,
    },
    /// The gauge mode is unknown.
    #[error(
        "gauge modes are all, sum, max, min, mostrecent (alias latest) and the same with live in front, found {found:?}; use one of these"
    )]
    Mode {
        /// The mode found.
        found: String,
    },
}

impl Family {
    /// Makes a family, or says what is wrong with it. A counter's name may be given with or
    /// without `_total` and is kept without.
    ///
    /// # Errors
    /// [`FamilyError`] names what was expected and what was found.
    pub fn new(
        kind: Kind,
        name: &str,
        unit: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, FamilyError> {
        let name = match kind {
            Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            Kind::Info => name.strip_suffix("_info").unwrap_or(name),
            _ => name,
        };
        Self::named(kind, name, unit, help, labels)
    }

    /// Makes a family of a name as it is kept: one that ends in `_total` or `_info` still has the
    /// suffix behind it in its samples.
    ///
    /// # Errors
    /// As [`Family::new`].
    pub fn named(
        kind: Kind,
        name: &str,
        unit: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, FamilyError> {
        match kind {
            Kind::Exemplar => check_name_behind(EXEMPLAR_PREFIX, name)?,
            Kind::Bucket(_) => check_name_behind(BUCKET_PREFIX, name)?,
            Kind::Counter if is_collector_errors(name, unit, labels) => {}
            _ => check_name(name)?,
        }
        let has_unit = match kind {
            Kind::Info | Kind::StateSet(_) | Kind::Exemplar | Kind::Bucket(_) => false,
            Kind::Counter
            | Kind::Gauge(_)
            | Kind::Histogram(_)
            | Kind::NativeHistogram(_)
            | Kind::Summary => true,
        };
        if !unit.is_empty() && !has_unit {
            let (unit, metric) = (unit.to_owned(), name.to_owned());
            return Err(FamilyError::NoUnit { kind: kind.name(), unit, metric });
        }
        if !unit.is_empty() && !name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_')) {
            return Err(FamilyError::Unit { unit: unit.to_owned(), metric: name.to_owned() });
        }
        if help.len() > MAX_HELP_BYTES {
            return Err(FamilyError::Help { found: help.len() });
        }
        check_labels(&kind, name, labels)?;
        check_bounds(&kind)?;
        check_native(&kind)?;
        check_states(&kind)?;
        Ok(Self {
            kind,
            name: name.into(),
            unit: unit.into(),
            help: help.into(),
            labels: labels.iter().map(|&label| label.into()).collect(),
        })
    }

    /// How many values a series of this family has: one per label, and those of its kind.
    #[must_use]
    pub fn values(&self) -> usize {
        self.labels.len() + usize::from(self.kind == Kind::Info)
    }

    /// The bucket of a native histogram that a series of this family is; `None` when it is none.
    #[must_use]
    pub fn bucket_of(&self, values: &[Box<str>]) -> Option<Bucket> {
        let Kind::Bucket(native) = &self.kind else { return None };
        values.last()?.parse().ok().filter(|bucket| native.has(*bucket))
    }

    /// What the last of the values of a series should have been, when the kind says more of it than
    /// that it is a text: the pairs of an info, which are none of its labels, and the text of a
    /// bucket. `None` when nothing is wrong.
    #[must_use]
    pub fn wrong_value(&self, values: &[Box<str>]) -> Option<&'static str> {
        let last = || values.last().map_or("", |value| &**value);
        let is_own = |name: &str| self.labels.iter().any(|label| **label == *name);
        match &self.kind {
            Kind::Info => match pairs::decode(last()) {
                None => Some("label pairs of an info"),
                Some(pairs) if pairs.iter().any(|(name, _)| is_own(name)) => {
                    Some("label pairs that are none of the info's labels")
                }
                Some(_) => None,
            },
            Kind::Bucket(_) if self.bucket_of(values).is_none() => {
                Some("a bucket of the histogram")
            }
            _ => None,
        }
    }

    /// Whether two processes that both have this name mean the same: type, mode, bounds, labels
    /// and unit agree. The help text may differ; the first one counts.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.labels == other.labels
            && self.unit == other.unit
    }

    /// The names of the samples that a family of this kind writes, beside or instead of its own.
    /// Two families whose samples share a name cannot be in one exposition.
    pub fn sample_names(&self) -> impl Iterator<Item = String> + '_ {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter => &["", "_total", "_created"],
            Kind::Gauge(_) | Kind::StateSet(_) => &[""],
            Kind::Histogram(_) | Kind::NativeHistogram(_) => {
                &["", "_bucket", "_count", "_sum", "_created"]
            }
            Kind::Summary => &["", "_count", "_sum", "_created"],
            Kind::Info => &["", "_info"],
            Kind::Exemplar | Kind::Bucket(_) => &[],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name))
    }
}

/// Whether `name` may be a label of a family, of an info or of an exemplar.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*` (Prometheus data model).
fn is_metric_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Whether a counter is that of errors of collectors, which is no other.
fn is_collector_errors(name: &str, unit: &str, labels: &[&str]) -> bool {
    name == COLLECTOR_ERRORS && unit.is_empty() && labels == [COLLECTOR_LABEL]
}

fn check_name(name: &str) -> Result<(), FamilyError> {
    if !is_metric_name(name) {
        return Err(FamilyError::Name { found: name.to_owned() });
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(FamilyError::Reserved { found: name.to_owned() });
    }
    Ok(())
}

fn check_name_behind(prefix: &str, name: &str) -> Result<(), FamilyError> {
    match name.strip_prefix(prefix) {
        Some(of) => check_name(of),
        None => Err(FamilyError::Name { found: name.to_owned() }),
    }
}

fn check_labels(kind: &Kind, name: &str, labels: &[&str]) -> Result<(), FamilyError> {
    if labels.len() > MAX_LABELS {
        return Err(FamilyError::Labels { found: labels.len(), metric: name.to_owned() });
    }
    for (at, &label) in labels.iter().enumerate() {
        let expected = if !is_label_name(label) {
            "match [a-zA-Z_][a-zA-Z0-9_]* and have at most 256 bytes"
        } else if label.starts_with("__") {
            "do not begin with __, which Prometheus keeps for itself"
        } else if labels[..at].contains(&label) {
            "differ from each other"
        } else if label == "le" && matches!(kind, Kind::Histogram(_) | Kind::NativeHistogram(_)) {
            "of a histogram are not le, which its buckets have"
        } else if label == "quantile" && matches!(kind, Kind::Summary) {
            "of a summary are not quantile, which its quantiles have"
        } else if label == name && matches!(kind, Kind::StateSet(_)) {
            "of a stateset are not its own name, which its states have"
        } else if label == LAST_WORKER_LABEL
            && matches!(kind, Kind::Gauge(mode) if mode.is_per_process())
        {
            "of a gauge of mode all or liveall are not tallyboard_worker, which tells the processes apart when pid and worker are taken"
        } else {
            continue;
        };
        return Err(FamilyError::Label {
            expected,
            found: label.to_owned(),
            metric: name.to_owned(),
        });
    }
    Ok(())
}

fn check_bounds(kind: &Kind) -> Result<(), FamilyError> {
    let Kind::Histogram(bounds) = kind else { return Ok(()) };
    if !bounds.is_empty() && are_bounds(bounds) {
        return Ok(());
    }
    Err(FamilyError::Bounds { found: format!("{bounds:?}") })
}

fn are_bounds(bounds: &[f64]) -> bool {
    bounds.windows(2).all(|pair| pair[0] < pair[1])
        && bounds.iter().all(|bound| bound.is_finite())
        && bounds.len() <= MAX_BOUNDS
}

fn check_native(kind: &Kind) -> Result<(), FamilyError> {
    let (Kind::NativeHistogram(native) | Kind::Bucket(native)) = kind else { return Ok(()) };
    let Native { schema, zero_threshold, max_buckets, bounds } = native;
    if (MIN_SCHEMA..=MAX_SCHEMA).contains(schema)
        && (0.0..f64::INFINITY).contains(zero_threshold)
        && (1..=MAX_BUCKETS).contains(max_buckets)
        && are_bounds(bounds)
    {
        return Ok(());
    }
    Err(FamilyError::Native { found: format!("{native:?}") })
}

fn check_states(kind: &Kind) -> Result<(), FamilyError> {
    let Kind::StateSet(states) = kind else { return Ok(()) };
    let fits = |state: &str| (1..=MAX_NAME_BYTES).contains(&state.len());
    let differ = states.iter().enumerate().all(|(at, state)| !states[..at].contains(state));
    if differ && states.iter().all(|state| fits(state)) && (1..=MAX_STATES).contains(&states.len())
    {
        return Ok(());
    }
    Err(FamilyError::States { found: format!("{states:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, name: &str, unit: &str, labels: &[&str], expect: &str) {
        let found = match Family::new(kind, name, unit, "help", labels) {
            Ok(family) => format!("ok {}", family.name),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expect), "{name} {labels:?}: {found:?}, expected {expect:?}");
    }

    #[test]
    fn every_bad_family_is_refused_with_what_was_expected_and_found() {
        let histogram = |bounds: &[f64]| Kind::Histogram(bounds.into());
        check(Kind::Counter, "requests_total", "", &[], "ok requests");
        check(Kind::Counter, "requests", "", &["route", "status"], "ok requests");
        check(Kind::Gauge(GaugeMode::Sum), "requests_total", "", &[], "ok requests_total");
        check(Kind::Counter, "", "", &[], "metric names match");
        check(Kind::Counter, "_total", "", &[], "metric names match");
        check(Kind::Counter, "1st", "", &[], "metric names match");
        check(Kind::Counter, "a b", "", &[], "metric names match");
        check(Kind::Counter, "a\nb", "", &[], "metric names match");
        check(Kind::Counter, "é", "", &[], "metric names match");
        check(Kind::Counter, &"a".repeat(257), "", &[], "metric names match");
        let reserved = "names beginning with tallyboard_";
        check(Kind::Counter, "tallyboard_x", "", &[], reserved);
        let (errors, label) = (COLLECTOR_ERRORS, COLLECTOR_LABEL);
        check(Kind::Counter, errors, "", &[label], "ok tallyboard_collector_errors");
        check(Kind::Counter, errors, "", &[], reserved);
        check(Kind::Counter, errors, "", &[label, "a"], reserved);
        check(Kind::Counter, errors, "errors", &[label], reserved);
        check(Kind::Counter, "tallyboard_collector_error", "", &[label], reserved);
        check(Kind::Gauge(GaugeMode::Sum), errors, "", &[label], reserved);
        check(Kind::Counter, "a", "", &["a:b"], "label names match");
        check(Kind::Counter, "a", "", &["__a"], "label names do not begin with __");
        check(Kind::Counter, "a", "", &["b", "b"], "label names differ");
        check(Kind::Counter, "a", "", &["b"; 65], "a metric has at most 64 labels");
        check(Kind::Counter, "a", "", &["pid"], "ok a");
        check(Kind::Gauge(GaugeMode::Sum), "a", "", &["pid"], "ok a");
        check(Kind::Gauge(GaugeMode::All), "a", "", &["pid", "worker"], "ok a");
        let all = "label names of a gauge of mode all";
        check(Kind::Gauge(GaugeMode::LiveAll), "a", "", &[LAST_WORKER_LABEL], all);
        check(Kind::Gauge(GaugeMode::Sum), "a", "", &[LAST_WORKER_LABEL], "ok a");
        check(Kind::Summary, "a", "", &["quantile"], "label names of a summary");
        check(Kind::Summary, "a", "", &["le"], "ok a");
        check(histogram(&[1.0]), "a", "", &["le"], "label names of a histogram");
        check(histogram(&[]), "a", "", &[], "histogram bounds are");
        check(histogram(&[2.0, 1.0]), "a", "", &[], "histogram bounds are");
        check(histogram(&[1.0, 1.0]), "a", "", &[], "histogram bounds are");
        check(histogram(&[1.0, f64::INFINITY]), "a", "", &[], "histogram bounds are");
        check(histogram(&[f64::NAN]), "a", "", &[], "histogram bounds are");
        check(histogram(&[-1.0, 0.0]), "a", "", &[], "ok a");
        check(Kind::Counter, "wait_seconds_total", "seconds", &[], "ok wait_seconds");
        check(Kind::Counter, "wait", "seconds", &[], "a unit is the last part");
        let states = |states: &[&str]| Kind::StateSet(states.iter().map(|&s| s.into()).collect());
        check(Kind::Info, "build_info", "", &["a"], "ok build");
        check(Kind::Info, "build_info", "info", &[], "a family of type info has no unit");
        check(states(&["on", "off"]), "switch", "", &[], "ok switch");
        check(states(&["on", "on"]), "switch", "", &[], "a stateset has");
        check(states(&[]), "switch", "", &[], "a stateset has");
        check(states(&[""]), "switch", "", &[], "a stateset has");
        check(states(&["on"]), "switch", "", &["switch"], "label names of a stateset");
        check(Kind::Exemplar, "tallyboard_exemplar:a", "", &["le"], "ok tallyboard_exemplar:a");
        check(Kind::Exemplar, "a", "", &[], "metric names match");
        check(Kind::Exemplar, "tallyboard_exemplar:tallyboard_a", "", &[], "names beginning");
    }

    #[test]
    fn every_bad_native_histogram_is_refused_with_what_was_expected_and_found() {
        let of = |schema, zero_threshold, max_buckets, bounds: &[f64]| {
            let bounds = bounds.into();
            Native { schema, zero_threshold, max_buckets, bounds }
        };
        let bucket = || Kind::Bucket(of(3, 0.0, 160, &[]));
        check(bucket(), "tallyboard_bucket:a", "", &["le"], "ok tallyboard_bucket:a");
        check(bucket(), "tallyboard_exemplar:a", "", &["le"], "metric names match");
        check(bucket(), "tallyboard_bucket:a_s", "s", &[], "a family of type bucket has no unit");
        let native = |s, z, m, bounds| Kind::NativeHistogram(of(s, z, m, bounds));
        check(native(8, 0.0, 1, &[]), "a_s", "s", &[], "ok a_s");
        check(native(-4, 0.5, 4096, &[-1.0, 1.0]), "a", "", &["b"], "ok a");
        check(native(3, 0.0, 160, &[]), "a", "", &["le"], "label names of a histogram");
        for (schema, zero, buckets, bounds) in [
            (9, 0.0, 160, &[][..]),
            (-5, 0.0, 160, &[]),
            (3, -1.0, 160, &[]),
            (3, f64::NAN, 160, &[]),
            (3, f64::INFINITY, 160, &[]),
            (3, 0.0, 0, &[]),
            (3, 0.0, 4097, &[]),
            (3, 0.0, 160, &[1.0, 1.0]),
            (3, 0.0, 160, &[f64::INFINITY]),
        ] {
            check(native(schema, zero, buckets, bounds), "a", "", &[], "a native histogram has");
        }
    }

    #[test]
    fn gauge_modes_have_the_names_of_prometheus_client_and_an_alias() {
        for (number, mode) in GaugeMode::EVERY.into_iter().enumerate() {
            assert_eq!(mode as usize, number);
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert_eq!("latest".parse(), Ok(GaugeMode::MostRecent));
        assert!("newest".parse::<GaugeMode>().is_err());
    }
}
