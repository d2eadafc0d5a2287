//! What is refused, and why.

use tallyboard_proto::family::{FamilyError, MAX_VALUE_BYTES};
use thiserror::Error;

/// A metric that cannot be registered.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The family is not one that can be.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// This program registered the name already, as something else.
    #[error(
        "{name:?} is registered already as a {existing}, found a {found} whose samples have the same name; use one definition, or another name"
    )]
    Conflict {
        /// The name.
        name: String,
        /// What it is registered as.
        existing: String,
        /// What it was to be registered as.
        found: String,
    },
    /// This program registered the same metric already.
    #[error(
        "expected one registration of {existing}, found a second, of {found}; keep the handle of the first, or register with `.reuse()` what may have been registered before, by this process or before it was forked"
    )]
    Duplicate {
        /// What is registered.
        existing: String,
        /// What it was to be registered as.
        found: String,
    },
    /// Labels on a metric that is used without, or none where they are needed.
    #[error("{name:?} has {found} labels, expected none; register it as a family")]
    Labels {
        /// The name.
        name: String,
        /// How many labels it has.
        found: usize,
    },
}

/// Label values that do not fit their family.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// Another number of values than labels.
    #[error(
        "{family:?} has the labels {expected:?}, found {found} values; give one value per label"
    )]
    Count {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// How many values were found.
        found: usize,
    },
    /// A value that is too long.
    #[error(
        "a label value has at most {MAX_VALUE_BYTES} bytes, found {found} on {family:?}; shorten it"
    )]
    Length {
        /// The family.
        family: String,
        /// How many bytes were found.
        found: usize,
    },
    /// A set of labels that is not the family's.
    #[error(
        "{family:?} has the labels {expected:?}, found a set with the labels {found:?}; register the family with `labels_of` that set, or give its labels in the same order"
    )]
    Set {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// The labels of the set.
        found: Vec<String>,
    },
    /// A name that is no label of the family.
    #[error("{family:?} has the labels {expected:?}, found {found:?}; use these names, each once")]
    Name {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// The name found.
        found: String,
    },
}
