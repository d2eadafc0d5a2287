//! Runs: how the cells of a slot map to those of the catalog.

use std::ops::Range;

use super::shape::{Shape, float_sum};

/// A run of series of one shape whose cells lie next to each other, in a row and in the catalog:
/// how the cells of a slot map to those of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Shape of each series.
    pub shape: Shape,
    /// How many series.
    pub series: usize,
    /// First cell in the slot's row.
    pub from: usize,
    /// First cell in the catalog.
    pub to: usize,
}

impl Run {
    /// Cells of the whole run.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.series * self.shape.width()
    }

    /// Its cells in the slot's row.
    #[must_use]
    pub fn row(&self) -> Range<usize> {
        self.from..self.from + self.cells()
    }

    /// Whether `next` goes on where this run ends, on both sides.
    #[must_use]
    pub fn continues_with(&self, next: &Self) -> bool {
        let cells = self.cells();
        self.shape == next.shape && self.from + cells == next.from && self.to + cells == next.to
    }

    /// Merges the run's part of `row` into its part of `into`, a row in catalog order.
    ///
    /// # Panics
    /// When a row is too short for the run.
    pub fn merge(&self, into: &mut [u64], row: &[u64]) {
        let cells = self.cells();
        let into = &mut into[self.to..self.to + cells];
        let from = &row[self.row()];
        if self.shape == Shape::Counter {
            // The commonest shape, without a call per series.
            for (into, from) in into.as_chunks_mut::<2>().0.iter_mut().zip(from.as_chunks::<2>().0)
            {
                into[0] = into[0].saturating_add(from[0]);
                into[1] = float_sum(into[1], from[1]);
            }
            return;
        }
        let width = self.shape.width().max(1);
        for (into, from) in into.chunks_exact_mut(width).zip(from.chunks_exact(width)) {
            self.shape.merge(into, from);
        }
    }
}
