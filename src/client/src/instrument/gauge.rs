//! Gauges.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use tallyboard_proto::cell::{add_float, stamp};
use tallyboard_proto::family::{GaugeMode, Kind};
use thiserror::Error;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

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

    /// What this process has set it to, or 0; where the program has given it a callback, what that says
    /// now. For tests of a program: see [`Counter::get`](crate::Counter::get).
    ///
    /// ```
    /// use tallyboard::Gauge;
    ///
    /// let level = Gauge::new("tank_level", "How full the tank is.")?;
    /// level.set(0.5);
    /// level.sub(0.125);
    /// assert_eq!(level.get(), 0.375);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    ///
    /// # Panics
    /// When its callback does.
    #[must_use]
    pub fn get(&self) -> f64 {
        match self.series.function() {
            Some(function) => function(),
            None => f64::from_bits(self.series.own_cells().map_or(0, |cells| cells[0])),
        }
    }

    /// Whether it shows what a callback says, and nothing else.
    #[inline]
    fn is_asked(&self) -> bool {
        self.series.is_asked()
    }

    /// The stamp of what it is set to now.
    fn now(&self) -> u64 {
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

impl Sealed for Gauge {}

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
