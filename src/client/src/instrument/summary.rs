//! Summaries.

use tallyboard_proto::family::Kind;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use super::values::SummaryValue;
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

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
        if let Some(spot) = self.series.spot() {
            spot.mark_odd(2, value);
            spot.add(0, 1);
            spot.add_float(1, value);
        }
    }

    /// What this process has observed, for tests of a program: see
    /// [`Counter::get`](crate::Counter::get).
    ///
    /// ```
    /// use tallyboard::Summary;
    ///
    /// let bytes = Summary::new("app_answer_bytes", "Size of an answer.")?;
    /// bytes.observe(512.0);
    /// assert_eq!((bytes.get().count, bytes.get().sum), (1, 512.0));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> SummaryValue {
        let cells = self.series.own_cells().unwrap_or_else(|| vec![0; 2]);
        SummaryValue { count: cells[0], sum: f64::from_bits(cells[1]) }
    }
}

impl Sealed for Summary {}

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
