//! A worker that counts each of the numbers that it is given with every instrument, says so, and
//! lives until it is killed.
//!
//! What a service of such workers must show is in `tallyboard_tests::service::expected`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info, NativeHistogram, StateSet, Summary};
use tallyboard_segment::process::unix_ms;
use tallyboard_tests::service::expected::{BOUNDS, ODD, WIDEST};
use tallyboard_tests::start::child::until;

struct Instruments {
    done: Counter,
    spent: Counter,
    level: Gauge,
    here: Gauge,
    last: Gauge,
    size: Summary,
    seconds: Histogram,
    native: NativeHistogram,
    wide: NativeHistogram,
    offset: NativeHistogram,
}

impl Instruments {
    fn new() -> Result<Self, Box<dyn Error>> {
        let done = Counter::builder("work_done_total", ODD).labels(&["by"]).family()?;
        let here = Gauge::builder("work_here", "Done in a process.").mode(GaugeMode::All);
        let native = NativeHistogram::builder("work_native_seconds", "Time, natively.");
        Ok(Self {
            done: done.with(&[ODD])?,
            spent: Counter::builder("work_spent_seconds_total", "Time spent.")
                .unit("seconds")
                .register()?,
            level: Gauge::builder("work_level", "Done.").mode(GaugeMode::Sum).register()?,
            here: here.register()?,
            last: Gauge::builder("work_last", "What came last.")
                .mode(GaugeMode::MostRecent)
                .register()?,
            size: Summary::new("work_size", "Size of the work.")?,
            seconds: Histogram::builder("work_seconds", "Time that it took.")
                .unit("seconds")
                .buckets(BOUNDS)
                .register()?,
            native: native.unit("seconds").classic_buckets(BOUNDS).register()?,
            wide: NativeHistogram::builder("work_wide", "As many buckets as there may be.")
                .max_buckets(WIDEST)
                .register()?,
            offset: NativeHistogram::new("work_offset", "On both sides of zero.")?,
        })
    }

    fn count(&self, number: f64) -> Result<(), Box<dyn Error>> {
        // Of the exemplars of one millisecond Prometheus keeps one.
        let before = unix_ms();
        until(|| (unix_ms() > before).then_some(()));
        let text = number.to_string();
        let trace = [("trace_id", text.as_str())];
        self.done.inc_by_with_exemplar(1, &trace)?;
        self.spent.add(number)?;
        self.level.inc();
        self.here.inc();
        self.last.set(number);
        self.size.observe(number);
        self.seconds.observe_with_exemplar(number, &trace)?;
        self.native.observe_with_exemplar(number, &trace)?;
        self.wide.observe(number);
        [number, 0.0, -number / 2.0].into_iter().for_each(|value| self.offset.observe(value));
        Ok(())
    }
}

fn work(numbers: &[f64]) -> Result<(), Box<dyn Error>> {
    let instruments = Instruments::new()?;
    numbers.iter().try_for_each(|number| instruments.count(*number))?;
    Info::new("work_build", "What works.")?.set(&[("version", "1"), ("notes", ODD)])?;
    StateSet::new("work_state", "How it goes.", &["busy", "idle"])?.set("idle")?;
    Ok(())
}

fn main() -> ExitCode {
    let numbers: Result<Vec<f64>, _> = std::env::args().skip(1).map(|n| n.parse()).collect();
    let done = numbers.map_err(Into::into).and_then(|numbers| work(&numbers));
    if let Err(error) = done {
        eprintln!("expected numbers to count, found {error}");
        return ExitCode::FAILURE;
    }
    println!("worker {} has counted", std::process::id());
    loop {
        nix::unistd::pause();
    }
}
