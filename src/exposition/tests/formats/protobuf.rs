//! Messages of Prometheus' protocol buffers.

use prost::Message;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::protobuf::message::{BucketSpan, Histogram, MetricFamily, MetricType};
use tallyboard_exposition::sample::{
    FamilySamples, NativeBuckets, NativeHistogram, Sample, Span, Type, Value,
};

use crate::STARTS;
use crate::families::{
    CREATED, MILLIS, everything, exemplar, family, float, native, native_sample, timed, whole, with,
};

fn read(mut page: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut page).expect("it is a message"));
    }
    families
}

fn only(family: FamilySamples) -> MetricFamily {
    let mut families = read(&Format::Protobuf.encode(&[family]));
    assert_eq!(families.len(), 1);
    families.remove(0)
}

/// The histogram of a family with these samples.
fn histogram(kind: Type, samples: Vec<Sample>) -> Histogram {
    let family = only(family(kind, "foo", samples));
    assert_eq!(family.metric.len(), 1);
    family.metric[0].histogram.clone().expect("it has a histogram")
}

#[test]
fn a_message_is_written_as_it_always_was() {
    let counter =
        timed(with(exemplar(&[("t", "x")], 0.5, Some(1500)), whole("_total", &[("b", "c")], 3)));
    let (unit, help) = ("u".to_owned(), "h".to_owned());
    let family = FamilySamples { unit, help, ..family(Type::Counter, "a", vec![counter]) };
    let mut expect = vec![74];
    expect.extend(b"\x0a\x07a_total\x12\x01h\x18\x00\x22\x37");
    expect.extend(b"\x0a\x06\x0a\x01b\x12\x01c");
    expect.extend(b"\x1a\x26\x09\0\0\0\0\0\0\x08\x40");
    expect.extend(b"\x12\x1b\x0a\x06\x0a\x01t\x12\x01x\x11\0\0\0\0\0\0\xe0\x3f");
    expect.extend(b"\x1a\x08\x08\x01\x10\x80\xca\xb5\xee\x01");
    expect.extend(b"\x30\xed\xbf\xf4\xdb\xa1\x2c");
    expect.extend(b"\x2a\x01u");
    assert_eq!(Format::Protobuf.encode(&[family]), expect);
}

#[test]
fn every_family_has_the_name_and_type_that_prometheus_expects() {
    let families = read(&Format::Protobuf.encode(&everything()));
    let found: Vec<(&str, MetricType, usize)> = families
        .iter()
        .map(|family| (family.name(), family.r#type(), family.metric.len()))
        .collect();
    assert_eq!(
        found,
        [
            ("ages", MetricType::GaugeHistogram, 1),
            ("build_info", MetricType::Gauge, 1),
            ("latency_seconds", MetricType::Histogram, 1),
            ("native", MetricType::Histogram, 2),
            ("requests_total", MetricType::Counter, 2),
            ("sizes", MetricType::Summary, 1),
            ("state", MetricType::Gauge, 2),
            ("temperature", MetricType::Gauge, 2),
            ("utf-8.näme\"", MetricType::Untyped, 1),
            ("without_samples", MetricType::Untyped, 0),
        ]
    );
    assert_eq!(families[2].help(), "How long.");
    assert_eq!(families[2].unit(), "seconds");
    assert_eq!(families[0].help, None);
}

#[test]
fn values_stand_in_the_field_of_their_type() {
    let families = read(&Format::Protobuf.encode(&everything()));
    let gauge = &families[7].metric[1];
    assert!(gauge.gauge.expect("it is a gauge").value().is_nan());
    assert_eq!((gauge.timestamp_ms(), gauge.label[0].name()), (MILLIS, "a"));
    let summary = families[5].metric[0].summary.as_ref().expect("it is a summary");
    assert_eq!((summary.sample_count(), summary.sample_sum()), (2, 0.75));
    let quantiles: Vec<f64> = summary.quantile.iter().map(|q| q.quantile()).collect();
    assert_eq!(quantiles, [0.5, 1.0]);
    let start = summary.created_timestamp.expect("it says when it began");
    assert_eq!((start.seconds, start.nanos), (1_520_430_000, 123_000_000));
    assert_eq!(families[8].metric[0].untyped.expect("it has no type").value(), 1e300);
    let counter = families[4].metric[0].counter.as_ref().expect("it is a counter");
    assert_eq!(counter.value(), u64::MAX as f64);
    assert_eq!(counter.created_timestamp, Some(start));
    let seen = counter.exemplar.as_ref().expect("it has an exemplar");
    let at = seen.timestamp.expect("it says when");
    assert_eq!((at.seconds, at.nanos), (-1, 500_000_000));
}

#[test]
fn classic_buckets_have_their_bounds_and_exemplars() {
    let families = read(&Format::Protobuf.encode(&everything()));
    let metric = &families[2].metric[0];
    let labels: Vec<(&str, &str)> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
    assert_eq!(labels, [("path", "/")]);
    let histogram = metric.histogram.as_ref().expect("it is a histogram");
    let buckets: Vec<(f64, u64, bool)> = histogram
        .bucket
        .iter()
        .map(|b| (b.upper_bound(), b.cumulative_count(), b.exemplar.is_some()))
        .collect();
    let expect = [(0.5, 3, false), (1.0, 8, true), (1e6, 8, true), (f64::INFINITY, 9, false)];
    assert_eq!(buckets, expect);
    assert_eq!((histogram.sample_count(), histogram.sample_sum()), (9, 12.25));
    assert!(histogram.created_timestamp.is_some());
    assert_eq!((histogram.schema, histogram.positive_span.len()), (None, 0));
}

#[test]
fn native_buckets_are_differences() {
    let histogram =
        histogram(Type::Histogram, vec![native_sample(&[], Value::Whole(19), native())]);
    assert_eq!((histogram.sample_count(), histogram.sample_sum()), (19, 120.5));
    assert_eq!((histogram.schema(), histogram.zero_count()), (3, 1));
    assert_eq!(histogram.zero_threshold(), 2.0_f64.powi(-128));
    let span = |offset, length| BucketSpan { offset: Some(offset), length: Some(length) };
    assert_eq!(histogram.positive_span, [span(-1, 2), span(3, 1)]);
    assert_eq!(histogram.positive_delta, [5, 2, -5]);
    assert_eq!(histogram.negative_span, [span(1, 1)]);
    assert_eq!(histogram.negative_delta, [4]);
    assert_eq!(histogram.exemplars.len(), 1);
    let floats = [histogram.positive_count, histogram.negative_count].concat();
    assert!(floats.is_empty() && histogram.bucket.is_empty());
    assert_eq!((histogram.sample_count_float, histogram.zero_count_float), (None, None));
}

#[test]
fn a_histogram_with_fractions_has_floats_only() {
    let positive = NativeBuckets {
        spans: vec![Span { offset: 0, length: 2 }],
        counts: vec![Value::Float(0.5), Value::Whole(2)],
    };
    let native = NativeHistogram { positive, ..NativeHistogram::default() };
    let samples = vec![native_sample(&[], Value::Float(2.5), native), whole("_count", &[], 2)];
    let histogram = histogram(Type::GaugeHistogram, samples);
    assert_eq!(histogram.positive_count, [0.5, 2.0]);
    assert!(histogram.positive_delta.is_empty());
    assert_eq!((histogram.sample_count, histogram.sample_count_float), (None, Some(2.5)));
    assert_eq!((histogram.zero_count, histogram.zero_count_float), (None, Some(0.0)));
    let bucket = float("_bucket", &[("le", "+Inf")], 2.5);
    let classic = self::histogram(Type::GaugeHistogram, vec![bucket, float("_gcount", &[], 3.0)]);
    let bucket = &classic.bucket[0];
    assert_eq!((bucket.cumulative_count, bucket.cumulative_count_float), (None, Some(2.5)));
    assert_eq!((classic.sample_count, classic.sample_count_float), (Some(3), None));
}

#[test]
fn an_empty_native_histogram_differs_from_a_classic_one() {
    let native = |zero_threshold| {
        let native = NativeHistogram { zero_threshold, ..NativeHistogram::default() };
        histogram(Type::Histogram, vec![native_sample(&[], Value::Whole(0), native)])
    };
    assert_eq!(native(0.0).positive_span, [BucketSpan { offset: Some(0), length: Some(0) }]);
    assert!(native(0.5).positive_span.is_empty());
}

#[test]
fn exemplars_of_native_histograms_say_when() {
    let exemplars = vec![exemplar(&[], 1.0, None), exemplar(&[], 2.0, Some(5))];
    let native = NativeHistogram { exemplars, ..NativeHistogram::default() };
    let histogram = histogram(Type::Histogram, vec![native_sample(&[], Value::Whole(0), native)]);
    let values: Vec<f64> = histogram.exemplars.iter().map(|exemplar| exemplar.value()).collect();
    assert_eq!(values, [2.0]);
}

#[test]
fn the_start_of_a_native_histogram_is_behind_a_switch() {
    let native = native_sample(&[], Value::Whole(0), NativeHistogram::default());
    let families = [family(Type::Histogram, "a", vec![native, float("_created", &[], CREATED)])];
    for (page, expect) in [
        (Format::Protobuf.encode(&families), false),
        (Format::Protobuf.encode_with(&families, &STARTS), true),
    ] {
        let family = &read(&page)[0];
        let histogram = family.metric[0].histogram.as_ref().expect("it has a histogram");
        assert_eq!(histogram.created_timestamp.is_some(), expect);
    }
}
