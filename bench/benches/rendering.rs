//! What a line of an exposition costs beside copying its bytes.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use tallyboard_bench::{Race, finish};
use tallyboard_exposition::text::Prefix;

const LINES: usize = 10_000;

fn main() -> ExitCode {
    let routes: Vec<String> = (0..LINES).map(|route| format!("/items/{route}")).collect();
    let prefix = |route: &String| {
        Prefix::new("app_requests", "_total", [("route", route.as_str()), ("status", "200")])
    };
    let prefixes: Vec<Prefix> = routes.iter().map(prefix).collect();
    let values: Vec<u64> = (0..LINES as u64).map(|line| line * line * 7).collect();
    let floats: Vec<f64> = values.iter().map(|value| *value as f64 / 1000.0).collect();
    let whole = |page: &mut Vec<u8>| {
        page.clear();
        prefixes.iter().zip(&values).for_each(|(prefix, value)| prefix.write_whole(page, *value));
    };
    let mut ready = Vec::new();
    whole(&mut ready);
    let lines: Vec<&[u8]> = ready.split_inclusive(|byte| *byte == b'\n').collect();
    let [mut copied, mut written, mut float] = [const { Vec::<u8>::new() }; 3];
    let outcome = Race::new("a line of text")
        .enter("copying the line", || {
            copied.clear();
            lines.iter().for_each(|line| copied.extend_from_slice(line));
            black_box(&copied);
        })
        .of(LINES)
        .enter("Prefix::write_whole", || {
            whole(&mut written);
            black_box(&written);
        })
        .of(LINES)
        .at_most_ns(40.0)
        .enter("Prefix::write_float", || {
            float.clear();
            let lines = prefixes.iter().zip(&floats);
            lines.for_each(|(prefix, value)| prefix.write_float(&mut float, *value));
            black_box(&float);
        })
        .of(LINES)
        .run();
    finish(&[outcome])
}
