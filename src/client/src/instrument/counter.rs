//! Counters.

use tallyboard_proto::cell::{MAX_WHOLE, MIN_LARGE, add_whole};
use tallyboard_proto::family::Kind;
use thiserror::Error;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

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
        if amount < MIN_LARGE {
            self.series.add(0, amount);
        } else if let Some(cells) = self.series.words() {
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
        if amount < MAX_WHOLE && amount.fract() == 0.0 {
            self.inc_by(amount as u64);
        } else if let Some(spot) = self.series.spot() {
            spot.add_float(1, amount);
        }
        Ok(())
    }

    /// What this process has counted since the counter began or was reset, for tests of a program: it
    /// takes a lock. In a child that was forked it begins at 0, but for a registry without supervisor,
    /// of which the child has a copy. What the whole service has counted is on its page.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let letters = Counter::new("mail_sent_total", "Letters sent.")?;
    /// let before = letters.get();
    /// letters.inc_by(3);
    /// assert_eq!(letters.get() - before, 3.0);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> f64 {
        let cells = self.series.own_cells().unwrap_or_else(|| vec![0; 2]);
        cells[0] as f64 + f64::from_bits(cells[1])
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

impl Sealed for Counter {}

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
