//! The cells of each kind: which words a series owns, how a worker writes them, and how the rows
//! of many processes become one.
//!
//! | kind | cells, in order |
//! |---|---|
//! | counter | whole (integer), fraction (float) |
//! | gauge | value (float bits), stamp |
//! | histogram | one integer per bucket, +Inf last; sum (float); odd |
//! | native histogram | see [`crate::native::cells`] |
//! | bucket | count (integer) |
//! | summary | count (integer); sum (float); odd |
//! | info | stamp |
//! | stateset | number of the state, stamp |
//! | exemplar | see [`crate::exemplar`] |
//!
//! A counter's value is whole + fraction: an amount below 2^53 without a fractional part goes to the
//! whole cell, so whole counts are exact and do not depend on the order in which they are added. Once
//! that cell holds 2^53, amounts from 2^32 on go to the fraction, so that it does not wrap. `odd`
//! counts the observations that were negative or not finite: while it is 0 the sum only rises.
//! A stamp of 0 says that the gauge was never set in this process.
//!
//! All cell accesses are Relaxed. A cell is a number that only one process writes and that nothing
//! else is published through: what makes a cell reachable at all is the log's commit word, and
//! what makes the cells of the dead stand still is the kernel's word that the writer is dead.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::exemplar::{self, EXEMPLAR_CELLS};
use crate::family::{GaugeMode, Kind};
use crate::native;
use crate::word::fnv;

/// Cells of a counter.
pub const COUNTER_CELLS: usize = 2;
/// Cells of a gauge.
pub const GAUGE_CELLS: usize = 2;
/// Cells of a summary.
pub const SUMMARY_CELLS: usize = 3;
/// Cells of an info.
pub const INFO_CELLS: usize = 1;
/// Cells of a stateset.
pub const STATESET_CELLS: usize = 2;
/// Cells of a bucket of a native histogram.
pub const BUCKET_CELLS: usize = 1;
/// Cells of a histogram beside its finite bounds: the bucket up to +Inf, sum, odd.
pub const HISTOGRAM_EXTRA_CELLS: usize = 3;

/// Number that changes with the meaning of cells, part of the layout fingerprint.
pub const CELL_ABI: u64 = fnv(&[
    4,
    COUNTER_CELLS as u64,
    GAUGE_CELLS as u64,
    SUMMARY_CELLS as u64,
    HISTOGRAM_EXTRA_CELLS as u64,
    INFO_CELLS as u64,
    STATESET_CELLS as u64,
    EXEMPLAR_CELLS as u64,
    native::cells::COUNT as u64,
    BUCKET_CELLS as u64,
    MAX_WHOLE as u64,
    MIN_LARGE,
    MAX_COUNT,
]);

/// From here on a float no longer counts in ones: a whole cell takes less than this at once, and when
/// it holds as much itself, no large amounts any more.
pub const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The least of the amounts by which a whole cell could wrap in the life of a process.
pub const MIN_LARGE: u64 = 1 << 32;
/// The most that a cell holds that rises by one: nobody who counts has written more.
pub const MAX_COUNT: u64 = 1 << 53;

/// How the cells of a series are laid out and merged: all of a [`Kind`] that cells depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Whole and fraction.
    Counter,
    /// Value and stamp, merged as the mode says.
    Gauge(GaugeMode),
    /// So many buckets, sum, odd.
    Histogram {
        /// Buckets, the one up to +Inf included.
        buckets: u32,
    },
    /// What a native histogram has beside its buckets.
    NativeHistogram,
    /// The count of a bucket of a native histogram.
    Bucket,
    /// Count, sum, odd.
    Summary,
    /// Stamp.
    Info,
    /// State and stamp; the newest counts.
    StateSet,
    /// Two buffers, of which a turn says which counts; the newest counts.
    Exemplar,
    /// Cells that no series owns any more, left so that later ones keep their index.
    Gap {
        /// How many.
        cells: u32,
    },
}

/// What is known of one cell of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// An integer that never falls while its process lives.
    Whole,
    /// A float that never falls while its process lives, unless the series is odd.
    Float,
    /// Anything.
    Free,
}

impl Shape {
    /// The shape of the cells of `kind`.
    #[must_use]
    pub fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge(mode) => Self::Gauge(*mode),
            Kind::Histogram(bounds) => Self::Histogram { buckets: bounds.len() as u32 + 1 },
            Kind::NativeHistogram(_) => Self::NativeHistogram,
            Kind::Bucket(_) => Self::Bucket,
            Kind::Summary => Self::Summary,
            Kind::Info => Self::Info,
            Kind::StateSet(_) => Self::StateSet,
            Kind::Exemplar => Self::Exemplar,
        }
    }

    /// How many cells it has.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Counter => COUNTER_CELLS,
            Self::Gauge(_) => GAUGE_CELLS,
            Self::Histogram { buckets } => buckets as usize + HISTOGRAM_EXTRA_CELLS - 1,
            Self::NativeHistogram => native::cells::COUNT,
            Self::Bucket => BUCKET_CELLS,
            Self::Summary => SUMMARY_CELLS,
            Self::Info => INFO_CELLS,
            Self::StateSet => STATESET_CELLS,
            Self::Exemplar => EXEMPLAR_CELLS,
            Self::Gap { cells } => cells as usize,
        }
    }

    /// What is known of cell `at` of this shape.
    #[must_use]
    pub fn cell(self, at: usize) -> CellKind {
        match self {
            Self::Counter if at == 0 => CellKind::Whole,
            Self::Counter => CellKind::Float,
            Self::Histogram { .. } | Self::NativeHistogram | Self::Summary => {
                if at + 2 == self.width() { CellKind::Float } else { CellKind::Whole }
            }
            Self::Bucket => CellKind::Whole,
            _ => CellKind::Free,
        }
    }

    /// Whether cell `at` of this shape rises by one, as a bucket does, and not by any amount.
    #[must_use]
    pub fn is_count(self, at: usize) -> bool {
        self != Self::Counter && self.cell(at) == CellKind::Whole
    }

    /// Merges the cells of one process into those of many. Counts saturate; a gauge that was never
    /// set takes no part; the cells of per-process gauges are not merged at all.
    ///
    /// # Panics
    /// When a slice is not as wide as the shape.
    pub fn merge(self, into: &mut [u64], from: &[u64]) {
        assert!(into.len() == self.width() && from.len() == self.width(), "rows of one shape");
        match self {
            Self::Counter => {
                into[0] = into[0].saturating_add(from[0]);
                into[1] = float_sum(into[1], from[1]);
            }
            Self::Gauge(mode) => merge_gauge(mode, into, from),
            Self::Bucket => into[0] = into[0].saturating_add(from[0]),
            Self::Histogram { .. } | Self::NativeHistogram | Self::Summary => {
                let sum = self.width() - 2;
                for (at, (into, from)) in into.iter_mut().zip(from).enumerate() {
                    *into = if at == sum {
                        float_sum(*into, *from)
                    } else {
                        into.saturating_add(*from)
                    };
                }
            }
            Self::Info => into[0] = into[0].max(from[0]),
            Self::StateSet => merge_gauge(GaugeMode::MostRecent, into, from),
            Self::Exemplar => exemplar::merge(into, from),
            Self::Gap { .. } => {}
        }
    }

    /// Whether the series counts: then a removal takes what was counted off the total. The others
    /// have a value, which a removal forgets.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Counter
            | Self::Histogram { .. }
            | Self::NativeHistogram
            | Self::Bucket
            | Self::Summary => true,
            Self::Gauge(_) | Self::Info | Self::StateSet | Self::Exemplar | Self::Gap { .. } => {
                false
            }
        }
    }

    /// Takes `offset` off the cells of a series that counts.
    pub fn take_off(self, cells: &mut [u64], offset: &[u64]) {
        for (at, (cell, &offset)) in cells.iter_mut().zip(offset).enumerate() {
            *cell = match self.cell(at) {
                CellKind::Whole => cell.saturating_sub(offset),
                CellKind::Float if offset != 0 => {
                    (f64::from_bits(*cell) - f64::from_bits(offset)).to_bits()
                }
                CellKind::Float | CellKind::Free => *cell,
            };
        }
    }

    /// Whether the cells of a dead process go on counting in the archive's cells. Gauges of mode
    /// `all` do so in the archive's ring instead.
    #[must_use]
    pub fn is_archived(self) -> bool {
        match self {
            Self::Gauge(mode) => mode.outlives_its_process() && !mode.is_per_process(),
            Self::Gap { .. } => false,
            _ => true,
        }
    }
}

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
        let from = &row[self.from..self.from + cells];
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

fn float_sum(a: u64, b: u64) -> u64 {
    // Adding nothing leaves the bits alone, so a series without fractions stays bit for bit.
    if b == 0 { a } else { (f64::from_bits(a) + f64::from_bits(b)).to_bits() }
}

fn merge_gauge(mode: GaugeMode, into: &mut [u64], from: &[u64]) {
    let [value, stamp] = [from[0], from[1]];
    if stamp == 0 || mode.is_per_process() {
        return;
    }
    let unset = into[1] == 0;
    let (old, new) = (f64::from_bits(into[0]), f64::from_bits(value));
    let takes = match mode {
        GaugeMode::Sum | GaugeMode::LiveSum => {
            into[0] = if unset { value } else { (old + new).to_bits() };
            false
        }
        // NaN is neither more nor less: it stays only while nothing else was set.
        GaugeMode::Max | GaugeMode::LiveMax => unset || new > old || old.is_nan(),
        GaugeMode::Min | GaugeMode::LiveMin => unset || new < old || old.is_nan(),
        _ => unset || stamp > into[1],
    };
    if takes {
        into[0] = value;
    }
    into[1] = into[1].max(stamp);
}

/// Adds to a float cell that several threads of one process may write. CAS, because a float has no
/// fetch_add: no other process ever writes the cell.
#[inline]
pub fn add_float(cell: &AtomicU64, amount: f64) {
    let mut old = cell.load(Relaxed);
    loop {
        let new = (f64::from_bits(old) + amount).to_bits();
        match cell.compare_exchange_weak(old, new, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(found) => old = found,
        }
    }
}

/// Adds `amount`, which must be 0 or more, to a counter's two cells.
#[inline]
pub fn add_amount(whole: &AtomicU64, fraction: &AtomicU64, amount: f64) {
    if amount < MAX_WHOLE && amount.fract() == 0.0 {
        add_whole(whole, fraction, amount as u64);
    } else {
        add_float(fraction, amount);
    }
}

/// Adds a whole `amount` to a counter's two cells.
#[inline]
pub fn add_whole(whole: &AtomicU64, fraction: &AtomicU64, amount: u64) {
    if amount < MIN_LARGE {
        whole.fetch_add(amount, Relaxed);
    } else {
        add_large(whole, fraction, amount);
    }
}

#[cold]
fn add_large(whole: &AtomicU64, fraction: &AtomicU64, amount: u64) {
    let limit = MAX_WHOLE as u64;
    // Threads that find room at once add less than 2^53 each: there is room for 2,046 of them.
    if amount < limit && whole.load(Relaxed) < limit {
        whole.fetch_add(amount, Relaxed);
    } else {
        add_float(fraction, amount as f64);
    }
}

/// Stamps a gauge as set: with `now` where the mode needs an order, else with 1.
#[inline]
pub fn stamp(cell: &AtomicU64, stamp: u64) {
    // A gauge that needs no order is stamped once: the load spares all later ones the write.
    if cell.load(Relaxed) < stamp {
        cell.fetch_max(stamp, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(shape: Shape, rows: &[&[u64]]) -> Vec<u64> {
        let mut into = vec![0; shape.width()];
        for row in rows {
            shape.merge(&mut into, row);
        }
        into
    }

    fn gauge(mode: GaugeMode, rows: &[(f64, u64)]) -> Option<f64> {
        let rows: Vec<_> = rows.iter().map(|(value, stamp)| [value.to_bits(), *stamp]).collect();
        let rows: Vec<_> = rows.iter().map(|row| row.as_slice()).collect();
        let into = merged(Shape::Gauge(mode), &rows);
        (into[1] != 0).then(|| f64::from_bits(into[0]))
    }

    #[test]
    fn each_kind_merges_as_the_table_says() {
        let half = 0.5_f64.to_bits();
        assert_eq!(merged(Shape::Counter, &[&[3, half], &[4, half]]), [7, 1.0_f64.to_bits()]);
        assert_eq!(merged(Shape::Counter, &[&[u64::MAX, 0], &[4, 0]]), [u64::MAX, 0]);
        let histogram = Shape::Histogram { buckets: 2 };
        assert_eq!(
            merged(histogram, &[&[1, 2, half, 1], &[1, 0, half, 0]]),
            [2, 2, 1.0_f64.to_bits(), 1]
        );
        assert_eq!(merged(Shape::Summary, &[&[1, half, 0], &[1, 0, 0]]), [2, half, 0]);
        let native = Shape::NativeHistogram;
        assert_eq!(
            merged(native, &[&[1, 2, half, 0], &[3, 0, half, 1]]),
            [4, 2, 1.0_f64.to_bits(), 1]
        );
        assert_eq!(merged(Shape::Bucket, &[&[3], &[4], &[u64::MAX]]), [u64::MAX]);
        assert_eq!(merged(Shape::Info, &[&[7], &[0], &[5]]), [7]);
        assert_eq!(merged(Shape::StateSet, &[&[2, 5], &[1, 9], &[3, 0]]), [1, 9]);
        let mut left = [5, half, 7, 3];
        Shape::Counter.take_off(&mut left[..2], &[6, half]);
        assert_eq!(left, [0, 0.0_f64.to_bits(), 7, 3]);
    }

    #[test]
    fn a_gauge_merges_by_its_mode_and_only_where_it_was_set() {
        use GaugeMode as Mode;
        let rows = [(2.0, 5), (-3.0, 9), (1e9, 0), (4.0, 1)];
        for (mode, expect) in [
            (Mode::Sum, Some(3.0)),
            (Mode::LiveSum, Some(3.0)),
            (Mode::Max, Some(4.0)),
            (Mode::LiveMax, Some(4.0)),
            (Mode::Min, Some(-3.0)),
            (Mode::LiveMin, Some(-3.0)),
            (Mode::MostRecent, Some(-3.0)),
            (Mode::LiveMostRecent, Some(-3.0)),
            (Mode::All, None),
            (Mode::LiveAll, None),
        ] {
            assert_eq!(gauge(mode, &rows), expect, "{mode:?}");
            assert_eq!(gauge(mode, &[(7.0, 0)]), None, "{mode:?} never set");
        }
        assert_eq!(gauge(Mode::Max, &[(f64::NAN, 1), (1.0, 1)]), Some(1.0));
        assert_eq!(gauge(Mode::Max, &[(-1.0, 1)]), Some(-1.0));
        assert_eq!(gauge(Mode::Min, &[(1.0, 1)]), Some(1.0));
    }

    #[test]
    fn whole_amounts_go_to_the_whole_cell_and_others_to_the_fraction() {
        let cells = [AtomicU64::new(0), AtomicU64::new(0)];
        for amount in [1.0, 0.0, 2.5, 1e6, 1e300] {
            add_amount(&cells[0], &cells[1], amount);
        }
        assert_eq!(cells[0].load(Relaxed), 1_000_001);
        assert_eq!(f64::from_bits(cells[1].load(Relaxed)), 2.5 + 1e300);
    }

    #[test]
    fn a_whole_cell_does_not_wrap_whatever_is_added_how_often() {
        let cells = [AtomicU64::new(0), AtomicU64::new(0)];
        let add = |amount| add_whole(&cells[0], &cells[1], amount);
        let value = || cells[0].load(Relaxed) as f64 + f64::from_bits(cells[1].load(Relaxed));
        (0..3).for_each(|_| add(1 << 52));
        add(1);
        assert_eq!(cells[0].load(Relaxed), (1 << 53) + 1);
        assert_eq!(value(), 3.0 * (1_u64 << 52) as f64);
        let mut expected = value();
        for amount in [1 << 32, (1 << 53) - 1, 1 << 53, 1 << 63, u64::MAX] {
            for _ in 0..5000 {
                let before = value();
                add(amount);
                assert!(value() > before, "{amount}");
                expected += amount as f64;
            }
            add_amount(&cells[0], &cells[1], amount as f64);
            expected += amount as f64;
        }
        assert_eq!(cells[0].load(Relaxed), (1 << 53) + 1);
        assert!((value() / expected - 1.0).abs() < 1e-9, "{} of {expected}", value());
    }

    #[test]
    fn a_shape_is_as_wide_as_its_kind_and_knows_its_cells() {
        let shape = Shape::of(&Kind::Histogram([1.0, 2.0].into()));
        assert_eq!(shape.width(), 5);
        let kinds: Vec<_> = (0..5).map(|at| shape.cell(at)).collect();
        use CellKind::{Float, Free, Whole};
        assert_eq!(kinds, [Whole, Whole, Whole, Float, Whole]);
        assert_eq!(Shape::Summary.cell(1), Float);
        let native = |at| Shape::NativeHistogram.cell(at);
        assert_eq!([0, 1, 2, 3].map(native), [Whole, Whole, Float, Whole]);
        assert_eq!(native::cells::SUM + 2, native::cells::COUNT);
        assert_eq!(Shape::Bucket.cell(0), Whole);
        assert_eq!(Shape::Counter.cell(1), Float);
        assert_eq!(Shape::Gauge(GaugeMode::Sum).cell(0), Free);
        let counts: Vec<_> = (0..5).map(|at| shape.is_count(at)).collect();
        assert_eq!(counts, [true, true, true, false, true]);
        let others = [Shape::Counter, Shape::Gauge(GaugeMode::Sum), Shape::Info];
        assert!(!others.iter().any(|shape| shape.is_count(0)));
    }
}
