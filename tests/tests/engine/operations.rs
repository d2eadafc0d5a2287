//! An operation makes no system call and no allocation: counted, not believed.

#![forbid(unsafe_code)]

use std::process::Command;

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, NativeHistogram, Summary, Timed};
use tallyboard_tests::start::child::{Running, Watchdog};

/// Allocations that `operation` makes once it has been used.
fn allocations(mut operation: impl FnMut()) -> u64 {
    // The first use may do what it likes.
    operation();
    allocation_counter::measure(|| (0..1000).for_each(|_| operation())).count_total
}

#[test]
fn no_operation_allocates() {
    let counter = Counter::new("counted", "Counted.").unwrap();
    let histogram = Histogram::new("observed", "Observed.").unwrap();
    let sizes = NativeHistogram::new("sized", "Sized.").unwrap();
    let summary = Summary::new("summed", "Summed.").unwrap();
    let gauge = |mode: GaugeMode| {
        Gauge::builder(&format!("level_{}", mode.name()), "Level.").mode(mode).register().unwrap()
    };
    let (level, newest) = (gauge(GaugeMode::Sum), gauge(GaugeMode::MostRecent));
    assert_eq!(allocations(|| counter.inc()), 0);
    assert_eq!(allocations(|| counter.inc_by(7)), 0);
    assert_eq!(allocations(|| counter.add(0.5).unwrap()), 0);
    assert_eq!(allocations(|| assert!(counter.add(f64::NAN).is_err())), 0);
    assert_eq!(allocations(|| histogram.observe(0.3)), 0);
    assert_eq!(allocations(|| sizes.observe(0.3)), 0);
    assert_eq!(allocations(|| sizes.observe(0.0)), 0);
    assert_eq!(allocations(|| summary.observe(-0.3)), 0);
    assert_eq!(allocations(|| level.add(1.5)), 0);
    assert_eq!(allocations(|| newest.set(2.0)), 0);
    assert_eq!(allocations(|| histogram.time(|| ())), 0);
    assert_eq!(allocations(|| _ = summary.start_timer().stop()), 0);
    assert_eq!(allocations(|| newest.start_timer().discard()), 0);
    assert_eq!(allocations(|| level.track(|| ())), 0);
    assert_eq!(allocations(|| _ = counter.count_errors(|| Err::<(), _>(()))), 0);
    assert_eq!(allocations(|| counter.count_panics(|| ())), 0);
}

tallyboard::labels! {
    struct Request<'a> { route: &'a str, status: u16, cached: bool }
}

#[test]
fn no_look_up_of_a_series_that_has_begun_allocates() {
    let labels = ["route", "status", "cached"];
    let counter = Counter::builder("looked_up", "Counted by label.").labels(&labels);
    let counter = counter.family().unwrap();
    let histogram = Histogram::builder("looked_up_seconds", "Observed by label.");
    let histogram = histogram.labels_of::<Request>().family().unwrap();
    let request = Request { route: "/a/long/route/with/many/parts", status: 404, cached: true };
    let values = [request.route, "404", "true"];
    let named = [("cached", "true"), ("status", "404"), ("route", request.route)];
    assert_eq!(allocations(|| counter.with(&values).unwrap().inc()), 0);
    assert_eq!(allocations(|| counter.with_named(&named).unwrap().inc()), 0);
    assert_eq!(allocations(|| counter.with_labels(&request).unwrap().inc()), 0);
    assert_eq!(allocations(|| histogram.with(&values).unwrap().observe(0.3)), 0);
    assert_eq!(allocations(|| histogram.with_labels(&request).unwrap().time(|| ())), 0);
    // Among many others it is found in the same way.
    (0..1000).for_each(|status| {
        counter.with(&["/", &status.to_string(), "false"]).unwrap().inc();
    });
    assert_eq!(allocations(|| counter.with(&values).unwrap().inc()), 0);
}

#[test]
fn what_counts_allocations_sees_one() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1000);
}

/// The calls between the two calls of getppid, by the thread that made them; `None` when the trace
/// does not hold the two.
fn calls_between_marks(trace: &str) -> Option<Vec<&str>> {
    let is_mark = |line: &&str| line.contains("getppid(");
    let thread = trace.lines().find(is_mark)?.split(' ').next()?;
    let mut own = trace.lines().filter(|line| line.split(' ').next() == Some(thread));
    own.find(is_mark)?;
    let own: Vec<&str> = own.collect();
    let end = own.iter().position(is_mark)?;
    Some(own[..end].to_vec())
}

#[test]
fn no_operation_calls_the_system() {
    let _watchdog = Watchdog::new("no_operation_calls_the_system");
    let trace = std::env::temp_dir().join(format!("tallyboard-operate-{}", std::process::id()));
    assert!(
        Command::new("strace").arg("-V").output().is_ok(),
        "expected the program strace, found none; apt-get install strace"
    );
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_operate")).arg("1000");
    let ended = Running::start(command.env_remove("TALLYBOARD")).end();
    assert!(ended.status.success(), "{ended:?}");
    let text = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).ok();
    assert_eq!(calls_between_marks(&text), Some(vec![]), "{text}");
}

#[test]
fn a_call_between_the_marks_is_seen() {
    let trace = "7 getppid() = 1\n7 futex(1)\n8 write(1)\n7 getppid() = 1\n7 exit(0)\n";
    assert_eq!(calls_between_marks(trace), Some(vec!["7 futex(1)"]));
    assert_eq!(calls_between_marks("7 getppid() = 1\n7 exit(0)\n"), None);
    assert_eq!(calls_between_marks("7 exit(0)\n"), None);
}
