//! Families as metrics of OTLP, by the specification of OpenTelemetry
//! ("Prometheus and OpenMetrics Compatibility"): names stay as they are, and every sum is cumulative.
//!
//! What OTLP has no place for: a histogram of things that are there now becomes gauges of its
//! samples; a native histogram whose counts are no whole numbers is shown by its classic buckets, if
//! it has any; a summary without a count is left out, as the specification wants it.

use std::collections::HashMap;

use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, Sample, Timestamp, Type, Value,
};
use tallyboard_exposition::series::{bound, points, series_labels, start};

use super::counts::whole;
use super::exponential;
use super::messages::{
    self, AnyValue, ExponentialHistogramDataPoint, HistogramDataPoint, KeyValue, Metric, Number,
    NumberDataPoint, SummaryDataPoint, ValueAtQuantile,
};
use super::units::ucum;

/// Up to here every whole number is a float.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A point of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    /// A value that goes up and down.
    Gauge(NumberDataPoint),
    /// A value that is added up; whether it only goes up.
    Sum(NumberDataPoint, bool),
    /// A histogram with bounds.
    Histogram(HistogramDataPoint),
    /// A histogram without.
    Exponential(ExponentialHistogramDataPoint),
    /// A summary.
    Summary(SummaryDataPoint),
}

/// Gives `each` every point of a family, with the metric that it is of, which has no points.
pub(super) fn each_point(
    family: &FamilySamples,
    at: u64,
    starts: &mut Starts,
    mut each: impl FnMut(&Metric, Point),
) {
    let mut heads: HashMap<&str, Metric> = HashMap::new();
    for samples in points(family) {
        let mut reader = Reader { family, samples, at, starts: &mut *starts };
        for (suffix, point) in reader.points() {
            each(heads.entry(suffix).or_insert_with(|| head(family, suffix)), point);
        }
    }
}

/// What a family says of the metric that its samples with this suffix are.
fn head(family: &FamilySamples, suffix: &str) -> Metric {
    Metric {
        name: format!("{}{suffix}", family.name),
        description: family.help.clone(),
        unit: ucum(&family.unit),
        data: None,
        metadata: vec![attribute("prometheus.type", family.kind.name())],
    }
}

pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { string_value: Some(value.to_owned()) });
    KeyValue { key: key.to_owned(), value }
}

/// A label that is empty is one that is not there.
fn attributes<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    labels
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| attribute(name, value))
        .collect()
}

/// Reads the samples of one series.
struct Reader<'a, 's> {
    family: &'a FamilySamples,
    samples: &'a [Sample],
    at: u64,
    starts: &'s mut Starts,
}

impl<'a> Reader<'a, '_> {
    /// The points that the samples are, each with what the name of its metric has behind that of
    /// the family.
    fn points(&mut self) -> Vec<(&'a str, Point)> {
        match self.family.kind {
            Type::Counter => self.sums(true),
            Type::Info | Type::StateSet => self.sums(false),
            Type::Gauge | Type::Unknown | Type::GaugeHistogram => self.gauges(),
            Type::Histogram => self.histogram().map(|point| ("", point)).into_iter().collect(),
            Type::Summary => self.summary().map(|point| ("", point)).into_iter().collect(),
        }
    }

    fn sums(&mut self, is_monotonic: bool) -> Vec<(&'a str, Point)> {
        let mut points = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.suffix != "_created") {
            let value = if is_monotonic { sample.value.as_f64() } else { 0.0 };
            let mut point = self.number(sample);
            point.start_time_unix_nano = self.start(sample, value);
            points.push((&*sample.suffix, Point::Sum(point, is_monotonic)));
        }
        points
    }

    fn gauges(&self) -> Vec<(&'a str, Point)> {
        let numbers = self.samples.iter().filter(|sample| sample.suffix != "_created");
        let numbers = numbers.filter(|sample| sample.native.is_none());
        let gauge = |sample: &'a Sample| {
            // Of the values of one gauge some are no whole numbers: where that loses nothing, all
            // are floats.
            let float = sample.value.as_f64();
            let mut point = self.number(sample);
            if float.abs() < MOST_EXACT {
                point.value = Some(Number::AsDouble(float));
            }
            (&*sample.suffix, Point::Gauge(point))
        };
        numbers.map(gauge).collect()
    }

    fn number(&self, sample: &Sample) -> NumberDataPoint {
        let whole = |value| i64::try_from(value).ok().map(Number::AsInt);
        let value = match sample.value {
            Value::Whole(value) => whole(value),
            Value::Float(_) => None,
        };
        NumberDataPoint {
            attributes: attributes(sample.labels()),
            start_time_unix_nano: 0,
            time_unix_nano: self.time(),
            value: value.or(Some(Number::AsDouble(sample.value.as_f64()))),
            exemplars: sample.exemplar.iter().map(exemplar).collect(),
        }
    }

    fn histogram(&mut self) -> Option<Point> {
        let native = self.samples.iter().find(|sample| sample.native.is_some());
        let exponential = native.and_then(exponential::point);
        if let Some(mut point) = exponential {
            let sample = native?;
            point.attributes = attributes(self.labels());
            point.start_time_unix_nano = self.start(sample, point.count as f64);
            point.time_unix_nano = self.time();
            let own = sample.native.iter().flat_map(|native| &native.exemplars);
            point.exemplars = own.chain(self.exemplars()).map(exemplar).collect();
            return Some(Point::Exponential(point));
        }
        let (explicit_bounds, bucket_counts, count) = self.buckets()?;
        let first = self.samples.first()?;
        Some(Point::Histogram(HistogramDataPoint {
            attributes: attributes(self.labels()),
            start_time_unix_nano: self.start(first, count as f64),
            time_unix_nano: self.time(),
            count,
            sum: self.part("_sum").map(Value::as_f64),
            bucket_counts,
            explicit_bounds,
            exemplars: self.exemplars().map(exemplar).collect(),
        }))
    }

    /// Bounds, how much is in each bucket and not in those before it, and how much in all. `None`
    /// for what is no histogram of whole numbers.
    fn buckets(&self) -> Option<(Vec<f64>, Vec<u64>, u64)> {
        let samples = self.samples.iter().filter(|sample| sample.suffix == "_bucket");
        let mut buckets = samples
            .map(|sample| Some((bound(Type::Histogram, sample)?, whole(sample.value)?)))
            .collect::<Option<Vec<(f64, u64)>>>()?;
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = buckets.last().map(|(_, count)| *count);
        let count = self.part("_count").map_or(last, whole)?;
        let (mut bounds, mut counts, mut before) = (Vec::new(), Vec::new(), 0);
        for (bound, below) in buckets.into_iter().filter(|(bound, _)| *bound != f64::INFINITY) {
            bounds.push(bound);
            counts.push(below.checked_sub(before)?);
            before = below;
        }
        counts.push(count.checked_sub(before)?);
        Some((bounds, counts, count))
    }

    fn summary(&mut self) -> Option<Point> {
        let count = whole(self.part("_count")?)?;
        let quantile = |sample: &Sample| {
            let quantile = bound(Type::Summary, sample)?;
            Some(ValueAtQuantile { quantile, value: sample.value.as_f64() })
        };
        let quantiles = self.samples.iter().filter(|sample| sample.suffix.is_empty());
        let first = self.samples.first()?;
        Some(Point::Summary(SummaryDataPoint {
            attributes: attributes(self.labels()),
            start_time_unix_nano: self.start(first, count as f64),
            time_unix_nano: self.time(),
            count,
            sum: self.part("_sum").map_or(0.0, Value::as_f64),
            quantile_values: quantiles.filter_map(quantile).collect(),
        }))
    }

    fn part(&self, suffix: &str) -> Option<Value> {
        let part = self.samples.iter().find(|sample| sample.suffix == suffix);
        part.map(|sample| sample.value)
    }

    fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let labels: &'a Labels = &self.samples[0].labels;
        series_labels(self.family.kind, labels)
    }

    fn exemplars(&self) -> impl Iterator<Item = &'a Exemplar> {
        self.samples.iter().filter_map(|sample| sample.exemplar.as_ref())
    }

    fn time(&self) -> u64 {
        let own = self.samples.iter().find_map(|sample| sample.timestamp);
        own.map_or(self.at, nanos)
    }

    /// Since when the series counts: as its family says, or else since it was seen first. A start
    /// behind the time of the point is of another clock, and says nothing.
    fn start(&mut self, sample: &Sample, value: f64) -> u64 {
        match start(self.samples).map(nanos).filter(|start| *start <= self.time()) {
            Some(start) => start,
            None => self.starts.of(self.family, sample, value, self.time()),
        }
    }
}

fn nanos(at: Timestamp) -> u64 {
    let seconds = u64::try_from(at.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(at.nanos.into())
}

fn exemplar(exemplar: &Exemplar) -> messages::Exemplar {
    let id = |name: &str, length: usize| {
        let found = exemplar.labels.iter().find(|(found, _)| found == name);
        found.and_then(|(_, value)| hex(value, length))
    };
    let (trace_id, span_id) = (id("trace_id", 16), id("span_id", 8));
    let is_id = |name: &str| match name {
        "trace_id" => trace_id.is_some(),
        "span_id" => span_id.is_some(),
        _ => false,
    };
    let labels = exemplar.labels.iter().filter(|(name, _)| !is_id(name));
    messages::Exemplar {
        filtered_attributes: labels.map(|(name, value)| attribute(name, value)).collect(),
        time_unix_nano: exemplar.timestamp.map_or(0, nanos),
        as_double: Some(exemplar.value),
        span_id: span_id.unwrap_or_default(),
        trace_id: trace_id.unwrap_or_default(),
    }
}

/// So many bytes, written as twice as many hexadecimal digits.
fn hex(text: &str, length: usize) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let bytes = digits.chunks_exact(2).map(|two| (two[0] << 4 | two[1]) as u8);
    (digits.len() == 2 * length).then(|| bytes.collect())
}

/// Since when series count whose families do not say it: since they were seen first, or seen to have
/// begun anew.
#[derive(Debug, Default)]
pub(super) struct Starts {
    seen: HashMap<Box<[u8]>, Seen>,
    turn: u64,
}

#[derive(Debug)]
struct Seen {
    start: u64,
    value: f64,
    turn: u64,
}

impl Starts {
    fn of(&mut self, family: &FamilySamples, sample: &Sample, value: f64, at: u64) -> u64 {
        let key = key(family, sample);
        let seen = self.seen.entry(key).or_insert(Seen { start: at, value, turn: 0 });
        if value < seen.value {
            seen.start = at;
        }
        (seen.value, seen.turn) = (value, self.turn);
        seen.start
    }

    /// Forgets what the last snapshot did not have.
    pub(super) fn end_snapshot(&mut self) {
        self.seen.retain(|_, seen| seen.turn == self.turn);
        self.turn += 1;
    }
}

/// The name of a series, with a byte between its parts that is in no text.
fn key(family: &FamilySamples, sample: &Sample) -> Box<[u8]> {
    let mut key = family.name.clone().into_bytes();
    for (name, value) in series_labels(family.kind, &sample.labels) {
        for part in [name, value] {
            key.push(0xff);
            key.extend_from_slice(part.as_bytes());
        }
    }
    key.into()
}
