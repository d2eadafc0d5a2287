//! The instruments: counter, gauge, histogram, summary. Each is a handle on a few cells: cheap to
//! copy, usable from statics and from any thread, valid before and after a fork.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use tallyboard_proto::cell::{add_amount, add_float, add_whole, stamp};
use tallyboard_proto::family::{GaugeMode, Kind};
use thiserror::Error;

use crate::registry::definition::{FamilyRef, SeriesRef};
use crate::error::RegisterError;
use super::family::Builder;

/// The finite upper bounds that a histogram has unless it is given others, in seconds: those of
/// `prometheus_client`.
pub const DEFAULT_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What every instrument can do: be made of a series.
pub trait Metric: sealed::Sealed {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self;

    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef;
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Counter {}
    impl Sealed for super::Gauge {}
    impl Sealed for super::Histogram {}
    impl Sealed for super::Summary {}
}

/// An amount that a counter cannot take.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error(
    "a counter goes up by a finite amount of 0 or more, found {found}; use a gauge for what goes down"
)]
pub struct AmountError {
    /// The amount found.
    pub found: f64,
}

/// Something that only goes up: requests, errors, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    series: SeriesRef,
}

impl Counter {
    /// Registers a counter without labels. `_total` at the end of the name is optional: the
    /// exposition always has it.
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes a counter.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(Kind::Counter, name, help)
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds a whole amount: exact, and a single atomic addition. An amount of 2^53 or more is added as
    /// a float is, and so are those from 2^32 on once the counter is that high.
    #[inline]
    pub fn inc_by(&self, amount: u64) {
        if let Some(cells) = self.series.words() {
            add_whole(cells.at(0), cells.at(1), amount);
        }
    }

    /// Adds an amount with a fraction, such as seconds.
    ///
    /// # Errors
    /// [`AmountError`] for a negative amount, an infinity or NaN: nothing is added, and the refusal
    /// is counted as dropped.
    #[inline]
    pub fn add(&self, amount: f64) -> Result<(), AmountError> {
        if !(0.0..f64::INFINITY).contains(&amount) {
            self.series.refuse_amount();
            return Err(AmountError { found: amount });
        }
        if let Some(cells) = self.series.words() {
            add_amount(cells.at(0), cells.at(1), amount);
        }
        Ok(())
    }

    /// Begins anew at 0, for all processes: what any of them has counted by now is no longer shown,
    /// and the created time is that of the reset. What others count while it is under way may be on
    /// either side of it.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let items = Counter::new("batch_items_total", "Items of the batch.")?;
    /// items.inc_by(100);
    /// items.reset();
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn reset(&self) {
        self.series.reset();
    }
}

impl Metric for Counter {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, _: FamilyRef) -> Self {
        Self { series }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}

/// A time that a gauge cannot be set at.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimestampError {
    /// The mode of the gauge has no order of time.
    #[error(
        "expected a gauge of mode mostrecent or livemostrecent, found another; set it without a time, or choose one of these modes"
    )]
    Mode,
    /// The time is before 1970.
    #[error("expected a time from 1970 on, found an earlier one; see whether the clock is set")]
    Time,
}

/// Something that goes up and down: requests in progress, memory, temperature. Its mode says how
/// the values of many processes become one.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    series: SeriesRef,
    is_ordered: bool,
}

impl Gauge {
    /// Registers a gauge without labels, of the registry's mode: [`GaugeMode::All`] unless
    /// [`RegistryBuilder::gauge_mode`](crate::RegistryBuilder::gauge_mode) says otherwise.
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes a gauge, of the registry's mode unless another is given.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        let mut builder = Builder::new(Kind::Gauge(GaugeMode::All), name, help);
        builder.has_mode = false;
        builder
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        if self.is_asked() {
            return;
        }
        if let Some(cells) = self.series.words() {
            cells.at(0).store(value.to_bits(), Relaxed);
            stamp(cells.at(1), self.now());
        }
    }

    /// Sets the value as it was at a time of the caller's, in the modes `mostrecent` and
    /// `livemostrecent`: of all processes the value with the newest time counts. A time that is not
    /// newer than that of this process's value changes nothing.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tallyboard::{Gauge, GaugeMode};
    ///
    /// let offset = Gauge::builder("app_offset", "Position in the queue.");
    /// let offset = offset.mode(GaugeMode::MostRecent).register()?;
    /// offset.set_at(17.0, SystemTime::now() - Duration::from_secs(60))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TimestampError`] in other modes, and for a time before 1970: nothing is set.
    pub fn set_at(&self, value: f64, at: SystemTime) -> Result<(), TimestampError> {
        let since = at.duration_since(UNIX_EPOCH).map_err(|_| TimestampError::Time)?;
        if !self.is_ordered {
            return Err(TimestampError::Mode);
        }
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1);
        if self.is_asked() {
            return Ok(());
        }
        if let Some(cells) = self.series.words()
            && cells.at(1).load(Relaxed) < now
        {
            cells.at(0).store(value.to_bits(), Relaxed);
            stamp(cells.at(1), now);
        }
        Ok(())
    }

    /// Sets the value to the current time, in seconds since 1970.
    pub fn set_to_current_time(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.set(now.as_secs_f64());
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    #[inline]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds an amount, which may be negative.
    #[inline]
    pub fn add(&self, amount: f64) {
        self.try_add(amount);
    }

    /// Says whether the amount could be counted.
    #[inline]
    pub(crate) fn try_add(&self, amount: f64) -> bool {
        if self.is_asked() {
            return false;
        }
        let Some(cells) = self.series.words() else { return false };
        add_float(cells.at(0), amount);
        stamp(cells.at(1), self.now());
        true
    }

    /// Takes an amount away.
    #[inline]
    pub fn sub(&self, amount: f64) {
        self.add(-amount);
    }

    /// Whether it shows what a callback says, and nothing else.
    #[inline]
    fn is_asked(&self) -> bool {
        self.series.registry.asked.has(self.series.cells.first())
    }

    /// The stamp of what it is set to now.
    pub(crate) fn now(&self) -> u64 {
        if self.is_ordered { self.series.now_ns() } else { 1 }
    }
}

impl Builder<Gauge> {
    /// How the values of many processes become one.
    pub fn mode(mut self, mode: GaugeMode) -> Self {
        self.kind = Kind::Gauge(mode);
        self.has_mode = true;
        self
    }
}

impl Metric for Gauge {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self {
        let is_ordered = matches!(family.family().kind, Kind::Gauge(mode) if mode.is_ordered());
        Self { series, is_ordered }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}

/// Counts observations by size: latencies, sizes.
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    series: SeriesRef,
    bounds: &'static [f64],
}

impl Histogram {
    /// Registers a histogram without labels, with [`DEFAULT_BUCKETS`].
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes a histogram, with [`DEFAULT_BUCKETS`] unless others are given.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(Kind::Histogram(DEFAULT_BUCKETS.into()), name, help)
    }

    /// Counts an observation in the first bucket whose upper bound is not below it. NaN is in no bucket
    /// and would take the sum of all others: it is counted as dropped and nowhere else.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return self.series.refuse_amount();
        }
        let Some(cells) = self.series.words() else { return };
        let buckets = self.bounds.len() + 1;
        mark_odd(value, || cells.at(buckets + 1));
        cells.at(self.bucket(value)).fetch_add(1, Relaxed);
        add_float(cells.at(buckets), value);
    }

    /// The bucket that an observation counts in.
    #[inline]
    pub(crate) fn bucket(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }
}

impl Builder<Histogram> {
    /// The finite upper bounds of the buckets, rising; the one up to +Inf is implied.
    pub fn buckets(mut self, bounds: &[f64]) -> Self {
        self.kind = Kind::Histogram(bounds.into());
        self
    }
}

impl Metric for Histogram {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self {
        let bounds = match &family.family().kind {
            Kind::Histogram(bounds) => &**bounds,
            _ => &[],
        };
        Self { series, bounds }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}

/// Counts and sums observations.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    series: SeriesRef,
}

impl Summary {
    /// Registers a summary without labels.
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes a summary.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(Kind::Summary, name, help)
    }

    /// Counts an observation. NaN would take the sum of all others: it is counted as dropped and nowhere
    /// else.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return self.series.refuse_amount();
        }
        if let Some(cells) = self.series.words() {
            mark_odd(value, || cells.at(2));
            cells.at(0).fetch_add(1, Relaxed);
            add_float(cells.at(1), value);
        }
    }
}

impl Metric for Summary {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, _: FamilyRef) -> Self {
        Self { series }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}

/// Marks a series whose sum may fall from now on, before the sum does.
#[inline]
pub(crate) fn mark_odd<'a>(value: f64, odd: impl FnOnce() -> &'a std::sync::atomic::AtomicU64) {
    if !(0.0..f64::INFINITY).contains(&value) {
        odd().fetch_add(1, Relaxed);
    }
}
