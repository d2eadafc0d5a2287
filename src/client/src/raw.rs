//! What bindings need, and no part of what this crate promises: the cells of a series one by one, as
//! their own objects are smaller than a metric (a bucket, a sum), and callbacks and collectors that
//! they ask themselves.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tallyboard_exposition::sample::FamilySamples;
use tallyboard_exposition::text::without_native;
use tallyboard_proto::cell::{add_float, is_odd, stamp};
use tallyboard_proto::exemplar;
use tallyboard_proto::family::GaugeMode;
use tallyboard_segment::process;

pub use crate::registry::questions::LeftOut;
pub use crate::registry::set_value::Number;
pub use tallyboard_exposition::escaping::Escaping;

use crate::instrument::exemplars;
use crate::instrument::family::Family;
use crate::instrument::gauge::Gauge;
use crate::instrument::metric::Metric;
use crate::registry::attach::AttachError;
use crate::registry::background::Task;
use crate::registry::questions::new_number;
use crate::registry::registry::Registry;
use crate::registry::series::SeriesRef;
use crate::registry::set_value::{add_count, is_count};

/// The metrics of the whole service as families of the classic types, with their names escaped: those
/// that are named by their own name or that of a sample, or all. The supervisor is waited for at most
/// that long.
///
/// # Errors
/// As [`Registry::families`].
pub fn classic_families(
    registry: &'static Registry,
    timeout: Duration,
    names: &[&str],
    escaping: Escaping,
) -> Result<Vec<FamilySamples>, AttachError> {
    let mut families = registry.families_named(timeout, names)?;
    families.iter_mut().for_each(without_native);
    Ok(escaping.apply(&families).families.into_owned())
}

/// The oldest stamp there is: 0 says that a series was never set.
const FIRST_STAMP: u64 = 1;

/// A series of any kind.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    series: SeriesRef,
}

/// Removes all series of a family from this process and registers it no longer: its name is free for
/// another definition. Handles of it that are left count where nobody looks.
pub fn retire<M: Metric>(family: &Family<M>) {
    family.retire();
}

impl Series {
    /// The series that a metric counts in.
    #[must_use]
    pub fn of<M: Metric>(metric: &M) -> Self {
        Self { series: *metric.series() }
    }

    /// Whether this process can count in it without waiting for anybody.
    #[inline]
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.series.is_ready()
    }

    /// The first use in this process: waits for the supervisor, until the attach timeout at most.
    #[cold]
    pub fn arrive(&self) {
        self.series.registry().first_use();
    }

    /// Adds to the integer cell of a count. What is no whole number, or would make it more than 2^53,
    /// is counted as dropped.
    #[inline]
    pub fn count(&self, cell: usize, amount: f64) {
        if !is_count(amount) {
            return self.series.refuse_amount();
        }
        if let Some(cells) = self.series.words()
            && add_count(cells.at(cell), amount as u64).is_err()
        {
            self.series.refuse_amount();
        }
    }

    /// Adds an observed amount to a sum, which is followed by the cell that marks it as odd. NaN is
    /// counted as dropped.
    #[inline]
    pub fn sum(&self, cell: usize, amount: f64) {
        if amount.is_nan() {
            return self.series.refuse_amount();
        }
        if let Some(cells) = self.series.words() {
            if is_odd(amount) {
                cells.at(cell + 1).fetch_add(1, Relaxed);
            }
            add_float(cells.at(cell), amount);
        }
    }

    /// What this process has in a cell, since the series began anew; 0 where it has nothing.
    #[must_use]
    pub fn own(&self, cell: usize) -> u64 {
        let cells = self.series.own_cells().unwrap_or_default();
        cells.get(cell).copied().unwrap_or(0)
    }

    /// Shows a series that is set, and was not set yet in this process, as it begins. Whatever any
    /// process sets, before or after, is newer.
    pub fn show_first(&self, stamp_cell: usize) {
        if let Some(cells) = self.series.words() {
            stamp(cells.at(stamp_cell), FIRST_STAMP);
        }
    }

    /// Makes a number of the series what this process has counted of it, whatever that was: upwards
    /// the difference is added, downwards it is taken off, and the series begins anew. What others
    /// have counted stays, and so do the other numbers. What the number cannot be is counted as
    /// dropped.
    pub fn set(&self, number: Number, value: f64) {
        self.series.set(number, value);
    }

    /// Keeps an exemplar of what was counted before, in a bucket of a histogram or of a counter.
    pub fn exemplify(&self, bucket: Option<usize>, value: f64, labels: &[(&str, &str)]) {
        if let Some(labels) = exemplar::labels(labels) {
            exemplars::keep(&self.series, bucket, value, &labels);
        }
    }
}

/// A gauge whose callback a binding has, and asks.
#[derive(Debug)]
pub struct Asked {
    gauge: Gauge,
    number: u64,
}

impl Asked {
    /// Has a gauge show what is answered here, and nothing else. Makes the first use.
    #[must_use]
    pub fn new(gauge: Gauge) -> Self {
        Self { number: gauge.series().registry().ask(gauge.series(), None), gauge }
    }

    /// Whether its answer is still wanted: the series was not removed, and has no other callback.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let series = self.gauge.series();
        series.registry().is_wanted(series.first(), self.number)
    }

    /// Shows what the callback said, or nothing when it failed, if it is still wanted. Does not wait;
    /// the first use must have been made.
    pub fn answer(&self, value: Option<f64>) {
        let series = self.gauge.series();
        series.registry().answer(series.first(), self.number, value);
    }
}

/// A collector that a binding has, and asks.
#[derive(Debug)]
pub struct Collected {
    registry: &'static Registry,
    number: u64,
    mode: GaugeMode,
}

impl Collected {
    /// A collector that has said nothing yet, and how its gauges in many processes become one.
    #[must_use]
    pub fn new(registry: &'static Registry, mode: GaugeMode) -> Self {
        Self { registry, number: new_number(), mode }
    }

    /// Writes what it says now; what it said before and says no more is not shown any more, but for
    /// what it has counted. Does not wait; the first use must have been made.
    pub fn write(&self, families: &[FamilySamples]) -> LeftOut {
        self.registry.write_collected(self.number, self.mode, families)
    }

    /// Ends all that it has said: its samples are gone.
    pub fn end(&self) {
        self.registry.end_collected(self.number);
    }
}

/// Number of the calling thread, as the kernel has it: that of the main thread is the pid.
#[must_use]
pub fn thread_id() -> u32 {
    process::thread_id()
}

/// Whether the first use in this process was made, so that nothing here waits for the supervisor.
#[must_use]
pub fn is_begun(registry: &'static Registry) -> bool {
    registry.page.is_begun()
}

/// Makes the first use: waits for the supervisor, until the attach timeout at most.
pub fn arrive(registry: &'static Registry) {
    drop(registry.first_use());
}

/// Has a thread of its own make the first use.
///
/// # Errors
/// What the system says when it has no thread to give.
pub fn begin(registry: &'static Registry) -> io::Result<()> {
    registry.in_background(Task::new(move || {
        arrive(registry);
        None
    }))
}

/// Tells the threads of the client's own to leave, before the process forks; gives their numbers. One
/// that waits for the supervisor leaves when it has its answer.
#[must_use]
pub fn before_fork(registry: &'static Registry) -> Vec<u32> {
    registry.leave_background()
}

/// Has them go on with what they had to do, in the process that has forked.
pub fn after_fork(registry: &'static Registry) {
    registry.enter_background();
}

/// Counts what a collector or callback of this name failed. Does not wait; the first use must have
/// been made.
pub fn count_error(registry: &'static Registry, name: &str) {
    registry.count_error(name);
}
