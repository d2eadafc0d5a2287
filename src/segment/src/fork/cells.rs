//! Cells as handles have them: by their place in whatever slot this process has.

use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::{AtomicPtr, AtomicU64};

/// Consecutive cells of one series. `Copy`, usable from any thread, valid for ever: in a process
/// without a base, and in a forked child, it reads as not there.
#[derive(Clone, Copy, Debug)]
pub struct Cells {
    base: &'static AtomicPtr<u64>,
    first: u32,
    count: u32,
}

impl Cells {
    /// `count` cells from word `first` on of what `base` will point to. Whoever publishes a base there
    /// vouches that it covers them (rule 4).
    pub(super) fn new(base: &'static AtomicPtr<u64>, first: usize, count: usize) -> Self {
        Self { base, first: first as u32, count: count as u32 }
    }

    /// Cells that are not there in any process.
    #[must_use]
    pub fn nowhere() -> Self {
        static NULL: AtomicPtr<u64> = AtomicPtr::new(null_mut());
        Self { base: &NULL, first: 0, count: 0 }
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
        let base = NonNull::new(self.base.load(Acquire))?;
        // SAFETY: every base that is published covers every cell handed out (rule 4).
        let first = unsafe { base.add(self.first as usize) };
        Some(CellWords { first, count: self.count as usize, _cells: PhantomData })
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
        assert!(at < self.count, "cell {at} of {}", self.count);
        // SAFETY: below `count` by the assertion above, and so inside the mapping (rule 4).
        let cell = unsafe { self.first.add(at) };
        // SAFETY: aligned because bases are pages, alive by rule 2, atomic by rule 1.
        unsafe { AtomicU64::from_ptr(cell.as_ptr()) }
    }
}
