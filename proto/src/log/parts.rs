//! A log taken apart: what determines its cells, and what else there is to know of them.

use super::error::LogError;
use super::record::{REMOVAL, Record, Removal, SERIES, length_of};

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
/// into: [`Contents::extend`](super::contents::Contents::extend) and its like do that.
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
