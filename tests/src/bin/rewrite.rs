//! Replaces a file for the node exporter again and again until it is killed: a hundred gauges that
//! all have the number of the rewrite, which goes on from the one that is in the file.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_bridges::Textfile;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("expected the path of a file");
        return ExitCode::FAILURE;
    };
    let file = Textfile::new(&path).expect("the path of a file");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let last = written.rsplit([' ', '\n']).find(|word| !word.is_empty());
    let mut number: u64 = last.map_or(0, |last| last.parse().expect("a number ends the file"));
    loop {
        number += 1;
        let mut family = FamilySamples::new(Type::Gauge, "rewrite", "The number of a rewrite.");
        let sample = |part: u32| {
            let labels = vec![("part".to_owned(), part.to_string())];
            Sample::new("", labels, Value::Whole(number))
        };
        family.samples = (0..100).map(sample).collect();
        file.blocking_write(&[family]).expect("the file is replaced");
    }
}
