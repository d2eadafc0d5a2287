//! Histograms with buckets of their program's choice.

use tallyboard_proto::family::Kind;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use super::values::{HistogramValue, buckets};
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

/// The finite upper bounds that a histogram has unless it is given others, in seconds: those of
/// `prometheus_client`.
pub const DEFAULT_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

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
        let Some(spot) = self.series.spot() else { return };
        let buckets = self.bounds.len() + 1;
        spot.mark_odd(buckets + 1, value);
        spot.add(self.bucket(value), 1);
        spot.add_float(buckets, value);
    }

    /// What this process has observed, for tests of a program: see
    /// [`Counter::get`](crate::Counter::get).
    ///
    /// ```
    /// use tallyboard::Histogram;
    ///
    /// let seconds = Histogram::builder("app_seconds", "Time to answer.").buckets(&[0.1, 1.0]);
    /// let seconds = seconds.register()?;
    /// seconds.observe(0.25);
    /// seconds.observe(0.75);
    /// let value = seconds.get();
    /// assert_eq!((value.count, value.sum), (2, 1.0));
    /// let buckets = value.buckets.iter().map(|bucket| (bucket.upper_bound, bucket.cumulative_count));
    /// assert!(buckets.eq([(0.1, 0), (1.0, 2), (f64::INFINITY, 2)]));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> HistogramValue {
        let inf = self.bounds.len();
        let cells = self.series.own_cells().unwrap_or_else(|| vec![0; inf + 2]);
        let mut count = 0_u64;
        let cumulative = cells[..=inf].iter().map(|&bucket| {
            count = count.saturating_add(bucket);
            count
        });
        let buckets = buckets(self.bounds, cumulative);
        HistogramValue { count, sum: f64::from_bits(cells[inf + 1]), buckets }
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

impl Sealed for Histogram {}

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
