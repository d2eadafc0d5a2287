//! Sums that may fall.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Marks a series whose sum may fall from now on, before the sum does.
#[inline]
pub(crate) fn mark_odd<'a>(value: f64, odd: impl FnOnce() -> &'a AtomicU64) {
    if !(0.0..f64::INFINITY).contains(&value) {
        odd().fetch_add(1, Relaxed);
    }
}
