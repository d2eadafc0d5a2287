//! Every operation of every instrument, between two calls of getppid that nothing else makes: what
//! `strace` writes between them, the operations have called. Without `strace` it does nothing that
//! can be seen.

#![forbid(unsafe_code)]

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, NativeHistogram, Summary, Timed};

tallyboard::labels! {
    struct Request { route: &'static str }
}

fn main() {
    let requests = Counter::builder("app_requests", "Requests.").labels(&["route"]);
    let requests = requests.family().expect("the family is well formed");
    let request = requests.with(&["/"]).expect("one label, one value");
    let busy = Counter::new("app_busy_seconds", "Seconds.").expect("well formed");
    let seconds = Histogram::new("app_seconds", "Seconds.").expect("well formed");
    let bytes = Summary::new("app_bytes", "Bytes.").expect("well formed");
    let gauges = [GaugeMode::All, GaugeMode::Sum, GaugeMode::Max, GaugeMode::MostRecent];
    let gauges = gauges.map(|mode| {
        let name = format!("app_level_{}", mode.name());
        Gauge::builder(&name, "Level.").mode(mode).register().expect("well formed")
    });
    let sizes = NativeHistogram::new("app_sizes", "Sizes.").expect("well formed");
    let rounds: u32 = std::env::args().nth(1).map_or(1, |rounds| rounds.parse().expect("a number"));
    // A bucket begins with its first observation.
    (0..rounds).for_each(|round| sizes.observe(f64::from(round)));
    nix::unistd::getppid();
    for round in 0..rounds {
        request.inc();
        request.inc_by(3);
        busy.add(0.25).expect("a good amount");
        busy.add(-1.0).expect_err("a bad amount");
        seconds.observe(f64::from(round));
        bytes.observe(f64::from(round));
        sizes.observe(f64::from(round));
        seconds.time(|| ());
        bytes.start_timer().discard();
        busy.count_errors(|| Err::<(), _>(())).expect_err("an error that is counted");
        busy.count_panics(|| ());
        for gauge in &gauges {
            gauge.inc();
            gauge.dec();
            gauge.track(|| ());
            gauge.time(|| ());
            gauge.set(f64::from(round));
        }
        // A series that is there already is found, not begun.
        requests.with(&["/"]).expect("one label, one value").inc();
        requests.with_labels(&Request { route: "/" }).expect("the same label").inc();
    }
    nix::unistd::getppid();
}
