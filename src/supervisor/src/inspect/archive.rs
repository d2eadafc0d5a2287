//! The archive: both banks, the floors, and which lives of slots are folded.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use tallyboard_proto::cell::{CellKind, GAUGE_CELLS, Join, Shape};
use tallyboard_proto::layout::{DROP_REASONS, DropReason, Layout, bank, header, row};
use tallyboard_proto::life::Life;
use tallyboard_proto::slot::{SlotWord, State};
use tallyboard_proto::word::Words;

use super::bank::Bank;
use super::catalog::{Catalog, Wrong, odd_of, owner, wrong_cell};
use super::facts::ArchiveFacts;
use super::file::{FileWords, Snapshot};
use super::findings::{Findings, MOST_PID, hex};
use super::kinds::wrong_in_bank;

/// Reads and checks banks and floors once; says whether no fold came in between.
pub(super) fn check(
    words: &FileWords,
    layout: &Layout,
    catalog: &mut Catalog,
    findings: &mut Findings,
) -> (ArchiveFacts, bool) {
    // Acquire: BANK-COMMIT, as in `read_outside`.
    let commit = words.load(header::ARCHIVE_COMMIT, Acquire);
    let active = (commit & 1) as usize;
    let epoch = commit >> 1;
    let read = |number: usize| {
        let at = layout.bank(number);
        let snapshot = words.snapshot(at..at + layout.bank_words);
        words.fence(Acquire);
        let head = words.all(at..at + bank::WORDS);
        (number, snapshot, std::array::from_fn(|at| head[at]))
    };
    let banks = [read(active), read(1 - active)];
    let states: Vec<Option<SlotWord>> =
        (0..layout.geometry.slots).map(|slot| SlotWord::read(words, layout, slot)).collect();
    let section = layout.floors..layout.control_words;
    let floors = words.snapshot(section.clone());
    // Acquire fence: SCRUB and BANK-REUSE, as in `read_outside`.
    words.fence(Acquire);
    let stood_still = words.load(header::ARCHIVE_COMMIT, Relaxed) == commit;
    // Whatever a cell above belongs to was in the catalog before it.
    catalog.follow(words, layout);
    let is_bank = epoch & 1 == commit & 1;
    let field = "header.archive_commit";
    let expected = || "the bank that the lowest bit of the epoch names".to_owned();
    findings.check(is_bank, header::ARCHIVE_COMMIT, field, expected, || hex(commit));
    let mut facts = ArchiveFacts { folds: epoch, bank: active, ..ArchiveFacts::default() };
    for (number, words, head) in banks {
        let is_active = number == active;
        let bank = Bank { layout, catalog, number, is_active, words, head };
        bank.check(epoch, findings);
        if is_active {
            bank.check_folded(&states, findings);
            bank.check_applied(&states, findings);
            bank.state(&mut facts);
            bank.check_hidden_floors(&floors, findings);
        }
    }
    facts.floors = check_floors(layout, catalog, &floors, findings);
    findings.zero(&floors, layout.floors + layout.geometry.cells..section.end, || {
        "floors.padding".to_owned()
    });
    (facts, stood_still)
}

impl Bank<'_> {
    fn check(&self, epoch: u64, findings: &mut Findings) {
        let (at, geometry) = (self.at(), &self.layout.geometry);
        let found = self.head[bank::EPOCH];
        // The idle bank is that of the fold before, or is being written for the next one.
        let (is_right, expected) = match (self.is_active, epoch) {
            (true, _) => (found == epoch, epoch.to_string()),
            (false, 0) => (found <= 1, "0 or 1".to_owned()),
            (false, _) => {
                let (before, next) = (epoch - 1, epoch.saturating_add(1));
                (found == before || found == next, format!("{before} or {next}"))
            }
        };
        let field = self.name("epoch");
        findings.check(is_right, at + bank::EPOCH, &field, || expected, || found.to_string());
        self.check_cells(findings);
        self.check_offsets(findings);
        self.check_lives(findings);
        let rows = self.head[bank::ROWS];
        let field = || self.name("rows");
        if findings.at_most(at + bank::ROWS, field, geometry.ring_rows as u64, rows) {
            self.check_rows(rows as usize, findings);
        }
        let fallen = self.head[bank::ROWS_DROPPED];
        let may_fall = rows == geometry.ring_rows as u64 || !self.is_active;
        let expected = || format!("0 while the ring has {rows} rows");
        let field = self.name("rows_dropped");
        let is_right = fallen == 0 || may_fall;
        findings.check(is_right, at + bank::ROWS_DROPPED, &field, expected, || fallen.to_string());
        let reserved = at + bank::LIVES + 1..at + bank::DROPPED;
        findings.zero(&self.words, reserved, || self.name("reserved"));
        let unnamed = at + bank::DROPPED + DropReason::ALL.len()..at + bank::WORDS;
        findings.zero(&self.words, unnamed, || self.name("dropped"));
        let ring = geometry.ring_rows * (row::WORDS + geometry.row_cells);
        let end = self.layout.lives(self.number) + geometry.cells + ring;
        findings.zero(&self.words, end..at + self.layout.bank_words, || self.name("padding"));
    }

    fn check_cells(&self, findings: &mut Findings) {
        let (at, contents) = (self.at() + bank::CELLS, &self.catalog.contents);
        let found = self.head[bank::CELLS];
        let most = match self.catalog.is_damaged {
            true => self.layout.geometry.cells,
            false => contents.end().cells,
        };
        if !findings.at_most(at, || self.name("cells"), most as u64, found) {
            return;
        }
        let cells = found as usize;
        let is_end = self.catalog.is_damaged || self.catalog.ends_at(cells);
        let expected = || "the end of a series of the catalog".to_owned();
        findings.check(is_end, at, &self.name("cells"), expected, || cells.to_string());
        let start = self.layout.bank_cells(self.number);
        let end = start + self.layout.geometry.cells;
        findings.zero(&self.words, start + cells..end, || self.name("cells beyond"));
        if self.catalog.is_damaged {
            return;
        }
        for (at, word) in self.words.set(start..start + cells) {
            if let Some((expected, found)) = self.wrong(start, at - start, word) {
                findings.add(at, || self.name(format!("cells[{}]", at - start)), expected, found);
            }
        }
        // A bank that is being written may have half of an exemplar.
        let series = self.catalog.contents.series();
        for series in series.iter().filter(|s| self.is_active && s.cell < cells) {
            let family = &self.catalog.contents.families()[series.family as usize];
            let wrong = wrong_in_bank(&family.kind, |at| self.words.word(start + series.cell + at));
            if let Some((at, (expected, found))) = wrong {
                let cell = series.cell + at;
                findings.add(start + cell, || self.name(format!("cells[{cell}]")), expected, found);
            }
        }
    }

    /// What is wrong with the cell of a series, if anything.
    fn wrong(&self, start: usize, cell: usize, word: u64) -> Option<Wrong> {
        let Some((first, shape)) = owner(&self.catalog.contents, cell) else {
            return Some(("0 where no series owns the cell".to_owned(), hex(word)));
        };
        if !shape.is_archived() {
            return Some(("0 in a mode that is not kept here".to_owned(), hex(word)));
        }
        let odd = odd_of(&self.words, start + first, shape);
        // A bank that is being written may have a sum and not yet what says that it is odd.
        let odd = if self.is_active { odd } else { 1 };
        wrong_cell(shape, cell - first, word, odd)
    }

    fn check_rows(&self, rows: usize, findings: &mut Findings) {
        let geometry = &self.layout.geometry;
        let most = match self.catalog.is_damaged {
            true => geometry.row_cells,
            false => self.catalog.all_gauges() * GAUGE_CELLS,
        };
        let most = most.min(geometry.row_cells / GAUGE_CELLS * GAUGE_CELLS);
        for number in 0..geometry.ring_rows {
            let at = self.layout.ring_row(self.number, number);
            let end = at + row::WORDS + geometry.row_cells;
            let name = |rest: &str| self.name(format!("row[{number}].{rest}"));
            if number >= rows {
                findings.zero(&self.words, at..end, || name("beyond"));
                continue;
            }
            let word = |of: usize| self.words.word(at + of);
            findings.at_most(at + row::PID, || name("pid"), MOST_PID, word(row::PID));
            let (slot, generation) = (word(row::SLOT), word(row::GENERATION));
            let slots = geometry.slots as u64 - 1;
            if findings.at_most(at + row::SLOT, || name("slot"), slots, slot) && self.is_active {
                let folded = self.words.word(self.layout.folded(self.number) + slot as usize);
                let is_right = (1..=folded).contains(&generation);
                let expected =
                    || format!("from 1 to {folded}, which slot {slot} has been folded in");
                let at = at + row::GENERATION;
                let field = name("generation");
                findings.check(is_right, at, &field, expected, || generation.to_string());
            }
            let cells = word(row::CELLS);
            let is_right = cells <= most as u64 && cells.is_multiple_of(GAUGE_CELLS as u64);
            let expected = || format!("an even number up to {most}");
            findings
                .check(is_right, at + row::CELLS, &name("cells"), expected, || cells.to_string());
            // Behind its cells a row may have what a wider one left there.
            findings.zero(&self.words, at + row::WORDS + most..end, || name("beyond"));
            let stamps = (1..most).step_by(GAUGE_CELLS).map(|cell| (cell, word(row::WORDS + cell)));
            for (cell, stamp) in stamps.filter(|(_, stamp)| *stamp > 1) {
                let field = || name(&format!("stamp[{}]", cell / GAUGE_CELLS));
                findings.add(at + row::WORDS + cell, field, "0 or 1", stamp);
            }
        }
    }

    /// A free slot's last life is folded, and nothing after it. That of a taken one is folded
    /// when it drains, or when the slot is quarantined.
    fn check_folded(&self, states: &[Option<SlotWord>], findings: &mut Findings) {
        for (slot, word) in states.iter().enumerate() {
            let Some(word) = word else { continue };
            let at = self.layout.folded(self.number) + slot;
            let (found, before) = (self.words.word(at), word.generation - 1);
            let is_own = found == word.generation && word.state != State::Free;
            let expected = || {
                let or = if word.state == State::Free { "" } else { " or one more" };
                format!("{before}{or}: the slot is {} in {}", word.state.name(), word.generation)
            };
            let field = self.name(format!("folded[{slot}]"));
            let is_right = found == before || is_own;
            findings.check(is_right, at, &field, expected, || found.to_string());
        }
    }

    fn state(&self, facts: &mut ArchiveFacts) {
        let folded = self.layout.folded(self.number);
        let lives = self.words.set(folded..folded + self.layout.geometry.slots);
        facts.lives = lives.fold(0, |sum: u64, (_, lives)| sum.saturating_add(lives));
        facts.cells = self.head[bank::CELLS];
        facts.rows = self.head[bank::ROWS];
        facts.rows_dropped = self.head[bank::ROWS_DROPPED];
        let dropped = &self.head[bank::DROPPED..bank::DROPPED + DROP_REASONS];
        facts.dropped = std::array::from_fn(|reason| dropped[reason]);
        let of_series = |series: &(usize, Life)| series.1;
        for life in self.lives().iter().map(of_series) {
            facts.removed += u64::from(life.is_removed);
            facts.hidden += u64::from(life.is_hidden);
            facts.renewed += u64::from(life.is_renewed);
        }
    }
}

/// Floors are sums that were exposed, so they are above 0, and only float cells have them.
fn check_floors(
    layout: &Layout,
    catalog: &Catalog,
    floors: &Snapshot,
    findings: &mut Findings,
) -> u64 {
    let mut count = 0;
    for (at, word) in floors.set(layout.floors..layout.floors + layout.geometry.cells) {
        count += 1;
        let cell = at - layout.floors;
        let owner = owner(&catalog.contents, cell);
        // What collectors add has its floor where its turn is.
        let is_float = owner.map(|(first, shape)| {
            shape.cell(cell - first) == CellKind::Float
                || (cell == first && shape == Shape::Sample(Join::Add))
        });
        // NaN is above nothing.
        let is_sum = f64::from_bits(word) > 0.0;
        let expected = match is_float {
            None if catalog.is_damaged && is_sum => continue,
            None | Some(false) => "0 where no float only rises",
            Some(true) if is_sum => continue,
            Some(true) => "a sum above 0",
        };
        findings.add(at, || format!("floors[{cell}]"), expected, f64::from_bits(word));
    }
    count
}
