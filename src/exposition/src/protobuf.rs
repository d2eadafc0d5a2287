//! Prometheus' protocol buffers: messages of `io.prometheus.client`, each behind its length
//! (<https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>).

use std::borrow::Cow;

use prost::Message;

use self::message::{
    Bucket, BucketSpan, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily,
};
use self::message::{MetricType, Quantile, Summary, Untyped};
use crate::clash::own_suffix;
use crate::format::Choices;
use crate::rules;
use crate::sample::{Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Timestamp};
use crate::sample::{Type, Value};
use crate::series::{bound, points, series_labels, start};
use crate::text::classic_samples;

/// Writes a family as a message behind its length. Gives how many series were written: one that this
/// format has no place for is left out.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples, choices: &Choices) -> usize {
    // Messages one behind the other are one message with the fields of all of them: so the series
    // of a large family need not be in memory at once.
    let mut message = head(family).encode_to_vec();
    let mut written = 0;
    for point in points(family) {
        let point = match choices.native_buckets {
            true => Cow::Borrowed(point),
            false => classic_samples(family.kind, point),
        };
        if !fits(family.kind, &point) {
            continue;
        }
        written += 1;
        let metric = vec![metric(family.kind, &point, choices)];
        let part = MetricFamily { metric, ..MetricFamily::default() };
        message.extend_from_slice(&part.encode_to_vec());
    }
    let unit = Some(family.unit.clone()).filter(|unit| !unit.is_empty());
    message.extend_from_slice(&MetricFamily { unit, ..MetricFamily::default() }.encode_to_vec());
    write_length(page, message.len());
    page.extend_from_slice(&message);
    written
}

/// Whether a series has a place here: not the count of a summary that is none of 64 bits, native
/// buckets that are not those of their spans, and a moment whose milliseconds do not fit.
fn fits(kind: Type, point: &[Sample]) -> bool {
    let count = |sample: &Sample| kind != Type::Summary || split(Some(sample.value)).0.is_some();
    let is_good = |sample: &Sample| match (&*sample.suffix, &sample.native) {
        ("_count", _) => count(sample),
        (_, Some(native)) => {
            rules::has_spans(&native.positive) && rules::has_spans(&native.negative)
        }
        _ => true,
    };
    point.iter().all(|sample| is_good(sample) && sample.timestamp.is_none_or(Timestamp::has_millis))
}

/// Writes a length in groups of seven bits, the lowest first.
fn write_length(page: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        page.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    page.push(length as u8);
}

/// What a family says before its series.
fn head(family: &FamilySamples) -> MetricFamily {
    let kind = match family.kind {
        Type::Counter => MetricType::Counter,
        Type::Gauge | Type::StateSet | Type::Info => MetricType::Gauge,
        Type::Histogram => MetricType::Histogram,
        Type::GaugeHistogram => MetricType::GaugeHistogram,
        Type::Summary => MetricType::Summary,
        Type::Unknown => MetricType::Untyped,
    };
    MetricFamily {
        name: Some(format!("{}{}", family.name, own_suffix(family))),
        help: Some(family.help.clone()).filter(|help| !help.is_empty()),
        r#type: Some(kind.into()),
        ..MetricFamily::default()
    }
}

fn metric(kind: Type, point: &[Sample], choices: &Choices) -> Metric {
    let label = |(name, value): (&str, &str)| LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    };
    let mut timed = point.iter().filter(|sample| sample.suffix != "_created");
    let mut metric = Metric {
        label: series_labels(kind, &point[0].labels).map(label).collect(),
        timestamp_ms: timed.find_map(|sample| sample.timestamp).map(Timestamp::millis),
        ..Metric::default()
    };
    let value = || Some(point[0].value.as_f64());
    match kind {
        Type::Counter => metric.counter = Some(counter(point)),
        Type::Summary => metric.summary = Some(summary(point)),
        Type::Histogram | Type::GaugeHistogram => {
            metric.histogram = Some(histogram(kind, point, choices));
        }
        Type::Unknown => metric.untyped = Some(Untyped { value: value() }),
        Type::Gauge | Type::Info | Type::StateSet => metric.gauge = Some(Gauge { value: value() }),
    }
    metric
}

fn part<'a>(point: &'a [Sample], suffixes: &[&str]) -> Option<&'a Sample> {
    point.iter().find(|sample| suffixes.contains(&&*sample.suffix) && sample.native.is_none())
}

fn counter(point: &[Sample]) -> Counter {
    let total = part(point, &["_total", ""]);
    Counter {
        value: total.map(|sample| sample.value.as_f64()),
        exemplar: total.and_then(|sample| sample.exemplar.as_ref()).map(exemplar),
        created_timestamp: created(point),
    }
}

fn summary(point: &[Sample]) -> Summary {
    let quantile = |sample: &Sample| {
        let quantile = Some(bound(Type::Summary, sample)?);
        Some(Quantile { quantile, value: Some(sample.value.as_f64()) })
    };
    let quantiles = point.iter().filter(|sample| sample.suffix.is_empty());
    Summary {
        sample_count: part(point, &["_count"]).map(|sample| rounded(sample.value)),
        sample_sum: part(point, &["_sum"]).map(|sample| sample.value.as_f64()),
        quantile: quantiles.filter_map(quantile).collect(),
        created_timestamp: created(point),
    }
}

fn histogram(kind: Type, point: &[Sample], choices: &Choices) -> Histogram {
    let native_sample = point.iter().find(|sample| sample.native.is_some());
    let native = native_sample.and_then(|sample| sample.native.as_deref());
    let count = part(point, &["_count", "_gcount"]).or(native_sample);
    let sum = part(point, &["_sum", "_gsum"]).map(|sample| sample.value.as_f64());
    let (sample_count, sample_count_float) = split(count.map(|sample| sample.value));
    let buckets = point.iter().filter(|sample| sample.suffix == "_bucket");
    let has_start = native.is_none() || choices.native_starts;
    let mut histogram = Histogram {
        sample_count,
        sample_count_float,
        sample_sum: sum.or(native.map(|native| native.sum)),
        bucket: buckets.filter_map(|sample| bucket(kind, sample)).collect(),
        created_timestamp: created(point).filter(|_| has_start),
        ..Histogram::default()
    };
    if let (Some(native), Some(sample)) = (native, native_sample) {
        add_native(&mut histogram, sample.value, native);
    }
    histogram
}

fn bucket(kind: Type, sample: &Sample) -> Option<Bucket> {
    let (cumulative_count, cumulative_count_float) = split(Some(sample.value));
    Some(Bucket {
        cumulative_count,
        cumulative_count_float,
        upper_bound: Some(bound(kind, sample)?),
        exemplar: sample.exemplar.as_ref().map(exemplar),
    })
}

fn add_native(histogram: &mut Histogram, count: Value, native: &NativeHistogram) {
    let sides = [&native.negative, &native.positive];
    let all = [count, native.zero_count];
    let mut values = all.iter().chain(sides.iter().flat_map(|side| &side.counts));
    // Differences have a sign, so they have less room.
    let has_room = |count: u64| i64::try_from(count).is_ok();
    let is_whole = values.all(|value| split(Some(*value)).0.is_some_and(has_room));
    histogram.schema = Some(native.schema);
    histogram.zero_threshold = Some(native.zero_threshold);
    if is_whole {
        histogram.zero_count = Some(rounded(native.zero_count));
        [histogram.negative_delta, histogram.positive_delta] = sides.map(deltas);
    } else {
        histogram.sample_count = None;
        histogram.sample_count_float = Some(count.as_f64());
        histogram.zero_count_float = Some(native.zero_count.as_f64());
        let counts = |side: &NativeBuckets| side.counts.iter().map(|c| c.as_f64()).collect();
        [histogram.negative_count, histogram.positive_count] = sides.map(counts);
    }
    let spans = |side: &NativeBuckets| -> Vec<BucketSpan> {
        let span = |span: &crate::sample::Span| BucketSpan {
            offset: Some(span.offset),
            length: Some(span.length),
        };
        side.spans.iter().map(span).collect()
    };
    [histogram.negative_span, histogram.positive_span] = sides.map(spans);
    let is_empty = sides.iter().all(|side| side.spans.is_empty());
    if is_empty && native.zero_threshold == 0.0 && native.zero_count.as_f64() == 0.0 {
        // Without this span it would read as a classic histogram.
        histogram.positive_span = vec![BucketSpan { offset: Some(0), length: Some(0) }];
    }
    // These must say when.
    let exemplars = native.exemplars.iter().map(exemplar);
    histogram.exemplars = exemplars.filter(|exemplar| exemplar.timestamp.is_some()).collect();
}

/// How much more each bucket has than the one before it.
fn deltas(side: &NativeBuckets) -> Vec<i64> {
    let mut before = 0_u64;
    let delta = |count: &Value| {
        let count = rounded(*count);
        let delta = count.wrapping_sub(before).cast_signed();
        before = count;
        delta
    };
    side.counts.iter().map(delta).collect()
}

/// A count as a whole number, or as a float if it is none.
fn split(value: Option<Value>) -> (Option<u64>, Option<f64>) {
    match value {
        Some(Value::Float(float)) if rounded(Value::Float(float)) as f64 != float => {
            (None, Some(float))
        }
        Some(value) => (Some(rounded(value)), None),
        None => (None, None),
    }
}

fn rounded(value: Value) -> u64 {
    match value {
        Value::Whole(value) => value,
        Value::Float(value) => value as u64,
    }
}

/// When the series of a point began.
fn created(point: &[Sample]) -> Option<message::Timestamp> {
    start(point).and_then(timestamp)
}

/// A moment as a message, if it is one of those that the message can be.
fn timestamp(at: Timestamp) -> Option<message::Timestamp> {
    let message = message::Timestamp { seconds: at.seconds, nanos: at.nanos.cast_signed() };
    message.is_valid().then_some(message)
}

fn exemplar(exemplar: &Exemplar) -> message::Exemplar {
    let label = |(name, value): &(String, String)| LabelPair {
        name: Some(name.clone()),
        value: Some(value.clone()),
    };
    message::Exemplar {
        label: exemplar.labels.iter().map(label).collect(),
        value: Some(exemplar.value),
        timestamp: exemplar.timestamp.and_then(timestamp),
    }
}

/// The messages, with the field names and numbers of `metrics.proto`. Fields are optional as in
/// proto2, so that an absent value differs from zero.
#[allow(missing_docs)]
pub mod message {
    /// A family with its series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub help: Option<String>,
        #[prost(enumeration = "MetricType", optional, tag = "3")]
        pub r#type: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub metric: Vec<Metric>,
        #[prost(string, optional, tag = "5")]
        pub unit: Option<String>,
    }

    /// The type of a family.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum MetricType {
        Counter = 0,
        Gauge = 1,
        Summary = 2,
        Untyped = 3,
        Histogram = 4,
        GaugeHistogram = 5,
    }

    /// A series with its value, which has the field of its type.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub counter: Option<Counter>,
        #[prost(message, optional, tag = "4")]
        pub summary: Option<Summary>,
        #[prost(message, optional, tag = "5")]
        pub untyped: Option<Untyped>,
        #[prost(message, optional, tag = "7")]
        pub histogram: Option<Histogram>,
        #[prost(int64, optional, tag = "6")]
        pub timestamp_ms: Option<i64>,
    }

    /// A label.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub value: Option<String>,
    }

    /// The value of a gauge.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Gauge {
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
    }

    /// The value of a counter.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Counter {
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
        #[prost(message, optional, tag = "2")]
        pub exemplar: Option<Exemplar>,
        #[prost(message, optional, tag = "3")]
        pub created_timestamp: Option<Timestamp>,
    }

    /// A quantile of a summary.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Quantile {
        #[prost(double, optional, tag = "1")]
        pub quantile: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub value: Option<f64>,
    }

    /// The value of a summary.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Summary {
        #[prost(uint64, optional, tag = "1")]
        pub sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub quantile: Vec<Quantile>,
        #[prost(message, optional, tag = "4")]
        pub created_timestamp: Option<Timestamp>,
    }

    /// A value of no type.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Untyped {
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
    }

    /// The value of a histogram: classic, native, or both.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub sample_count: Option<u64>,
        #[prost(double, optional, tag = "4")]
        pub sample_count_float: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub bucket: Vec<Bucket>,
        #[prost(message, optional, tag = "15")]
        pub created_timestamp: Option<Timestamp>,
        #[prost(sint32, optional, tag = "5")]
        pub schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub zero_threshold: Option<f64>,
        #[prost(uint64, optional, tag = "7")]
        pub zero_count: Option<u64>,
        #[prost(double, optional, tag = "8")]
        pub zero_count_float: Option<f64>,
        #[prost(message, repeated, tag = "9")]
        pub negative_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "10")]
        pub negative_delta: Vec<i64>,
        #[prost(double, repeated, packed = "false", tag = "11")]
        pub negative_count: Vec<f64>,
        #[prost(message, repeated, tag = "12")]
        pub positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub positive_delta: Vec<i64>,
        #[prost(double, repeated, packed = "false", tag = "14")]
        pub positive_count: Vec<f64>,
        #[prost(message, repeated, tag = "16")]
        pub exemplars: Vec<Exemplar>,
    }

    /// A bucket of a classic histogram.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Bucket {
        #[prost(uint64, optional, tag = "1")]
        pub cumulative_count: Option<u64>,
        #[prost(double, optional, tag = "4")]
        pub cumulative_count_float: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub upper_bound: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub exemplar: Option<Exemplar>,
    }

    /// Consecutive buckets of a native histogram.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub length: Option<u32>,
    }

    /// An example of what was counted.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<LabelPair>,
        #[prost(double, optional, tag = "2")]
        pub value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub timestamp: Option<Timestamp>,
    }

    /// A moment: `google.protobuf.Timestamp`, which is proto3.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct Timestamp {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
        #[prost(int32, tag = "2")]
        pub nanos: i32,
    }

    impl Timestamp {
        /// Whether it is one of the years 1 to 9999, with nanoseconds that count forward: what its
        /// definition allows
        /// (<https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp>).
        #[must_use]
        pub fn is_valid(&self) -> bool {
            (-62_135_596_800..=253_402_300_799).contains(&self.seconds)
                && (0..1_000_000_000).contains(&self.nanos)
        }
    }
}
