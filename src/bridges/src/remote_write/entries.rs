//! Families as series with what is new of them, in the names of the text format: a classic histogram
//! is a series for each bucket, for its count and for its sum.

use std::borrow::Cow;

use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Timestamp, Type, Value,
};
use tallyboard_exposition::series::{is_classic, points, start};

use super::messages::{BucketSpan, Count, Histogram, RESET_GAUGE, RESET_UNKNOWN, ZeroCount};

/// A series that ends has this value: a NaN of these bits.
pub(super) const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Widest and narrowest buckets that Prometheus takes.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Names and values, by name.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What is new of one series.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its labels by name, its own name among them.
    pub(super) labels: Pairs<'a>,
    /// Its family; none when the series has ended.
    pub(super) family: Option<&'a FamilySamples>,
    pub(super) value: Recorded,
    pub(super) at_ms: i64,
    /// Since when it was counted; 0 when that is not said.
    pub(super) start_ms: i64,
    pub(super) exemplars: Vec<&'a Exemplar>,
}

/// A value as it is sent.
#[derive(Clone, Debug)]
pub(super) enum Recorded {
    Number(f64),
    /// Without its times.
    Native(Box<Histogram>),
}

impl Recorded {
    /// What ends a series.
    pub(super) fn stale(is_native: bool) -> Self {
        let sum = f64::from_bits(STALE);
        match is_native {
            false => Self::Number(sum),
            true => {
                let (count, zero_count) = (Some(Count::Whole(0)), Some(ZeroCount::Whole(0)));
                Self::Native(Box::new(Histogram { count, zero_count, sum, ..Histogram::default() }))
            }
        }
    }

    pub(super) fn is_native(&self) -> bool {
        matches!(self, Self::Native(_))
    }
}

/// What the entries of a snapshot have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Labels of every series that has none of that name itself.
    pub(super) external: &'a [(String, String)],
    /// Whether native histograms are sent.
    pub(super) native: bool,
    /// When the snapshot was taken.
    pub(super) at_ms: i64,
}

impl<'a> Rules<'a> {
    /// Gives `each` what is new of every series.
    pub(super) fn each_entry(
        &self,
        families: &'a [FamilySamples],
        mut each: impl FnMut(Entry<'a>),
    ) {
        for family in families {
            for point in points(family) {
                let moment = point.iter().find_map(|sample| sample.timestamp);
                let at_ms = moment.map_or(self.at_ms, Timestamp::millis);
                let start_ms = start(point).map_or(0, Timestamp::millis);
                // A start that is not before its sample is of another clock.
                let start_ms = if start_ms < at_ms { start_ms.max(0) } else { 0 };
                let series = Series { family, point, at_ms, start_ms };
                for sample in point.iter().filter(|sample| sample.suffix != "_created") {
                    self.entries(&series, sample, &mut each);
                }
            }
        }
    }

    fn entries(&self, of: &Series<'a>, sample: &'a Sample, each: &mut impl FnMut(Entry<'a>)) {
        let Some(native) = sample.native.as_deref() else {
            let labels = self.labels(of.family, &sample.suffix, sample, None);
            let value = Recorded::Number(plain(sample.value.as_f64()));
            return each(of.entry(labels, value, sample.exemplar.iter().collect()));
        };
        let histogram = histogram(of.family.kind, sample.value, native).filter(|_| self.native);
        if let Some(histogram) = histogram {
            let labels = self.labels(of.family, "", sample, None);
            let exemplars = native.exemplars.iter().collect();
            return each(of.entry(labels, Recorded::Native(Box::new(histogram)), exemplars));
        }
        if of.point.iter().any(is_classic) {
            return;
        }
        // What the formats without native histograms have of one.
        let [count, sum] = match of.family.kind {
            Type::GaugeHistogram => ["_gcount", "_gsum"],
            _ => ["_count", "_sum"],
        };
        let all = sample.value.as_f64();
        let parts = [("_bucket", Some("+Inf"), all), (count, None, all), (sum, None, native.sum)];
        for (suffix, le, value) in parts {
            let labels = self.labels(of.family, suffix, sample, le);
            each(of.entry(labels, Recorded::Number(plain(value)), Vec::new()));
        }
    }

    /// The labels of a sample, and what is put beside them: none is empty, and none is there twice.
    fn labels(
        &self,
        family: &'a FamilySamples,
        suffix: &'a str,
        sample: &'a Sample,
        le: Option<&'a str>,
    ) -> Pairs<'a> {
        let name = match suffix {
            "" => Cow::Borrowed(&*family.name),
            _ => Cow::Owned(format!("{}{suffix}", family.name)),
        };
        let borrowed = |name: &'a str, value: &'a str| (Cow::Borrowed(name), Cow::Borrowed(value));
        let own = sample.labels().chain(le.map(|le| ("le", le)));
        let external = self.external.iter().map(|(name, value)| (&**name, &**value));
        let mut labels: Pairs<'a> = vec![(Cow::Borrowed("__name__"), name)];
        labels.extend(own.chain(external).map(|(name, value)| borrowed(name, value)));
        labels.retain(|(name, value)| !name.is_empty() && !value.is_empty());
        // Stable: of two of one name that of the sample itself comes first.
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|later, first| later.0 == first.0);
        labels
    }
}

/// The samples of one series in the sense of its family.
struct Series<'a> {
    family: &'a FamilySamples,
    point: &'a [Sample],
    at_ms: i64,
    start_ms: i64,
}

impl<'a> Series<'a> {
    fn entry(&self, labels: Pairs<'a>, value: Recorded, exemplars: Vec<&'a Exemplar>) -> Entry<'a> {
        let (at_ms, start_ms) = (self.at_ms, self.start_ms);
        Entry { labels, family: Some(self.family), value, at_ms, start_ms, exemplars }
    }
}

/// A number that ends no series.
fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

/// A native histogram as Prometheus takes it; `None` for one that it would refuse, and with it all
/// that is in the request.
fn histogram(kind: Type, count: Value, native: &NativeHistogram) -> Option<Histogram> {
    let sides = [&native.negative, &native.positive];
    if !SCHEMAS.contains(&native.schema) || !sides.iter().all(|side| has_spans(side)) {
        return None;
    }
    let reset_hint = if kind == Type::GaugeHistogram { RESET_GAUGE } else { RESET_UNKNOWN };
    let [negative_spans, positive_spans] = sides.map(spans);
    let histogram = Histogram {
        sum: plain(native.sum),
        schema: native.schema,
        zero_threshold: native.zero_threshold,
        negative_spans,
        positive_spans,
        reset_hint,
        ..Histogram::default()
    };
    let counts = [counts(&native.negative), counts(&native.positive)];
    match (whole(count), whole(native.zero_count), counts) {
        (Some(count), Some(zero), [Some(negative), Some(positive)]) => {
            let buckets = negative.iter().chain(&positive).copied().map(i128::from);
            let total = buckets.sum::<i128>() + i128::from(zero);
            let missing = i128::from(count) - total;
            // What is not a number is counted and in no bucket.
            let is_sound = if native.sum.is_nan() { missing >= 0 } else { missing == 0 };
            is_sound.then(|| Histogram {
                count: Some(Count::Whole(count.cast_unsigned())),
                zero_count: Some(ZeroCount::Whole(zero.cast_unsigned())),
                negative_deltas: deltas(&negative),
                positive_deltas: deltas(&positive),
                ..histogram
            })
        }
        _ => {
            let floats = |side: &NativeBuckets| side.counts.iter().map(|c| c.as_f64()).collect();
            let [negative_counts, positive_counts] = sides.map(floats);
            Some(Histogram {
                count: Some(Count::Float(count.as_f64())),
                zero_count: Some(ZeroCount::Float(native.zero_count.as_f64())),
                negative_counts,
                positive_counts,
                ..histogram
            })
        }
    }
}

/// Whether the spans are of as many buckets as there are counts, one behind the other.
fn has_spans(buckets: &NativeBuckets) -> bool {
    let length: u64 = buckets.spans.iter().map(|span| u64::from(span.length)).sum();
    let is_rising = buckets.spans.iter().skip(1).all(|span| span.offset >= 0);
    is_rising && length == buckets.counts.len() as u64
}

fn spans(buckets: &NativeBuckets) -> Vec<BucketSpan> {
    let spans = buckets.spans.iter();
    spans.map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
}

fn counts(buckets: &NativeBuckets) -> Option<Vec<i64>> {
    buckets.counts.iter().copied().map(whole).collect()
}

fn whole(value: Value) -> Option<i64> {
    match value {
        Value::Whole(value) => i64::try_from(value).ok(),
        Value::Float(value) if value >= 0.0 && value < 2_f64.powi(63) && value.fract() == 0.0 => {
            Some(value as i64)
        }
        Value::Float(_) => None,
    }
}

/// How much more each has than the one before it.
fn deltas(counts: &[i64]) -> Vec<i64> {
    let before = std::iter::once(0).chain(counts.iter().copied());
    counts.iter().zip(before).map(|(count, before)| count - before).collect()
}
