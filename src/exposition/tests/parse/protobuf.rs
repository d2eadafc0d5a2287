//! Prometheus' protocol buffers.

use prost::Message;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse, parse_any};
use tallyboard_exposition::protobuf::message::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily,
    MetricType, Summary, Timestamp,
};
use tallyboard_exposition::sample::Timestamp as Moment;

use crate::lines;

fn family(name: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(kind.into()),
        metric: vec![metric],
        ..MetricFamily::default()
    }
}

fn bytes(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

fn check(families: &[MetricFamily], expect: &[&str]) {
    let bytes = bytes(families);
    let (format, read) = parse_any(&bytes, &Options::default());
    assert_eq!(format, Format::Protobuf);
    assert_eq!(lines(&read.expect("messages")), expect);
}

fn error(families: &[MetricFamily]) -> String {
    let read = parse(&bytes(families), Format::Protobuf, &Options::default());
    read.expect_err("no families").to_string()
}

#[test]
fn messages_become_families() {
    let label = LabelPair { name: Some("b".into()), value: Some("c".into()) };
    let counter = Counter { value: Some(1.5), ..Counter::default() };
    let counter = Metric {
        label: vec![label],
        counter: Some(counter),
        timestamp_ms: Some(7),
        ..Metric::default()
    };
    let gauge = Metric { gauge: Some(Gauge { value: None }), ..Metric::default() };
    check(
        &[family("a_total", MetricType::Counter, counter), family("g", MetricType::Gauge, gauge)],
        &["a_total{b=\"c\"} 1.5 @7", "g{} 0.0"],
    );
}

#[test]
fn a_histogram_has_the_bucket_that_holds_everything() {
    let bucket = Bucket { cumulative_count: Some(1), upper_bound: Some(0.5), ..Bucket::default() };
    let histogram = Histogram {
        sample_count: Some(3),
        sample_sum: Some(2.0),
        bucket: vec![bucket],
        ..Histogram::default()
    };
    let classic = Metric { histogram: Some(histogram.clone()), ..Metric::default() };
    let expect =
        ["h_bucket{le=\"0.5\"} 1", "h_bucket{le=\"+Inf\"} 3", "h_count{} 3", "h_sum{} 2.0"];
    check(&[family("h", MetricType::Histogram, classic)], &expect);
    let span = BucketSpan { offset: Some(0), length: Some(0) };
    let histogram = Histogram { bucket: vec![], positive_span: vec![span], ..histogram };
    let native = Metric { histogram: Some(histogram), ..Metric::default() };
    check(&[family("h", MetricType::Histogram, native)], &["h{} 3"]);
}

/// A family of each kind of place that has a timestamp, all of them this one.
fn timed(at: Timestamp) -> Vec<MetricFamily> {
    let exemplar = || Some(Exemplar { timestamp: Some(at), ..Exemplar::default() });
    let counter = |exemplar, created_timestamp| Metric {
        counter: Some(Counter { value: Some(1.0), exemplar, created_timestamp }),
        ..Metric::default()
    };
    let histogram = |histogram| Metric { histogram: Some(histogram), ..Metric::default() };
    let bucket = Bucket { upper_bound: Some(1.0), exemplar: exemplar(), ..Bucket::default() };
    let span = BucketSpan { offset: Some(0), length: Some(0) };
    let summary = Summary { created_timestamp: Some(at), ..Summary::default() };
    vec![
        family("a_total", MetricType::Counter, counter(exemplar(), None)),
        family("b_total", MetricType::Counter, counter(None, Some(at))),
        family("c", MetricType::Summary, Metric { summary: Some(summary), ..Metric::default() }),
        family(
            "d",
            MetricType::Histogram,
            histogram(Histogram { created_timestamp: Some(at), ..Histogram::default() }),
        ),
        family(
            "e",
            MetricType::GaugeHistogram,
            histogram(Histogram { bucket: vec![bucket], ..Histogram::default() }),
        ),
        family(
            "f",
            MetricType::Histogram,
            histogram(Histogram {
                positive_span: vec![span],
                exemplars: vec![exemplar().expect("it is there")],
                ..Histogram::default()
            }),
        ),
    ]
}

#[test]
fn a_timestamp_is_exact_or_refused() {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    for (seconds, nanos, is_good) in [
        (0, 0, true),
        (1_520_430_000, 123_000_000, true),
        (-1, 999_999_999, true),
        (FIRST, 0, true),
        (LAST, 0, true),
        (5, -1, false),
        (5, i32::MIN, false),
        (5, 1_000_000_000, false),
        (FIRST - 1, 999_999_999, false),
        (LAST + 1, 0, false),
        (i64::MAX, 0, false),
        (i64::MIN, 0, false),
    ] {
        for family in timed(Timestamp { seconds, nanos }) {
            let name = family.name.clone();
            let read = parse(&bytes(&[family]), Format::Protobuf, &Options::default());
            let Ok(families) = read else {
                let error = read.expect_err("it is no family").to_string();
                let found = format!("found {seconds} seconds and {nanos} nanoseconds");
                assert!(!is_good && error.ends_with(&found), "{name:?}: {error}");
                continue;
            };
            assert!(is_good, "{name:?} {seconds} {nanos}");
            let moment = Moment { seconds, nanos: nanos.unsigned_abs() };
            let samples = &families[0].samples;
            let created = samples.iter().find(|sample| sample.suffix == "_created");
            let created = created.map(|created| Moment::from_seconds(created.value.as_f64()));
            let natives = samples.iter().filter_map(|sample| sample.native.as_ref());
            let exemplars = natives.flat_map(|native| &native.exemplars);
            let mut exemplars =
                exemplars.chain(samples.iter().filter_map(|sample| sample.exemplar.as_ref()));
            let exemplar = exemplars.next().map(|exemplar| exemplar.timestamp);
            assert_eq!(created.or(exemplar), Some(Some(moment)), "{name:?}");
        }
    }
}

#[test]
fn a_message_that_says_too_little_is_named() {
    let gauge = || Metric { gauge: Some(Gauge { value: Some(1.0) }), ..Metric::default() };
    let good = || family("a", MetricType::Gauge, gauge());
    let unnamed = MetricFamily { name: None, ..good() };
    assert_eq!(error(&[good(), unnamed]), "2:20: expected a name of the family");
    let other = MetricFamily { r#type: Some(9), ..good() };
    assert_eq!(error(&[other]), "1:1: expected a known type, found 9");
    let counter = family("a", MetricType::Counter, gauge());
    let expect = "1:1: expected named labels and a value of the type counter";
    assert_eq!(error(&[counter]), expect);
    let span = BucketSpan { offset: Some(0), length: Some(u32::MAX) };
    let histogram = Histogram { positive_span: vec![span; 3], ..Histogram::default() };
    let metric = Metric { histogram: Some(histogram), ..Metric::default() };
    let expect = "1:1: expected named labels and a value of the type histogram";
    assert_eq!(error(&[family("a", MetricType::Histogram, metric)]), expect);
    let mut cut = bytes(&[good()]);
    cut.pop();
    let read = parse(&cut, Format::Protobuf, &Options::default());
    let message = read.expect_err("half a message").to_string();
    assert!(message.starts_with("1:1: expected a message MetricFamily: "), "{message}");
}
