//! Reading slots: each slot's last good row, and the quarantine of slots that contradict
//! themselves.
//!
//! A row is copied out of shared memory once and then checked against the row before it. What does
//! not pass is not used: the slot keeps its last good row from then on, is folded with that row, and
//! is exposed as quarantined. The rows of other slots are unaffected.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{Ordering::Acquire, fence};

use tallyboard_proto::cell::{CellKind, Run, Shape};
use tallyboard_proto::layout::{DROP_REASONS, DropReason};
use tallyboard_proto::log;
use tallyboard_proto::slot::{SlotHeader, dropped};
use tallyboard_proto::word::Words;

use crate::class::Class;
use crate::core::Core;
use crate::limits::Limit;

/// Why a slot is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quarantine {
    /// Its header is not the one that its worker was told to write.
    Header,
    /// Its log does not parse.
    Log,
    /// A cell that only rises has fallen.
    Fell,
    /// A cell rose by more than 2^53 between two reads.
    Jumped,
    /// An earlier supervisor quarantined it.
    Earlier,
}

impl Quarantine {
    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Log => "log",
            Self::Fell => "fell",
            Self::Jumped => "jumped",
            Self::Earlier => "earlier",
        }
    }
}

/// Whether a family of the catalog is one of those that a scrape is about; without a selection all
/// are. A log may have begun a family since the selection was made: that one is not.
pub(crate) fn is_selected(selected: Option<&[bool]>, family: u32) -> bool {
    selected.is_none_or(|all| all.get(family as usize).copied().unwrap_or(false))
}

/// By how much a counting cell may rise between two reads.
const MOST_RISE: u64 = 1 << 53;

impl Core {
    /// Reads every taken slot: what is new in its log, then its cells. `selected` says of each
    /// family of the catalog whether its cells are read; those of others stay as they were.
    pub(crate) fn read_rows(&mut self, selected: Option<&[bool]>) {
        self.read_logs();
        // What a removal takes off is the sum over all slots: all rows must be newer than it.
        let selected = selected.filter(|_| !self.has_removals());
        let said = self.take_said();
        let taken: Vec<usize> = self.taken().collect();
        taken.into_iter().for_each(|slot| self.read_row(slot, selected));
        self.apply_removals(said, selected);
        // Every log that has grown has left a class behind that no slot is of.
        self.classes.prune();
    }

    /// Reads what is new in every log, for whoever must know all of them before any cell.
    pub(crate) fn read_logs(&mut self) {
        let good = |slot: &usize| self.slots[*slot].quarantine.is_none();
        let taken: Vec<usize> = self.taken().filter(good).collect();
        for slot in taken {
            if let Err(reason) = self.read_log(slot) {
                self.quarantine(slot, reason);
            }
        }
    }

    pub(crate) fn read_row(&mut self, slot: usize, selected: Option<&[bool]>) {
        if self.slots[slot].quarantine.is_some() {
            return;
        }
        let read = self.read_log(slot).and_then(|begun| match begun {
            Some(class) => self.read_cells(slot, &class, selected),
            None => Ok(()),
        });
        if let Err(reason) = read {
            self.quarantine(slot, reason);
        }
    }

    /// Quarantines a slot. Its last good row exists in this process only, so it goes into the
    /// archive at once: a later supervisor must not count what the slot says now. What only the
    /// living count stays in the row.
    fn quarantine(&mut self, slot: usize, reason: Quarantine) {
        let taken = &mut self.slots[slot];
        taken.quarantine = Some(reason);
        // Cells that were never read as good count as 0.
        let cells = taken.class.as_ref().map_or(0, |class| class.cells);
        taken.row.resize(cells, 0);
        self.fold(&[slot]);
        let taken = &mut self.slots[slot];
        for run in taken.class.iter().flat_map(|class| &class.runs) {
            if !matches!(run.shape, Shape::Gauge(mode) if !mode.outlives_its_process()) {
                taken.row[run.from..run.from + run.cells()].fill(0);
            }
        }
        self.figures.quarantined += 1;
        tracing::error!(
            slot,
            pid = self.slots[slot].tenant.pid,
            reason = reason.name(),
            "quarantined a slot: its last good values count from now on; look for stray writes in the worker"
        );
    }

    /// Reads what is new in a slot's log; gives the slot's class, or nothing when its worker has
    /// not begun to write.
    fn read_log(&mut self, slot: usize) -> Result<Option<Rc<Class>>, Quarantine> {
        let base = self.layout.slot(slot);
        let taken = &self.slots[slot];
        let from = taken.log_words;
        let Some(header) = SlotHeader::read(&self.arena, base) else {
            // A header that has been written does not become empty while its worker has the slot.
            let is_unread = taken.row.is_empty() && taken.dropped == [0; DROP_REASONS];
            return if is_unread { Ok(None) } else { Err(Quarantine::Header) };
        };
        let expected = SlotHeader {
            generation: taken.word.generation,
            arena_id: self.origin.arena_id,
            prefix: taken.tenant.prefix,
        };
        let class = taken.class.clone().ok_or(Quarantine::Header)?;
        if header != expected {
            return Err(Quarantine::Header);
        }
        self.read_dropped(slot)?;
        let mut words = Vec::new();
        let area = self.layout.slot_log(slot);
        let quarantine = |error: log::LogError| {
            tracing::error!(slot, %error, "a slot's log does not parse");
            Quarantine::Log
        };
        let end = log::read(&self.arena, area, from, &mut words).map_err(quarantine)?;
        if words.is_empty() {
            return Ok(Some(class));
        }
        let parts = log::take_apart(&words, from).map_err(quarantine)?;
        let longer = match parts.structure.is_empty() {
            true => Rc::clone(&class),
            false => self
                .classes
                .extended(&self.arena, &self.layout, &mut self.catalog, &class, &parts.structure)
                .map_err(quarantine)?,
        };
        self.slots[slot].class = Some(Rc::clone(&longer));
        self.slots[slot].log_words = end;
        self.take_in(slot, &longer, class.own_series.len(), parts).map_err(quarantine)?;
        Ok(Some(longer))
    }

    fn read_cells(
        &mut self,
        slot: usize,
        class: &Class,
        selected: Option<&[bool]>,
    ) -> Result<(), Quarantine> {
        let cells = self.layout.slot_cells(slot);
        let mut row = Vec::with_capacity(class.cells);
        if selected.is_none() {
            self.arena.read(cells..cells + class.cells, &mut row);
            self.figures.scrape_cells += class.cells as u64;
        } else {
            row.clone_from(&self.slots[slot].row);
            row.resize(class.cells, 0);
            let runs = class.runs.iter().zip(&class.families);
            for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
                let mut part = Vec::with_capacity(run.cells());
                self.arena.read(cells + run.from..cells + run.from + run.cells(), &mut part);
                row[run.from..run.from + run.cells()].copy_from_slice(&part);
                self.figures.scrape_cells += part.len() as u64;
            }
        }
        let before = &self.slots[slot].row;
        let most_rise = self.most_rise(slot);
        let runs = class.runs.iter().zip(&class.families);
        for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
            check_run(run, before, &row, most_rise, || {
                // Acquire fence: a sum that fell was marked odd before it fell; see it now.
                fence(Acquire);
                let mut again = Vec::with_capacity(run.cells());
                self.arena.read(cells + run.from..cells + run.from + run.cells(), &mut again);
                again
            })?;
        }
        self.slots[slot].row = row;
        self.slots[slot].has_baseline |= selected.is_none();
        Ok(())
    }

    /// By how much a counting cell of `slot` may have risen since it was last read.
    fn most_rise(&self, slot: usize) -> u64 {
        if self.slots[slot].has_baseline { MOST_RISE } else { u64::MAX }
    }

    /// Names what has most of a slot that is full. What its worker could not begin it does not say.
    fn see_full(&mut self, slot: usize) {
        let Some(class) = &self.slots[slot].class else { return };
        let mut cells: HashMap<u32, usize> = HashMap::new();
        for (run, family) in class.runs.iter().zip(&class.families) {
            *cells.entry(*family).or_default() += run.cells();
        }
        let Some((&most, _)) = cells.iter().max_by_key(|(family, cells)| (**cells, **family))
        else {
            return;
        };
        let name = self.catalog.contents().families()[most as usize].name.clone();
        self.catalog.limits.meet(Limit::Slot, &name);
    }

    /// Reads what the worker of `slot` could not count, which only rises as other counts do.
    fn read_dropped(&mut self, slot: usize) -> Result<(), Quarantine> {
        let now = dropped(&self.arena, self.layout.slot(slot));
        let most_rise = self.most_rise(slot);
        for (now, was) in now.iter().zip(self.slots[slot].dropped) {
            check_whole(was, *now, most_rise)?;
        }
        if now[DropReason::Full as usize] > self.slots[slot].dropped[DropReason::Full as usize] {
            self.see_full(slot);
        }
        self.slots[slot].dropped = now;
        Ok(())
    }
}

/// Checks that the cells of a run have not done what no writer does. `before` may be shorter than
/// the row: cells that are new were 0.
fn check_run(
    run: &Run,
    before: &[u64],
    row: &[u64],
    most_rise: u64,
    again: impl Fn() -> Vec<u64>,
) -> Result<(), Quarantine> {
    let now = &row[run.from..run.from + run.cells()];
    let known = before.len().clamp(run.from, run.from + run.cells()) - run.from;
    let before = &before[run.from.min(before.len())..(run.from + known).min(before.len())];
    let was = |at: usize| before.get(at).copied().unwrap_or(0);
    let width = run.shape.width().max(1);
    for (at, &now_is) in now.iter().enumerate() {
        let (was, in_series) = (was(at), at % width);
        match run.shape.cell(in_series) {
            CellKind::Whole => check_whole(was, now_is, most_rise)?,
            CellKind::Float if float_fell(was, now_is) => {
                let odd = at - in_series + width - 1;
                let may_fall = run.shape != Shape::Counter && again()[odd] != 0;
                if !may_fall {
                    return Err(Quarantine::Fell);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_whole(was: u64, now: u64, most_rise: u64) -> Result<(), Quarantine> {
    match now.checked_sub(was) {
        None => Err(Quarantine::Fell),
        Some(rise) if rise > most_rise => Err(Quarantine::Jumped),
        Some(_) => Ok(()),
    }
}

fn float_fell(was: u64, now: u64) -> bool {
    // Equal bits are the common case, and NaN falls too: no sum that only rises becomes NaN.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    let fell = was != now && !(f64::from_bits(now) >= f64::from_bits(was));
    fell
}

#[cfg(test)]
pub(crate) mod tests {
    use tallyboard_proto::control::Hello;
    use tallyboard_proto::family::{Family, Kind};
    use tallyboard_proto::layout::{FINGERPRINT, Geometry, LAYOUT_VERSION, Layout};
    use tallyboard_proto::log::Record;

    use super::*;
    use crate::core::{Caller, Origin, Rules, format};

    /// A core, and workers that write nothing but logs.
    pub(crate) struct Writers {
        pub(crate) core: Core,
        /// How long the log of each is.
        committed: Vec<usize>,
    }

    impl Writers {
        pub(crate) fn new(slots: usize, log_words: usize) -> Self {
            let geometry =
                Geometry { slots, cells: 256, log_words, ring_rows: 1, row_cells: 2, unit: 1 };
            let layout = Layout::new(geometry);
            let arena = tallyboard_segment::private::arena(layout.arena_words()).unwrap();
            let origin = Origin { arena_id: 5, ..Origin::default() };
            format(&arena, &layout, &origin).unwrap();
            let mut core = Core::new(arena, layout, origin, Rules::new(vec![0], 1000));
            for slot in 0..slots {
                let hello = Hello {
                    layout: LAYOUT_VERSION,
                    fingerprint: FINGERPRINT,
                    image: 1,
                    attach_id: 1,
                    rejoin: None,
                };
                let caller = Caller { pid: slot as u32 + 1, ..Caller::default() };
                core.attach(&caller, &hello, 0, |_, _| Ok(())).unwrap();
                core.confirm(slot, 1);
                let header = SlotHeader { generation: 1, arena_id: 5, prefix: 0 };
                header.write(&core.arena, layout.slot(slot));
            }
            Self { core, committed: vec![0; slots] }
        }

        pub(crate) fn append(&mut self, slot: usize, record: &Record) {
            let (area, words) = (self.core.layout.slot_log(slot), record.to_words());
            let committed = log::append(&self.core.arena, area, self.committed[slot], &words);
            self.committed[slot] = committed.unwrap();
        }
    }

    #[test]
    fn a_log_that_grows_leaves_no_classes_behind() {
        let mut writers = Writers::new(1, 512);
        let family = Family::new(Kind::Counter, "c", "", "", &["l"]).unwrap();
        let series = |l: usize| {
            let values = [l.to_string().into()].into();
            Record::Series { family: 0, created_ms: 0, values }
        };
        let records = [Record::Family(family)].into_iter().chain((0..60).map(series));
        for record in records {
            writers.append(0, &record);
            writers.core.read_rows(None);
            assert_eq!(writers.core.classes.count(), 1);
        }
        assert_eq!(writers.core.series(), 60);
    }

    fn check(shape: Shape, before: &[u64], row: &[u64]) -> Result<(), Quarantine> {
        let run = Run { shape, series: row.len() / shape.width(), from: 0, to: 0 };
        check_run(&run, before, row, MOST_RISE, || row.to_vec())
    }

    #[test]
    fn cells_that_do_what_no_writer_does_are_found() {
        let float = f64::to_bits;
        let counter = Shape::Counter;
        assert_eq!(check(counter, &[], &[5, float(0.5)]), Ok(()));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(0.5)]), Ok(()));
        assert_eq!(check(counter, &[5, 0], &[4, 0]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, 0], &[u64::MAX, 0]), Err(Quarantine::Jumped));
        assert_eq!(check(counter, &[5, 0, 7, 0], &[5, 0, 6, 0]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, 0], &[5, 0, 6, 0]), Ok(()));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(0.4)]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(f64::NAN)]), Err(Quarantine::Fell));
        let summary = Shape::Summary;
        assert_eq!(check(summary, &[1, float(2.0), 0], &[2, float(1.0), 0]), Err(Quarantine::Fell));
        assert_eq!(check(summary, &[1, float(2.0), 0], &[2, float(1.0), 1]), Ok(()));
        assert_eq!(check(summary, &[], &[1, float(-1.0), 1]), Ok(()));
    }
}
