//! What removals and resets have left in a bank: offsets, lives, and how far they were applied.

use std::collections::HashSet;

use tallyboard_proto::cell::Shape;
use tallyboard_proto::layout::bank;
use tallyboard_proto::log::Series;
use tallyboard_proto::slot::{SlotWord, State};

use super::bank::Bank;
use super::catalog::{odd_of, owner, wrong_cell};
use super::file::Snapshot;
use super::findings::{Findings, hex};

impl Bank<'_> {
    /// What is taken off counts is as they are themselves; nothing is taken off a value.
    pub(super) fn check_offsets(&self, findings: &mut Findings) {
        let start = self.layout.offsets(self.number);
        let most = self.head[bank::CELLS];
        let Some(length) = self.check_length("offsets", bank::OFFSETS, start, most, findings)
        else {
            return;
        };
        if self.catalog.is_damaged {
            return;
        }
        let at = self.at() + bank::OFFSETS;
        let expected = || "the end of a series of the catalog".to_owned();
        let is_end = self.catalog.ends_at(length);
        findings.check(is_end, at, &self.name("offsets"), expected, || length.to_string());
        for (at, word) in self.words.set(start..start + length) {
            let cell = at - start;
            let wrong = match owner(&self.catalog.contents, cell) {
                // The fraction of a counter may have got what its whole cell has lost.
                Some((first, shape)) if shape == Shape::Counter && cell != first => {
                    let is_number = f64::from_bits(word).is_finite();
                    (!is_number).then(|| ("a number".to_owned(), hex(word)))
                }
                Some((first, shape)) if shape.counts() => {
                    let odd = odd_of(&self.words, start + first, shape);
                    // A bank that is being written may have a sum and not yet its mark.
                    let odd = if self.is_active { odd } else { 1 };
                    wrong_cell(shape, cell - first, word, odd)
                }
                _ => Some(("0 where no series counts".to_owned(), hex(word))),
            };
            if let Some((expected, found)) = wrong {
                findings.add(at, || self.name(format!("offsets[{cell}]")), expected, found);
            }
        }
    }

    /// A series is hidden only after it was removed.
    pub(super) fn check_lives(&self, findings: &mut Findings) {
        let start = self.layout.lives(self.number);
        let most = match self.catalog.is_damaged {
            true => self.head[bank::CELLS],
            false => self.catalog.contents.series().len() as u64,
        };
        self.check_length("lives", bank::LIVES, start, most, findings);
        for (series, life) in self.lives() {
            let field = self.name(format!("lives[{series}]"));
            let is_right = life.is_removed || !life.is_hidden;
            let expected = || "a hidden series to be a removed one".to_owned();
            findings.check(is_right, start + series, &field, expected, || hex(life.to_word()));
        }
        self.check_leads(start, findings);
    }

    /// One definition of a name leads at most, which the first series of its family says.
    fn check_leads(&self, start: usize, findings: &mut Findings) {
        let contents = &self.catalog.contents;
        let mut names = HashSet::new();
        for (series, life) in self.lives().iter().filter(|(_, life)| life.lead != 0) {
            let Some(entry) = contents.series().get(*series) else { continue };
            let family = &contents.families()[entry.family as usize];
            let of_family = |other: &Series| other.family == entry.family;
            let is_first = contents.series().iter().position(of_family) == Some(*series);
            let named = contents.families_named(&family.name).into_iter();
            let worded = named.filter(|of| contents.families()[*of as usize].agrees_with(family));
            let is_right = is_first
                && usize::from(life.lead) <= worded.count()
                && names.insert(family.name.clone());
            let field = self.name(format!("lives[{series}]"));
            let expected =
                || "one definition of a name to lead, by one of its help texts".to_owned();
            findings.check(is_right, start + series, &field, expected, || hex(life.to_word()));
        }
    }

    /// Checks the length of a section, and that nothing stands behind it.
    fn check_length(
        &self,
        section: &str,
        word: usize,
        start: usize,
        most: u64,
        findings: &mut Findings,
    ) -> Option<usize> {
        let (at, found) = (self.at() + word, self.head[word]);
        let most = most.min(self.layout.geometry.cells as u64);
        if !findings.at_most(at, || self.name(section), most, found) {
            return None;
        }
        let (length, end) = (found as usize, start + self.layout.geometry.cells);
        let beyond = || self.name(format!("{section} beyond"));
        findings.zero(&self.words, start + length..end, beyond);
        Some(length)
    }

    /// Nothing was applied of a slot that is free or folded. Of one that counts, what was applied
    /// is checked with its log.
    pub(super) fn check_applied(&self, states: &[Option<SlotWord>], findings: &mut Findings) {
        for (slot, word) in states.iter().enumerate() {
            let Some(word) = word else { continue };
            let at = self.layout.applied(self.number) + slot;
            let folded = self.words.word(self.layout.folded(self.number) + slot);
            let counts = word.state != State::Free && folded < word.generation;
            let most = if counts { self.layout.geometry.log_words as u64 } else { 0 };
            let field = || self.name(format!("applied[{slot}]"));
            findings.at_most(at, field, most, self.words.word(at));
        }
    }

    /// What is not exposed has no floor.
    pub(super) fn check_hidden_floors(&self, floors: &Snapshot, findings: &mut Findings) {
        let contents = &self.catalog.contents;
        for (series, _) in self.lives().iter().filter(|(_, life)| life.is_hidden) {
            let Some(series) = contents.series().get(*series) else { continue };
            let first = self.layout.floors + series.cell;
            let cells = first..first + contents.shape(series).width();
            findings.zero(floors, cells, || format!("floors of hidden cells {}", series.cell));
        }
    }
}
