//! Shapes: which cells a series has, and how those of many processes become one.

use super::mode::GaugeMode;
use super::sample::{self, Join, SAMPLE_CELLS, Sample};
use crate::exemplar::{self, EXEMPLAR_CELLS};
use crate::native;

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

/// How the cells of a series are laid out and merged: all of a kind that cells depend on.
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
    /// Two buffers, of which a turn says which counts, joined as this says.
    Sample(Join),
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
            Self::Sample(_) => SAMPLE_CELLS,
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
            Self::Sample(join) => sample::merge(join, into, from),
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
            Self::Gauge(_)
            | Self::Info
            | Self::StateSet
            | Self::Exemplar
            | Self::Sample(_)
            | Self::Gap { .. } => false,
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

    /// Whether each process has a value of its own, for which there is a place in the archive's ring
    /// where it outlives its process.
    #[must_use]
    pub fn is_per_process(self) -> bool {
        match self {
            Self::Gauge(mode) => mode.is_per_process(),
            Self::Sample(join) => join.is_per_process(),
            _ => false,
        }
    }

    /// Whether what a dead process has here counts, in the archive's cells or its ring.
    #[must_use]
    pub fn outlives_its_process(self) -> bool {
        match self {
            Self::Gauge(mode) => mode.outlives_its_process(),
            Self::Sample(join) => join.outlives_its_process(),
            _ => true,
        }
    }

    /// Whether the dead have a value each, in the rows of the archive's ring.
    #[must_use]
    pub fn is_in_rows(self) -> bool {
        self.is_per_process() && self.outlives_its_process()
    }

    /// Value and stamp of the one process that has these cells, of a series of which each process has
    /// its own; zeros where it has none.
    #[must_use]
    pub fn own_value(self, cells: &[u64]) -> [u64; GAUGE_CELLS] {
        match self {
            Self::Gauge(_) => [cells[0], cells[1]],
            Self::Sample(_) => {
                let said = Sample::of_cells(cells).filter(|said| said.at_ns.is_none());
                said.map_or([0; GAUGE_CELLS], |said| [said.value.to_bits(), 1])
            }
            _ => [0; GAUGE_CELLS],
        }
    }

    /// Whether the cells of a dead process go on counting in the archive's cells. Gauges of mode
    /// `all` do so in the archive's ring instead.
    #[must_use]
    pub fn is_archived(self) -> bool {
        match self {
            Self::Gauge(mode) => mode.outlives_its_process() && !mode.is_per_process(),
            // One of mode `all` is there only where it has a time of its own.
            Self::Sample(join) => join.outlives_its_process(),
            Self::Gap { .. } => false,
            _ => true,
        }
    }
}

/// The bits of the sum of two floats by their bits.
#[must_use]
pub fn float_sum(a: u64, b: u64) -> u64 {
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
}
