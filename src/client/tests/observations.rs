//! Observations of all sizes: what is no number is dropped, and everything else counts.

use tallyboard::sample::{FamilySamples, Value};
use tallyboard::{Histogram, NativeHistogram, Registry, Summary};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};

/// The count and the sum of each family, by name.
fn totals(families: &[FamilySamples]) -> Vec<(&str, u64, f64)> {
    let of = |family: &'_ FamilySamples| {
        let value = |suffix: &str| {
            let of_suffix = family.samples.iter().find(|sample| sample.suffix == suffix);
            of_suffix.map(|sample| sample.value)
        };
        let native = family.samples.iter().find_map(|sample| sample.native.as_ref());
        let count = value("_count").or(native.and(value("")));
        let sum = value("_sum").map(Value::as_f64).or(native.map(|native| native.sum));
        (count.expect("a count").as_f64() as u64, sum.expect("a sum"))
    };
    families.iter().map(|family| (&*family.name, of(family).0, of(family).1)).collect()
}

struct Instruments {
    registry: &'static Registry,
    histogram: Histogram,
    native: NativeHistogram,
    summary: Summary,
}

impl Instruments {
    fn new() -> Self {
        let registry = Registry::new();
        let bounds = [-1.0, 1.0];
        let histogram = Histogram::builder("a_histogram", "").buckets(&bounds).registry(registry);
        let native = NativeHistogram::builder("b_native", "").registry(registry);
        let summary = Summary::builder("c_summary", "").registry(registry);
        Self {
            registry,
            histogram: histogram.register().expect("a histogram"),
            native: native.register().expect("a native histogram"),
            summary: summary.register().expect("a summary"),
        }
    }

    fn observe(&self, value: f64) {
        let trace = [("trace_id", "a")];
        self.histogram.observe_with_exemplar(value, &trace).expect("labels");
        self.native.observe_with_exemplar(value, &trace).expect("labels");
        self.summary.observe(value);
    }
}

#[test]
fn an_observation_that_is_no_number_changes_nothing() {
    let instruments = Instruments::new();
    instruments.observe(f64::NAN);
    let families = instruments.registry.gather();
    let of = |count, sum| {
        ["a_histogram", "b_native", "c_summary"].map(|name| (name, count, sum)).to_vec()
    };
    assert_eq!(totals(&families), of(0, 0.0));
    for sample in families.iter().flat_map(|family| &family.samples) {
        let native = sample.native.iter().flat_map(|native| &native.exemplars);
        assert_eq!(sample.exemplar.iter().chain(native).next(), None);
    }
    for value in [2.5, f64::NAN, -f64::NAN, -4.0, f64::NAN] {
        instruments.observe(value);
    }
    assert_eq!(totals(&instruments.registry.gather()), of(2, -1.5));
}

#[test]
fn every_other_observation_counts_and_every_format_is_read() {
    for values in [
        &[-1.0][..],
        &[0.5, -0.25],
        &[-0.0],
        &[f64::INFINITY],
        &[f64::NEG_INFINITY, 1.0],
        &[f64::INFINITY, f64::NEG_INFINITY],
        &[5e-324, -5e-324],
        &[f64::MAX, f64::MAX],
        &[f64::MIN, f64::MIN, 1.0],
        &[1e300, 1e-300, -1e16],
    ] {
        let instruments = Instruments::new();
        values.iter().for_each(|value| instruments.observe(*value));
        let families = instruments.registry.gather();
        let sum = values.iter().fold(0.0, |sum, value| sum + value);
        for (name, count, found) in totals(&families) {
            assert_eq!(count, values.len() as u64, "{name} {values:?}");
            assert!(found == sum || found.is_nan() && sum.is_nan(), "{name} {values:?}: {found}");
        }
        for format in Format::EVERY {
            let page = format.encode(&families);
            let found = parse(&page, *format, &Options::default());
            let found = found.unwrap_or_else(|error| {
                panic!("{values:?} {format:?}: {error}\n{}", String::from_utf8_lossy(&page))
            });
            // Text, and protocol buffers, have all of them.
            if !format.content_type().contains("openmetrics") {
                assert_eq!(totals(&found).len(), 3, "{format:?}");
            }
        }
    }
}
