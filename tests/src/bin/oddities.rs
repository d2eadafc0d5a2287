//! A worker that observes each of the numbers that it is given, whatever they are, and has a metric that
//! is called as one of the scraper's own. It says so, and lives until it is killed.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, NativeHistogram, Summary};

fn work(numbers: &[f64]) -> Result<(), Box<dyn Error>> {
    let seconds = Histogram::builder("odd_seconds", "Time.").buckets(&[1.0, 10.0]).register()?;
    let depth = Histogram::builder("odd_depth", "Below zero.").buckets(&[-1.0, 1.0]).register()?;
    let wide = NativeHistogram::builder("odd_wide", "Both kinds of buckets.");
    let wide = wide.classic_buckets(&[1.0]).register()?;
    let balance = Summary::new("odd_balance", "What goes up and down.")?;
    for number in numbers {
        seconds.observe(*number);
        depth.observe(*number);
        wide.observe(*number);
        balance.observe(*number);
    }
    Counter::new("odd_done_total", "Done.")?.inc();
    let up = Gauge::builder("up", "Whether it is up.").mode(GaugeMode::Max);
    up.register()?.set(0.0);
    Ok(())
}

fn main() -> ExitCode {
    let numbers: Result<Vec<f64>, _> = std::env::args().skip(1).map(|n| n.parse()).collect();
    let done = numbers.map_err(Into::into).and_then(|numbers| work(&numbers));
    if let Err(error) = done {
        eprintln!("expected numbers to observe, found {error}");
        return ExitCode::FAILURE;
    }
    println!("worker {} has counted", std::process::id());
    loop {
        nix::unistd::pause();
    }
}
