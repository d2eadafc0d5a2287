//! The series log: append-only records, made visible by one commit word.
//!
//! ```text
//! record   | kind: 8 | words: 24 | operand: 32 |  payload, (words - 1) * 8 bytes
//! Family   operand = type | mode << 8;  payload = name, unit, help, labels, bounds
//! Series   operand = ordinal of the family; payload = when it began, one value per label
//! Gap      operand = cells;             payload = nothing
//! Removal  operand = ordinal of the series; payload = what, when, its cells (lower: their amounts)
//!          behind those of a native histogram its buckets: ordinal of the series, its cell
//! ```
//!
//! A moment is milliseconds of Unix time in eight bytes; a string is its length in four bytes and
//! its UTF-8 bytes; a list is its length in four bytes and its items; a bound is the eight bytes of
//! a float; all little-endian, zero-padded to whole words. Families and series are numbered in log
//! order and own their cells in log order, so a log determines its cell layout. A slot's log
//! continues the prefix that it took from the catalog.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use thiserror::Error;

use crate::cell::Shape;
use crate::family::{
    Family, FamilyError, GaugeMode, Kind, MAX_BOUNDS, MAX_LABELS, MAX_NAME_BYTES, MAX_STATES,
    MAX_VALUE_BYTES,
};
use crate::layout::LogArea;
use crate::life::LIFE_BITS;
use crate::native::Native;
use crate::word::{Words, fnv};

mod contents;

pub use contents::{Begun, Contents, Mark, Series, check_values};

const FAMILY: u8 = 1;
const SERIES: u8 = 2;
const GAP: u8 = 3;
const REMOVAL: u8 = 4;

/// Longest record, in words.
pub const MAX_RECORD_WORDS: usize = 1 << 16;

/// Number that changes with the encoding of records, part of the layout fingerprint.
pub const RECORD_ABI: u64 = fnv(&[
    4,
    FAMILY as u64,
    SERIES as u64,
    GAP as u64,
    REMOVAL as u64,
    MAX_RECORD_WORDS as u64,
    LIFE_BITS as u64,
]);

/// One record of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Begins a family; the next ordinal is its number.
    Family(Family),
    /// Begins a series of a family; it owns the next cells.
    Series {
        /// Ordinal of the family, counted from the start of the prefix.
        family: u32,
        /// When it began in this process, in milliseconds of Unix time; 0 when nobody knows.
        created_ms: u64,
        /// Label values, in the order of the family's label names.
        values: Box<[Box<str>]>,
    },
    /// Skips cells, so that the series after it keep the cells that they have elsewhere.
    Gap {
        /// How many cells.
        cells: u32,
    },
    /// Says what the process does with a series that it has.
    Removal(Removal),
}

/// What a process says of a series after it has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Ordinal of the series, counted from the start of the prefix.
    pub series: u32,
    /// What it does.
    pub action: Action,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// Its cells in this process at that moment: what came later is not meant. Where the process
    /// takes a part of them back, how much it takes off each.
    pub cells: Box<[u64]>,
}

impl Removal {
    /// Whether it is one of a series of this shape, and names no buckets but those of the series.
    #[must_use]
    pub fn fits(&self, shape: Shape, is_own_bucket: impl Fn(u64) -> bool) -> bool {
        let (own, mut buckets) = self.parts(shape.width());
        let more = self.cells.len() - own.len();
        let may_have_more = shape == Shape::NativeHistogram && more.is_multiple_of(2);
        !own.is_empty()
            && (self.action != Action::Lower || shape.counts())
            && own.len() == shape.width()
            && (more == 0 || may_have_more)
            && buckets.all(|(bucket, _)| is_own_bucket(bucket))
    }

    /// The cells of the series itself, which are so many, and of a native histogram those of its
    /// buckets: ordinal of the series, and its cell. A bucket that is left out has nothing.
    pub fn parts(&self, width: usize) -> (&[u64], impl Iterator<Item = (u64, u64)> + '_) {
        let (own, buckets) = self.cells.split_at(width.min(self.cells.len()));
        (own, buckets.as_chunks().0.iter().map(|&[series, cell]| (series, cell)))
    }
}

/// What a process does with a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Action {
    /// Holds it no longer.
    Remove = 0,
    /// Begins it anew, for all processes.
    Reset = 1,
    /// Holds it again.
    Hold = 2,
    /// Takes back a part of what it has counted itself, and begins it anew with the rest.
    Lower = 3,
}

impl Action {
    /// Every action, in the order of its number.
    pub const EVERY: [Self; 4] = [Self::Remove, Self::Reset, Self::Hold, Self::Lower];
}

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

impl Record {
    /// Encodes the record as words.
    #[must_use]
    pub fn to_words(&self) -> Vec<u64> {
        let mut bytes = Vec::new();
        let (kind, operand) = match self {
            Self::Family(family) => (FAMILY, put_family(&mut bytes, family)),
            Self::Series { family, created_ms, values } => {
                bytes.extend_from_slice(&created_ms.to_le_bytes());
                values.iter().for_each(|value| put_str(&mut bytes, value));
                (SERIES, *family)
            }
            Self::Gap { cells } => (GAP, *cells),
            Self::Removal(removal) => {
                let words = [removal.action as u64, removal.at_ms].into_iter();
                let words = words.chain(removal.cells.iter().copied());
                words.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
                (REMOVAL, removal.series)
            }
        };
        let words = 1 + bytes.len().div_ceil(8);
        let mut record = Vec::with_capacity(words);
        record.push(u64::from(kind) | (words as u64) << 8 | u64::from(operand) << 32);
        record.extend(bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        }));
        record
    }

    /// Parses the record at the start of `words`; gives it and its length. `at` is its position in
    /// the log, for errors. `values_of` tells how many labels a family has, `None` for no family.
    ///
    /// # Errors
    /// [`LogError`] when the words are no record.
    pub fn parse(
        words: &[u64],
        at: usize,
        values_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<(Self, usize), LogError> {
        let length = length_of(words, at)?;
        let head = words[0];
        let operand = (head >> 32) as u32;
        let bytes: Vec<u8> = words[1..length].iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut payload = Payload { bytes: &bytes, at };
        let record = match head as u8 {
            FAMILY => Self::Family(payload.family(operand)?),
            SERIES => {
                let count =
                    values_of(operand).ok_or(LogError::Series { at, family: operand, found: 0 })?;
                let created_ms = payload.word("time")?;
                let values = (0..count).map(|_| payload.string("label value", MAX_VALUE_BYTES));
                let values = values.collect::<Result<_, _>>()?;
                Self::Series { family: operand, created_ms, values }
            }
            GAP => Self::Gap { cells: operand },
            REMOVAL => Self::Removal(payload.removal(operand)?),
            found => return Err(LogError::Unknown { at, what: "kind", found: found.into() }),
        };
        payload.end()?;
        Ok((record, length))
    }
}

/// The length of the record at the start of `words`.
fn length_of(words: &[u64], at: usize) -> Result<usize, LogError> {
    let most = words.len().min(MAX_RECORD_WORDS);
    let found = words.first().map_or(0, |head| (head >> 8 & 0xff_ffff) as usize);
    if (1..=most).contains(&found) { Ok(found) } else { Err(LogError::Length { at, most, found }) }
}

/// What a log says, taken apart: what determines its cells, and what else there is to know of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The records that determine the cells, without the time at which each series began: the same
    /// for every process that began the same series in the same order.
    pub structure: Vec<u64>,
    /// When each series that is begun here began.
    pub begun_ms: Vec<u64>,
    /// The other records, each with the position behind it.
    pub removals: Vec<(usize, Removal)>,
}

/// Takes `words` apart, which stand at position `at` of a log. What determines cells is not looked
/// into: [`Contents::extend`] and its like do that.
///
/// # Errors
/// [`LogError`] at the first record that is none.
pub fn take_apart(words: &[u64], at: usize) -> Result<Parts, LogError> {
    let mut parts = Parts::default();
    let mut rest = words;
    while !rest.is_empty() {
        let at = at + words.len() - rest.len();
        let length = length_of(rest, at)?;
        match rest[0] as u8 {
            REMOVAL => {
                if let (Record::Removal(removal), _) = Record::parse(rest, at, |_| None)? {
                    parts.removals.push((at + length, removal));
                }
            }
            SERIES if length > 1 => {
                parts.begun_ms.push(rest[1]);
                parts.structure.extend_from_slice(&[rest[0], 0]);
                parts.structure.extend_from_slice(&rest[2..length]);
            }
            _ => parts.structure.extend_from_slice(&rest[..length]),
        }
        rest = &rest[length..];
    }
    Ok(parts)
}

/// How many of `words`, which stand at position `at` of a log, hold the first so many words of its
/// structure, with the removals behind them up to the next record of structure.
///
/// # Errors
/// [`LogError`] at the first record that is none.
pub fn up_to(words: &[u64], at: usize, structure: usize) -> Result<usize, LogError> {
    let (mut end, mut taken) = (0, 0);
    while end < words.len() {
        let length = length_of(&words[end..], at + end)?;
        if words[end] as u8 != REMOVAL {
            if taken + length > structure {
                break;
            }
            taken += length;
        }
        end += length;
    }
    Ok(end)
}

fn put_str(bytes: &mut Vec<u8>, text: &str) {
    put_len(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_len(bytes: &mut Vec<u8>, len: usize) {
    bytes.extend_from_slice(&(len as u32).to_le_bytes());
}

fn put_family(bytes: &mut Vec<u8>, family: &Family) -> u32 {
    put_str(bytes, &family.name);
    put_str(bytes, &family.unit);
    put_str(bytes, &family.help);
    put_len(bytes, family.labels.len());
    family.labels.iter().for_each(|label| put_str(bytes, label));
    match &family.kind {
        Kind::Counter => 0,
        Kind::Gauge(mode) => 1 | (*mode as u32) << 8,
        Kind::Histogram(bounds) => {
            put_len(bytes, bounds.len());
            bounds.iter().for_each(|bound| bytes.extend_from_slice(&bound.to_le_bytes()));
            2
        }
        Kind::NativeHistogram(native) => 7 | put_native(bytes, native),
        Kind::Summary => 3,
        Kind::Info => 4,
        Kind::StateSet(states) => {
            put_len(bytes, states.len());
            states.iter().for_each(|state| put_str(bytes, state));
            5
        }
        Kind::Exemplar => 6,
        Kind::Bucket(native) => 8 | put_native(bytes, native),
    }
}

/// Gives the part of the operand that says which schema it has.
fn put_native(bytes: &mut Vec<u8>, native: &Native) -> u32 {
    put_len(bytes, native.bounds.len());
    native.bounds.iter().for_each(|bound| bytes.extend_from_slice(&bound.to_le_bytes()));
    bytes.extend_from_slice(&native.zero_threshold.to_le_bytes());
    put_len(bytes, native.max_buckets.into());
    u32::from(native.schema as u8) << 8
}

/// What is left of a record's payload.
struct Payload<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Payload<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], LogError> {
        let (taken, rest) =
            self.bytes.split_at_checked(len).ok_or(LogError::Payload { at: self.at, what })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn len(&mut self, what: &'static str, most: usize) -> Result<usize, LogError> {
        let bytes = self.take(4, what)?;
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if len > most { Err(LogError::Payload { at: self.at, what }) } else { Ok(len) }
    }

    fn string(&mut self, what: &'static str, most: usize) -> Result<Box<str>, LogError> {
        let len = self.len(what, most)?;
        let text = std::str::from_utf8(self.take(len, what)?);
        text.map(Box::from).map_err(|_| LogError::Payload { at: self.at, what })
    }

    fn family(&mut self, operand: u32) -> Result<Family, LogError> {
        // Lengths are bounded by the record here and by `Family::named` below.
        let any = MAX_RECORD_WORDS * 8;
        let name = self.string("name", any)?;
        let unit = self.string("unit", any)?;
        let help = self.string("help", any)?;
        let labels = self.len("label count", MAX_LABELS)?;
        let labels =
            (0..labels).map(|_| self.string("label", any)).collect::<Result<Vec<_>, _>>()?;
        let kind = self.kind(operand)?;
        let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
        let family = Family::named(kind, &name, &unit, &help, &labels)
            .map_err(|source| LogError::Family { at: self.at, source })?;
        // A name that `new` had to shorten was written by nobody who used `new`.
        if family.name == name {
            Ok(family)
        } else {
            Err(LogError::Payload { at: self.at, what: "name" })
        }
    }

    fn kind(&mut self, operand: u32) -> Result<Kind, LogError> {
        let unknown =
            |what, found: u32| LogError::Unknown { at: self.at, what, found: found.into() };
        let (kind, mode) = (operand & 0xff, operand >> 8);
        match (kind, mode) {
            (0, 0) => Ok(Kind::Counter),
            (1, mode) => {
                let mode = GaugeMode::EVERY.get(mode as usize).copied();
                mode.map(Kind::Gauge).ok_or(unknown("gauge mode", operand >> 8))
            }
            (2, 0) => Ok(Kind::Histogram(self.bounds()?)),
            (3, 0) => Ok(Kind::Summary),
            (4, 0) => Ok(Kind::Info),
            (5, 0) => {
                let count = self.len("state count", MAX_STATES)?;
                let states = (0..count).map(|_| self.string("state", MAX_NAME_BYTES));
                Ok(Kind::StateSet(states.collect::<Result<_, _>>()?))
            }
            (6, 0) => Ok(Kind::Exemplar),
            (7, 0..=0xff) => Ok(Kind::NativeHistogram(self.native(mode as u8 as i8)?)),
            (8, 0..=0xff) => Ok(Kind::Bucket(self.native(mode as u8 as i8)?)),
            _ => Err(unknown("type", operand)),
        }
    }

    fn native(&mut self, schema: i8) -> Result<Native, LogError> {
        let bounds = self.bounds()?;
        let zero_threshold = f64::from_bits(self.word("zero threshold")?);
        let max_buckets = self.len("bucket count", u16::MAX.into())? as u16;
        Ok(Native { schema, zero_threshold, max_buckets, bounds })
    }

    fn bounds(&mut self) -> Result<Box<[f64]>, LogError> {
        let count = self.len("bound count", MAX_BOUNDS)?;
        let bytes = self.take(count * 8, "bounds")?;
        let bound = |bytes: &[u8]| f64::from_le_bytes(std::array::from_fn(|byte| bytes[byte]));
        Ok(bytes.chunks_exact(8).map(bound).collect())
    }

    fn word(&mut self, what: &'static str) -> Result<u64, LogError> {
        let bytes = self.take(8, what)?;
        Ok(u64::from_le_bytes(std::array::from_fn(|byte| bytes[byte])))
    }

    fn removal(&mut self, series: u32) -> Result<Removal, LogError> {
        let number = self.word("action")?;
        let action = usize::try_from(number).ok().and_then(|at| Action::EVERY.get(at).copied());
        let unknown = LogError::Unknown { at: self.at, what: "action", found: number };
        let (action, at_ms) = (action.ok_or(unknown)?, self.word("time")?);
        let cells = (0..self.bytes.len() / 8).map(|_| self.word("cells"));
        Ok(Removal { series, action, at_ms, cells: cells.collect::<Result<_, _>>()? })
    }

    fn end(&self) -> Result<(), LogError> {
        let padding = self.bytes.len() < 8 && self.bytes.iter().all(|&byte| byte == 0);
        if padding { Ok(()) } else { Err(LogError::Payload { at: self.at, what: "end" }) }
    }
}

/// Appends `record` behind the first `committed` words of a log and commits it; gives the new
/// length. The caller has made the words and the cells that the record owns real before, and hands
/// out no handle to them before this returns.
///
/// # Errors
/// [`LogFull`] when the record does not fit; nothing was written.
pub fn append<W: Words + ?Sized>(
    words: &W,
    area: LogArea,
    committed: usize,
    record: &[u64],
) -> Result<usize, LogFull> {
    let free = area.words - committed;
    if record.len() > free {
        return Err(LogFull { needed: record.len(), free });
    }
    for (at, &word) in record.iter().enumerate() {
        words.store(area.start + committed + at, word, Relaxed);
    }
    let length = committed + record.len();
    // Release: whoever sees the commit word sees the record. The synchronisation point is named
    // LOG-COMMIT; its other side is in `read`.
    words.store(area.commit, length as u64, Release);
    Ok(length)
}

/// Appends to `into` the words of a log from `from` up to its commit word; gives the new length.
///
/// # Errors
/// [`LogError::Commit`] when the commit word leads out of the log or has gone back.
pub fn read<W: Words + ?Sized>(
    words: &W,
    area: LogArea,
    from: usize,
    into: &mut Vec<u64>,
) -> Result<usize, LogError> {
    // Acquire: LOG-COMMIT, pairs with `append`.
    let found = words.load(area.commit, Acquire);
    let length = usize::try_from(found).unwrap_or(usize::MAX);
    if length < from || length > area.words {
        return Err(LogError::Commit { least: from, most: area.words, found });
    }
    words.read(area.start + from..area.start + length, into);
    Ok(length)
}
