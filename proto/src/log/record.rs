//! Records, and the words that they are.

use super::error::LogError;
use super::payload::{MAX_RECORD_WORDS, Payload, put_family, put_str};
use crate::cell::Shape;
use crate::family::{Family, MAX_VALUE_BYTES};

pub(super) const FAMILY: u8 = 1;
pub(super) const SERIES: u8 = 2;
pub(super) const GAP: u8 = 3;
pub(super) const REMOVAL: u8 = 4;

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

    /// Reads what a payload says that a process does with `series`.
    fn parse(series: u32, payload: &mut Payload<'_>) -> Result<Self, LogError> {
        let number = payload.word("action")?;
        let action = usize::try_from(number).ok().and_then(|at| Action::EVERY.get(at).copied());
        let unknown = LogError::Unknown { at: payload.at, what: "action", found: number };
        let (action, at_ms) = (action.ok_or(unknown)?, payload.word("time")?);
        let cells = (0..payload.bytes.len() / 8).map(|_| payload.word("cells"));
        Ok(Self { series, action, at_ms, cells: cells.collect::<Result<_, _>>()? })
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
            REMOVAL => Self::Removal(Removal::parse(operand, &mut payload)?),
            found => return Err(LogError::Unknown { at, what: "kind", found: found.into() }),
        };
        payload.end()?;
        Ok((record, length))
    }
}

/// The length of the record at the start of `words`.
pub(super) fn length_of(words: &[u64], at: usize) -> Result<usize, LogError> {
    let most = words.len().min(MAX_RECORD_WORDS);
    let found = words.first().map_or(0, |head| (head >> 8 & 0xff_ffff) as usize);
    if (1..=most).contains(&found) { Ok(found) } else { Err(LogError::Length { at, most, found }) }
}
