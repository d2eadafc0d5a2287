//! What one metric has counted in this process by itself, whoever else counts in its series.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, TryLockError};

use pyo3::prelude::*;

/// A number of a metric that is exposed by itself: of a registry of the application's own, where other
/// metrics may count in the same series, or of one that the arena refuses. A forked child goes on with
/// a copy, as it does with any number of Python's.
#[derive(Default)]
pub(crate) struct Own {
    bits: AtomicU64,
    /// As of which time it was set, in seconds since 1970.
    at: AtomicU64,
    exemplar: Mutex<Option<Py<PyAny>>>,
}

impl Own {
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Relaxed))
    }

    #[inline]
    pub(crate) fn add(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        let _ = self.bits.fetch_update(Relaxed, Relaxed, add);
    }

    pub(crate) fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Relaxed);
    }

    /// Sets it as it was at a time, unless it was set as of a later one.
    pub(crate) fn set_at(&self, value: f64, timestamp: f64) {
        let is_newer = |at: u64| (timestamp >= f64::from_bits(at)).then_some(timestamp.to_bits());
        if self.at.fetch_update(Relaxed, Relaxed, is_newer).is_ok() {
            self.set(value);
        }
    }

    /// Keeps the newest exemplar. Nobody waits here: a child whose parent was forked in between would
    /// wait for ever, and of exemplars that come at once one is as good as another.
    pub(crate) fn set_exemplar(&self, exemplar: Py<PyAny>) {
        let replaced = match self.exemplar.try_lock() {
            Ok(mut kept) => kept.replace(exemplar),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        };
        // It may run Python's code as it goes.
        drop(replaced);
    }

    pub(crate) fn exemplar(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.exemplar.try_lock().ok()?.as_ref().map(|exemplar| exemplar.clone_ref(py))
    }
}
