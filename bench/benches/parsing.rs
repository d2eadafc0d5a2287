//! What a line costs to read, beside finding where it ends, and that a longer document costs no
//! more a line.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use tallyboard_bench::{Outcome, Race, finish};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};

/// Series of the shorter document; each has twelve lines where a histogram is not one sample.
const SERIES: usize = 200;
/// How much longer the longer one is.
const TIMES: usize = 10;
/// How much more a line of it may cost: memory is further away, but nothing is looked at again.
const LINEAR: f64 = 3.0;

fn main() -> ExitCode {
    let mut outcomes = Vec::new();
    for (name, format) in [
        ("reading text 0.0.4", Format::Text004),
        ("reading OpenMetrics 1.0", Format::OpenMetrics100),
        ("reading OpenMetrics 2.0", Format::OpenMetrics200),
    ] {
        let [short, long] = [SERIES, SERIES * TIMES].map(|series| format.encode(&page(series)));
        outcomes.push(race(name, format, &short, &long));
    }
    finish(&outcomes)
}

fn race(name: &str, format: Format, short: &[u8], long: &[u8]) -> Outcome {
    let read = |page: &[u8]| {
        let families = parse(page, format, &Options::default());
        assert!(families.is_ok(), "{name}: {:?}", families.err());
        black_box(families)
    };
    Race::new(name)
        .enter("a line of a document", || read(short))
        .of(lines(short))
        .enter("a line of one that is ten times as long", || read(long))
        .of(lines(long))
        .at_most(LINEAR)
        .enter("finding where a line ends", || black_box(lines(short)))
        .of(lines(short))
        .run()
}

fn lines(page: &[u8]) -> usize {
    page.iter().filter(|byte| **byte == b'\n').count()
}

/// A counter and a histogram with so many series each.
fn page(series: usize) -> Vec<FamilySamples> {
    let routes: Vec<String> = (0..series).map(|route| format!("/items/{route}")).collect();
    let labels = |route: &String, le: Option<&str>| {
        let own = [("route", route.as_str()), ("status", "200")];
        let all = own.into_iter().chain(le.map(|le| ("le", le)));
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let total = |route| Sample::new("_total", labels(route, None), Value::Whole(123_456));
    let histogram = |route| {
        let bounds = ["0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "10.0", "+Inf"];
        let count = |le| Sample::new("_bucket", labels(route, Some(le)), Value::Whole(4_321));
        let mut samples: Vec<Sample> = bounds.into_iter().map(count).collect();
        samples.push(Sample::new("_count", labels(route, None), Value::Whole(4_321)));
        samples.push(Sample::new("_sum", labels(route, None), Value::Float(1_234.567_89)));
        samples
    };
    let family = |kind, name: &str, samples| FamilySamples {
        kind,
        name: name.to_owned(),
        help: "What this is.".to_owned(),
        samples,
        ..FamilySamples::default()
    };
    vec![
        family(Type::Counter, "app_requests", routes.iter().map(total).collect()),
        family(Type::Histogram, "app_latency", routes.iter().flat_map(histogram).collect()),
    ]
}
