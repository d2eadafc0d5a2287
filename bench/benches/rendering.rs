//! What a line of an exposition costs beside copying its bytes.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use tallyboard_bench::{Race, finish};
use tallyboard_exposition::prefixes::Prefixes;

const LINES: usize = 10_000;

fn main() -> ExitCode {
    let routes: Vec<String> = (0..LINES).map(|route| format!("/items/{route}")).collect();
    let mut prefixes = Prefixes::default();
    for route in &routes {
        let labels = [("route", route.as_str()), ("status", "200")];
        prefixes.push("app_requests", "_total", labels);
    }
    let values: Vec<u64> = (0..LINES as u64).map(|line| line * line * 7).collect();
    let floats: Vec<f64> = values.iter().map(|value| *value as f64 / 1000.0).collect();
    let whole = |page: &mut Vec<u8>| {
        page.clear();
        for (line, value) in values.iter().enumerate() {
            prefixes.write_whole(page, line, *value);
        }
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
        .enter("Prefixes::write_whole", || {
            whole(&mut written);
            black_box(&written);
        })
        .of(LINES)
        .at_most_ns(40.0)
        .enter("Prefixes::write_float", || {
            float.clear();
            for (line, value) in floats.iter().enumerate() {
                prefixes.write_float(&mut float, line, *value);
            }
            black_box(&float);
        })
        .of(LINES)
        .run();
    finish(&[outcome])
}
