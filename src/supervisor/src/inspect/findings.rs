//! What was found wrong so far, and what is believed at most.

use std::fmt::Display;
use std::ops::Range;

use super::facts::Damage;
use super::file::Snapshot;

/// Damages that are written down; a file that is no arena behind its header has very many.
const MOST_DAMAGES: usize = 1000;
/// The greatest pid that a process can have.
pub(super) const MOST_PID: u64 = i32::MAX as u64;
/// The latest time that is believed in milliseconds: the year 10889.
pub(super) const MOST_MS: u64 = 1 << 48;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) damages: Vec<Damage>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.damages.is_empty()
    }

    pub(super) fn take(&mut self, damages: Vec<Damage>) {
        let room = MOST_DAMAGES.saturating_sub(self.damages.len());
        self.more += damages.len().saturating_sub(room) as u64;
        self.damages.extend(damages.into_iter().take(room));
    }

    /// Notes what is wrong in word `at`.
    pub(super) fn add(
        &mut self,
        at: usize,
        field: impl FnOnce() -> String,
        expected: impl Display,
        found: impl Display,
    ) {
        if self.damages.len() >= MOST_DAMAGES {
            self.more += 1;
            return;
        }
        self.damages.push(damage_at(at, &field(), expected.to_string(), found.to_string()));
    }

    pub(super) fn check(
        &mut self,
        is_right: bool,
        at: usize,
        field: &str,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        if !is_right {
            self.add(at, || field.to_owned(), expected(), found());
        }
    }

    pub(super) fn at_most(
        &mut self,
        at: usize,
        field: impl FnOnce() -> String,
        most: u64,
        found: u64,
    ) -> bool {
        if found > most {
            self.add(at, field, format!("at most {most}"), found);
        }
        found <= most
    }

    /// Notes the first byte of `range` that is not 0, and how many words there are.
    pub(super) fn zero(
        &mut self,
        words: &Snapshot,
        range: Range<usize>,
        field: impl FnOnce() -> String,
    ) {
        if range.is_empty() {
            return;
        }
        let mut set = words.set(range);
        let Some((at, word)) = set.next() else { return };
        let found = match set.count() {
            0 => hex(word),
            more => format!("{} and {more} more words", hex(word)),
        };
        let known = self.damages.len();
        self.add(at, field, "zeros", found);
        if let Some(damage) = self.damages.get_mut(known) {
            damage.offset += u64::from(word.trailing_zeros() / 8);
        }
    }
}

pub(super) fn damage_at(at: usize, field: &str, expected: String, found: String) -> Damage {
    Damage { offset: (at * size_of::<u64>()) as u64, field: field.to_owned(), expected, found }
}

pub(super) fn hex(word: u64) -> String {
    format!("{word:#018x}")
}
