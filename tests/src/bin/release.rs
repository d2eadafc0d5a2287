//! A worker of one of the releases of an application, which define their metrics in different ways. It
//! counts as often as it is told, says so, and lives until it is killed.
//!
//! | release | has, unlike the one before |
//! |---|---|
//! | 1 | |
//! | 2 | a label, a bound, a coarser schema, another mode, a state and a help text more; another type |
//! | 3 | the labels in another order, fewer bounds, the mode and the type of release 1 |

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info, NativeHistogram, StateSet, Summary};

fn work(release: usize, times: u64) -> Result<(), Box<dyn Error>> {
    let labels = [&["kind"][..], &["kind", "country"], &["country", "kind"]][release];
    // To Prometheus the first is the same without its empty label.
    let values =
        [[&["tea"][..]; 2], [&["tea", ""], &["tea", "NZ"]], [&["", "tea"], &["NZ", "tea"]]];
    let orders = Counter::builder("release_orders", "Orders.").labels(labels).family()?;
    let bounds = [&[1.0, 5.0][..], &[1.0, 5.0, 30.0], &[5.0]][release];
    let seconds = Histogram::builder("release_seconds", "Seconds.").buckets(bounds).register()?;
    let native = NativeHistogram::builder("release_native", "Seconds, natively.");
    let native = native.schema([3, 1, 2][release]).register()?;
    let mode = [GaugeMode::Max, GaugeMode::LiveMax, GaugeMode::Max][release];
    let queue = Gauge::builder("release_queue", "Waiting.").mode(mode).register()?;
    let helped =
        Counter::new("release_helped", ["Old words.", "New words.", "Old words."][release])?;
    let size = Summary::builder("release_size", "Size.").labels(&labels[..1]).family()?;
    let states = [&["idle", "busy"][..], &["idle", "busy", "broken"], &["idle", "busy"]][release];
    StateSet::new("release_state", "How it goes.", states)?.set(states[states.len() - 1])?;
    Info::new("release_build", "What works.")?.set(&[("release", &release.to_string())])?;
    for time in 0..times {
        for values in values[release].iter().take(1 + release.min(1)) {
            orders.with(values)?.inc();
        }
        seconds.observe(20.0);
        native.observe(20.0);
        queue.set(time as f64);
        helped.add(0.5)?;
        size.with(&[""])?.observe(2.0);
    }
    match release {
        1 => Gauge::builder("release_kind", "Its type has changed.")
            .mode(GaugeMode::Sum)
            .register()?
            .set(1.0),
        _ => Counter::new("release_kind", "Its type has changed.")?.inc_by(times),
    }
    Ok(())
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let [release @ 1..=3, times] = numbers[..] else {
        eprintln!("expected a release from 1 to 3, and how often to count");
        return ExitCode::FAILURE;
    };
    if let Err(error) = work(release as usize - 1, times) {
        eprintln!("expected to count, found {error}");
        return ExitCode::FAILURE;
    }
    println!("release {release} has counted");
    loop {
        nix::unistd::pause();
    }
}
