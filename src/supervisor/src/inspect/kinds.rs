//! Cells whose meaning is in their family: the states of a stateset, exemplars, and samples.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use tallyboard_proto::cell::{SAMPLE_CELLS, SAMPLE_WORDS};
use tallyboard_proto::exemplar::{BUFFER_WORDS, EXEMPLAR_CELLS, MAX_PAIR_BYTES, of_cells};
use tallyboard_proto::family::Kind;
use tallyboard_proto::word::Words;

use super::catalog::Wrong;
use super::file::FileWords;
use super::findings::{MOST_MS, hex};

/// What is wrong with the cells of a series and with which of them, as far as that depends on its
/// kind. `word` gives a cell of it.
pub(super) fn wrong_of_kind(kind: &Kind, word: impl Fn(usize) -> u64) -> Option<(usize, Wrong)> {
    match kind {
        Kind::StateSet(states) if word(0) >= states.len() as u64 => {
            Some((0, (format!("a state below {}", states.len()), word(0).to_string())))
        }
        Kind::Samples(_) => {
            let cells: Vec<u64> = (0..SAMPLE_CELLS).map(word).collect();
            wrong_sample(&cells)
        }
        Kind::Exemplar => {
            let cells: Vec<u64> = (0..EXEMPLAR_CELLS).map(word).collect();
            wrong_exemplar(&cells)
        }
        _ => None,
    }
}

/// The same of cells that a worker may be writing: what is wrong only while it writes is not.
pub(super) fn wrong_in_slot(kind: &Kind, words: &FileWords, at: usize) -> Option<(usize, Wrong)> {
    let turn = || words.load(at, Relaxed);
    let before = words.load(at, Acquire);
    let cells = words.all(at..at + kind.cells());
    // Acquire fence: EXEMPLAR-REUSE. What was written anew in between has a later turn.
    words.fence(Acquire);
    let is_same = buffer_of(kind).is_none() || turn() == before;
    wrong_of_kind(kind, |cell| cells[cell]).filter(|_| is_same)
}

/// How many words the buffers of a kind have that is written in turns.
fn buffer_of(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Exemplar => Some(BUFFER_WORDS),
        Kind::Samples(_) => Some(SAMPLE_WORDS),
        _ => None,
    }
}

/// The same of cells of a bank, where a fold puts an exemplar or a sample into the second buffer.
pub(super) fn wrong_in_bank(kind: &Kind, word: impl Fn(usize) -> u64) -> Option<(usize, Wrong)> {
    if let Some(buffer) = buffer_of(kind) {
        if word(0) > 1 {
            return Some((0, ("the turn 0 or 1".to_owned(), word(0).to_string())));
        }
        let unused = if word(0) == 0 { 1..kind.cells() } else { 1..1 + buffer };
        if let Some(at) = unused.into_iter().find(|&at| word(at) != 0) {
            return Some((at, ("0 where no fold writes".to_owned(), hex(word(at)))));
        }
    }
    wrong_of_kind(kind, word)
}

/// Without a turn the first buffer was never written. What nobody says has neither value nor time.
fn wrong_sample(cells: &[u64]) -> Option<(usize, Wrong)> {
    let turn = cells[0];
    if turn == 0 {
        let set = (1..=SAMPLE_WORDS).find(|&at| cells[at] != 0);
        return set.map(|at| (at, ("0 before the first turn".to_owned(), hex(cells[at]))));
    }
    let value = 1 + (turn & 1) as usize * SAMPLE_WORDS;
    let is_said = cells[value] != 0 || cells[value + 2] != 0;
    let stamp = value + 1;
    (is_said && cells[stamp] == 0)
        .then(|| (stamp, ("a stamp beside a value or a time".to_owned(), hex(cells[stamp]))))
}

/// In the buffer that is in use everything is right; of the other one a writer may have stored a
/// part. Without a turn the first buffer was never written.
fn wrong_exemplar(cells: &[u64]) -> Option<(usize, Wrong)> {
    let turn = cells[0];
    if turn == 0 {
        let set = (1..=BUFFER_WORDS).find(|&at| cells[at] != 0);
        return set.map(|at| (at, ("0 before the first turn".to_owned(), hex(cells[at]))));
    }
    for buffer in [0, 1] {
        let at = 1 + buffer * BUFFER_WORDS;
        let most = [(at + 1, "a time", MOST_MS), (at + 2, "a length", MAX_PAIR_BYTES as u64)];
        let wrong = most.into_iter().find(|&(at, _, most)| cells[at] > most);
        if let Some((at, what, most)) = wrong {
            return Some((at, (format!("{what} up to {most}"), cells[at].to_string())));
        }
    }
    let text = 4 + (turn & 1) as usize * BUFFER_WORDS;
    let expected = || ("label pairs".to_owned(), hex(cells[text]));
    of_cells(cells).is_none().then(|| (text, expected()))
}
