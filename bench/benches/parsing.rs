//! What a line costs to read, beside finding where it ends, and that a longer document costs no
//! more a line.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use tallyboard_bench::page::{lines, page};
use tallyboard_bench::{Outcome, Race, finish};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};

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
