//! Native histograms: buckets of exponential size, which begin when something falls into them.

use std::sync::LazyLock;

use tallyboard_exposition::native::Counted;
use tallyboard_proto::family::{BUCKET_PREFIX, Kind};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::native::{Bucket, DEFAULT_ZERO_THRESHOLD, Native, cells};
use tallyboard_segment::fork::Cells;
use tallyboard_segment::mapping::SlotMapping;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use super::values::{NativeHistogramValue, buckets};
use crate::error::RegisterError;
use crate::registry::parts::Parts;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;
use crate::registry::state::State;

/// Buckets per power of two unless a histogram is given another schema: 2^3, each 9 % wide.
const DEFAULT_SCHEMA: i8 = 3;
/// How many buckets a histogram may have unless it is told otherwise.
const DEFAULT_MAX_BUCKETS: u16 = 160;

/// Counts observations by size in exponential buckets, without bounds that have to be chosen: a
/// native histogram of Prometheus. What no observation has fallen into takes no room. When there are
/// more buckets than there may be, they become twice as wide, as often as it takes; what was counted
/// before is counted in the wider ones.
///
/// Formats without native histograms (text and OpenMetrics 1.0) show its classic buckets, or without
/// any its count and sum alone.
///
/// The first observation in a bucket takes a lock of its process, so a native histogram is not for
/// signal handlers; all others are as cheap as those of a [`Histogram`](crate::Histogram).
///
/// ```
/// use tallyboard::{NativeHistogram, Timed};
///
/// let seconds = NativeHistogram::new("app_lookup_seconds", "Time to look something up.")?;
/// seconds.observe(0.000_25);
/// seconds.time(|| "found");
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NativeHistogram {
    series: SeriesRef,
    native: &'static Native,
    buckets: &'static Parts,
}

impl NativeHistogram {
    /// Registers a native histogram without labels, of schema 3 with at most 160 buckets.
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes a native histogram, of schema 3 with at most 160 buckets unless others are given.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(Kind::NativeHistogram(defaults()), name, help)
    }

    /// Counts an observation. NaN is in no bucket and would take the sum of all others: it is counted as
    /// dropped and nowhere else.
    #[inline]
    pub fn observe(&self, value: f64) {
        let Some(own) = self.series.spot() else { return };
        match self.native.bucket(value) {
            None => return self.series.refuse_amount(),
            Some(bucket) if self.native.is_own_zero(bucket) => {
                own.mark_odd(cells::ODD, value);
                own.add(cells::ZERO, 1);
            }
            Some(bucket) => {
                let Some(counted) = self.cells_of(bucket) else { return };
                let Some(count) = self.series.spot_of(&counted) else { return };
                own.mark_odd(cells::ODD, value);
                count.add(0, 1);
            }
        }
        own.add_float(cells::SUM, value);
    }

    /// What this process has observed, for tests of a program: see
    /// [`Counter::get`](crate::Counter::get).
    ///
    /// ```
    /// use tallyboard::NativeHistogram;
    /// use tallyboard::sample::Value;
    ///
    /// let bytes = NativeHistogram::builder("app_page_bytes", "Size of a page.").schema(0).register()?;
    /// bytes.observe(0.0);
    /// bytes.observe(3.0);
    /// let value = bytes.get();
    /// assert_eq!((value.count, value.sum), (2, 3.0));
    /// assert_eq!(value.native.zero_count, Value::Whole(1));
    /// assert_eq!(value.native.positive.counts, [Value::Whole(1)]);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> NativeHistogramValue {
        self.series.registry().first_use();
        let own = self.series.locked(|state, mapping, series| {
            (state.own_cells(mapping, series), counted(state, mapping, series))
        });
        let (own, parts) = own.unwrap_or_else(|| (vec![0; cells::COUNT], Vec::new()));
        let sum = f64::from_bits(own[cells::SUM]);
        let Counted { count, classic, histogram } =
            Counted::new(self.native, &own, sum, parts.into_iter());
        let buckets = buckets(&self.native.bounds, classic.into_iter());
        NativeHistogramValue { count, sum, buckets, native: histogram }
    }

    /// Begins anew at 0, for all processes: see [`Counter::reset`](crate::Counter::reset).
    ///
    /// ```
    /// use tallyboard::NativeHistogram;
    ///
    /// let bytes = NativeHistogram::new("batch_item_bytes", "Size of the items of the batch.")?;
    /// bytes.observe(1200.0);
    /// bytes.reset();
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn reset(&self) {
        self.series.reset();
    }

    /// The classic bucket that an observation is in.
    pub(crate) fn classic(&self, value: f64) -> usize {
        self.native.classic(value).into()
    }

    /// The cell of a bucket at the level of this process.
    #[inline]
    fn cells_of(&self, bucket: Bucket) -> Option<Cells> {
        let known = bucket.at_level(self.buckets.level());
        self.buckets.find(key(known)).or_else(|| self.begin(bucket))
    }

    /// Begins a bucket, or finds it where the registry knows it; counts what has no room as dropped.
    #[cold]
    fn begin(&self, bucket: Bucket) -> Option<Cells> {
        let begun = self.series.locked(|state, mapping, series| {
            let level = self.buckets.level();
            let (bucket, at) = begin(state, mapping, series, self.native, level, bucket)?;
            let cells = state.page().cells(at, 1);
            self.buckets.insert(bucket.level, key(bucket), cells);
            Ok(cells)
        });
        let begun = begun.unwrap_or(Err(DropReason::Reentered));
        begun.inspect_err(|reason| self.series.drop_one(*reason)).ok()
    }
}

impl Sealed for NativeHistogram {}

impl Metric for NativeHistogram {
    const HAS_PARTS: bool = true;

    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self {
        static NOWHERE: Parts = Parts::new();
        static NONE: LazyLock<Native> = LazyLock::new(defaults);
        let native = match &family.family().kind {
            Kind::NativeHistogram(native) => native,
            _ => &NONE,
        };
        Self { series, native, buckets: series.parts().unwrap_or(&NOWHERE) }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}

fn defaults() -> Native {
    Native {
        schema: DEFAULT_SCHEMA,
        zero_threshold: DEFAULT_ZERO_THRESHOLD,
        max_buckets: DEFAULT_MAX_BUCKETS,
        bounds: Box::default(),
    }
}

impl Builder<NativeHistogram> {
    /// How fine the buckets are: 2^schema of them for each power of two, from -4 to 8.
    pub fn schema(self, schema: i8) -> Self {
        self.change(|native| native.schema = schema)
    }

    /// What is not further from zero than this is in the zero bucket.
    pub fn zero_threshold(self, zero_threshold: f64) -> Self {
        self.change(|native| native.zero_threshold = zero_threshold)
    }

    /// How many buckets there may be beside the zero bucket, from 1 to 4,096: the schema becomes
    /// coarser when there would be more, down to -4.
    pub fn max_buckets(self, max_buckets: u16) -> Self {
        self.change(|native| native.max_buckets = max_buckets)
    }

    /// Classic buckets beside the native ones, by their finite upper bounds, rising: each
    /// observation is counted once and is in both.
    pub fn classic_buckets(self, bounds: &[f64]) -> Self {
        self.change(|native| native.bounds = bounds.into())
    }

    fn change(mut self, change: impl FnOnce(&mut Native)) -> Self {
        if let Kind::NativeHistogram(native) = &mut self.kind {
            change(native);
        }
        self
    }
}

/// Finds or begins a bucket, no finer than `level`, and as wide as it must be for the histogram to have
/// no more than it may; gives it and its cell.
fn begin(
    state: &mut State,
    mapping: &SlotMapping,
    series: u32,
    native: &Native,
    level: u8,
    bucket: Bucket,
) -> Result<(Bucket, usize), DropReason> {
    let known = state.contents.buckets_of(series);
    let least = known.iter().map(|(known, _)| known.level).fold(level, u8::max);
    let of_least = bucket.at_level(least);
    if let Some(&(bucket, part)) = known.iter().find(|(known, _)| *known == of_least) {
        return Ok((bucket, state.first_of(part)));
    }
    let all = known.iter().map(|(known, _)| *known).chain([bucket]);
    let bucket = bucket.at_level(native.level(least, all));
    let of = state.contents.series()[series as usize].clone();
    let family = state.part_of(mapping, of.family, BUCKET_PREFIX, Kind::Bucket(native.clone()))?;
    let text = bucket.to_string().into();
    let values: Vec<Box<str>> = of.values.into_iter().chain([text]).collect();
    let known = state.contents.find_series(family, &values);
    let begin = || state.begin_series(Some(mapping), family, &values).map(|begun| begun as u32);
    let part = known.map_or_else(begin, Ok)?;
    Ok((bucket, state.first_of(part)))
}

/// What this process has counted in the buckets of a series, since it began anew.
pub(crate) fn counted(state: &State, mapping: &SlotMapping, series: u32) -> Vec<(Bucket, u64)> {
    let ended = state.ended.get(&series);
    let before = |part| ended.and_then(|ended| ended.buckets.get(&part)).copied().unwrap_or(0);
    let count = |part| state.cells_of(mapping, part)[0].saturating_sub(before(part));
    let buckets = state.contents.buckets_of(series).iter();
    buckets.map(|&(bucket, part)| (bucket, count(part))).collect()
}

/// A bucket by one number: the index, by which neighbours follow each other, and above it the rest.
#[inline]
fn key(bucket: Bucket) -> u64 {
    let Bucket { classic, side, index, level } = bucket;
    let rest = u64::from(classic) << 16 | (side as u64) << 8 | u64::from(level);
    rest << 32 | u64::from(index.cast_unsigned())
}
