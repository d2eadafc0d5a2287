//! What a worker says of a series that it has, as long as it is not applied: see `removal.rs`.

use std::collections::HashMap;

use tallyboard_proto::cell::{CellKind, Shape};
use tallyboard_proto::log::Action;

/// A worker's word on a series that has a place in the catalog.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Where its record ends in the slot's log.
    pub(crate) end: usize,
    /// Whether no earlier supervisor has applied it.
    pub(crate) is_new: bool,
    pub(crate) series: u32,
    pub(crate) action: Action,
    pub(crate) at_ms: u64,
    /// What the worker had counted by then.
    pub(crate) counted: Counted,
}

/// What a worker had counted of a series at some moment: the cells of the series, and of a native
/// histogram those of its buckets.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) cells: Box<[u64]>,
    pub(crate) buckets: HashMap<u32, [u64; 1]>,
}

impl Counted {
    /// The cells of the series itself, or of one of its buckets: nothing was in a bucket that the
    /// worker says nothing of.
    pub(crate) fn of(&self, series: u32, part: u32) -> &[u64] {
        match part == series {
            true => &self.cells,
            false => self.buckets.get(&part).unwrap_or(&[0]),
        }
    }

    /// Counts what the worker takes back as of an earlier life, too.
    pub(crate) fn add(&mut self, amounts: &Self, shape: Shape) {
        for (at, (cell, &amount)) in self.cells.iter_mut().zip(&amounts.cells).enumerate() {
            *cell = match shape.cell(at) {
                CellKind::Float => (f64::from_bits(*cell) + f64::from_bits(amount)).to_bits(),
                CellKind::Whole | CellKind::Free => cell.saturating_add(amount),
            };
        }
        for (bucket, &[amount]) in &amounts.buckets {
            let [cell] = self.buckets.entry(*bucket).or_default();
            *cell = cell.saturating_add(amount);
        }
    }
}
