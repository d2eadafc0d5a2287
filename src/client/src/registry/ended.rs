//! Lives of series that have ended in a process: what counts is what came since.

use std::collections::BTreeMap;

use tallyboard_proto::cell::{CellKind, Shape};

/// A life of a series that has ended in this process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// When, in milliseconds of Unix time.
    pub(crate) at_ms: u64,
    /// What its cells were then.
    pub(crate) cells: Box<[u64]>,
    /// What of them is of the life that follows: nothing, unless this process has set a value.
    pub(crate) left: Box<[u64]>,
    /// What was in the buckets of a native histogram, by series.
    pub(crate) buckets: BTreeMap<u32, u64>,
    /// Whether no other has begun.
    pub(crate) is_removed: bool,
}

impl Ended {
    /// Nothing has ended yet of a series of so many cells.
    pub(crate) fn none(cells: usize) -> Self {
        let none: Box<[u64]> = vec![0; cells].into();
        let (at_ms, buckets) = (0, BTreeMap::new());
        Self { at_ms, cells: none.clone(), left: none, buckets, is_removed: false }
    }

    /// Makes the cells of a series that counts what they are without the life that has ended.
    pub(crate) fn take_off(&self, shape: Shape, cells: &mut [u64]) {
        for (at, cell) in cells.iter_mut().enumerate() {
            let (then, left) = (self.cells[at], self.left[at]);
            *cell = match shape.cell(at) {
                CellKind::Whole => cell.saturating_sub(then).saturating_add(left),
                CellKind::Float if (then, left) != (0, 0) => {
                    let [now, then, left] = [*cell, then, left].map(f64::from_bits);
                    // Nothing came since: what is left is that, bit for bit.
                    (left + (now - then)).to_bits()
                }
                CellKind::Float | CellKind::Free => *cell,
            };
        }
    }
}
