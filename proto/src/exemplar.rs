//! Exemplars: an example of what a counter or a bucket counted, mostly a reference into a trace.
//!
//! The exemplars of a metric are the series of a family of their own, [`crate::family::Kind::Exemplar`], which
//! begin when the first exemplar is given: one per series of a counter, one per bucket of a
//! histogram, told apart by the label `le` with the number of the bucket.
//!
//! ```text
//! cells    | turn | buffer 0 | buffer 1 |
//! buffer   | value (float) | when (ms of Unix time) | length in bytes | label pairs |
//! ```
//!
//! Which buffer counts, and how they are written and read, is said in `turn.rs`: a worker that is
//! killed while it writes leaves the last exemplar as it was.

use crate::word::Words;
use crate::{pairs, turn};

/// Most bytes of label pairs, as [`pairs::encode`] writes them.
pub const MAX_PAIR_BYTES: usize = 256;
/// Most characters of names and values together (OpenMetrics 1.0).
pub const MAX_CHARACTERS: usize = 128;
/// Words of a buffer.
pub const BUFFER_WORDS: usize = 3 + MAX_PAIR_BYTES / 8;
/// Cells of an exemplar.
pub const EXEMPLAR_CELLS: usize = turn::cells(BUFFER_WORDS);

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Label pairs, sorted by name.
    pub labels: Vec<(String, String)>,
    /// What was counted.
    pub value: f64,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
}

/// The label pairs of an exemplar as it keeps them; `None` when they are no labels, or too long.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> Option<String> {
    let characters = |text: &str| text.chars().count();
    let length: usize =
        pairs.iter().map(|(name, value)| characters(name) + characters(value)).sum();
    let text = pairs::encode(pairs)?;
    (length <= MAX_CHARACTERS && text.len() <= MAX_PAIR_BYTES).then_some(text)
}

/// Writes an exemplar into the cells that begin at word `at`. One thread of the process at a time
/// does; the labels are those that [`labels`] made.
pub fn write<W: Words + ?Sized>(words: &W, at: usize, labels: &str, value: f64, at_ms: u64) {
    let text = &labels.as_bytes()[..labels.len().min(MAX_PAIR_BYTES)];
    let chunks = text.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    let contents = [value.to_bits(), at_ms, text.len() as u64].into_iter().chain(chunks);
    turn::write(words, at, BUFFER_WORDS, contents);
}

/// Reads the exemplar whose cells begin at word `at`, while its worker may write another one;
/// `None` when there is none, or always a newer one.
pub fn read<W: Words + ?Sized>(words: &W, at: usize) -> Option<Exemplar> {
    let mut copy = Vec::with_capacity(BUFFER_WORDS);
    let turn = turn::read(words, at, BUFFER_WORDS, &mut copy)?;
    if turn == 0 { None } else { of_buffer(&copy) }
}

/// The exemplar in cells that nobody writes.
#[must_use]
pub fn of_cells(cells: &[u64]) -> Option<Exemplar> {
    of_buffer(turn::current(cells, BUFFER_WORDS)?)
}

fn of_buffer(buffer: &[u64]) -> Option<Exemplar> {
    let [value, at_ms, length, text @ ..] = buffer else { return None };
    let bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    let text = bytes.get(..usize::try_from(*length).ok()?)?;
    let labels = pairs::decode(std::str::from_utf8(text).ok()?)?;
    Some(Exemplar { labels, value: f64::from_bits(*value), at_ms: *at_ms })
}

/// Keeps the newer one of two exemplars in `into`.
pub(crate) fn merge(into: &mut [u64], from: &[u64]) {
    let newer = turn::current(from, BUFFER_WORDS)
        .filter(|from| turn::current(into, BUFFER_WORDS).is_none_or(|into| into[1] < from[1]));
    if let Some(newer) = newer {
        turn::place(into, newer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn cells() -> Vec<AtomicU64> {
        (0..EXEMPLAR_CELLS).map(|_| AtomicU64::new(0)).collect()
    }

    fn copied(cells: &[AtomicU64]) -> Vec<u64> {
        cells.iter().map(|cell| cell.load(Relaxed)).collect()
    }

    #[test]
    fn the_last_exemplar_is_read_and_the_newest_is_kept() {
        let (one, other) = (cells(), cells());
        assert_eq!(read(&one[..], 0), None);
        let text = labels(&[("trace_id", "abc"), ("span", "é\n")]).expect("short labels");
        for (value, at_ms) in [(1.0, 5), (2.0, 6), (3.0, 7)] {
            write(&one[..], 0, &text, value, at_ms);
            let found = read(&one[..], 0).expect("an exemplar");
            assert_eq!((found.value, found.at_ms), (value, at_ms));
            assert_eq!(found.labels[1], ("trace_id".to_owned(), "abc".to_owned()));
        }
        write(&other[..], 0, "", 9.0, 6);
        let mut into = vec![0; EXEMPLAR_CELLS];
        for (from, expect) in [(cells(), None), (other, Some(9.0)), (one, Some(3.0))] {
            merge(&mut into, &copied(&from));
            assert_eq!(of_cells(&into).map(|exemplar| exemplar.value), expect);
        }
    }

    #[test]
    fn labels_have_the_limits_of_openmetrics() {
        let long = "x".repeat(MAX_CHARACTERS - 1);
        assert!(labels(&[("a", &long)]).is_some());
        assert!(labels(&[("ab", &long)]).is_none());
        assert!(labels(&[("a", &"é".repeat(127))]).is_none(), "too many bytes");
        assert!(labels(&[("a b", "")]).is_some());
        assert!(labels(&[("", "")]).is_none());
    }

    #[test]
    fn cells_that_nobody_wrote_are_no_exemplar_and_break_nothing() {
        for (at, value) in [(0, u64::MAX), (3, u64::MAX), (38, 257), (38, u64::MAX), (39, 0xff)] {
            let cells = cells();
            write(&cells[..], 0, "a=\"b\"", 1.0, 1);
            cells[at].store(value, Relaxed);
            let _ = read(&cells[..], 0);
            let _ = of_cells(&copied(&cells));
        }
        assert_eq!(of_cells(&[]), None);
        assert_eq!(of_cells(&[1]), None);
    }
}
