//! Lines of OpenMetrics 2.0, many of them as the specification has them.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::{NativeBuckets, NativeHistogram, Sample, Span, Type, Value};

use crate::families::{CREATED, exemplar, family, float, native_sample, timed, whole, with};
use crate::{STARTS, page};

/// The lines of the family `foo` with these samples.
fn check(kind: Type, samples: Vec<Sample>, expect: &str) {
    let page = page(Format::OpenMetrics200, &[family(kind, "foo", samples)]);
    let lines = page.strip_suffix("# EOF\n").expect("it has an end");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.join("\n"), expect);
}

fn created() -> Sample {
    float("_created", &[], CREATED)
}

fn bucket(le: &str, count: u64) -> Sample {
    whole("_bucket", &[("le", le)], count)
}

#[test]
fn a_counter_has_its_start_behind_its_moment_and_before_its_exemplar() {
    let trace = exemplar(&[("trace_id", "KOO5S4vxi0o")], 0.67, Some(1_520_879_606_100));
    let total = timed(with(trace, whole("_total", &[], 17)));
    check(
        Type::Counter,
        vec![total, created()],
        "foo_total 17 1520879607.789 st@1520430000.123 # {trace_id=\"KOO5S4vxi0o\"} 0.67 1520879606.1",
    );
    check(Type::Counter, vec![whole("_total", &[], 17)], "foo_total 17");
    check(Type::Counter, vec![whole("", &[], 17), created()], "foo 17 st@1520430000.123");
    // An exemplar must say when.
    let bare = with(exemplar(&[], 0.67, None), whole("_total", &[], 17));
    check(Type::Counter, vec![bare], "foo_total 17");
    check(Type::Counter, vec![created()], "");
}

#[test]
fn a_summary_is_one_line() {
    let (count, sum) = (whole("_count", &[], 17), float("_sum", &[], 324_789.3));
    check(
        Type::Summary,
        vec![count, sum, created()],
        "foo {count:17,sum:324789.3,quantile:[]} st@1520430000.123",
    );
    let quantiles =
        vec![whole("", &[("quantile", "0.99")], 150), float("", &[("quantile", "0.95")], 123.7)];
    check(Type::Summary, quantiles, "foo {count:0,sum:0,quantile:[0.95:123.7,0.99:150]}");
}

#[test]
fn a_classic_histogram_is_one_line_with_its_buckets_in_order() {
    let samples = vec![
        whole("_count", &[], 17),
        float("_sum", &[], 324_789.3),
        created(),
        bucket("+Inf", 17),
        bucket("100000", 11),
        bucket("1e-05", 0),
        bucket("-1", 0),
        bucket("1e+23", 16),
        bucket("0.1", 8),
    ];
    check(
        Type::Histogram,
        samples,
        "foo {count:17,sum:324789.3,bucket:[-1.0:0,1e-05:0,0.1:8,100000.0:11,1e+23:16,+Inf:17]} \
         st@1520430000.123",
    );
}

#[test]
fn a_histogram_says_what_it_does_not_know() {
    check(
        Type::Histogram,
        vec![bucket("1", 2), bucket("+Inf", 3)],
        "foo {count:3,sum:NaN,bucket:[1.0:2,+Inf:3]}",
    );
    check(
        Type::Histogram,
        vec![bucket("1", 2), whole("_count", &[], 3)],
        "foo {count:3,sum:NaN,bucket:[1.0:2,+Inf:3]}",
    );
    check(Type::Histogram, vec![whole("_count", &[], 3)], "foo {count:3,sum:NaN,bucket:[+Inf:3]}");
    // A bucket without a bound is none, and one bound is one bucket.
    check(
        Type::Histogram,
        vec![bucket("x", 2), bucket("1", 1), bucket("1.0", 1)],
        "foo {count:1,sum:NaN,bucket:[1.0:1,+Inf:1]}",
    );
}

#[test]
fn a_gauge_histogram_has_other_names_and_no_start() {
    let samples = vec![
        bucket("0.01", 20),
        bucket("+Inf", 42),
        whole("_gcount", &[], 42),
        float("_gsum", &[], 3289.3),
        created(),
    ];
    check(Type::GaugeHistogram, samples, "foo {gcount:42,gsum:3289.3,bucket:[0.01:20,+Inf:42]}");
}

#[test]
fn exemplars_of_buckets_stand_behind_the_line() {
    let seen = |trace, millis| exemplar(&[("trace_id", trace)], 1.5, millis);
    let samples = vec![
        with(seen("b", Some(1000)), bucket("10", 1)),
        with(seen("a", Some(2000)), bucket("1", 0)),
        with(seen("c", None), bucket("+Inf", 1)),
    ];
    check(
        Type::Histogram,
        samples,
        "foo {count:1,sum:NaN,bucket:[1.0:0,10.0:1,+Inf:1]} # {trace_id=\"a\"} 1.5 2 \
         # {trace_id=\"b\"} 1.5 1",
    );
}

/// Buckets by span and count.
fn buckets(spans: &[(i32, u32)], counts: &[f64]) -> NativeBuckets {
    let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
    NativeBuckets { spans, counts: counts.iter().map(|count| Value::Float(*count)).collect() }
}

#[test]
fn native_buckets_are_absolute_counts_behind_their_spans() {
    let native = NativeHistogram {
        schema: 7,
        zero_threshold: 1e-4,
        sum: 120.0,
        negative: buckets(&[(1, 2)], &[5.0, 7.0]),
        positive: buckets(&[(-1, 2), (3, 4)], &[5.0, 7.0, 10.0, 9.0, 8.0, 8.0]),
        ..NativeHistogram::default()
    };
    check(
        Type::Histogram,
        vec![native_sample(&[], Value::Whole(59), native.clone())],
        "foo {count:59,sum:120,schema:7,zero_threshold:0.0001,zero_count:0,negative_spans:[1:2],\
         negative_buckets:[5,7],positive_spans:[-1:2,3:4],positive_buckets:[5,7,10,9,8,8]}",
    );
    check(
        Type::GaugeHistogram,
        vec![native_sample(&[], Value::Float(0.5), native)],
        "foo {gcount:0.5,gsum:120,schema:7,zero_threshold:0.0001,zero_count:0,\
         negative_spans:[1:2],negative_buckets:[5,7],positive_spans:[-1:2,3:4],\
         positive_buckets:[5,7,10,9,8,8]}",
    );
    let empty = NativeHistogram { schema: 3, zero_threshold: 1e-4, ..NativeHistogram::default() };
    check(
        Type::Histogram,
        vec![native_sample(&[], Value::Whole(0), empty)],
        "foo {count:0,sum:0,schema:3,zero_threshold:0.0001,zero_count:0}",
    );
}

#[test]
fn spans_without_buckets_are_joined_to_the_next_one() {
    let positive = buckets(&[(2, 0), (3, 1), (1, 0), (1, 1), (9, 0)], &[1.0, 2.0]);
    let native = NativeHistogram { positive, ..NativeHistogram::default() };
    check(
        Type::Histogram,
        vec![native_sample(&[], Value::Whole(3), native)],
        "foo {count:3,sum:0,schema:0,zero_threshold:0,zero_count:0,positive_spans:[5:1,2:1],\
         positive_buckets:[1,2]}",
    );
}

#[test]
fn the_start_of_a_native_histogram_is_behind_a_switch() {
    let native = native_sample(&[], Value::Whole(0), NativeHistogram::default());
    let samples = || vec![native.clone(), bucket("+Inf", 0), created()];
    let line = "foo {count:0,sum:0,schema:0,zero_threshold:0,zero_count:0,bucket:[+Inf:0]}";
    check(Type::Histogram, samples(), line);
    let families = [family(Type::Histogram, "foo", samples())];
    let page = Format::OpenMetrics200.encode_with(&families, &STARTS);
    let expect = format!("# TYPE foo histogram\n{line} st@1520430000.123\n# EOF\n");
    assert_eq!(String::from_utf8(page).expect("it is UTF-8"), expect);
}
