//! Families to write.

use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type,
    Value,
};

/// When the series of these pages began, in seconds.
pub const CREATED: f64 = 1_520_430_000.123;
/// What is in these pages happened here.
pub const MILLIS: i64 = 1_520_879_607_789;

pub fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn whole(suffix: &'static str, of: &[(&str, &str)], value: u64) -> Sample {
    Sample::new(suffix, labels(of), Value::Whole(value))
}

pub fn float(suffix: &'static str, of: &[(&str, &str)], value: f64) -> Sample {
    Sample::new(suffix, labels(of), Value::Float(value))
}

pub fn exemplar(of: &[(&str, &str)], value: f64, millis: Option<i64>) -> Exemplar {
    Exemplar { labels: labels(of), value, timestamp: millis.map(Timestamp::from_millis) }
}

/// The sample with an exemplar.
pub fn with(exemplar: Exemplar, sample: Sample) -> Sample {
    Sample { exemplar: Some(exemplar), ..sample }
}

/// The sample at [`MILLIS`].
pub fn timed(sample: Sample) -> Sample {
    Sample { timestamp: Some(Timestamp::from_millis(MILLIS)), ..sample }
}

pub fn family(kind: Type, name: &str, samples: Vec<Sample>) -> FamilySamples {
    FamilySamples { kind, name: name.to_owned(), samples, ..FamilySamples::default() }
}

pub fn native() -> NativeHistogram {
    let whole = |counts: &[u64]| counts.iter().map(|count| Value::Whole(*count)).collect();
    NativeHistogram {
        schema: 3,
        zero_threshold: 2.0_f64.powi(-128),
        zero_count: Value::Whole(1),
        sum: 120.5,
        positive: NativeBuckets {
            spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
            counts: whole(&[5, 7, 2]),
        },
        negative: NativeBuckets { spans: vec![Span { offset: 1, length: 1 }], counts: whole(&[4]) },
        exemplars: vec![exemplar(&[("trace_id", "n")], 0.9, Some(MILLIS))],
    }
}

/// The count of a native histogram with its buckets.
pub fn native_sample(of: &[(&str, &str)], count: Value, native: NativeHistogram) -> Sample {
    Sample { native: Some(Box::new(native)), ..Sample::new("", labels(of), count) }
}

fn histogram() -> FamilySamples {
    let trace = exemplar(&[("trace_id", "KOO5S4vxi0o")], 0.67, Some(MILLIS));
    let samples = vec![
        whole("_bucket", &[("path", "/"), ("le", "0.5")], 3),
        with(trace, whole("_bucket", &[("path", "/"), ("le", "1")], 8)),
        with(exemplar(&[], 9e5, None), whole("_bucket", &[("path", "/"), ("le", "1000000.0")], 8)),
        whole("_bucket", &[("path", "/"), ("le", "+Inf")], 9),
        whole("_count", &[("path", "/")], 9),
        float("_sum", &[("path", "/")], 12.25),
        float("_created", &[("path", "/")], CREATED),
    ];
    let (help, unit) = ("How long.".to_owned(), "seconds".to_owned());
    FamilySamples { help, unit, ..family(Type::Histogram, "latency_seconds", samples) }
}

fn counter() -> FamilySamples {
    let of = &[("path", "a\\b\"c\nd"), ("node.name", "ü")];
    let long = exemplar(&[("trace_id", &"x".repeat(121))], 1.0, None);
    let samples = vec![
        timed(with(exemplar(&[("a", "\"")], 1.0, Some(-500)), whole("_total", of, u64::MAX))),
        timed(float("_created", of, CREATED)),
        with(long, float("_total", &[], 0.5)),
    ];
    let help = "Back\\slash, \"quote\",\nnew line.".to_owned();
    FamilySamples { help, unit: "bytes".into(), ..family(Type::Counter, "requests", samples) }
}

/// A family of each type, with all that each may have.
pub fn everything() -> Vec<FamilySamples> {
    let gauge = vec![float("", &[], -1.5), timed(float("", &[("a", "b")], f64::NAN))];
    let gauge_histogram = vec![
        whole("_bucket", &[("le", "1.0")], 2),
        whole("_bucket", &[("le", "+Inf")], 3),
        whole("_gcount", &[], 3),
        float("_gsum", &[], 1.5),
    ];
    let summary = vec![
        float("", &[("quantile", "0.5")], 0.25),
        float("", &[("quantile", "1")], f64::NAN),
        whole("_count", &[], 2),
        float("_sum", &[], 0.75),
        float("_created", &[], CREATED),
    ];
    let states = vec![whole("", &[("state", "on")], 1), whole("", &[("state", "off")], 0)];
    let both = vec![
        native_sample(&[("a", "b")], Value::Whole(19), native()),
        whole("_bucket", &[("a", "b"), ("le", "+Inf")], 19),
        whole("_count", &[("a", "b")], 19),
        float("_sum", &[("a", "b")], 120.5),
        float("_created", &[("a", "b")], CREATED),
        native_sample(&[("a", "c")], Value::Whole(19), native()),
    ];
    vec![
        family(Type::GaugeHistogram, "ages", gauge_histogram),
        family(Type::Info, "build", vec![whole("_info", &[("version", "1")], 1)]),
        histogram(),
        family(Type::Histogram, "native", both),
        counter(),
        family(Type::Summary, "sizes", summary),
        family(Type::StateSet, "state", states),
        family(Type::Gauge, "temperature", gauge),
        family(Type::Unknown, "utf-8.näme\"", vec![float("", &[], 1e300)]),
        family(Type::Unknown, "without_samples", vec![]),
    ]
}
