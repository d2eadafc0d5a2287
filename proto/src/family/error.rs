//! What can be wrong with a family, in words that say what to do.

use thiserror::Error;

use crate::limits::{MAX_BOUNDS, MAX_HELP_BYTES, MAX_LABELS, MAX_NAME_BYTES, MAX_STATES};
use crate::names::RESERVED_PREFIX;
use crate::native::{MAX_BUCKETS, MAX_SCHEMA, MIN_SCHEMA};

/// A family that cannot be.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum FamilyError {
    /// The name is not a metric name.
    #[error(
        "metric names have from 1 to {MAX_NAME_BYTES} bytes, none of them 0, found {found:?}; rename the metric"
    )]
    Name {
        /// The name found.
        found: String,
    },
    /// The name is one of the supervisor's own.
    #[error(
        "names beginning with {RESERVED_PREFIX} are the supervisor's own, escaped too, found {found:?}; choose another prefix"
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
    /// A family of samples that is joined as none of its type is.
    #[error(
        "samples of a counter, histogram or summary are added, of an info or stateset the newest counts, of others a gauge mode says it, and each has labels of its own, found {found}; correct one of them"
    )]
    Samples {
        /// What was found.
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
