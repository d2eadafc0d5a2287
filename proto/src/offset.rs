//! What an exposition takes off the total of a series when one of its processes takes back a part
//! of what it has counted.

use crate::cell::{CellKind, Shape};

/// A counter that is lowered may lose more of its whole cell than it lowers itself by, for a
/// fraction of less than this that it gets in exchange. That is not in the cell of its fraction, and
/// it can take it back later.
const MOST_EXCHANGED: f64 = 1.0;

impl Shape {
    /// The offset of a series that counts, when a process takes `amounts` off it: it was `before`,
    /// the process has counted `own`, and all have counted `total`. Whatever the process says, no
    /// more is taken than it has counted, and never more than there is.
    #[must_use]
    pub fn lowered(self, before: &[u64], amounts: &[u64], own: &[u64], total: &[u64]) -> Vec<u64> {
        let is_odd = self != Self::Counter && total.last().is_some_and(|&odd| odd != 0);
        let cell = |at: usize| {
            let (before, amount, own, total) = (before[at], amounts[at], own[at], total[at]);
            match self.cell(at) {
                CellKind::Whole => before.saturating_add(amount.min(own)).min(total).max(before),
                CellKind::Float => {
                    let [before, amount, own, total] =
                        [before, amount, own, total].map(f64::from_bits);
                    let exchanged = if self == Self::Counter { MOST_EXCHANGED } else { 0.0 };
                    let bounds = -exchanged..=own + exchanged;
                    lowered_sum(before, amount, bounds, total, is_odd).to_bits()
                }
                CellKind::Free => before,
            }
        };
        (0..before.len()).map(cell).collect()
    }
}

/// The same of a sum. One that is odd goes up and down as its amounts do.
fn lowered_sum(
    before: f64,
    amount: f64,
    bounds: std::ops::RangeInclusive<f64>,
    total: f64,
    is_odd: bool,
) -> f64 {
    // Of an infinite offset nothing can be taken, and nothing is known.
    let before = if before.is_finite() { before } else { 0.0 };
    let lowered = match is_odd {
        true => before + amount,
        false if amount.is_nan() => before,
        false => (before + amount.max(*bounds.start()).min(*bounds.end())).min(total.max(before)),
    };
    if lowered.is_finite() { lowered } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(shape: Shape, before: [f64; 3], amounts: [f64; 3], own: f64, total: f64) -> f64 {
        let cells = |sum: f64, odd: f64| [9, sum.to_bits(), odd as u64];
        let found = shape.lowered(
            &cells(before[1], 0.0),
            &cells(amounts[1], 0.0),
            &cells(own, 0.0),
            &cells(total, before[2]),
        );
        f64::from_bits(found[1])
    }

    #[test]
    fn no_more_is_taken_off_than_a_process_has_counted_and_than_there_is() {
        let bucket = |before, amount, own, total| {
            Shape::Bucket.lowered(&[before], &[amount], &[own], &[total])[0]
        };
        for (before, amount, own, total, expected) in [
            (0, 3, 5, 9, 3),
            (2, 3, 5, 9, 5),
            (2, 6, 5, 9, 7),
            (8, 5, 5, 9, 9),
            (9, 5, 5, 9, 9),
            (2, 0, 5, 9, 2),
            (u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX, u64::MAX),
            // A total that has fallen, as when a slot was judged, brings nothing back.
            (9, 1, 5, 7, 9),
        ] {
            assert_eq!(bucket(before, amount, own, total), expected, "{before} {amount}");
        }
    }

    #[test]
    fn a_sum_is_lowered_by_what_is_a_number_and_an_odd_one_by_any() {
        let nan = f64::NAN;
        for (amount, odd, expected) in [
            (1.5, 0.0, 2.0),
            (9.0, 0.0, 4.5),
            (-1.0, 0.0, 0.5),
            (nan, 0.0, 0.5),
            (f64::INFINITY, 0.0, 4.5),
            (f64::NEG_INFINITY, 0.0, 0.5),
            (9.0, 1.0, 9.5),
            (-9.0, 1.0, -8.5),
            (nan, 1.0, 0.5),
            (f64::INFINITY, 1.0, 0.5),
        ] {
            let found = lowered(Shape::Summary, [0.0, 0.5, odd], [0.0, amount, 0.0], 4.0, 8.0);
            assert_eq!(found, expected, "{amount} {odd}");
        }
        assert_eq!(lowered(Shape::Summary, [0.0, 7.5, 0.0], [0.0, 4.0, 0.0], 4.0, 8.0), 8.0);
    }

    #[test]
    fn a_counter_gets_less_than_one_for_what_its_whole_cell_loses_and_can_take_it_back() {
        let counter = |before: f64, amounts: (u64, f64)| {
            let cells = |whole, fraction: f64| [whole, fraction.to_bits()];
            let (before, own, total) = (cells(0, before), cells(10, 0.25), cells(12, 2.75));
            let found = Shape::Counter.lowered(&before, &cells(amounts.0, amounts.1), &own, &total);
            (found[0], f64::from_bits(found[1]))
        };
        assert_eq!(counter(0.0, (6, -0.5)), (6, -0.5));
        assert_eq!(counter(0.0, (6, -5.0)), (6, -1.0));
        assert_eq!(counter(-0.5, (0, 0.75)), (0, 0.25));
        assert_eq!(counter(0.0, (16, 0.125)), (10, 0.125));
        assert_eq!(counter(0.0, (0, 5.0)), (0, 1.25));
        assert_eq!(counter(2.5, (0, 5.0)), (0, 2.75));
    }
}
