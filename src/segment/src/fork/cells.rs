//! Cells as handles have them: by their place in whatever slot this process has.

use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU64};

use super::base::Base;
use super::lane;

/// Consecutive cells of one series. `Copy`, usable from any thread, valid for ever: in a process
/// without a base, and in a forked child, it reads as not there.
#[derive(Clone, Copy, Debug)]
pub struct Cells {
    base: &'static Base,
    first: u32,
    count: u32,
}

impl Cells {
    /// `count` cells from word `first` on of what `base` will point to. Whoever publishes a base there
    /// vouches that it covers them (rule 4).
    pub(super) fn new(base: &'static Base, first: usize, count: usize) -> Self {
        Self { base, first: first as u32, count: count as u32 }
    }

    /// Cells that are not there in any process.
    #[must_use]
    pub fn nowhere() -> Self {
        static NOWHERE: Base = Base { words: AtomicPtr::new(null_mut()), lanes: AtomicU64::new(0) };
        Self { base: &NOWHERE, first: 0, count: 0 }
    }

    /// Word of the slot at which they begin.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first as usize
    }

    /// The cells in this process; `None` while it has no base.
    #[inline]
    #[must_use]
    pub fn words(&self) -> Option<CellWords<'_>> {
        // Acquire: CELL-BASE, pairs with `ForkGuard::publish`.
        let base = NonNull::new(self.base.words.load(Acquire))?;
        // SAFETY: every base that is published covers every cell handed out (rule 4).
        let first = unsafe { base.add(self.first as usize) };
        Some(CellWords { first, count: self.count as usize, _cells: PhantomData })
    }

    /// The cells in the lane that this thread has; `None` while it has none.
    #[inline]
    #[must_use]
    pub fn lane(&self) -> Option<LaneWords<'_>> {
        let base = lane::base_of(self.base)?;
        // SAFETY: a lane covers every cell handed out, as the base does (rule 4).
        let first = unsafe { base.add(self.first as usize) };
        Some(LaneWords { first, count: self.count as usize, _cells: PhantomData })
    }

    /// Whether threads of this process may have lanes.
    #[inline]
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        self.base.lanes.load(Relaxed) != 0
    }
}

/// The cells of one series in a lane of the thread that has this. They begin at 0, whatever the series
/// has beside them, and are never read but to be added to.
#[derive(Clone, Copy, Debug)]
pub struct LaneWords<'a> {
    first: NonNull<u64>,
    count: usize,
    /// Of this thread alone.
    _cells: PhantomData<(&'a AtomicU64, *const ())>,
}

impl LaneWords<'_> {
    /// Adds to an integer cell, in one instruction.
    ///
    /// # Panics
    /// When the series has no such cell.
    #[inline]
    pub fn add(&self, at: usize, amount: u64) {
        if at >= self.count {
            beyond(at, self.count);
        }
        // SAFETY: below `count` by the check above, and so inside the mapping (rule 4).
        let cell = unsafe { self.first.add(at) };
        // SAFETY: `cell` is a word of a lane of this thread, which nobody else writes (rule 5).
        unsafe { lane::add(cell, amount) };
    }

    /// Adds to a float cell; says whether it did. A signal handler that comes between does not.
    ///
    /// # Panics
    /// When the series has no such cell.
    #[inline]
    #[must_use]
    pub fn add_float(&self, at: usize, amount: f64) -> bool {
        if at >= self.count {
            beyond(at, self.count);
        }
        // SAFETY: as in `add`.
        let cell = unsafe { self.first.add(at) };
        // SAFETY: aligned because bases are pages, alive by rule 2, atomic by rule 1.
        let cell = unsafe { AtomicU64::from_ptr(cell.as_ptr()) };
        lane::add_float(cell, amount)
    }
}

/// The cells of one series, in this process.
#[derive(Clone, Copy, Debug)]
pub struct CellWords<'a> {
    first: NonNull<u64>,
    count: usize,
    _cells: PhantomData<&'a AtomicU64>,
}

impl<'a> CellWords<'a> {
    /// Cell `at` of the series.
    ///
    /// # Panics
    /// When the series has no such cell.
    #[inline]
    #[must_use]
    pub fn at(&self, at: usize) -> &'a AtomicU64 {
        if at >= self.count {
            beyond(at, self.count);
        }
        // SAFETY: below `count` by the check above, and so inside the mapping (rule 4).
        let cell = unsafe { self.first.add(at) };
        // SAFETY: aligned because bases are pages, alive by rule 2, atomic by rule 1.
        unsafe { AtomicU64::from_ptr(cell.as_ptr()) }
    }
}

/// Out of the way of what counts, which then keeps nothing for it.
#[cold]
#[inline(never)]
fn beyond(at: usize, count: usize) -> ! {
    panic!("cell {at} of {count}")
}
