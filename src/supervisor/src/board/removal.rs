//! Removals and resets: what workers say of series that they have, applied once each.
//!
//! A series keeps its place in the catalog and its cells. What a reset or a removal changes is its
//! life: from then on an exposition takes off what was counted by then. A reset does that at once
//! for all processes. A process that lowers what it has counted has that alone taken off, and what
//! others have counted stays. A removal says that one process holds the series no longer: when no
//! living worker holds it, it is hidden, until somebody counts it again.
//!
//! All of it is decided when every row has been read after the logs that say so, and is committed
//! with one commit of the archive before anything of it is exposed, however much is said. What
//! several workers have said is applied in the order of time, and an offset never falls: what was
//! taken off once stays so, whatever order they say. The one exception is the fraction of a counter,
//! which gets less than 1 for what its whole cell loses.

use std::collections::HashMap;

use tallyboard_proto::cell::{CellKind, GAUGE_CELLS, Shape};
use tallyboard_proto::life::{Life, MAX_CREATED_MS};
use tallyboard_proto::log::{Action, LogError, Parts};

use crate::board::alike::Pass;
use crate::board::catalog::is_selected;
use crate::board::class::{Class, Place};
use crate::board::core::Core;
use crate::board::said::{Counted, Said};

impl<P> Core<P> {
    /// Takes in what a log says beside what determines cells. `first` is the number of the slot's
    /// own series that begin before.
    pub(crate) fn take_in(
        &mut self,
        slot: usize,
        class: &Class,
        first: usize,
        parts: Parts,
    ) -> Result<(), LogError> {
        for (place, &created_ms) in class.own_series[first..].iter().zip(&parts.begun_ms) {
            if let Some(series) = place.series {
                self.archive.begun(series as usize, created_ms.min(MAX_CREATED_MS));
            }
        }
        for (end, removal) in parts.removals {
            let place = class.place_of(&self.catalog, removal.series);
            let shape = place.map_or(Shape::Gap { cells: 0 }, |place| place.shape);
            let bucket = |ordinal: u64| {
                let place = class.place_of(&self.catalog, u32::try_from(ordinal).ok()?)?;
                (place.shape == Shape::Bucket).then_some(place)
            };
            if !removal.fits(shape, |ordinal| bucket(ordinal).is_some()) {
                let (series, found) = (removal.series, removal.cells.len());
                let expected = shape.width();
                return Err(LogError::Removal { at: end, series, expected, found });
            }
            if let Some(series) = place.and_then(|place| place.series) {
                let (cells, buckets) = removal.parts(shape.width());
                // Buckets that are not of this series are left aside: nobody asks for them.
                let buckets = buckets
                    .filter_map(|(ordinal, cell)| Some((bucket(ordinal)?.series?, [cell])))
                    .collect();
                let counted = Counted { cells: cells.into(), buckets };
                let (action, at_ms) = (removal.action, removal.at_ms.min(MAX_CREATED_MS));
                let is_new = end > self.archive.applied(slot);
                let said = Said { end, is_new, series, action, at_ms, counted };
                self.slots[slot].said.push(said);
            }
        }
        Ok(())
    }

    /// Whether a worker has said something that is not applied yet.
    pub(crate) fn has_removals(&self) -> bool {
        self.taken().any(|slot| !self.slots[slot].said.is_empty())
    }

    /// Whether a series that was removed is still shown, because somebody holds it.
    pub(crate) fn has_removed(&self) -> bool {
        self.archive.lives().any(|life| life.is_removed && !life.is_hidden)
    }

    /// Takes what workers have said and is not applied yet, with the slot of each, in the order of
    /// time; what one worker said stays in its order, whatever times it says.
    pub(crate) fn take_said(&mut self) -> Vec<(usize, Said)> {
        let taken: Vec<usize> = self.taken().collect();
        let mut all = Vec::new();
        for slot in taken {
            let mut latest_ms = 0;
            for said in std::mem::take(&mut self.slots[slot].said) {
                latest_ms = said.at_ms.max(latest_ms);
                all.push((latest_ms, slot, said));
            }
        }
        all.sort_by_key(|(at_ms, ..)| *at_ms);
        all.into_iter().map(|(_, slot, said)| (slot, said)).collect()
    }

    /// Applies what workers have said, and looks which removed series nobody holds any more and
    /// which hidden ones somebody counts again. The rows have just been read: all of them, or when
    /// nobody has said anything those of the selected families, and only these are looked at.
    pub(crate) fn apply_removals(&mut self, said: Vec<(usize, Said)>, selected: Option<&[bool]>) {
        let pass = self.apply_all(said);
        for ordinal in 0..self.catalog.contents().series().len() {
            let (series, life) = (ordinal as u32, self.archive.life(ordinal));
            let family = self.catalog.contents().series()[ordinal].family;
            if !life.is_removed || !is_selected(selected, family) {
                continue;
            }
            if life.is_hidden {
                if self.is_held(series) || self.is_counted_again(series) {
                    // It may have been lowered since it was counted again.
                    let begun_ms = self.now_ms().max(life.created_ms);
                    let begun_ms = self.begun_beside(series).unwrap_or(begun_ms);
                    self.archive.set_life(ordinal, life.renewed(begun_ms));
                }
            } else if !self.all_alike(series).iter().any(|&alike| self.is_held(alike)) {
                self.hide(series, &pass);
            } else if pass.replaced.contains(&series) {
                self.replace(series, &pass);
            }
        }
        self.settle_definitions();
        self.archive.commit(&self.arena, &self.layout, self.catalog.cells());
    }

    fn apply_all(&mut self, said: Vec<(usize, Said)>) -> Pass {
        let mut pass = Pass::default();
        said.into_iter().for_each(|(slot, said)| self.apply(slot, said, &mut pass));
        pass
    }

    fn apply(&mut self, slot: usize, said: Said, pass: &mut Pass) {
        // Of what an earlier supervisor applied, who holds what must be known all the same.
        let Said { end, is_new, series, action, at_ms, counted } = said;
        let life = self.archive.life(series as usize);
        let next = match action {
            Action::Remove => {
                self.slots[slot].last_words.insert(series, false);
                if is_new {
                    pass.removed.insert((series, slot), counted);
                }
                let beside = self.shown_beside(series);
                match beside.iter().any(|&alike| self.is_held_by(slot, alike)) {
                    true => drop(pass.replaced.insert(series)),
                    false => self.set_removed_beside(series, true, is_new),
                }
                // Who removes a hidden series had begun it again, and that life ends as well.
                let life = if life.is_hidden { life.renewed(at_ms) } else { life };
                Life { is_removed: true, ..life }
            }
            Action::Hold => {
                self.slots[slot].last_words.insert(series, true);
                pass.removed.remove(&(series, slot));
                self.set_removed_beside(series, false, is_new);
                let begun_ms = self.begun_beside(series).unwrap_or(at_ms);
                match life.is_hidden {
                    true => life.renewed(begun_ms),
                    false => Life { is_removed: false, ..life },
                }
            }
            Action::Reset => {
                if is_new {
                    self.end_lives(series, |by| (by == slot).then_some(&counted));
                    let beside = self.shown_beside(series);
                    for &alike in &beside {
                        self.end_lives(alike, |_| None);
                        let life = self.archive.life(alike as usize).renewed(at_ms);
                        self.archive.set_life(alike as usize, life);
                    }
                    pass.removed.retain(|(of, _), _| *of != series && !beside.contains(of));
                }
                life.renewed(at_ms)
            }
            Action::Lower => {
                if is_new {
                    self.lower(slot, series, &counted, &mut pass.totals);
                    let shape = self.catalog.shape(series);
                    let before = pass.removed.get_mut(&(series, slot));
                    before.into_iter().for_each(|before| before.add(&counted, shape));
                }
                // Who holds it is another question: a series that is removed stays so.
                Life { created_ms: at_ms, is_renewed: true, ..life }
            }
        };
        if is_new {
            self.archive.set_life(series as usize, next);
        }
        if is_new && !self.is_folded(slot) {
            self.archive.apply(slot, end);
        }
    }

    /// Whether a living worker holds the series: it began the series itself, has counted it, or says
    /// so, and has not removed it since.
    pub(crate) fn is_held(&self, series: u32) -> bool {
        self.places(series).any(|(slot, place, is_own)| self.holds(slot, place, is_own, series))
    }

    /// Whether a worker holds it.
    pub(crate) fn is_held_by(&self, slot: usize, series: u32) -> bool {
        self.place_in(slot, series)
            .is_some_and(|(place, is_own)| self.holds(slot, place, is_own, series))
    }

    pub(crate) fn holds(&self, slot: usize, place: Place, is_own: bool, series: u32) -> bool {
        let taken = &self.slots[slot];
        let is_set = || {
            let mut buckets = self.parts(series).skip(1);
            taken.row[place.from..][..place.shape.width()].iter().any(|&cell| cell != 0)
                || buckets.any(|bucket| self.has_in(slot, bucket))
        };
        let holds = match taken.last_words.get(&series) {
            Some(&holds) => holds,
            None => is_own || is_set(),
        };
        // A value of the dead is still to be folded, and would come back after its removal.
        holds && (!taken.exited || !place.shape.counts())
    }

    /// Whether a slot has anything in a bucket of a native histogram.
    fn has_in(&self, slot: usize, bucket: u32) -> bool {
        let row = &self.slots[slot].row;
        self.place_in(slot, bucket).is_some_and(|(place, _)| row[place.from] != 0)
    }

    /// What a series is counted in: itself, and the buckets that a native histogram has.
    fn parts(&self, series: u32) -> impl Iterator<Item = u32> + use<'_, P> {
        let buckets = self.catalog.contents().buckets_of(series).iter();
        std::iter::once(series).chain(buckets.map(|(_, bucket)| *bucket))
    }

    /// Whether there is more of a hidden series than when it was hidden.
    fn is_counted_again(&self, series: u32) -> bool {
        self.parts(series).any(|part| self.has_more(part))
    }

    /// The same of the series itself, or of a bucket.
    fn has_more(&self, series: u32) -> bool {
        let cell = self.catalog.contents().series()[series as usize].cell;
        let shape = self.catalog.shape(series);
        if !shape.counts() {
            return self.is_set(series);
        }
        let total = self.total(series, |_| None);
        // A bucket may have begun after its histogram was hidden: nothing was taken off it.
        let offset = |at: usize| self.archive.offsets().get(cell + at).copied().unwrap_or(0);
        total.iter().enumerate().any(|(at, &now)| match shape.cell(at) {
            CellKind::Float => {
                let (now, then) = (f64::from_bits(now), f64::from_bits(offset(at)));
                now > then + then.abs() * ADDING_ERROR
            }
            CellKind::Whole | CellKind::Free => now > offset(at),
        })
    }

    /// Whether a series that has a value has one, in a slot or of the dead.
    fn is_set(&self, series: u32) -> bool {
        let stamp = stamp_of(self.catalog.shape(series));
        let mut places = self.places(series);
        places.any(|(slot, place, _)| self.slots[slot].row[place.from + stamp] != 0)
            || self.has_archived(series)
    }

    /// Whether the dead have left a value of a series that has one.
    pub(crate) fn has_archived(&self, series: u32) -> bool {
        let cell = self.catalog.contents().series()[series as usize].cell;
        let stamp = stamp_of(self.catalog.shape(series));
        let in_rows = || {
            self.catalog.all_gauges().binary_search(&series).is_ok_and(|place| {
                let stamp = place * GAUGE_CELLS + 1;
                self.archive.rows().any(|row| row.cells.get(stamp).is_some_and(|&at| at != 0))
            })
        };
        self.archive.cells().get(cell + stamp).is_some_and(|&at| at != 0) || in_rows()
    }

    /// What archive and slots have counted of a series. A slot of which `until` knows what it had
    /// counted at some moment counts as far as that.
    fn total<'a>(&'a self, series: u32, until: impl Fn(usize) -> Option<&'a [u64]>) -> Vec<u64> {
        let cell = self.catalog.contents().series()[series as usize].cell;
        let shape = self.catalog.shape(series);
        let archived = self.archive.cells().get(cell..cell + shape.width());
        let mut total = archived.map_or_else(|| vec![0; shape.width()], <[u64]>::to_vec);
        for (slot, place, _) in self.places(series) {
            let row = &self.slots[slot].row[place.from..][..shape.width()];
            match until(slot) {
                Some(cells) => shape.merge(&mut total, &as_far_as(shape, row, cells)),
                None => shape.merge(&mut total, row),
            }
        }
        total
    }

    /// Ends a life of a series and of its buckets. Of a slot of which `until` knows what it had
    /// counted at some moment, as much as that is of this life.
    pub(crate) fn end_lives<'a>(
        &mut self,
        series: u32,
        until: impl Fn(usize) -> Option<&'a Counted>,
    ) {
        for part in self.parts(series).collect::<Vec<u32>>() {
            let total = self.total(part, |slot| Some(until(slot)?.of(series, part)));
            self.end_life(part, &total);
        }
    }

    /// Takes off a series and its buckets what the worker of a slot takes back.
    fn lower(
        &mut self,
        slot: usize,
        series: u32,
        amounts: &Counted,
        totals: &mut HashMap<u32, Vec<u64>>,
    ) {
        for part in self.parts(series).collect::<Vec<u32>>() {
            let cell = self.catalog.contents().series()[part as usize].cell;
            let shape = self.catalog.shape(part);
            let total = totals.entry(part).or_insert_with(|| self.total(part, |_| None));
            // Of a slot that was folded with its last good row nothing else is known.
            let own = match self.place_in(slot, part) {
                Some((place, _)) => &self.slots[slot].row[place.from..][..shape.width()],
                None => total,
            };
            let before = self.offset(cell, shape.width());
            let lowered = shape.lowered(&before, amounts.of(series, part), own, total);
            for at in (0..lowered.len()).filter(|&at| lowered[at] != before[at]) {
                let cell = cell + at;
                self.floors.forget(&self.arena, &self.layout, cell..cell + 1);
            }
            self.archive.set_offset(cell, &lowered);
        }
    }

    /// What is taken off `width` cells from `cell` on.
    fn offset(&self, cell: usize, width: usize) -> Vec<u64> {
        let offsets = self.archive.offsets();
        (cell..cell + width).map(|cell| offsets.get(cell).copied().unwrap_or(0)).collect()
    }

    /// Ends a life of a series, of which `total` was counted in it: that is taken off from now on.
    /// A series that has a value instead of a count loses it.
    fn end_life(&mut self, series: u32, total: &[u64]) {
        let cell = self.catalog.contents().series()[series as usize].cell;
        let shape = self.catalog.shape(series);
        self.floors.forget(&self.arena, &self.layout, cell..cell + shape.width());
        if shape.counts() {
            let least = self.offset(cell, total.len());
            self.archive.set_offset(cell, &not_below(shape, &least, total));
            return;
        }
        self.archive.forget(cell, shape.width());
        if let Ok(place) = self.catalog.all_gauges().binary_search(&series) {
            self.archive.forget_in_rows(place);
        }
    }

    /// The slots that count for themselves and have cells for a series.
    pub(crate) fn places(&self, series: u32) -> impl Iterator<Item = (usize, Place, bool)> + '_ {
        self.taken().filter_map(move |slot| {
            let (place, is_own) = self.place_in(slot, series)?;
            Some((slot, place, is_own))
        })
    }

    /// Where a slot that counts for itself has a series, and whether it began it itself.
    fn place_in(&self, slot: usize, series: u32) -> Option<(Place, bool)> {
        let taken = &self.slots[slot];
        let class = taken.class.as_deref().filter(|class| taken.row.len() == class.cells)?;
        if self.is_folded(slot) { None } else { class.find(&self.catalog, series) }
    }
}

/// By what part of itself a sum may seem to rise when its addends are added in another order.
const ADDING_ERROR: f64 = 1e-12;

/// Where the cell is that is 0 while a series has no value.
fn stamp_of(shape: Shape) -> usize {
    match shape {
        Shape::Gauge(_) | Shape::StateSet => 1,
        _ => 0,
    }
}

/// The cells of an offset that is to be `total` and was `before`: counts that were taken off once
/// are gone. A sum that negative amounts are part of may fall.
fn not_below(shape: Shape, before: &[u64], total: &[u64]) -> Vec<u64> {
    let may_fall = is_odd(shape, total);
    let greater = |(at, (&before, &total)): (usize, (&u64, &u64))| match shape.cell(at) {
        CellKind::Whole => before.max(total),
        CellKind::Float if !may_fall && f64::from_bits(before) > f64::from_bits(total) => before,
        CellKind::Float | CellKind::Free => total,
    };
    before.iter().zip(total).enumerate().map(greater).collect()
}

/// Whether a sum is one of any amounts, so that it is no count.
fn is_odd(shape: Shape, cells: &[u64]) -> bool {
    shape != Shape::Counter && cells.last() != Some(&0)
}

/// What a row holds of what a worker says it held: never more, whatever it says.
fn as_far_as(shape: Shape, row: &[u64], said: &[u64]) -> Vec<u64> {
    let is_odd = is_odd(shape, row);
    let least = |(at, (&row, &said)): (usize, (&u64, &u64))| match shape.cell(at) {
        CellKind::Whole => row.min(said),
        CellKind::Float => {
            let (most, float) = (f64::from_bits(row), f64::from_bits(said));
            let is_sum = (0.0..=most).contains(&float) || (is_odd && float.is_finite());
            if is_sum { said } else { row }
        }
        CellKind::Free => row,
    };
    row.iter().zip(said).enumerate().map(least).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use tallyboard_proto::family::{Family, Kind};
    use tallyboard_proto::layout::slot_header;
    use tallyboard_proto::log::{Record, Removal};
    use tallyboard_proto::word::Words;

    use super::*;
    use crate::board::writers::Writers;

    #[test]
    fn what_is_said_often_of_one_series_is_added_up_once_and_committed_once() {
        const TIMES: u64 = 200;
        let mut writers = Writers::new(3, 2048);
        let family = Family::new(Kind::Counter, "c", "", "", &[]).unwrap();
        for slot in 0..3 {
            writers.append(slot, &Record::Family(family.clone()));
            let (created_ms, values) = (0, [].into());
            writers.append(slot, &Record::Series { family: 0, created_ms, values });
            let cell = writers.core.layout.slot(slot) + slot_header::WORDS;
            writers.core.arena.store(cell, 1000, Relaxed);
        }
        writers.core.read_rows(None);
        for at_ms in 0..TIMES {
            for slot in 0..2 {
                let (series, action, cells) = (0, Action::Lower, [1, 0].into());
                writers.append(slot, &Record::Removal(Removal { series, action, at_ms, cells }));
            }
        }
        let core = &mut writers.core;
        core.read_logs();
        let said = core.take_said();
        assert_eq!(said.len(), 2 * TIMES as usize);
        let epoch = core.archive.epoch();
        let pass = core.apply_all(said);
        assert_eq!(pass.totals.len(), 1, "one series was added up");
        core.apply_removals(Vec::new(), None);
        assert_eq!(core.archive.epoch(), epoch + 1);
        assert_eq!(core.archive.offsets(), [2 * TIMES, 0]);
    }
}
