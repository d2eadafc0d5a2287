//! What a process looks up rather than counts: functions that are asked. Who asks them, when, and what
//! becomes of the answers is not said here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;

use tallyboard_exposition::sample::FamilySamples;
use tallyboard_proto::family::{Family, GaugeMode};

use super::lookup::{Entry, Lookup};

/// What a collector says that is not shown, by the names of samples or families: why not.
pub type LeftOut = BTreeMap<String, String>;

/// What a process has to ask.
#[derive(Default)]
pub(crate) struct Questions {
    /// The callbacks of series, by the first cells of these.
    pub(crate) callbacks: BTreeMap<usize, Callback>,
    /// What gives whole families.
    pub(crate) sources: Vec<Source>,
    /// The series that each source holds, by its number: their first cells. Those that it gave last,
    /// and what it has counted before.
    pub(crate) given: BTreeMap<u64, BTreeSet<usize>>,
    /// What was warned of: samples that cannot be shown, by source.
    pub(crate) left_out: BTreeSet<(&'static str, String)>,
    /// The thread that asks.
    pub(crate) asker: Asker,
    /// Starts that thread, where there is something to ask, at the first use of a process.
    pub(crate) start: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// A thread of a process that asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The process that it is of.
    pub(crate) life: u64,
    /// Nothing until it runs.
    pub(crate) thread: Option<Thread>,
}

/// A callback of the program's own.
pub(crate) type Function = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What says the value of a series.
#[derive(Clone)]
pub(crate) struct Callback {
    /// No two have the same number, whatever has become of the first.
    pub(crate) number: u64,
    /// Nothing where a binding has it.
    pub(crate) function: Option<Function>,
    pub(crate) is_asked: Arc<AtomicBool>,
}

/// What says families.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) number: u64,
    /// What it is called where its errors are counted.
    pub(crate) name: &'static str,
    /// The names of its samples.
    pub(crate) families: Arc<[Family]>,
    /// How its gauges in many processes become one.
    pub(crate) mode: GaugeMode,
    pub(crate) function: Arc<dyn Fn() -> Vec<FamilySamples> + Send + Sync>,
}

impl Questions {
    /// Whether this crate has to ask anything itself.
    pub(crate) fn has_any(&self) -> bool {
        let is_ours = |callback: &Callback| callback.function.is_some();
        !self.sources.is_empty() || self.callbacks.values().any(is_ours)
    }

    /// Asks for the series at these cells no more: they count again what they are told to. Gives what
    /// is to be dropped.
    pub(crate) fn end(&mut self, cells: &[usize]) -> Vec<Callback> {
        let ended = cells.iter().filter_map(|first| self.callbacks.remove(first));
        ended.inspect(|callback| callback.is_asked.store(false, Relaxed)).collect()
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = |callback: &Callback| callback.number;
        f.debug_struct("Questions")
            .field("callbacks", &self.callbacks.values().map(numbers).collect::<Vec<u64>>())
            .field("sources", &self.sources.iter().map(|source| source.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The number of a callback or source: no two have the same one.
pub(crate) fn new_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Relaxed)
}

/// Whether any series of this process is asked, or was: one load, and programs without callbacks look
/// no further.
static ANY: AtomicBool = AtomicBool::new(false);

/// The series of a registry that are asked, as those see it that set them: without a lock.
#[derive(Debug)]
pub(crate) struct AskedSeries {
    /// See [`Lookup`] for its rules. A series that is asked no more stays in it.
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

impl AskedSeries {
    pub(crate) const fn new() -> Self {
        Self { cells: Lookup::new() }
    }

    /// Whether the series with this first cell is asked.
    #[inline]
    pub(crate) fn has(&self, first: usize) -> bool {
        ANY.load(Relaxed) && self.find(first).is_some_and(|cell| cell.is_asked.load(Relaxed))
    }

    fn find(&self, first: usize) -> Option<&AskedCell> {
        self.cells.find(hash(first), |cell| cell.first == first)
    }

    /// Has a series be one that is asked. The caller holds the registry's lock.
    pub(crate) fn begin(&self, first: usize) -> Arc<AtomicBool> {
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
