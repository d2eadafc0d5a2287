//! Forks of a process whose callbacks and collectors are asked at that moment: no child hangs, and each
//! has its own asked.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{
    Collector, Counter, Family, Gauge, GaugeMode, Histogram, NativeHistogram, RegisterError,
    Registry, Summary,
};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build;
use tallyboard_tests::start::child::{Running, Watchdog, until};

const CHILDREN: u64 = 300;

/// How often this process was asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

struct Pool;

impl Collector for Pool {
    fn collect(&self) -> Vec<FamilySamples> {
        ASKED.fetch_add(1, Relaxed);
        let mut family = FamilySamples::new(Type::Gauge, "pool_connections", "Open connections.");
        for pool in 0..50 {
            let labels = vec![("pool".to_owned(), pool.to_string())];
            family.samples.push(Sample::new("", labels, Value::Whole(pool)));
        }
        vec![family]
    }
}

/// Forks, has the child run, and end with what it says.
fn in_child(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the child uses nothing but what says that it holds over a fork, and ends.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // One that hangs ends with who waits for it.
            let status = if set_pdeathsig(Signal::SIGKILL).is_ok() { child() } else { 1 };
            // SAFETY: ends the process without running anything else.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

/// A control address that this process alone uses.
fn address(name: &str) -> String {
    Address::Abstract(format!("tallyboard/test/{name}-{}", std::process::id())).to_string()
}

/// A supervisor that answers on an address.
fn serve(address: &str) -> Running {
    let name = address.rsplit('/').next().expect("a name at its end");
    let mut command = Command::new(build::tallyboard());
    command.args(["serve", "--backing", "memfd", "--name", name, "--control", address]);
    command.args(["--web.listen-address", "none"]).env_remove("TALLYBOARD");
    let serving = Running::start(&mut command);
    let parsed = address.parse().expect("an address");
    until(|| ask::describe(&parsed, Duration::from_secs(10)).ok());
    serving
}

/// How a child ended.
fn ended(child: Pid) -> WaitStatus {
    until(|| match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) => None,
        ended => Some(ended.expect("a child of this process")),
    })
}

#[test]
fn children_that_are_forked_while_a_thread_asks_ask_by_themselves() {
    let _watchdog = Watchdog::new("children of a process that is asked");
    let address = address("forks");
    let _serving = serve(&address);
    let often = Duration::from_millis(1);
    let registry = Registry::builder().address(&address).refresh_interval(often).build();
    registry.register_collector(Pool).expect("nobody has the name");
    for at in 0..50 {
        let gauge = Gauge::builder(&format!("level_{at}"), "").mode(GaugeMode::LiveSum);
        let gauge = gauge.registry(registry).register().expect("a good gauge");
        gauge.set_function(|| ASKED.fetch_add(1, Relaxed) as f64);
    }
    let counted = Gauge::builder("counted", "").registry(registry).register().expect("a gauge");
    until(|| (ASKED.load(Relaxed) > 100).then_some(()));
    for _ in 0..CHILDREN {
        let child = in_child(|| {
            ASKED.store(0, Relaxed);
            counted.inc();
            while ASKED.load(Relaxed) < 60 {
                std::thread::yield_now();
            }
            i32::from(registry.attachment().is_none())
        });
        assert_eq!(ended(child), WaitStatus::Exited(child, 0));
    }
}

/// One metric of each kind that says what a process has counted.
#[derive(Clone, Copy)]
struct Metrics {
    counter: Family<Counter>,
    gauge: Gauge,
    histogram: Histogram,
    summary: Summary,
    native: NativeHistogram,
}

impl Metrics {
    fn of(registry: &'static Registry) -> Self {
        let counter = Counter::builder("c", "").labels(&["l"]).registry(registry);
        let metrics = || -> Result<Self, RegisterError> {
            Ok(Self {
                counter: counter.family()?,
                gauge: Gauge::builder("g", "").registry(registry).register()?,
                histogram: Histogram::builder("h", "").registry(registry).register()?,
                summary: Summary::builder("s", "").registry(registry).register()?,
                native: NativeHistogram::builder("n", "").registry(registry).register()?,
            })
        };
        metrics().expect("good metrics")
    }

    fn count(&self) {
        self.counter.with(&["a"]).expect("one value").inc_by(2);
        self.gauge.inc();
        self.histogram.observe(0.3);
        self.summary.observe(0.5);
        self.native.observe(0.25);
    }

    /// Holds what each says against having been counted so often.
    fn have_counted(&self, times: u32) -> bool {
        let float = f64::from(times);
        let (histogram, summary) = (self.histogram.get(), self.summary.get());
        let native = self.native.get();
        let buckets = histogram.buckets.iter().map(|bucket| bucket.cumulative_count).max();
        self.counter.with(&["a"]).expect("one value").get() == 2.0 * float
            && self.counter.with(&["b"]).expect("one value").get() == 0.0
            && self.gauge.get() == float
            && (histogram.count, buckets) == (times.into(), Some(times.into()))
            && (histogram.sum - 0.3 * float).abs() < 1e-9
            && (summary.count, summary.sum) == (times.into(), 0.5 * float)
            && (native.count, native.sum) == (times.into(), 0.25 * float)
            && native.native.positive.counts.len() == times.min(1) as usize
    }
}

#[test]
fn what_a_process_has_counted_moves_with_it_into_a_slot_and_begins_at_0_in_a_child() {
    let _watchdog = Watchdog::new("what a process has counted");
    let address = address("values");
    let registry = Registry::builder().address(&address).on_warning(|_| {}).build();
    let metrics = Metrics::of(registry);
    assert!(metrics.have_counted(0));
    (0..3).for_each(|_| metrics.count());
    assert!(metrics.have_counted(3) && registry.attachment().is_none());
    let _serving = serve(&address);
    until(|| registry.attach().ok());
    assert!(metrics.have_counted(3));
    metrics.count();
    assert!(metrics.have_counted(4));
    let child = in_child(|| {
        let begins_at_0 = metrics.have_counted(0);
        (0..2).for_each(|_| metrics.count());
        i32::from(!(begins_at_0 && metrics.have_counted(2) && registry.attachment().is_some()))
    });
    assert_eq!(ended(child), WaitStatus::Exited(child, 0));
    assert!(metrics.have_counted(4));
}

#[test]
fn a_child_goes_on_with_a_copy_of_what_was_counted_without_supervisor() {
    let _watchdog = Watchdog::new("a copy of what was counted");
    let metrics = Metrics::of(Registry::new());
    (0..3).for_each(|_| metrics.count());
    let child = in_child(|| {
        let is_copied = metrics.have_counted(3);
        metrics.count();
        i32::from(!(is_copied && metrics.have_counted(4)))
    });
    assert_eq!(ended(child), WaitStatus::Exited(child, 0));
    assert!(metrics.have_counted(3));
}
