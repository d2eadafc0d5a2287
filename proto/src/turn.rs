//! Words that are read together while they are written: two buffers, and a turn that says which of
//! them counts.
//!
//! ```text
//! cells    | turn | buffer 0 | buffer 1 |
//! ```
//!
//! Turn `n` lies in buffer `n & 1`; turn 0 is none. A worker writes the buffer that is not in use,
//! then the turn: a worker that is killed in between leaves what there was.

use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::word::Words;

/// How often a reader tries before it gives up: each failure is a newer turn.
const ATTEMPTS: usize = 3;

/// How many cells two buffers of so many words take, and their turn.
pub(crate) const fn cells(buffer_words: usize) -> usize {
    1 + 2 * buffer_words
}

fn buffer(turn: u64, words: usize) -> Range<usize> {
    let start = 1 + (turn & 1) as usize * words;
    start..start + words
}

/// Writes `contents` into the buffer that is not in use, of two that have room for `width` words, and
/// has it count. The cells begin at word `at`. One thread of the process at a time does.
pub(crate) fn write<W: Words + ?Sized>(
    words: &W,
    at: usize,
    width: usize,
    contents: impl Iterator<Item = u64>,
) {
    let turn = words.load(at, Relaxed).wrapping_add(1);
    let start = at + buffer(turn, width).start;
    // Release fence: a reader may still be in this buffer, which was the one in use before. If it
    // sees a word stored below, it sees the turn between. EXEMPLAR-REUSE; its other side is in
    // `read`.
    words.fence(Release);
    contents.take(width).zip(start..).for_each(|(word, at)| words.store(at, word, Relaxed));
    // Release: whoever sees the turn sees its buffer. EXEMPLAR-TURN; its other side is in `read`.
    words.store(at, turn, Release);
}

/// Reads the buffer that counts into `copy`, while its worker may write the other one; gives its turn,
/// or nothing when there was always a newer one.
pub(crate) fn read<W: Words + ?Sized>(
    words: &W,
    at: usize,
    width: usize,
    copy: &mut Vec<u64>,
) -> Option<u64> {
    (0..ATTEMPTS).find_map(|_| {
        // Acquire: EXEMPLAR-TURN, pairs with `write`.
        let turn = words.load(at, Acquire);
        let part = buffer(turn, width);
        copy.clear();
        words.read(at + part.start..at + part.end, copy);
        // Acquire fence: EXEMPLAR-REUSE, pairs with `write`. If a word read above is of a later
        // turn, the load below sees a later turn.
        words.fence(Acquire);
        (words.load(at, Relaxed) == turn).then_some(turn)
    })
}

/// The buffer that counts in cells that nobody writes.
pub(crate) fn current(cells: &[u64], width: usize) -> Option<&[u64]> {
    let turn = *cells.first()?;
    if turn == 0 { None } else { cells.get(buffer(turn, width)) }
}

/// Makes `contents` what counts in cells that nobody else writes, always in the same buffer.
pub(crate) fn place(cells: &mut [u64], contents: &[u64]) {
    cells[buffer(1, contents.len())].copy_from_slice(contents);
    cells[0] = 1;
}
