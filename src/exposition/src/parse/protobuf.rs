//! Prometheus' protocol buffers, each behind its length. In errors the line is the ordinal of the
//! message, and the column is the byte at which it begins, from 1.

use prost::Message;

use super::error::ParseError;
use super::options::Options;
use crate::protobuf::message::{self, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use crate::sample::{
    Exemplar, FamilySamples, Labels, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type,
    Value,
};
use crate::text::float_text;

/// Whether a document begins with a message behind its length, whose first field is a name.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    /// The key of field 1, a string.
    const NAME: u8 = 0x0a;
    let mut rest = bytes;
    let Ok(length) = prost::decode_length_delimiter(&mut rest) else { return false };
    let mut inner = match rest.get(..length) {
        Some(message) if message.first() == Some(&NAME) => &message[1..],
        _ => return false,
    };
    let name = prost::decode_length_delimiter(&mut inner);
    name.is_ok_and(|length| length > 0 && inner.get(..length).is_some_and(is_name))
}

fn is_name(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|name| !name.contains(char::is_control))
}

pub(super) fn parse(bytes: &[u8], options: &Options) -> Result<Vec<FamilySamples>, ParseError> {
    let mut families = Vec::new();
    let mut rest = bytes;
    let mut room = options.limits.samples;
    while !rest.is_empty() {
        let place = Place { message: families.len() + 1, byte: bytes.len() - rest.len() + 1 };
        let family = MetricFamily::decode_length_delimited(&mut rest)
            .map_err(|error| place.error(format!("expected a message MetricFamily: {error}")))?;
        let family = place.family(family, options.limits.labels)?;
        let left = room.checked_sub(family.samples.len());
        room = left.ok_or_else(|| place.error("too many samples".into()))?;
        families.push(family);
    }
    Ok(families)
}

/// Where a message begins.
#[derive(Clone, Copy)]
struct Place {
    message: usize,
    byte: usize,
}

impl Place {
    fn error(self, message: String) -> ParseError {
        ParseError { line: self.message, column: self.byte, message }
    }

    fn family(self, family: MetricFamily, most: usize) -> Result<FamilySamples, ParseError> {
        let mut name = family.name.unwrap_or_default();
        if name.is_empty() {
            return Err(self.error("expected a name of the family".into()));
        }
        // As in proto2, an absent type is the first one.
        let number = family.r#type.unwrap_or_default();
        let kind = MetricType::try_from(number)
            .map_err(|_| self.error(format!("expected a known type, found {number}")))?;
        let is_total = kind == MetricType::Counter && name.len() > 6 && name.ends_with("_total");
        if is_total {
            name.truncate(name.len() - "_total".len());
        }
        let mut samples = Vec::new();
        for metric in family.metric {
            if metric.label.len() > most {
                return Err(self.error(format!("expected at most {most} labels")));
            }
            if let Some(wrong) = times(&metric).find(|at| !at.is_valid()) {
                return Err(self.error(format!(
                    "expected a timestamp of the years 1 to 9999 with nanoseconds from 0 to \
                     999999999, found {} seconds and {} nanoseconds",
                    wrong.seconds, wrong.nanos
                )));
            }
            let added = metric_samples(&metric, kind, is_total).ok_or_else(|| {
                let kind = kind_of(kind).name();
                self.error(format!("expected named labels and a value of the type {kind}"))
            })?;
            samples.extend(added);
        }
        Ok(FamilySamples {
            kind: kind_of(kind),
            name,
            unit: family.unit.unwrap_or_default(),
            help: family.help.unwrap_or_default(),
            samples,
        })
    }
}

fn kind_of(kind: MetricType) -> Type {
    match kind {
        MetricType::Counter => Type::Counter,
        MetricType::Gauge => Type::Gauge,
        MetricType::Summary => Type::Summary,
        MetricType::Untyped => Type::Unknown,
        MetricType::Histogram => Type::Histogram,
        MetricType::GaugeHistogram => Type::GaugeHistogram,
    }
}

/// All timestamps of a series that are messages.
fn times(metric: &Metric) -> impl Iterator<Item = &message::Timestamp> {
    let counter = metric.counter.iter();
    let counter = counter
        .flat_map(|of| of.exemplar.iter().map(|of| of.timestamp.as_ref()))
        .chain(metric.counter.iter().map(|of| of.created_timestamp.as_ref()));
    let summary = metric.summary.iter().map(|of| of.created_timestamp.as_ref());
    let histogram = metric.histogram.iter().flat_map(|of| {
        let classic = of.bucket.iter().filter_map(|bucket| bucket.exemplar.as_ref());
        let exemplars = classic.chain(&of.exemplars).map(|exemplar| exemplar.timestamp.as_ref());
        exemplars.chain([of.created_timestamp.as_ref()])
    });
    counter.chain(summary).chain(histogram).flatten()
}

/// The samples of a series; nothing when it has no value of its type.
fn metric_samples(metric: &Metric, kind: MetricType, is_total: bool) -> Option<Vec<Sample>> {
    let labels = labels_of(&metric.label)?;
    let timestamp = metric.timestamp_ms.map(Timestamp::from_millis);
    let sample = |suffix, value| Sample { timestamp, ..Sample::new(suffix, labels.clone(), value) };
    let single = |value: Option<f64>| vec![sample("", Value::Float(value.unwrap_or_default()))];
    match kind {
        MetricType::Gauge => Some(single(metric.gauge.as_ref()?.value)),
        MetricType::Untyped => Some(single(metric.untyped.as_ref()?.value)),
        MetricType::Counter => {
            let counter = metric.counter.as_ref()?;
            let suffix = if is_total { "_total" } else { "" };
            let mut total = sample(suffix, Value::Float(counter.value.unwrap_or_default()));
            total.exemplar = counter.exemplar.as_ref().map(exemplar);
            let created = counter.created_timestamp.map(|at| sample("_created", seconds(at)));
            Some(std::iter::once(total).chain(created).collect())
        }
        MetricType::Summary => {
            let summary = metric.summary.as_ref()?;
            let mut samples = Vec::new();
            for quantile in &summary.quantile {
                let at = float_text(quantile.quantile.unwrap_or_default());
                let value = Value::Float(quantile.value.unwrap_or_default());
                samples.push(with_label(sample("", value), "quantile", at));
            }
            let count = Value::Whole(summary.sample_count.unwrap_or_default());
            samples.push(sample("_count", count));
            let sum = Value::Float(summary.sample_sum.unwrap_or_default());
            samples.push(sample("_sum", sum));
            samples.extend(summary.created_timestamp.map(|at| sample("_created", seconds(at))));
            Some(samples)
        }
        MetricType::Histogram | MetricType::GaugeHistogram => {
            let is_gauge = kind == MetricType::GaugeHistogram;
            histogram_samples(metric.histogram.as_ref()?, is_gauge, &sample)
        }
    }
}

fn histogram_samples(
    histogram: &Histogram,
    is_gauge: bool,
    sample: &impl Fn(&'static str, Value) -> Sample,
) -> Option<Vec<Sample>> {
    let count = count(histogram.sample_count, histogram.sample_count_float);
    let native = native(histogram)?;
    let is_classic = native.is_none() || !histogram.bucket.is_empty();
    let mut samples: Vec<Sample> = Vec::new();
    if let Some(native) = native {
        samples.push(Sample { native: Some(Box::new(native)), ..sample("", count) });
    }
    if is_classic {
        let mut has_all = false;
        for bucket in &histogram.bucket {
            let value = self::count(bucket.cumulative_count, bucket.cumulative_count_float);
            let bound = bucket.upper_bound.unwrap_or_default();
            has_all |= bound == f64::INFINITY;
            let mut part = with_label(sample("_bucket", value), "le", float_text(bound));
            part.exemplar = bucket.exemplar.as_ref().map(exemplar);
            samples.push(part);
        }
        if !has_all {
            samples.push(with_label(sample("_bucket", count), "le", float_text(f64::INFINITY)));
        }
        let suffixes = if is_gauge { ["_gcount", "_gsum"] } else { ["_count", "_sum"] };
        samples.push(sample(suffixes[0], count));
        samples.push(sample(suffixes[1], Value::Float(histogram.sample_sum.unwrap_or_default())));
    }
    samples.extend(histogram.created_timestamp.map(|at| sample("_created", seconds(at))));
    Some(samples)
}

fn with_label(mut sample: Sample, name: &str, value: String) -> Sample {
    sample.labels.push((name.to_owned(), value));
    sample
}

fn labels_of(pairs: &[LabelPair]) -> Option<Labels> {
    let pair = |pair: &LabelPair| {
        let name = pair.name.as_ref().filter(|name| !name.is_empty())?;
        Some((name.clone(), pair.value.clone().unwrap_or_default()))
    };
    pairs.iter().map(pair).collect()
}

/// A count: the float is there when it is no whole number.
fn count(whole: Option<u64>, float: Option<f64>) -> Value {
    match float {
        Some(float) if float != 0.0 => Value::Float(float),
        _ => Value::Whole(whole.unwrap_or_default()),
    }
}

/// The native histogram, if it is one: `Some(None)` if not, and `None` if its parts do not fit.
fn native(histogram: &Histogram) -> Option<Option<NativeHistogram>> {
    let has_spans = !histogram.positive_span.is_empty() || !histogram.negative_span.is_empty();
    let has_zero = histogram.zero_threshold.is_some_and(|threshold| threshold > 0.0)
        || histogram.zero_count.is_some_and(|count| count > 0)
        || histogram.zero_count_float.is_some_and(|count| count > 0.0);
    if !has_spans && !has_zero {
        return Some(None);
    }
    let exemplars = histogram.exemplars.iter().map(exemplar).collect();
    let side = |spans: &[message::BucketSpan], deltas: &[i64], counts: &[f64]| {
        let counts = match counts.is_empty() {
            true => from_deltas(deltas)?,
            false => counts.iter().copied().map(Value::Float).collect(),
        };
        let spans = spans_of(spans);
        let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        (length == counts.len() as u64).then_some(NativeBuckets { spans, counts })
    };
    let h = histogram;
    Some(Some(NativeHistogram {
        schema: h.schema.unwrap_or_default(),
        zero_threshold: h.zero_threshold.unwrap_or_default(),
        zero_count: count(h.zero_count, h.zero_count_float),
        sum: h.sample_sum.unwrap_or_default(),
        positive: side(&h.positive_span, &h.positive_delta, &h.positive_count)?,
        negative: side(&h.negative_span, &h.negative_delta, &h.negative_count)?,
        exemplars,
    }))
}

/// Spans with buckets. What one without buckets skips, the next one skips.
fn spans_of(spans: &[message::BucketSpan]) -> Vec<Span> {
    let mut skipped = 0_i32;
    let span = |span: &message::BucketSpan| {
        skipped = skipped.saturating_add(span.offset.unwrap_or_default());
        let length = span.length.filter(|length| *length > 0)?;
        Some(Span { offset: std::mem::take(&mut skipped), length })
    };
    spans.iter().filter_map(span).collect()
}

fn from_deltas(deltas: &[i64]) -> Option<Vec<Value>> {
    let mut count = 0_i64;
    let add = |delta: &i64| {
        count = count.checked_add(*delta)?;
        u64::try_from(count).ok().map(Value::Whole)
    };
    deltas.iter().map(add).collect()
}

fn exemplar(exemplar: &message::Exemplar) -> Exemplar {
    let pair = |pair: &LabelPair| {
        (pair.name.clone().unwrap_or_default(), pair.value.clone().unwrap_or_default())
    };
    Exemplar {
        labels: exemplar.label.iter().map(pair).collect(),
        value: exemplar.value.unwrap_or_default(),
        timestamp: exemplar.timestamp.map(moment),
    }
}

/// A moment that was found valid.
fn moment(at: message::Timestamp) -> Timestamp {
    Timestamp { seconds: at.seconds, nanos: at.nanos.unsigned_abs() }
}

fn seconds(at: message::Timestamp) -> Value {
    Value::Float(moment(at).as_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_taken_for_a_message() {
        for text in [
            "",
            "a 1\n",
            "# HELP a b\n",
            "\n\n\n\n",
            "\n\n# TYPE a gauge\na 1\n",
            "\n\n\t\t\t\t\t\ta 1\n",
        ] {
            assert!(!is_likely(text.as_bytes()), "{text:?}");
        }
    }
}
