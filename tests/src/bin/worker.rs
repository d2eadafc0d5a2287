//! A worker: counts what its argument says, says who it is, and lives until it is killed. With a
//! second argument it ends by itself instead.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tallyboard::{Counter, Histogram, Registry};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(Ok(times)) = arguments.next().map(|times| times.parse::<u64>()) else {
        eprintln!("expected how many times to count");
        return ExitCode::FAILURE;
    };
    let done = Counter::builder("app_done", "Things done.").labels(&["by"]).family();
    let done = done.map(|family| family.with(&["worker"]).expect("one label, one value"));
    let seconds = Histogram::new("app_seconds", "Time that things took.");
    let (Ok(done), Ok(seconds)) = (done, seconds) else { return ExitCode::FAILURE };
    for _ in 0..times {
        done.inc();
        seconds.observe(0.5);
    }
    match Registry::shared().attachment() {
        Some(attachment) => println!("worker {} slot {}", std::process::id(), attachment.slot),
        None => println!("worker {} private", std::process::id()),
    }
    if arguments.next().is_none() {
        loop {
            nix::unistd::pause();
        }
    }
    ExitCode::SUCCESS
}
