//! Reading slots: each slot's last good row, and the quarantine of slots that contradict
//! themselves.
//!
//! A row is copied out of shared memory once and then checked against the row before it. What does
//! not pass is not used: the slot keeps its last good row from then on, is folded with that row, and
//! is exposed as quarantined. The rows of other slots are unaffected.
//!
//! A cell that rises by one and holds more than a count can is judged by itself: it keeps its last
//! good value, and its slot goes on. That value goes into the archive, so that whoever reads the cell
//! next, here or after a restart, knows by what it holds that it counts 0. What a counter holds is
//! never too much, as it is counted up by any amount.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{Ordering::Acquire, fence};

use tallyboard_proto::cell::{MAX_COUNT, Run, SAMPLE_CELLS, Sample, Shape};
use tallyboard_proto::control::SlotRow;
use tallyboard_proto::family::BUCKET_PREFIX;
use tallyboard_proto::lane;
use tallyboard_proto::layout::{DROP_REASONS, DropReason};
use tallyboard_proto::log;
use tallyboard_proto::slot::{SlotHeader, dropped};
use tallyboard_proto::word::Words;

use crate::board::catalog::is_selected;
use crate::board::check::{Judged, check_run};
use crate::board::class::Class;
use crate::board::core::Core;
use crate::board::limits_met::Limit;
use crate::board::slot::Quarantine;

impl<P> Core<P> {
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
        self.say_waiting();
    }

    /// The slots that are taken, for people to look at.
    pub fn rows(&mut self) -> Vec<SlotRow> {
        self.read_rows(None);
        let row = |slot: usize| {
            let taken = &self.slots[slot];
            let class = taken.class.as_deref();
            SlotRow {
                slot: slot as u64,
                generation: taken.word.generation,
                state: taken.word.state.name().to_owned(),
                pid: taken.tenant.pid,
                uid: taken.tenant.uid,
                attached_at_ms: taken.tenant.attached_at_ms,
                series: class.map_or(0, |class| class.own_series.len() as u64),
                cells: class.map_or(0, |class| class.cells as u64),
                dropped: taken.dropped.iter().fold(0, |sum: u64, &n| sum.saturating_add(n)),
                quarantined: taken.quarantine.is_some(),
            }
        };
        self.taken().map(row).collect()
    }

    /// Reads what is new in every log, for whoever must know all of them before any cell.
    pub(crate) fn read_logs(&mut self) {
        let good = |slot: &usize| self.slots[*slot].quarantine.is_none();
        let mut taken: Vec<usize> = self.taken().filter(good).collect();
        // Who came first has the older release: what it defines comes first in the catalog.
        taken.sort_by_key(|&slot| self.slots[slot].tenant.attached_at_ms);
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
        if let Some(class) = &taken.class {
            forget_dead(class, &mut taken.row);
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
            self.slots[slot].waits = false;
            return Ok(Some(class));
        }
        let mut parts = log::take_apart(&words, from).map_err(quarantine)?;
        let longer = match parts.structure.is_empty() {
            true => Rc::clone(&class),
            false => self
                .classes
                .extended(&self.arena, &self.layout, &mut self.catalog, &class, &parts.structure)
                .map_err(quarantine)?,
        };
        // What the catalog has no memory for is read again next time, and what is behind it with it.
        let taken = longer.structure_words() - class.structure_words();
        self.slots[slot].waits = taken < parts.structure.len();
        let mut end = end;
        if taken < parts.structure.len() {
            let read = log::up_to(&words, from, taken).map_err(quarantine)?;
            parts = log::take_apart(&words[..read], from).map_err(quarantine)?;
            end = from + read;
        }
        self.slots[slot].class = Some(Rc::clone(&longer));
        self.slots[slot].log_words = end;
        self.take_in(slot, &longer, class.own_series.len(), parts).map_err(quarantine)?;
        Ok(Some(longer))
    }

    /// Says once that series wait for memory, and once that none does any more.
    pub(crate) fn say_waiting(&mut self) {
        let waiting = self.waiting().count();
        if (waiting > 0) == self.is_short {
            return;
        }
        self.is_short = waiting > 0;
        match self.is_short {
            true => tracing::error!(
                slots = waiting,
                error = self.catalog.no_memory(),
                "no memory for more series in the catalog; what these slots count of them is shown when there is some: free memory, or raise the limit of the file system or container"
            ),
            false => {
                tracing::warn!("there is memory for the catalog again; no series waits for it")
            }
        }
    }

    /// The slots of which a part of the log waits until the catalog has memory.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        self.taken().filter(|&slot| self.waits(slot))
    }

    pub(crate) fn waits(&self, slot: usize) -> bool {
        let taken = &self.slots[slot];
        taken.waits && !taken.is_given_up && taken.quarantine.is_none()
    }

    fn read_cells(
        &mut self,
        slot: usize,
        class: &Class,
        selected: Option<&[bool]>,
    ) -> Result<(), Quarantine> {
        let lanes = self.read_lanes(slot)?;
        let cells = self.layout.slot_cells(slot);
        let read_run = |run: &Run| {
            let mut part = Vec::with_capacity(run.cells());
            self.arena.read(cells + run.from..cells + run.from + run.cells(), &mut part);
            part
        };
        let mut row = Vec::with_capacity(class.cells);
        if selected.is_none() {
            self.arena.read(cells..cells + class.cells, &mut row);
            self.figures.scrape_cells += class.cells as u64;
        } else {
            row.clone_from(&self.slots[slot].row);
            row.resize(class.cells, 0);
            let runs = class.runs.iter().zip(&class.families);
            for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
                let part = read_run(run);
                row[run.row()].copy_from_slice(&part);
                self.figures.scrape_cells += part.len() as u64;
            }
        }
        let runs = class.runs.iter().zip(&class.families);
        for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
            self.figures.scrape_cells += self.add_lanes(slot, lanes, run, &mut row[run.row()]);
        }
        self.copy_samples(slot, class, selected, &mut row);
        let taken = &self.slots[slot];
        let mut judged = Vec::new();
        let runs = class.runs.iter().zip(&class.families);
        for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
            let found = check_run(run, &taken.row, &mut row, &taken.judged, || {
                // Acquire fence: a sum that fell was marked odd before it fell; see it now.
                fence(Acquire);
                let mut again = read_run(run);
                self.add_lanes(slot, lanes, run, &mut again);
                again
            })?;
            judged.extend(found);
        }
        if self.slots[slot].exited {
            forget_living(class, &mut row);
        }
        self.slots[slot].row = row;
        self.judge(slot, &judged);
        Ok(())
    }

    /// Reads how many lanes a slot's worker uses, which only become more.
    fn read_lanes(&mut self, slot: usize) -> Result<usize, Quarantine> {
        let lanes = lane::used(&self.arena, self.layout.slot(slot));
        let lanes = usize::try_from(lanes).map_err(|_| Quarantine::Header)?;
        let taken = &mut self.slots[slot];
        if !(taken.lanes..=self.layout.geometry.lanes).contains(&lanes) {
            return Err(Quarantine::Header);
        }
        taken.lanes = lanes;
        Ok(lanes)
    }

    /// Adds to the cells of a run what is in the lanes of a slot; gives how many cells those are.
    fn add_lanes(&self, slot: usize, lanes: usize, run: &Run, cells: &mut [u64]) -> u64 {
        if !run.shape.counts() {
            return 0;
        }
        let into = Run { from: 0, to: 0, ..*run };
        for lane in 0..lanes {
            let start = self.layout.lane_cells(slot, lane) + run.from;
            let mut counted = Vec::with_capacity(run.cells());
            self.arena.read(start..start + run.cells(), &mut counted);
            into.merge(cells, &counted);
        }
        (lanes * run.cells()) as u64
    }

    /// Reads the samples of collectors once more, each as a whole: those that were copied with all other
    /// cells may be torn. One that its worker writes all the time stays as it was.
    fn copy_samples(&self, slot: usize, class: &Class, selected: Option<&[bool]>, row: &mut [u64]) {
        let start = self.layout.slot_cells(slot);
        let before = &self.slots[slot].row;
        let runs = class.runs.iter().zip(&class.families);
        let samples = runs.filter(|(run, family)| {
            matches!(run.shape, Shape::Sample(_)) && is_selected(selected, **family)
        });
        for (run, _) in samples {
            for at in run.row().step_by(SAMPLE_CELLS) {
                let cells = at..at + SAMPLE_CELLS;
                if !Sample::copy(&self.arena, start + at, &mut row[cells.clone()]) {
                    match before.get(cells.clone()) {
                        Some(before) => row[cells].copy_from_slice(before),
                        None => row[cells].fill(0),
                    }
                }
            }
        }
    }

    /// Goes on with the last good values of cells. They count from the next commit on, which comes
    /// before anything of this is exposed.
    fn judge(&mut self, slot: usize, judged: &[Judged]) {
        for judged in judged {
            self.archive.take_over(judged.place, judged.last_good, self.catalog.cells());
            self.slots[slot].judged.insert(judged.cell);
            let name = self.owner_of(judged.place).0.to_owned();
            self.figures.judged.count(&name, 1);
        }
        let Some((first, others)) = judged.split_first() else { return };
        let (metric, labels) = self.owner_of(first.place);
        tracing::error!(
            slot,
            pid = self.slots[slot].tenant.pid,
            metric,
            ?labels,
            cell = first.cell,
            last_good = first.last_good,
            found = first.found,
            others = others.len(),
            "a count holds more than 2^53; its last good value counts from now on, and everything else goes on: look for stray writes in the worker"
        );
    }

    /// Name and label values of the series that owns a cell of the catalog.
    fn owner_of(&self, cell: usize) -> (&str, &[Box<str>]) {
        let contents = self.catalog.contents();
        let behind = contents.series().partition_point(|series| series.cell <= cell);
        let series = &contents.series()[behind.saturating_sub(1)];
        let name = &contents.families()[series.family as usize].name;
        (name.strip_prefix(BUCKET_PREFIX).unwrap_or(name), &series.values)
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
        for (now, was) in now.iter().zip(self.slots[slot].dropped) {
            if *now < was {
                return Err(Quarantine::Fell);
            }
            if *now > MAX_COUNT {
                return Err(Quarantine::Jumped);
            }
        }
        if now[DropReason::Full as usize] > self.slots[slot].dropped[DropReason::Full as usize] {
            self.see_full(slot);
        }
        self.slots[slot].dropped = now;
        Ok(())
    }
}

/// Forgets in a row what only the living count.
fn forget_living(class: &Class, row: &mut [u64]) {
    let is_living = |run: &&Run| !outlives(run);
    class.runs.iter().filter(is_living).for_each(|run| row[run.row()].fill(0));
}

/// Forgets in a row what the dead count too.
fn forget_dead(class: &Class, row: &mut [u64]) {
    class.runs.iter().filter(|run| outlives(run)).for_each(|run| row[run.row()].fill(0));
}

fn outlives(run: &Run) -> bool {
    run.shape.outlives_its_process()
}

#[cfg(test)]
mod tests {
    use tallyboard_proto::family::{Family, Kind};
    use tallyboard_proto::log::Record;

    use crate::board::writers::Writers;

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
}
