//! What a process has counted, as `get` of the instruments gives it.

use tallyboard_exposition::sample::NativeHistogram;

/// What this process has observed in a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HistogramValue {
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The buckets in order of their bounds; the last one is that up to +Inf, which holds all.
    pub buckets: Vec<BucketValue>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BucketValue {
    /// The highest value in it: `le`.
    pub upper_bound: f64,
    /// How many observations are in it or in a bucket before it.
    pub cumulative_count: u64,
}

/// What this process has observed in a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SummaryValue {
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// What this process has observed in a native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NativeHistogramValue {
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The classic buckets; without any there is the one up to +Inf.
    pub buckets: Vec<BucketValue>,
    /// The exponential buckets.
    pub native: NativeHistogram,
}

/// The buckets of these finite bounds, and the one up to +Inf.
pub(super) fn buckets(
    bounds: &[f64],
    cumulative_counts: impl Iterator<Item = u64>,
) -> Vec<BucketValue> {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let bucket = |(upper_bound, cumulative_count)| BucketValue { upper_bound, cumulative_count };
    bounds.zip(cumulative_counts).map(bucket).collect()
}
