//! Whatever number stands in whichever place: each format has it exactly or not at all, what has no
//! place in one format is in all others, and what is written is read.

use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{
    FamilySamples, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type, Value,
};

use crate::families::{family, float, labels, native_sample, whole};

const HUGE: f64 = 9_007_199_254_740_993.0;

const FLOATS: [f64; 21] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    -0.1,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    -f64::MIN_POSITIVE,
    1e16,
    HUGE,
    -HUGE,
    18_446_744_073_709_551_616.0,
    9_223_372_036_854_775_808.0,
    1e300,
    f64::MAX,
    f64::MIN,
];

const WHOLES: [u64; 6] =
    [0, 1, 9_007_199_254_740_993, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];

fn values() -> Vec<Value> {
    let floats = FLOATS.into_iter().map(Value::Float);
    floats.chain(WHOLES.into_iter().map(Value::Whole)).collect()
}

/// What one number is beside others that are good.
struct Place {
    /// What it is called in messages.
    name: &'static str,
    kind: Type,
    /// The samples of a series with this number in that place.
    samples: fn(Value) -> Vec<Sample>,
}

fn of(suffix: &'static str, of: &[(&str, &str)], value: Value) -> Sample {
    Sample::new(suffix, labels(of), value)
}

fn bucket(le: &str, value: Value) -> Sample {
    of("_bucket", &[("le", le)], value)
}

fn native(value: Value, sum: f64, in_zero: bool) -> Sample {
    let counts = vec![if in_zero { Value::Whole(0) } else { value }];
    let positive = NativeBuckets { spans: vec![Span { offset: 1, length: 1 }], counts };
    let zero_count = if in_zero { value } else { Value::Whole(0) };
    let native = NativeHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count,
        sum,
        positive,
        ..NativeHistogram::default()
    };
    native_sample(&[], value, native)
}

const PLACES: [Place; 20] = [
    Place { name: "gauge", kind: Type::Gauge, samples: |value| vec![of("", &[], value)] },
    Place { name: "unknown", kind: Type::Unknown, samples: |value| vec![of("", &[], value)] },
    Place { name: "total", kind: Type::Counter, samples: |value| vec![of("_total", &[], value)] },
    Place {
        name: "start of a counter",
        kind: Type::Counter,
        samples: |value| vec![whole("_total", &[], 1), of("_created", &[], value)],
    },
    Place { name: "info", kind: Type::Info, samples: |value| vec![of("_info", &[], value)] },
    Place {
        name: "state",
        kind: Type::StateSet,
        samples: |value| vec![of("", &[("a", "on")], value), whole("", &[("a", "off")], 0)],
    },
    Place {
        name: "count of a summary",
        kind: Type::Summary,
        samples: |value| vec![of("_count", &[], value), float("_sum", &[], 1.5)],
    },
    Place {
        name: "sum of a summary",
        kind: Type::Summary,
        samples: |value| vec![whole("_count", &[], 1), of("_sum", &[], value)],
    },
    Place {
        name: "quantile",
        kind: Type::Summary,
        samples: |value| {
            let quantile = of("", &[("quantile", "0.5")], value);
            vec![quantile, whole("_count", &[], 1), float("_sum", &[], 1.5)]
        },
    },
    Place {
        name: "bucket",
        kind: Type::Histogram,
        samples: |value| {
            let all = bucket("+Inf", Value::Whole(7));
            vec![bucket("1.0", value), all, whole("_count", &[], 7), float("_sum", &[], 1.5)]
        },
    },
    Place {
        name: "count of a histogram",
        kind: Type::Histogram,
        samples: |value| {
            let buckets = vec![bucket("1.0", Value::Whole(0)), bucket("+Inf", value)];
            [buckets, vec![of("_count", &[], value), float("_sum", &[], 1.5)]].concat()
        },
    },
    Place {
        name: "count alone of a histogram",
        kind: Type::Histogram,
        samples: |value| vec![of("_count", &[], value), float("_sum", &[], 1.5)],
    },
    Place {
        name: "sum of a histogram",
        kind: Type::Histogram,
        samples: |value| {
            let all = bucket("+Inf", Value::Whole(7));
            vec![
                bucket("1.0", Value::Whole(2)),
                all,
                whole("_count", &[], 7),
                of("_sum", &[], value),
            ]
        },
    },
    Place {
        name: "sum beside negative bounds",
        kind: Type::Histogram,
        samples: |value| {
            let all = bucket("+Inf", Value::Whole(7));
            vec![
                bucket("-1.0", Value::Whole(2)),
                all,
                whole("_count", &[], 7),
                of("_sum", &[], value),
            ]
        },
    },
    Place {
        name: "count of a gauge histogram",
        kind: Type::GaugeHistogram,
        samples: |value| {
            let buckets = vec![bucket("1.0", Value::Whole(0)), bucket("+Inf", value)];
            [buckets, vec![of("_gcount", &[], value), float("_gsum", &[], 1.5)]].concat()
        },
    },
    Place {
        name: "sum of a gauge histogram",
        kind: Type::GaugeHistogram,
        samples: |value| {
            let all = bucket("+Inf", Value::Whole(7));
            vec![all, whole("_gcount", &[], 7), of("_gsum", &[], value)]
        },
    },
    Place {
        name: "native bucket",
        kind: Type::Histogram,
        samples: |value| vec![native(value, 1.5, false)],
    },
    Place {
        name: "zero bucket",
        kind: Type::GaugeHistogram,
        samples: |value| vec![native(value, 1.5, true)],
    },
    Place {
        name: "sum of a native histogram",
        kind: Type::Histogram,
        samples: |value| vec![native(Value::Whole(2), value.as_f64(), true)],
    },
    Place {
        name: "sum of both",
        kind: Type::Histogram,
        samples: |value| {
            let native = native(Value::Whole(2), value.as_f64(), false);
            let all = bucket("+Inf", Value::Whole(2));
            vec![native, all, whole("_count", &[], 2), of("_sum", &[], value)]
        },
    },
];

/// Everything of all choices, so that nothing is left out by choice.
const ALL: Choices = Choices { created: true, native_starts: true, native_buckets: true };

fn read(page: &[u8], format: Format, case: &str) -> Vec<FamilySamples> {
    parse(page, format, &Options { exact: format == Format::Text004, ..Options::default() })
        .unwrap_or_else(|error| {
            panic!("{case} {format:?}: {error}:\n{}", String::from_utf8_lossy(page))
        })
}

/// The number of a sample, as bits; NaN is always the same.
fn bits(value: Value) -> u64 {
    let value = value.as_f64();
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// The numbers of samples by name and labels; nothing is there twice.
fn numbers(families: &[FamilySamples]) -> Vec<(String, u64)> {
    let mut numbers = Vec::new();
    for family in families {
        for sample in &family.samples {
            let name = format!("{}{} {:?}", family.name, sample.suffix, sample.labels);
            assert!(numbers.iter().all(|(known, _)| *known != name), "{name} stands twice");
            numbers.push((name, bits(sample.value)));
        }
    }
    numbers
}

#[test]
fn every_number_in_every_place_is_read_as_it_was_or_was_not_written() {
    for place in &PLACES {
        for value in values() {
            let samples = (place.samples)(value);
            let good = family(Type::Gauge, "z", vec![whole("", &[], 1)]);
            let families = [family(place.kind, "a", samples), good];
            for format in Format::EVERY {
                for choices in [Choices::default(), ALL] {
                    let case = format!("{} {value:?}", place.name);
                    let page = format.encode_with(&families, &choices);
                    let found = read(&page, *format, &case);
                    let again = read(&format.encode_with(&found, &choices), *format, &case);
                    assert_eq!(numbers(&again), numbers(&found), "{case} {format:?}");
                    let last = found.last().expect("the other family");
                    assert_eq!((&*last.name, last.samples.len()), ("z", 1), "{case} {format:?}");
                    let original = numbers(&families);
                    for (name, found) in numbers(&found) {
                        // Moments have nanoseconds, and samples that a format adds say the same.
                        let is_moment = name.contains("_created ");
                        let known = original.iter().find(|(known, _)| *known == name);
                        let known = known.filter(|_| !is_moment).map_or(found, |(_, known)| *known);
                        // A count in a message has no sign.
                        let is_count =
                            place.name.contains("count") || place.name.contains("bucket");
                        let is_zero = f64::from_bits(known) == 0.0 && is_count;
                        let known = if is_zero { found & known } else { known };
                        assert_eq!(found, known, "{case} {format:?}: {name}");
                    }
                }
            }
        }
    }
}

/// Which formats have a number in a place.
fn formats_with(place: &str, value: f64, what: &str) -> Vec<Format> {
    let place = PLACES.iter().find(|known| known.name == place).expect("a place");
    let families = [family(place.kind, "a", (place.samples)(Value::Float(value)))];
    let has = |format: &&Format| {
        let found = numbers(&read(&format.encode(&families), **format, place.name));
        let expect = bits(Value::Float(value));
        found.iter().any(|(name, number)| name.starts_with(what) && *number == expect)
    };
    Format::EVERY.iter().filter(has).copied().collect()
}

/// Every format but OpenMetrics 1.0, and but 2.0 where that is said.
fn but_openmetrics(and_2: bool) -> Vec<Format> {
    let is_kept = |format: &&Format| match format {
        Format::OpenMetrics001 | Format::OpenMetrics100 => false,
        Format::OpenMetrics200 => !and_2,
        _ => true,
    };
    Format::EVERY.iter().filter(is_kept).copied().collect()
}

#[test]
fn a_sum_that_openmetrics_forbids_is_left_out_there_alone() {
    for value in [-1.0, -0.1, f64::MIN, f64::NEG_INFINITY, f64::NAN] {
        assert_eq!(formats_with("sum of a summary", value, "a_sum "), but_openmetrics(true));
        let others = but_openmetrics(false);
        assert_eq!(formats_with("sum of a histogram", value, "a_sum "), others, "{value}");
    }
    // Whatever it is, where a bound is negative.
    let others = but_openmetrics(false);
    assert_eq!(formats_with("sum beside negative bounds", 5.0, "a_sum "), others);
    for value in [0.0, 5e-324, 1e300, f64::INFINITY] {
        for place in ["sum of a summary", "sum of a histogram", "gauge", "total"] {
            let what = ["a_sum ", "a "][usize::from(place == "gauge")];
            let what = if place == "total" { "a_total " } else { what };
            assert_eq!(formats_with(place, value, what), Format::EVERY, "{place} {value}");
        }
    }
    for value in FLOATS {
        assert_eq!(formats_with("gauge", value, "a "), Format::EVERY, "{value}");
    }
}

#[test]
fn what_stands_beside_a_sum_that_is_left_out_is_written_where_it_may() {
    let check = |format: Format, kind, samples: Vec<Sample>, expect: &str| {
        let page = String::from_utf8(format.encode(&[family(kind, "a", samples)]));
        let page = page.expect("a text");
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.join(" | "), expect);
    };
    let summary =
        || vec![whole("_count", &[], 1), float("_sum", &[], -1.0), float("_created", &[], 5.0)];
    check(Format::OpenMetrics100, Type::Summary, summary(), "a_count 1 | a_created 5");
    check(Format::OpenMetrics200, Type::Summary, summary(), "");
    check(Format::Text004, Type::Summary, summary(), "a_count 1 | a_sum -1");
    let histogram = || {
        let all = bucket("+Inf", Value::Whole(1));
        vec![all, whole("_count", &[], 1), float("_sum", &[], -1.0), float("_created", &[], 5.0)]
    };
    let bare = "a_bucket{le=\"+Inf\"} 1 | a_created 5";
    check(Format::OpenMetrics100, Type::Histogram, histogram(), bare);
    let line = "a {count:1,sum:-1,bucket:[+Inf:1]} st@5";
    check(Format::OpenMetrics200, Type::Histogram, histogram(), line);
    // Nothing is left of a counter that is none.
    let counter = vec![float("_total", &[], f64::NAN), float("_created", &[], 5.0)];
    check(Format::OpenMetrics100, Type::Counter, counter, "");
}

#[test]
fn created_samples_and_native_buckets_are_left_out_where_that_is_chosen() {
    let counter = vec![whole("_total", &[], 1), float("_created", &[], 5.0)];
    let families = [
        family(Type::Counter, "a", counter),
        family(
            Type::Histogram,
            "h",
            vec![native(Value::Whole(2), 1.5, false), float("_created", &[], 5.0)],
        ),
    ];
    let choices = Choices { created: false, native_buckets: false, ..Choices::default() };
    for format in [Format::OpenMetrics001, Format::OpenMetrics100] {
        let page = |choices: &Choices| String::from_utf8(format.encode_with(&families, choices));
        let (usual, without) = (page(&Choices::default()), page(&choices));
        assert_eq!(usual.expect("a text").matches("_created 5\n").count(), 2);
        assert!(!without.expect("a text").contains("_created"));
    }
    // It is no sample in the others.
    let page = Format::OpenMetrics200.encode_with(&families, &choices);
    let page = String::from_utf8(page).expect("a text");
    assert!(page.contains("a_total 1 st@5\n") && page.contains("schema:3"), "{page}");
    #[cfg(feature = "protobuf")]
    for (choices, expect) in [(Choices::default(), true), (choices, false)] {
        let page = Format::Protobuf.encode_with(&families, &choices);
        let found = read(&page, Format::Protobuf, "native");
        let is_native = found[1].samples.iter().any(|sample| sample.native.is_some());
        assert_eq!(is_native, expect);
        let all = |sample: &&Sample| sample.suffix == "_bucket";
        let classic = found[1].samples.iter().find(all).map(|sample| sample.value);
        assert_eq!(classic, (!expect).then_some(Value::Whole(2)));
        let sum = found[1].samples.iter().find(|sample| sample.suffix == "_sum");
        assert_eq!(sum.map(|sum| sum.value.as_f64()), (!expect).then_some(1.5));
    }
}

#[test]
fn a_moment_is_exact_or_left_out() {
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    for (timestamp, in_millis) in [
        (at(0, 0), true),
        (at(-1, 999_000_000), true),
        (at(9_223_372_036_854_774, 999_000_000), true),
        (at(9_223_372_036_854_776, 0), false),
        (at(-9_223_372_036_854_777, 0), false),
        (at(i64::MAX, 999_999_999), false),
        (at(i64::MIN, 0), false),
    ] {
        let sample = Sample { timestamp, ..whole("", &[], 1) };
        let families = [family(Type::Gauge, "a", vec![sample])];
        for format in Format::EVERY {
            let is_openmetrics = matches!(
                format,
                Format::OpenMetrics001 | Format::OpenMetrics100 | Format::OpenMetrics200
            );
            let found = read(&format.encode(&families), *format, "moment");
            let found = found.iter().flat_map(|family| &family.samples);
            let found: Vec<Option<Timestamp>> = found.map(|sample| sample.timestamp).collect();
            match is_openmetrics || in_millis {
                true => assert_eq!(found, [timestamp], "{format:?}"),
                false => assert_eq!(found, [], "{format:?}"),
            }
        }
    }
}
