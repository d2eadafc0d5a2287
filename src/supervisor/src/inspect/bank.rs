//! One bank of the archive while it is looked at.

use tallyboard_proto::layout::{Layout, bank};
use tallyboard_proto::life::Life;

use super::catalog::Catalog;
use super::file::Snapshot;

/// One bank while it is looked at.
pub(super) struct Bank<'a> {
    pub(super) layout: &'a Layout,
    pub(super) catalog: &'a Catalog,
    pub(super) number: usize,
    pub(super) is_active: bool,
    pub(super) words: Snapshot,
    /// Its header, read after the rest: lengths only grow.
    pub(super) head: [u64; bank::WORDS],
}

impl Bank<'_> {
    pub(super) fn at(&self) -> usize {
        self.layout.bank(self.number)
    }

    pub(super) fn name(&self, rest: impl std::fmt::Display) -> String {
        format!("bank[{}].{rest}", self.number)
    }

    /// The lives that say anything, by series.
    pub(super) fn lives(&self) -> Vec<(usize, Life)> {
        let start = self.layout.lives(self.number);
        let words = self.words.set(start..start + self.layout.geometry.cells);
        words.map(|(at, word)| (at - start, Life::from_word(word))).collect()
    }
}
