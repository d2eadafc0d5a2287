//! A series of a registry: what every metric is made of, and all that it may ask.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::{add_float, is_odd};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::Action;
use tallyboard_segment::fork::{CellWords, Cells, ForkMutexGuard, LaneWords};
use tallyboard_segment::mapping::SlotMapping;

use super::children::Place;
use super::parts::Parts;
use super::questions::Function;
use super::registry::Registry;
use super::set_value::Number;
use super::state::State;

/// A series of a registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesRef {
    place: Place,
    registry: &'static Registry,
    refused: Option<DropReason>,
}

/// Where a thread counts in a series: in the cells of its lane, or in those of all threads.
pub(crate) enum Spot<'a> {
    Lane(LaneWords<'a>, &'a Cells),
    Row(CellWords<'a>),
}

impl Spot<'_> {
    /// Adds to an integer cell.
    #[inline]
    pub(crate) fn add(&self, cell: usize, amount: u64) {
        match self {
            Self::Lane(lane, _) => lane.add(cell, amount),
            Self::Row(row) => {
                row.at(cell).fetch_add(amount, Relaxed);
            }
        }
    }

    /// Adds to a float cell.
    #[inline]
    pub(crate) fn add_float(&self, cell: usize, amount: f64) {
        match self {
            Self::Lane(lane, cells) => {
                if !lane.add_float(cell, amount) {
                    add_beside(cells, cell, amount);
                }
            }
            Self::Row(row) => add_float(row.at(cell), amount),
        }
    }

    /// Counts an observation as one that a sum may fall by.
    #[inline]
    pub(crate) fn mark_odd(&self, cell: usize, value: f64) {
        if is_odd(value) {
            self.add(cell, 1);
        }
    }
}

/// Adds beside a lane, whose thread is in the middle of another addition or has a sum that it cannot keep.
#[cold]
fn add_beside(cells: &Cells, cell: usize, amount: f64) {
    if let Some(row) = cells.words() {
        add_float(row.at(cell), amount);
    }
}

impl SeriesRef {
    pub(super) fn at(place: Place, registry: &'static Registry) -> Self {
        Self { place, registry, refused: None }
    }

    /// A series that has no room: what it counts is dropped.
    pub(super) fn refused(reason: DropReason, registry: &'static Registry) -> Self {
        let place = Place { cells: Cells::nowhere(), parts: None };
        Self { place, registry, refused: Some(reason) }
    }

    /// The cells to count in; `None` when this cannot be counted, and that has been counted.
    #[inline]
    pub(crate) fn words(&self) -> Option<CellWords<'_>> {
        match self.place.cells.words() {
            Some(words) => Some(words),
            None => self.arrive(),
        }
    }

    /// The first use in this process, which may be a child of the one that made the handle.
    #[cold]
    fn arrive(&self) -> Option<CellWords<'_>> {
        if self.refused.is_none() {
            self.registry.first_use();
        }
        let words = self.place.cells.words();
        if words.is_none() {
            self.registry.drop_one(self.refused.unwrap_or(DropReason::Reentered));
        }
        words
    }

    /// Where this thread counts in it; `None` when this cannot be counted, and that has been counted.
    #[inline]
    pub(crate) fn spot(&self) -> Option<Spot<'_>> {
        self.spot_of(&self.place.cells)
    }

    /// Where this thread counts in cells that belong to it.
    #[inline]
    pub(crate) fn spot_of<'a>(&'a self, cells: &'a Cells) -> Option<Spot<'a>> {
        match cells.lane() {
            Some(lane) => Some(Spot::Lane(lane, cells)),
            None => self.find_spot(cells),
        }
    }

    /// Adds to an integer cell.
    #[inline]
    pub(crate) fn add(&self, cell: usize, amount: u64) {
        match self.place.cells.lane() {
            Some(lane) => lane.add(cell, amount),
            None => self.find_and_add(cell, amount),
        }
    }

    #[cold]
    fn find_and_add(&self, cell: usize, amount: u64) {
        if let Some(spot) = self.find_spot(&self.place.cells) {
            spot.add(cell, amount);
        }
    }

    /// Takes a lane for this thread, where there is one.
    #[cold]
    fn find_spot<'a>(&'a self, cells: &'a Cells) -> Option<Spot<'a>> {
        if cells.words().is_none() {
            self.arrive()?;
        }
        if cells.has_lanes() {
            self.registry.take_lane();
        }
        match cells.lane() {
            Some(lane) => Some(Spot::Lane(lane, cells)),
            None => cells.words().map(Spot::Row),
        }
    }

    /// Whether this process can count in it without waiting for anybody.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.place.cells.words().is_some() || self.refused.is_some()
    }

    /// Why it has no room.
    pub(crate) fn refusal(&self) -> Option<DropReason> {
        self.refused
    }

    pub(crate) fn registry(&self) -> &'static Registry {
        self.registry
    }

    /// Its first cell, as a word of the slot.
    #[inline]
    pub(crate) fn first(&self) -> usize {
        self.place.cells.first()
    }

    /// The parts of it that this process has counted in.
    #[inline]
    pub(crate) fn parts(&self) -> Option<&'static Parts> {
        self.place.parts
    }

    /// Whether it shows what a callback says, and nothing else.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.registry.asked.has(self.first())
    }

    /// The callback that it asks, unless a binding has that.
    pub(crate) fn function(&self) -> Option<Function> {
        let state = self.registry.state.lock();
        state.questions.callbacks.get(&self.first())?.function.clone()
    }

    /// Number of this process, for guards that a fork must not multiply.
    #[inline]
    pub(crate) fn life(&self) -> u64 {
        self.registry.page.life()
    }

    /// Now, as stamps have it: nanoseconds of Unix time by a clock that never goes back.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.registry.now_ns()
    }

    pub(crate) fn drop_one(&self, reason: DropReason) {
        self.registry.drop_one(reason);
    }

    /// Counts an amount that was refused.
    #[cold]
    pub(crate) fn refuse_amount(&self) {
        self.registry.first_use();
        self.registry.drop_one(DropReason::Amount);
    }

    /// Has `act` do something with the series while the registry's lock is held; `None` where it is
    /// not there.
    pub(crate) fn locked<R>(
        &self,
        act: impl FnOnce(&mut ForkMutexGuard<'_, State>, &'static SlotMapping, u32) -> R,
    ) -> Option<R> {
        let mut state = self.registry.state.lock();
        let (mapping, series) = state.page().mapping().zip(state.series_at(self.first()))?;
        Some(act(&mut state, mapping, series))
    }

    /// All its values.
    pub(crate) fn label_values(&self) -> Option<Vec<Box<str>>> {
        let values = |state: &mut ForkMutexGuard<'_, State>, _, series: u32| {
            state.contents.series()[series as usize].values.to_vec()
        };
        self.locked(values)
    }

    /// What this process has in its cells, since it began anew; nothing where it is not there.
    pub(crate) fn own_cells(&self) -> Option<Vec<u64>> {
        self.registry.first_use();
        self.locked(|state, mapping, series| state.own_cells(mapping, series))
    }

    /// Begins the series anew, for all processes.
    pub(crate) fn reset(&self) {
        self.registry.first_use();
        let ended = self.locked(|state, mapping, series| state.end(mapping, series, Action::Reset));
        if let Some(Err(reason)) = ended {
            self.registry.drop_one(reason);
        }
    }

    /// Makes a number of the series what this process has counted of it.
    pub(crate) fn set(&self, number: Number, value: f64) {
        self.registry.first_use();
        let set = self.locked(|state, mapping, series| state.set(mapping, series, number, value));
        let set = set.unwrap_or_else(|| Err(self.refused.unwrap_or(DropReason::Reentered)));
        set.unwrap_or_else(|reason| self.registry.drop_one(reason));
    }
}
