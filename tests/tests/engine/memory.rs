//! What an arena takes of memory for a worker, as the system counts it.

#![forbid(unsafe_code)]

use tallyboard_tests::service::series::SeriesWorker;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::Watchdog;

/// A worker that has counted in so many counters of one label, and the bytes that the arena takes more
/// since it came.
fn worker(served: &Served, counters: u64) -> (SeriesWorker, u64) {
    let bytes = || served.page().sum("tallyboard_arena_bytes") as u64;
    let (before, control) = (bytes(), served.control.to_string());
    let program = env!("CARGO_BIN_EXE_series");
    let mut worker = SeriesWorker::start(program, &control, "app_things", counters);
    worker.count();
    (worker, bytes() - before)
}

#[test]
fn a_worker_of_a_hundred_counters_takes_sixteen_kibibytes() {
    let _watchdog = Watchdog::new("a worker of a hundred counters");
    let served = Served::start("small-worker", &[]);
    let (_first, with_catalog) = worker(&served, 100);
    let (_second, bytes) = worker(&served, 100);
    println!("{with_catalog} bytes with the catalog, {bytes} of a slot");
    assert!(bytes <= 16 << 10, "{bytes}");
    assert!(with_catalog <= 20 << 10, "{with_catalog}");
}

#[test]
fn a_worker_takes_at_most_forty_bytes_for_a_counter_that_others_have_begun() {
    const COUNTERS: u64 = 10_000;
    let _watchdog = Watchdog::new("forty bytes for a counter");
    let served = Served::start("large-worker", &["--max-series", "20000"]);
    let (_first, _) = worker(&served, COUNTERS);
    for _ in 0..4 {
        let (_more, bytes) = worker(&served, COUNTERS);
        let of_each = bytes as f64 / COUNTERS as f64;
        println!("{of_each} bytes");
        assert!(of_each <= 40.0, "{of_each}");
    }
}
