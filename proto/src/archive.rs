//! The archive: what the dead have counted, in two banks of which one commit word chooses one.
//!
//! ```text
//!   fold      idle bank <- active bank + the dead;  commit word <- idle bank   (Release)
//!   scrub     Release fence;  slots <- 0;  Free(g + 1)                         (Release)
//! ```
//!
//! The store of the commit word is the fold. A death of the supervisor before it leaves the active
//! bank as it was and the slots full: they are folded again from the start. A death after it leaves
//! `folded_generation[slot] = g` in the active bank: the slots are only scrubbed. There is no third
//! case, so a fold happens exactly once.
//!
//! What a removal or a reset changes (offsets, lives, how far a slot's log was applied) is in the
//! bank as well and is committed in the same way, with a fold or without.
//!
//! While a supervisor lives, its heap is its truth: [`Archive`] is the copy that it folds into, and
//! the banks are for recovery and for readers outside. They are not read back.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use thiserror::Error;

use crate::cell::{GAUGE_CELLS, Run, Shape};
use crate::lane;
use crate::layout::{DROP_REASONS, DropReason, Layout, bank, header, row};
use crate::life::Life;
use crate::slot::{SlotHeader, SlotWord, State};
use crate::word::Words;

/// What the dead have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    epoch: u64,
    cells: Vec<u64>,
    offsets: Vec<u64>,
    lives: Vec<Life>,
    folded: Vec<u64>,
    applied: Vec<u64>,
    is_changed: bool,
    ring: VecDeque<DeadRow>,
    ring_rows: usize,
    row_cells: usize,
    rows_dropped: u64,
    dropped: [u64; DROP_REASONS],
}

/// The gauges of mode `all` of one dead worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRow {
    /// Pid as the supervisor saw it; 0 when it did not.
    pub pid: u64,
    /// Its slot.
    pub slot: u64,
    /// Generation of its slot.
    pub generation: u64,
    /// Value and stamp of each series of mode `all`, in catalog order. A fold keeps as many as a
    /// row has room for and counts the others as dropped.
    pub cells: Vec<u64>,
}

/// A dead slot, read to its end: what a fold adds.
#[derive(Clone, Debug)]
pub struct Dead<'a> {
    /// The slot.
    pub slot: usize,
    /// The generation that ends.
    pub generation: u64,
    /// Its cells, in its own order.
    pub row: &'a [u64],
    /// How its cells map to those of the catalog.
    pub runs: &'a [Run],
    /// Its gauges of mode `all`, when it set any.
    pub gauges: Option<DeadRow>,
    /// What it could not count.
    pub dropped: [u64; DROP_REASONS],
}

/// A bank that no fold wrote.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("word {at} of the arena ({name}) is from {least} to {most}, found {found}")]
pub struct ArchiveError {
    /// What the word is.
    pub name: &'static str,
    /// Where it is.
    pub at: usize,
    /// Least value allowed.
    pub least: u64,
    /// Greatest value allowed.
    pub most: u64,
    /// Value found.
    pub found: u64,
}

/// What a supervisor that finds a slot in the table does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// Nobody has it.
    Idle,
    /// It is not in the archive: it counts, and is folded when its worker is dead.
    Counts,
    /// It is in the archive: it is scrubbed and freed, and nothing of it counts any more.
    Folded,
}

impl Turn {
    /// Judges a slot by its state word and the active bank's `folded_generation`.
    pub fn of(word: SlotWord, folded: u64) -> Self {
        match word.state {
            State::Free => Self::Idle,
            _ if folded >= word.generation => Self::Folded,
            _ => Self::Counts,
        }
    }
}

impl Archive {
    /// An archive in which nobody is dead yet.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self {
            folded: vec![0; layout.geometry.slots],
            applied: vec![0; layout.geometry.slots],
            ring_rows: layout.geometry.ring_rows,
            row_cells: layout.geometry.row_cells / GAUGE_CELLS * GAUGE_CELLS,
            ..Self::default()
        }
    }

    /// Reads the active bank back, after a supervisor died.
    ///
    /// # Errors
    /// [`ArchiveError`] when the bank holds lengths that no fold wrote.
    pub fn recover<W: Words + ?Sized>(words: &W, layout: &Layout) -> Result<Self, ArchiveError> {
        // Acquire: BANK-COMMIT, pairs with `publish`.
        let commit = words.load(header::ARCHIVE_COMMIT, Acquire);
        let (epoch, active) = (commit >> 1, (commit & 1) as usize);
        let at = layout.bank(active);
        let load = |word: usize| words.load(word, Relaxed);
        let bounded = |name, at, least: u64, most: usize| {
            let (found, most) = (load(at), most as u64);
            let error = ArchiveError { name, at, least, most, found };
            if (least..=most).contains(&found) { Ok(found as usize) } else { Err(error) }
        };
        bounded("epoch", at + bank::EPOCH, epoch, epoch as usize)?;
        let cells = bounded("cells of the bank", at + bank::CELLS, 0, layout.geometry.cells)?;
        let rows = bounded("rows of the ring", at + bank::ROWS, 0, layout.geometry.ring_rows)?;
        let offsets = bounded("offsets of the bank", at + bank::OFFSETS, 0, cells)?;
        let lives = bounded("lives of the bank", at + bank::LIVES, 0, cells)?;
        let mut archive = Self { epoch, ..Self::new(layout) };
        let section = |start: usize, length: usize, into: &mut Vec<u64>| {
            into.clear();
            words.read(start..start + length, into);
        };
        section(layout.bank_cells(active), cells, &mut archive.cells);
        section(layout.offsets(active), offsets, &mut archive.offsets);
        section(layout.folded(active), layout.geometry.slots, &mut archive.folded);
        section(layout.applied(active), layout.geometry.slots, &mut archive.applied);
        let life = |series| Life::from_word(load(layout.lives(active) + series));
        archive.lives = (0..lives).map(life).collect();
        for at in (0..rows).map(|row| layout.ring_row(active, row)) {
            let most = layout.geometry.row_cells;
            let width = bounded("cells of the row", at + row::CELLS, 0, most)?;
            let mut cells = Vec::with_capacity(width);
            words.read(at + row::WORDS..at + row::WORDS + width, &mut cells);
            archive.ring.push_back(DeadRow {
                pid: load(at + row::PID),
                slot: load(at + row::SLOT),
                generation: load(at + row::GENERATION),
                cells,
            });
        }
        archive.rows_dropped = load(at + bank::ROWS_DROPPED);
        archive.dropped = std::array::from_fn(|reason| load(at + bank::DROPPED + reason));
        Ok(archive)
    }

    /// The cells, in catalog order; those of series begun since the last fold are missing.
    #[must_use]
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// What is taken off each cell in an exposition; nothing for cells behind the last.
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// The life of a series, by ordinal in the catalog.
    #[must_use]
    pub fn life(&self, series: usize) -> Life {
        self.lives.get(series).copied().unwrap_or_default()
    }

    /// The lives of the series, by ordinal in the catalog; those behind the last are new.
    pub fn lives(&self) -> impl Iterator<Item = Life> + '_ {
        self.lives.iter().copied()
    }

    /// Changes the life of a series. Like all changes it counts from the next commit on.
    pub fn set_life(&mut self, series: usize, life: Life) {
        let changed = self.life_mut(series);
        let differs = *changed != life;
        *changed = life;
        self.is_changed |= differs;
    }

    /// Takes in that a process began a series at `created_ms`. This needs no commit: what a fold has
    /// not committed yet stands in the log of a slot.
    pub fn begun(&mut self, series: usize, created_ms: u64) {
        self.life_mut(series).begun(created_ms);
    }

    fn life_mut(&mut self, series: usize) -> &mut Life {
        if self.lives.len() <= series {
            self.lives.resize(series + 1, Life::default());
        }
        &mut self.lives[series]
    }

    /// Takes `offset` off the cells from `cell` on.
    pub fn set_offset(&mut self, cell: usize, offset: &[u64]) {
        let end = cell + offset.len();
        if self.offsets.len() < end {
            self.offsets.resize(end, 0);
        }
        self.offsets[cell..end].copy_from_slice(offset);
        self.is_changed = true;
    }

    /// Takes over a count that a slot no longer counts itself. `cells` is the length of the catalog in
    /// cells.
    pub fn take_over(&mut self, cell: usize, count: u64, cells: usize) {
        self.cells.resize(cells.max(self.cells.len()), 0);
        self.cells[cell] = self.cells[cell].saturating_add(count);
        self.is_changed = true;
    }

    /// Forgets what the dead have left in `width` cells from `cell` on.
    pub fn forget(&mut self, cell: usize, width: usize) {
        let end = (cell + width).min(self.cells.len());
        self.cells[cell.min(end)..end].fill(0);
        self.is_changed = true;
    }

    /// Forgets the gauge of that place in the rows of all dead.
    pub fn forget_in_rows(&mut self, place: usize) {
        let cells = place * GAUGE_CELLS..(place + 1) * GAUGE_CELLS;
        for row in &mut self.ring {
            row.cells.get_mut(cells.clone()).into_iter().for_each(|gauge| gauge.fill(0));
        }
        self.is_changed = true;
    }

    /// How far removals were applied in the log of `slot`, in words.
    #[must_use]
    pub fn applied(&self, slot: usize) -> usize {
        usize::try_from(self.applied[slot]).unwrap_or(usize::MAX)
    }

    /// Says that all removals in the log of `slot` up to word `position` are applied.
    pub fn apply(&mut self, slot: usize, position: usize) {
        self.applied[slot] = position as u64;
        self.is_changed = true;
    }

    /// Commits what was changed since the last fold or commit. `cells` is the length of the catalog
    /// in cells.
    pub fn commit<W: Words + ?Sized>(&mut self, words: &W, layout: &Layout, cells: usize) {
        if self.is_changed {
            self.fold(words, layout, cells, &[]);
        }
    }

    /// The generation of `slot` that was folded last.
    #[must_use]
    pub fn folded(&self, slot: usize) -> u64 {
        self.folded[slot]
    }

    /// The dead rows of gauges of mode `all`, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &DeadRow> {
        self.ring.iter()
    }

    /// Dead rows that fell out of the ring.
    #[must_use]
    pub fn rows_dropped(&self) -> u64 {
        self.rows_dropped
    }

    /// What the dead could not count, by reason.
    #[must_use]
    pub fn dropped(&self) -> &[u64; DROP_REASONS] {
        &self.dropped
    }

    /// How many folds there were.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Folds a batch of dead slots: from the return of this on, and not before, the archive counts
    /// them. `cells` is the length of the catalog in cells. [`scrub`] follows for each of them.
    ///
    /// # Panics
    /// When a slot is folded twice in one generation: a defect of the caller.
    pub fn fold<W: Words + ?Sized>(
        &mut self,
        words: &W,
        layout: &Layout,
        cells: usize,
        batch: &[Dead<'_>],
    ) {
        self.cells.resize(cells.max(self.cells.len()), 0);
        for dead in batch {
            assert!(self.folded[dead.slot] < dead.generation, "slot {} folded twice", dead.slot);
            self.add(dead);
        }
        // As many as there are cells at most: every length is bounded by that of the cells.
        self.lives.truncate(self.cells.len());
        self.offsets.truncate(self.cells.len());
        self.is_changed = false;
        self.epoch += 1;
        self.publish(words, layout);
    }

    fn add(&mut self, dead: &Dead<'_>) {
        for run in dead.runs.iter().filter(|run| run.shape.is_archived()) {
            run.merge(&mut self.cells, dead.row);
        }
        self.folded[dead.slot] = dead.generation;
        self.applied[dead.slot] = 0;
        for (total, dropped) in self.dropped.iter_mut().zip(dead.dropped) {
            *total = total.saturating_add(dropped);
        }
        if let Some(row) = &dead.gauges {
            self.remember(row.clone());
        }
        while self.ring.len() > self.ring_rows {
            self.ring.pop_front();
            self.rows_dropped = self.rows_dropped.saturating_add(1);
        }
    }

    fn remember(&mut self, mut row: DeadRow) {
        // What is wider than a row would be written over the next one, or over the other bank: a
        // catalog may have more gauges of mode `all` than a row has room for. Those beyond are
        // lost with their process, and counted where they were set.
        let beyond = row.cells.split_off(self.row_cells.min(row.cells.len()));
        let lost = beyond.chunks(GAUGE_CELLS).filter(|gauge| gauge.last() != Some(&0)).count();
        let full = &mut self.dropped[DropReason::Full as usize];
        *full = full.saturating_add(lost as u64);
        self.ring.push_back(row);
    }

    /// Writes the whole idle bank, then chooses it.
    fn publish<W: Words + ?Sized>(&self, words: &W, layout: &Layout) {
        let idle = (self.epoch & 1) as usize;
        let at = layout.bank(idle);
        // Release fence: this bank was the active one two folds ago, and a reader outside may
        // still be in it. If it sees a word stored below, it sees the commit word of the fold
        // between. BANK-REUSE; its other side is in `read_outside`.
        words.fence(Release);
        let store = |at: usize, value: u64| words.store(at, value, Relaxed);
        store(at + bank::EPOCH, self.epoch);
        store(at + bank::CELLS, self.cells.len() as u64);
        store(at + bank::ROWS, self.ring.len() as u64);
        store(at + bank::ROWS_DROPPED, self.rows_dropped);
        store(at + bank::OFFSETS, self.offsets.len() as u64);
        store(at + bank::LIVES, self.lives.len() as u64);
        let sections = [
            (at + bank::DROPPED, &self.dropped[..]),
            (layout.folded(idle), &self.folded),
            (layout.applied(idle), &self.applied),
            (layout.bank_cells(idle), &self.cells),
            (layout.offsets(idle), &self.offsets),
        ];
        for (start, section) in sections {
            section.iter().enumerate().for_each(|(at, &word)| store(start + at, word));
        }
        let lives = self.lives.iter().zip(layout.lives(idle)..);
        lives.for_each(|(life, at)| store(at, life.to_word()));
        for (number, dead) in self.ring.iter().enumerate() {
            let at = layout.ring_row(idle, number);
            store(at + row::PID, dead.pid);
            store(at + row::SLOT, dead.slot);
            store(at + row::GENERATION, dead.generation);
            store(at + row::CELLS, dead.cells.len() as u64);
            let cells = dead.cells.iter().enumerate();
            cells.for_each(|(cell, &word)| store(at + row::WORDS + cell, word));
        }
        // Release: whoever sees the commit word sees the bank. BANK-COMMIT; its other side is in
        // `recover` and `read_outside`. The epoch in it tells two folds apart that end in the same
        // bank.
        words.store(header::ARCHIVE_COMMIT, self.epoch << 1 | idle as u64, Release);
    }
}

/// Empties the slot of a dead worker that has been folded, and frees it for its next generation.
pub fn scrub<W: Words + ?Sized>(
    words: &W,
    layout: &Layout,
    slot: usize,
    word: SlotWord,
) -> SlotWord {
    // Release fence: a reader outside that sees one scrubbed word, and then fences, sees the
    // commit word of the fold. SCRUB; its other side is in `read_outside`.
    words.fence(Release);
    words.scrub(layout.slot(slot)..layout.slot(slot) + layout.slot_words);
    let free = word.to(State::Free);
    free.publish(words, layout, slot);
    free
}

/// What a reader outside the supervisor sees while it reads: one bank, and who is not in it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, W: ?Sized> {
    words: &'a W,
    layout: &'a Layout,
    bank: usize,
}

impl<W: Words + ?Sized> View<'_, W> {
    /// A cell of the archive, by its index in the catalog; 0 for one that no fold has seen.
    #[must_use]
    pub fn archived(&self, cell: usize) -> u64 {
        self.of_bank(bank::CELLS, self.layout.bank_cells(self.bank), cell)
    }

    /// What is taken off a cell in an exposition, by its index in the catalog.
    #[must_use]
    pub fn offset(&self, cell: usize) -> u64 {
        self.of_bank(bank::OFFSETS, self.layout.offsets(self.bank), cell)
    }

    /// The life of a series, by its ordinal in the catalog.
    #[must_use]
    pub fn life(&self, series: usize) -> Life {
        Life::from_word(self.of_bank(bank::LIVES, self.layout.lives(self.bank), series))
    }

    /// Word `at` of a section of the bank; 0 behind its length, which is never more than its room.
    fn of_bank(&self, length: usize, section: usize, at: usize) -> u64 {
        let length = self.words.load(self.layout.bank(self.bank) + length, Relaxed);
        let is_there = at < self.layout.geometry.cells && (at as u64) < length;
        if is_there { self.words.load(section + at, Relaxed) } else { 0 }
    }

    /// Whether the cells of `slot` are to be added to those of the archive.
    #[must_use]
    pub fn counts(&self, slot: usize) -> Option<SlotHeader> {
        let word = SlotWord::read(self.words, self.layout, slot)?;
        let folded = self.words.load(self.layout.folded(self.bank) + slot, Relaxed);
        let header = SlotHeader::read(self.words, self.layout.slot(slot))?;
        let mine = header.generation == word.generation;
        (Turn::of(word, folded) == Turn::Counts && mine).then_some(header)
    }

    /// The cells of a series of `slot`, by the index of the first in the slot: what its process has
    /// counted in it, in lanes and beside them.
    #[must_use]
    pub fn cells(&self, slot: usize, first: usize, shape: Shape) -> Vec<u64> {
        lane::counted(self.words, self.layout, slot, first, shape)
    }
}

/// Reads archive and slots from outside the supervisor: `read` is called until no fold came between
/// its beginning and its end, at most `attempts` times; `None` when one came each time.
pub fn read_outside<W: Words + ?Sized, T>(
    words: &W,
    layout: &Layout,
    attempts: usize,
    mut read: impl FnMut(View<'_, W>) -> T,
) -> Option<T> {
    (0..attempts).find_map(|_| {
        // Acquire: BANK-COMMIT, pairs with `Archive::publish`.
        let before = words.load(header::ARCHIVE_COMMIT, Acquire);
        let found = read(View { words, layout, bank: (before & 1) as usize });
        // Acquire fence: SCRUB, BANK-REUSE and SLOT-BEGIN, pairs with `scrub`, `publish` and
        // `SlotHeader::write`. If a word read above was scrubbed already, belongs to a later fold
        // into the same bank, or to the next worker of a slot, the load below sees a later commit
        // word.
        words.fence(Acquire);
        let after = words.load(header::ARCHIVE_COMMIT, Relaxed);
        (before == after).then_some(found)
    })
}
