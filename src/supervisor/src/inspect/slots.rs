//! Slots: the entry in the table, and what the worker wrote.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use tallyboard_proto::archive::Turn;
use tallyboard_proto::cell::{MAX_COUNT, Shape};
use tallyboard_proto::lane;
use tallyboard_proto::layout::{DropReason, Layout, entry, header, slot_header};
use tallyboard_proto::log::Contents;
use tallyboard_proto::slot::{SlotHeader, SlotWord, State, Tenant, dropped};
use tallyboard_proto::word::Words;

use super::catalog::{Catalog, LogWords, Wrong, odd_of, owner, read_log, take, wrong_cell};
use super::facts::SlotFacts;
use super::file::{FileWords, Snapshot};
use super::findings::{Findings, MOST_MS, MOST_PID, hex};
use super::kinds::{wrong_in_slot, wrong_of_kind};

/// What logs say that were parsed already: the children of a preloading parent have one log.
#[derive(Debug, Default)]
pub(super) struct Logs {
    parsed: HashMap<(usize, Vec<u64>), Rc<Contents>>,
}

/// A look at one slot.
pub(super) struct Look<'a> {
    pub(super) words: &'a FileWords,
    pub(super) layout: &'a Layout,
    pub(super) slot: usize,
    pub(super) arena_id: u64,
    pub(super) catalog: &'a mut Catalog,
    pub(super) logs: &'a mut Logs,
}

/// What a worker wrote, in an order in which a count that is seen has its series seen later.
struct Written {
    cells: Snapshot,
    lanes: Snapshot,
    head: Snapshot,
    log: LogWords,
    header: Option<SlotHeader>,
    /// Words 1 and 2, which are stored before the generation.
    told: [u64; 2],
}

/// More clock ticks than any system has been up for.
const MOST_TICKS: u64 = 1 << 53;

impl Look<'_> {
    /// Checks the slot once; gives it when it is taken, and whether it stood still.
    pub(super) fn check(&mut self, findings: &mut Findings) -> (Option<SlotFacts>, bool) {
        let (words, layout) = (self.words, self.layout);
        let at = layout.entry(self.slot) + entry::STATE;
        let before = words.load(at, Acquire);
        let commit = words.load(header::ARCHIVE_COMMIT, Acquire);
        let tenant = Tenant::read(words, layout, self.slot);
        self.check_entry(&tenant, findings);
        let Some(word) = SlotWord::from_word(before) else {
            let field = || format!("entry[{}].state", self.slot);
            findings.add(at, field, "a generation and one of 4 states", hex(before));
            return (None, words.load(at, Acquire) == before);
        };
        let bank = (commit & 1) as usize;
        let folded = words.load(layout.folded(bank) + self.slot, Relaxed);
        // Before the log: what was applied stands in it.
        let applied = words.load(layout.applied(bank) + self.slot, Relaxed);
        let taken = match Turn::of(word, folded) {
            Turn::Idle => {
                self.check_free(findings);
                None
            }
            // Between the fold and the scrub's end a slot holds any part of what it held.
            Turn::Folded if word.state == State::Draining => Some(self.facts(word, &tenant)),
            _ => {
                let (facts, log) = self.check_taken(word, &tenant, findings);
                let facts = SlotFacts { removals: log.removals(), ..facts };
                self.check_applied(bank, applied, &log, findings);
                Some(facts)
            }
        };
        // Acquire fence: SCRUB and SLOT-BEGIN, as in `read_outside`.
        words.fence(Acquire);
        // A slot that drains is scrubbed without another state, but not before a fold.
        let is_same_fold = words.load(header::ARCHIVE_COMMIT, Relaxed) == commit;
        let stood_still = words.load(at, Acquire) == before;
        let stood_still = stood_still && (is_same_fold || word.state != State::Draining);
        let taken = taken.map(|facts| SlotFacts { is_folded: folded >= word.generation, ..facts });
        (taken, stood_still)
    }

    fn name(&self, rest: impl std::fmt::Display) -> String {
        format!("slot[{}].{rest}", self.slot)
    }

    fn facts(&self, word: SlotWord, tenant: &Tenant) -> SlotFacts {
        SlotFacts {
            slot: self.slot,
            generation: word.generation,
            state: word.state.name(),
            pid: tenant.pid,
            uid: tenant.uid,
            attached_at_ms: tenant.attached_at_ms,
            prefix: tenant.prefix,
            ..SlotFacts::default()
        }
    }

    /// The entry's words but the state. Those of a free slot are its last worker's.
    fn check_entry(&mut self, tenant: &Tenant, findings: &mut Findings) {
        let at = self.layout.entry(self.slot);
        let name = |rest: &str| format!("entry[{}].{rest}", self.slot);
        for (field, word, most, found) in [
            ("pid", entry::PID, MOST_PID, tenant.pid),
            ("start_time", entry::START_TIME, MOST_TICKS, tenant.start_time),
            ("uid", entry::UID, u64::from(u32::MAX), tenant.uid),
            ("attached_at", entry::ATTACHED_AT, MOST_MS, tenant.attached_at_ms),
        ] {
            findings.at_most(at + word, || name(field), most, found);
        }
        let reserved = at + entry::ATTACHED_AT + 1..at + entry::WORDS;
        let snapshot = self.words.snapshot(reserved.clone());
        findings.zero(&snapshot, reserved, || name("reserved"));
        self.catalog.follow(self.words, self.layout);
        let prefix = usize::try_from(tenant.prefix).unwrap_or(usize::MAX);
        let end = self.catalog.contents.end().words;
        let is_known = self.catalog.contents.mark(prefix).is_some();
        let is_lost = self.catalog.is_damaged && prefix > end;
        if !is_known && !is_lost {
            let expected = format!("the end of a record of the catalog, up to {end}");
            findings.add(at + entry::PREFIX, || name("prefix"), expected, prefix);
        }
    }

    fn check_free(&self, findings: &mut Findings) {
        let start = self.layout.slot(self.slot);
        let slot = start..start + self.layout.slot_words;
        let snapshot = self.words.snapshot(slot);
        for (part, range) in self.parts() {
            findings.zero(&snapshot, range, || self.name(part));
        }
    }

    fn parts(&self) -> [(&'static str, Range<usize>); 4] {
        let start = self.layout.slot(self.slot);
        let (cells, log) = (self.layout.slot_cells(self.slot), self.layout.slot_log(self.slot));
        let lanes = start + self.layout.slot_words_without_lanes();
        let end = start + self.layout.slot_words;
        [
            ("header", start..cells),
            ("cells", cells..log.start),
            ("log", log.start..lanes),
            ("lanes", lanes..end),
        ]
    }

    fn read(&self, findings: &mut Findings) -> Written {
        let (words, start) = (self.words, self.layout.slot(self.slot));
        let [(_, head), (_, cells), (_, log), (_, lanes)] = self.parts();
        let lanes = words.snapshot(lanes);
        let cells = words.snapshot(cells);
        let head = words.snapshot(head);
        words.fence(Acquire);
        let area = self.layout.slot_log(self.slot);
        let log = read_log(words, area, log, &self.name("log"), findings);
        let header = SlotHeader::read(words, start);
        let word = |at| words.load(start + at, Relaxed);
        let told = [word(slot_header::ARENA_ID), word(slot_header::PREFIX)];
        Written { cells, lanes, head, log, header, told }
    }

    fn check_taken(
        &mut self,
        word: SlotWord,
        tenant: &Tenant,
        findings: &mut Findings,
    ) -> (SlotFacts, LogWords) {
        let mut facts = self.facts(word, tenant);
        let written = self.read(findings);
        facts.has_begun = written.header.is_some();
        facts.uncommitted_bytes = written.log.uncommitted;
        facts.log_words = written.log.committed as u64;
        facts.dropped = dropped(self.words, self.layout.slot(self.slot));
        self.check_header(word, tenant, &written, findings);
        if written.header.is_none() {
            let (start, cells) = (self.layout.slot(self.slot), self.layout.slot_cells(self.slot));
            let counted = start + slot_header::DROPPED..start + slot_header::LOG_COMMIT + 1;
            findings.zero(&written.head, counted, || self.name("header before its generation"));
            let end = self.layout.slot_log(self.slot).start;
            findings.zero(&written.cells, cells..end, || self.name("cells before its generation"));
            let [.., (_, lanes)] = self.parts();
            findings.zero(&written.lanes, lanes, || self.name("lanes before its generation"));
            return (facts, written.log);
        }
        if let Some(contents) = self.parse(tenant, &written.log, findings) {
            let own = contents.series().len() - self.prefix_series(tenant);
            (facts.series, facts.cells) = (own as u64, contents.end().cells as u64);
            self.check_cells(&contents, &written.cells, findings);
            self.check_lanes(&contents, &written.lanes, findings);
            self.check_kinds(&contents, &written.cells, findings);
        }
        (facts, written.log)
    }

    /// Removals are applied one by one, each to the end of its record.
    fn check_applied(&self, bank: usize, applied: u64, log: &LogWords, findings: &mut Findings) {
        let is_end = |end: &usize| *end as u64 == applied;
        if applied != 0 && !log.removal_ends().iter().any(is_end) {
            let field = || format!("bank[{bank}].applied[{}]", self.slot);
            let expected = format!("the end of a removal in the log of slot {}", self.slot);
            findings.add(self.layout.applied(bank) + self.slot, field, expected, applied);
        }
    }

    fn check_header(
        &self,
        word: SlotWord,
        tenant: &Tenant,
        written: &Written,
        findings: &mut Findings,
    ) {
        let start = self.layout.slot(self.slot);
        let generation = written.header.map_or(0, |header| header.generation);
        let has_begun = generation != 0;
        for (field, at, expected, found) in [
            ("header.generation", slot_header::GENERATION, word.generation, generation),
            ("header.arena_id", slot_header::ARENA_ID, self.arena_id, written.told[0]),
            ("header.prefix", slot_header::PREFIX, tenant.prefix, written.told[1]),
        ] {
            let is_right = found == expected || (found == 0 && !has_begun);
            let or = if has_begun { "" } else { " or 0" };
            let expected = || format!("{}{or}", hex(expected));
            findings.check(is_right, start + at, &self.name(field), expected, || hex(found));
        }
        let field = || self.name("header.lanes");
        let lanes = lane::used(self.words, start);
        let most = self.layout.geometry.lanes as u64;
        findings.at_most(start + slot_header::LANES, field, most, lanes);
        for (field, from, to) in [
            ("header.reserved", slot_header::LANES + 1, slot_header::DROPPED),
            (
                "header.dropped",
                slot_header::DROPPED + DropReason::ALL.len(),
                slot_header::LOG_COMMIT,
            ),
            ("header.padding", slot_header::LOG_COMMIT + 1, slot_header::WORDS),
        ] {
            findings.zero(&written.head, start + from..start + to, || self.name(field));
        }
    }

    fn prefix_series(&self, tenant: &Tenant) -> usize {
        let mark = self.catalog.contents.mark(tenant.prefix as usize);
        mark.map_or(0, |mark| mark.series)
    }

    /// What the log says behind its prefix; `None` when it does not parse or the prefix is lost.
    fn parse(
        &mut self,
        tenant: &Tenant,
        log: &LogWords,
        findings: &mut Findings,
    ) -> Option<Rc<Contents>> {
        let prefix = usize::try_from(tenant.prefix).ok()?;
        self.catalog.contents.mark(prefix)?;
        if let Some(known) = self.logs.parsed.get(&(prefix, log.words.clone())) {
            return Some(Rc::clone(known));
        }
        let area = self.layout.slot_log(self.slot);
        let mut contents = match log.words.is_empty() && self.catalog.contents.end().words == prefix
        {
            true => self.catalog.contents.clone(),
            false => {
                let start = self.layout.catalog;
                let words = self.words.all(start..start + prefix);
                let mut contents = Contents::new(self.layout.geometry.cells);
                contents.extend(&words).ok()?;
                contents
            }
        };
        let mut at = 0;
        while at < log.committed {
            let rest = log.words.get(at..).unwrap_or_default();
            match take(&mut contents, rest, prefix + at) {
                Ok(length) => at += length,
                Err((expected, found)) => {
                    findings.add(area.start + at, || self.name("log.record"), expected, found);
                    return None;
                }
            }
        }
        let contents = Rc::new(contents);
        self.logs.parsed.insert((prefix, log.words.clone()), Rc::clone(&contents));
        Some(contents)
    }

    fn check_cells(&self, contents: &Contents, cells: &Snapshot, findings: &mut Findings) {
        let start = self.layout.slot_cells(self.slot);
        let end = self.layout.slot_log(self.slot).start;
        let owned = start + contents.end().cells;
        findings.zero(cells, owned..end, || self.name("cells beyond"));
        for (at, word) in cells.set(start..owned) {
            let cell = at - start;
            let wrong = match owner(contents, cell) {
                None => Some(("0 where no series owns the cell".to_owned(), hex(word))),
                Some((first, shape)) => {
                    // A sum is marked odd before it is one; a mark made since is seen now.
                    let odd = odd_of(cells, start + first, shape);
                    wrong_cell(shape, cell - first, word, odd).filter(|_| {
                        let odd = self.odd(first, shape);
                        wrong_cell(shape, cell - first, word, odd).is_some()
                    })
                }
            };
            let wrong = wrong.or_else(|| too_much(contents, cell, word));
            if let Some((expected, found)) = wrong {
                findings.add(at, || self.name(format!("cells[{cell}]")), expected, found);
            }
        }
    }

    /// How many lanes the worker says that it uses, as far as there are so many.
    fn lanes(&self) -> usize {
        let said = lane::used(self.words, self.layout.slot(self.slot));
        usize::try_from(said).unwrap_or(usize::MAX).min(self.layout.geometry.lanes)
    }

    /// The last cell of a series, in whatever row.
    fn odd(&self, first: usize, shape: Shape) -> u64 {
        let last = first + shape.width().max(1) - 1;
        let lanes = (0..self.lanes()).map(|lane| self.layout.lane_cells(self.slot, lane));
        let rows = lanes.chain([self.layout.slot_cells(self.slot)]);
        rows.fold(0, |sum: u64, row| sum.saturating_add(self.words.load(row + last, Relaxed)))
    }

    /// Lanes hold what is counted, and nothing else.
    fn check_lanes(&self, contents: &Contents, lanes: &Snapshot, findings: &mut Findings) {
        let [.., (_, all)] = self.parts();
        let used = self.lanes();
        for lane in 0..self.layout.geometry.lanes {
            let start = self.layout.lane_cells(self.slot, lane);
            let head = start - slot_header::WORDS..start;
            findings.zero(lanes, head, || self.name(format!("lanes[{lane}] before its cells")));
            let next = start - slot_header::WORDS + self.layout.slot_log(self.slot).start
                - self.layout.slot(self.slot);
            for (at, word) in lanes.set(start..next.min(all.end)) {
                let cell = at - start;
                let wrong = match owner(contents, cell) {
                    _ if lane >= used => Some((format!("0 beyond {used} lanes"), hex(word))),
                    Some((first, shape)) if shape.counts() => {
                        wrong_cell(shape, cell - first, word, self.odd(first, shape))
                    }
                    _ => Some(("0 where nothing is counted".to_owned(), hex(word))),
                };
                let wrong = wrong.or_else(|| too_much(contents, cell, word));
                if let Some((expected, found)) = wrong {
                    let field = || self.name(format!("lanes[{lane}].cells[{cell}]"));
                    findings.add(at, field, expected, found);
                }
            }
        }
    }

    fn check_kinds(&self, contents: &Contents, cells: &Snapshot, findings: &mut Findings) {
        let start = self.layout.slot_cells(self.slot);
        for series in contents.series() {
            let (kind, first) =
                (&contents.families()[series.family as usize].kind, start + series.cell);
            let wrong = wrong_of_kind(kind, |at| cells.word(first + at))
                .and_then(|_| wrong_in_slot(kind, self.words, first));
            if let Some((at, (expected, found))) = wrong {
                let field = || self.name(format!("cells[{}]", series.cell + at));
                findings.add(first + at, field, expected, found);
            }
        }
    }
}

/// What is wrong with a count that holds more than one can.
fn too_much(contents: &Contents, cell: usize, word: u64) -> Option<Wrong> {
    let (first, shape) = owner(contents, cell)?;
    let is_wrong = word > MAX_COUNT && shape.is_count(cell - first);
    is_wrong.then(|| (format!("a count up to {MAX_COUNT}"), word.to_string()))
}
