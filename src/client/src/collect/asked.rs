//! Gauges that are asked: while a gauge has a callback it shows what that says, and nothing else.
//!
//! Who asks: a registry without supervisor when it is exposed, the thread of `refresh.rs` in the
//! shared one, and where a binding has the callback, that (`raw.rs`). What sets a gauge by hand looks
//! at [`AskedGauges`] first, without a lock.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tallyboard_proto::cell::stamp;
use tallyboard_proto::layout::slot_header;

use super::collector::new_number;
use crate::registry::lookup::{Entry, Lookup};
use crate::instrument::metric::{Gauge, Metric};
use crate::registry::registry::Registry;

/// A callback of the program's own.
type Function = Arc<dyn Fn() -> f64 + Send + Sync>;

/// A gauge that is asked.
#[derive(Clone)]
pub(crate) struct Callback {
    /// No two have the same number, whatever has become of the first.
    pub(crate) number: u64,
    gauge: Gauge,
    /// Nothing where a binding has it.
    function: Option<Function>,
    is_asked: Arc<AtomicBool>,
}

impl Callback {
    /// Whether this crate asks it.
    pub(crate) fn is_ours(&self) -> bool {
        self.function.is_some()
    }

    /// The gauge counts again what it is told to.
    pub(crate) fn end(&self) {
        self.is_asked.store(false, Relaxed);
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Whether any gauge of this process is asked, or was: one load, and programs without callbacks look
/// no further.
static ANY: AtomicBool = AtomicBool::new(false);

/// The gauges of a registry that are asked, as those see it that set them.
#[derive(Debug)]
pub(crate) struct AskedGauges {
    /// See [`Lookup`] for its rules. A gauge that is asked no more stays in it.
    cells: Lookup<AskedCell>,
}

#[derive(Clone, Debug)]
struct AskedCell {
    first: usize,
    is_asked: Arc<AtomicBool>,
}

impl Entry for AskedCell {
    #[inline]
    fn hash(&self) -> u64 {
        hash(self.first)
    }
}

/// Cells of gauges are next to each other in pairs, and the low bits choose the place.
#[inline]
fn hash(first: usize) -> u64 {
    first as u64 / 2
}

impl AskedGauges {
    pub(crate) const fn new() -> Self {
        Self { cells: Lookup::new() }
    }

    /// Whether the gauge with this first cell is asked.
    #[inline]
    pub(crate) fn has(&self, first: usize) -> bool {
        ANY.load(Relaxed) && self.find(first).is_some_and(|cell| cell.is_asked.load(Relaxed))
    }

    fn find(&self, first: usize) -> Option<&AskedCell> {
        self.cells.find(hash(first), |cell| cell.first == first)
    }

    /// Has a gauge be one that is asked. The caller holds the registry's lock.
    fn begin(&self, first: usize) -> Arc<AtomicBool> {
        let known = self.find(first).map(|cell| Arc::clone(&cell.is_asked));
        let is_asked = known.unwrap_or_else(|| {
            let is_asked = Arc::default();
            self.cells.insert(AskedCell { first, is_asked: Arc::clone(&is_asked) });
            is_asked
        });
        is_asked.store(true, Relaxed);
        ANY.store(true, Relaxed);
        is_asked
    }
}

impl Gauge {
    /// Has the gauge ask `value` from now on, and show nothing else: when its registry is exposed, or
    /// every few seconds in the shared one (see
    /// [`RegistryBuilder::refresh_interval`](crate::RegistryBuilder::refresh_interval)). What it is set
    /// to, or added, changes nothing. A callback that panics shows nothing until it answers again. It
    /// ends when the series is removed.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use tallyboard::{Gauge, Registry};
    ///
    /// static WAITING: AtomicUsize = AtomicUsize::new(3);
    /// let registry = Registry::new();
    /// let waiting = Gauge::builder("app_waiting", "Requests that wait.").registry(registry);
    /// waiting.register()?.set_function(|| WAITING.load(Ordering::Relaxed) as f64);
    /// let (_, page) = registry.exposition_of_process("", &[]);
    /// assert!(String::from_utf8_lossy(&page).contains("app_waiting 3\n"));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn set_function(&self, value: impl Fn() -> f64 + Send + Sync + 'static) {
        let registry = self.series().registry;
        registry.ask(*self, Some(Arc::new(value)));
        registry.refresh_soon();
    }
}

impl Registry {
    /// Has a gauge be asked from now on; gives the number of its callback.
    pub(crate) fn ask(&'static self, gauge: Gauge, function: Option<Function>) -> u64 {
        let number = new_number();
        self.first_use();
        // What cannot be set has nobody to ask for.
        if let Some(reason) = gauge.series().refused {
            self.drop_one(reason);
            return number;
        }
        let first = gauge.series().cells.first();
        let mut state = self.state.lock();
        let is_asked = self.asked.begin(first);
        let replaced =
            state.callbacks.insert(first, Callback { number, gauge, function, is_asked });
        drop(state);
        // A callback may use metrics while it is dropped.
        drop(replaced);
        number
    }

    /// Asks the callbacks that this crate has, but those whose numbers are `known`, which has them
    /// afterwards.
    pub(crate) fn run_callbacks(&'static self, known: &mut BTreeSet<u64>) {
        let callbacks: Vec<Callback> = self.state.lock().callbacks.values().cloned().collect();
        for Callback { number, gauge, function, .. } in callbacks {
            let Some(function) = function.filter(|_| known.insert(number)) else { continue };
            let value = catch_unwind(AssertUnwindSafe(|| function())).ok();
            self.answer(&gauge, number, value);
            if value.is_none() {
                self.count_error(&self.name_of(&gauge));
            }
        }
    }

    /// Whether the callback of this number is still the one that a gauge asks.
    pub(crate) fn is_wanted(&self, gauge: &Gauge, number: u64) -> bool {
        let state = self.state.lock();
        let callback = state.callbacks.get(&gauge.series().cells.first());
        callback.is_some_and(|callback| callback.number == number)
    }

    /// Shows what a callback has said, or nothing when it failed; says whether it is still wanted: the
    /// gauge may have been removed while it was asked.
    pub(crate) fn answer(&self, gauge: &Gauge, number: u64, value: Option<f64>) -> bool {
        let first = gauge.series().cells.first();
        let state = self.state.lock();
        let callback = state.callbacks.get(&first).filter(|callback| callback.number == number);
        let (Some(_), Some(mapping)) = (callback, state.page().mapping()) else { return false };
        let series = first.checked_sub(slot_header::WORDS).and_then(|cell| state.series_at(cell));
        match (value, series) {
            (Some(value), Some(_)) => {
                mapping.word(first).store(value.to_bits(), Relaxed);
                stamp(mapping.word(first + 1), gauge.now());
            }
            (None, Some(series)) => state.forget_value(mapping, series),
            (_, None) => {}
        }
        true
    }

    /// What the family of a gauge is called.
    fn name_of(&self, gauge: &Gauge) -> String {
        let state = self.state.lock();
        let cell = gauge.series().cells.first().checked_sub(slot_header::WORDS);
        let series = cell.and_then(|cell| state.series_at(cell));
        let families = state.contents.families();
        let family = series.map(|at| state.contents.series()[at as usize].family);
        family.map_or_else(String::new, |family| families[family as usize].name.to_string())
    }
}
