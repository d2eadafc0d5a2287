//! Which series were sent, and what of them: so that nothing is sent twice or backwards, and a series
//! that ends is said to have ended.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map;

use tallyboard_exposition::sample::Timestamp;

use super::entries::{Entry, Pairs, Recorded};

/// What stands behind each part of a key: a byte that is in no text.
const END: u8 = 0xff;

/// The series that the last snapshot had.
#[derive(Debug, Default)]
pub(super) struct Known {
    series: HashMap<Box<[u8]>, Last>,
    turn: u64,
}

/// What was sent last of a series.
#[derive(Clone, Copy, Debug)]
struct Last {
    turn: u64,
    at_ms: i64,
    exemplar_ms: i64,
    is_native: bool,
}

impl Known {
    /// Takes in what is new of a series; `false` when a receiver has it already, or it is older than
    /// what the receiver has. The exemplars that a receiver has are taken out.
    pub(super) fn admit(&mut self, entry: &mut Entry<'_>) -> bool {
        let (turn, at_ms) = (self.turn, entry.at_ms);
        let last = match self.series.entry(key(&entry.labels)) {
            hash_map::Entry::Vacant(place) => {
                keep_newest(entry);
                let is_native = entry.value.is_native();
                place.insert(Last { turn, at_ms, exemplar_ms: i64::MIN, is_native })
            }
            hash_map::Entry::Occupied(place) => {
                let last = place.into_mut();
                last.turn = turn;
                if at_ms <= last.at_ms {
                    return false;
                }
                last.at_ms = at_ms;
                last
            }
        };
        entry
            .exemplars
            .retain(|exemplar| exemplar.timestamp.is_some_and(|at| at.millis() > last.exemplar_ms));
        entry.exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        let newest = entry.exemplars.last().and_then(|exemplar| exemplar.timestamp);
        last.exemplar_ms = newest.map_or(last.exemplar_ms, Timestamp::millis);
        true
    }

    /// Ends a snapshot of this moment: gives `each` what says of the series that it did not have that
    /// they have ended, and forgets them.
    pub(super) fn end_snapshot(&mut self, at_ms: i64, mut each: impl FnMut(&Entry<'_>)) {
        let turn = self.turn;
        self.series.retain(|key, last| {
            if last.turn == turn {
                return true;
            }
            each(&Entry {
                labels: labels(key),
                family: None,
                value: Recorded::stale(last.is_native),
                at_ms: at_ms.max(last.at_ms.saturating_add(1)),
                start_ms: 0,
                exemplars: Vec::new(),
            });
            false
        });
        self.turn += 1;
    }
}

/// Of a series that nothing is known of, as after a start, the receiver may have some exemplars
/// already. It takes the newest again, but none that is older.
fn keep_newest(entry: &mut Entry<'_>) {
    let newest = entry.exemplars.iter().copied().max_by_key(|exemplar| exemplar.timestamp);
    entry.exemplars = newest.into_iter().collect();
}

fn key(labels: &Pairs<'_>) -> Box<[u8]> {
    let length = labels.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut key = Vec::with_capacity(length);
    for part in labels.iter().flat_map(|(name, value)| [name, value]) {
        key.extend_from_slice(part.as_bytes());
        key.push(END);
    }
    key.into()
}

/// The labels that a key was made of.
fn labels(key: &[u8]) -> Pairs<'static> {
    let text = |part: &[u8]| Cow::Owned(String::from_utf8_lossy(part).into_owned());
    let parts: Vec<&[u8]> = key.split(|byte| *byte == END).collect();
    parts.chunks_exact(2).map(|pair| (text(pair[0]), text(pair[1]))).collect()
}
