//! What can be wrong with a log.

use thiserror::Error;

use crate::family::FamilyError;

/// A log that does not parse. Positions are in words from the start of the log.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum LogError {
    /// The commit word is past the end of the log, or behind what was read before.
    #[error("the log's commit word is from {least} to {most}, found {found}")]
    Commit {
        /// Least value allowed.
        least: usize,
        /// Greatest value allowed.
        most: usize,
        /// Value found.
        found: u64,
    },
    /// A record has a length that leads out of the log, or none.
    #[error("the record at word {at} has from 1 to {most} words, found {found}")]
    Length {
        /// Where the record begins.
        at: usize,
        /// Greatest length allowed.
        most: usize,
        /// Length found.
        found: usize,
    },
    /// No such record, type or mode.
    #[error("the record at word {at} has an unknown {what}: {found}")]
    Unknown {
        /// Where the record begins.
        at: usize,
        /// What is unknown.
        what: &'static str,
        /// Number found.
        found: u64,
    },
    /// A string or list ends outside its record, is too long, or is not UTF-8.
    #[error("the record at word {at} has a damaged {what}")]
    Payload {
        /// Where the record begins.
        at: usize,
        /// What is damaged.
        what: &'static str,
    },
    /// The family is not one that can be.
    #[error("the record at word {at}: {source}")]
    Family {
        /// Where the record begins.
        at: usize,
        /// What is wrong with it.
        source: FamilyError,
    },
    /// A series names a family that the log has not begun, or has another number of values.
    #[error(
        "the record at word {at} has {found} label values of family {family}, which does not have so many"
    )]
    Series {
        /// Where the record begins.
        at: usize,
        /// Ordinal of the family.
        family: u32,
        /// Number of values found.
        found: usize,
    },
    /// A series has a value that its kind cannot have.
    #[error("the record at word {at} has {found:?}, expected {expected}")]
    Value {
        /// Where the record begins.
        at: usize,
        /// What the value should have been.
        expected: &'static str,
        /// Value found.
        found: Box<str>,
    },
    /// A removal names a series that the log has not begun, or has another number of cells.
    #[error("the record at word {at} has {found} cells of series {series}, which has {expected}")]
    Removal {
        /// Where the record begins.
        at: usize,
        /// Ordinal of the series.
        series: u32,
        /// How many cells it has; 0 when there is no such series.
        expected: usize,
        /// Number of cells found.
        found: usize,
    },
    /// The cells of the log do not fit.
    #[error("the record at word {at} needs cells up to {needed}, there are {limit}")]
    Cells {
        /// Where the record begins.
        at: usize,
        /// Cells needed.
        needed: usize,
        /// Cells there are.
        limit: usize,
    },
}

/// The log is full.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the log has {free} words left, {needed} are needed; start with a larger --max-series")]
pub struct LogFull {
    /// Words needed.
    pub needed: usize,
    /// Words free.
    pub free: usize,
}
