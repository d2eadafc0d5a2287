//! How a worker writes cells.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// From here on a float no longer counts in ones: a whole cell takes less than this at once, and when
/// it holds as much itself, no large amounts any more.
pub const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The least of the amounts by which a whole cell could wrap in the life of a process.
pub const MIN_LARGE: u64 = 1 << 32;
/// The most that a cell holds that rises by one: nobody who counts has written more.
pub const MAX_COUNT: u64 = 1 << 53;

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

/// Whether a sum that an observation is added to may fall by it. The series is marked as odd before.
#[inline]
#[must_use]
pub fn is_odd(value: f64) -> bool {
    !(0.0..f64::INFINITY).contains(&value)
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
        }
        assert_eq!(cells[0].load(Relaxed), (1 << 53) + 1);
        assert!((value() / expected - 1.0).abs() < 1e-9, "{} of {expected}", value());
    }
}
