//! A process that is forked at each instruction of a count: parent and child count each in its own cells,
//! whatever the one was in the middle of.

use std::sync::OnceLock;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::ptrace;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use tallyboard::{Counter, Histogram, NativeHistogram, Registry, Summary};
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::Watchdog;

/// One metric of each kind that counts.
struct Metrics {
    counter: Counter,
    fractions: Counter,
    histogram: Histogram,
    summary: Summary,
    native: NativeHistogram,
}

/// What is added and observed each time: sums of it are exact.
const AMOUNT: f64 = 0.25;
/// How often a process counts before it is stopped.
const BEFORE: u64 = 2;

impl Metrics {
    fn new(control: &str) -> Self {
        let registry = Registry::builder().address(control).build();
        let counter = |name| Counter::builder(name, "").registry(registry).register();
        Self {
            counter: counter("c").expect("a good metric"),
            fractions: counter("f").expect("a good metric"),
            histogram: Histogram::builder("h", "").registry(registry).register().expect("good"),
            summary: Summary::builder("s", "").registry(registry).register().expect("good"),
            native: NativeHistogram::builder("n", "").registry(registry).register().expect("good"),
        }
    }

    fn count(&self) {
        self.counter.inc();
        self.fractions.add(AMOUNT).expect("an amount");
        self.histogram.observe(AMOUNT);
        self.summary.observe(AMOUNT);
        self.native.observe(AMOUNT);
    }
}

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Forks, has the child run, and end with what it says.
fn in_child(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the child uses nothing but what holds over a fork, and ends.
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

/// Has a child count in the middle of whatever this process does.
extern "C" fn fork_here(_: i32) {
    let child = in_child(|| {
        METRICS.get().map_or(1, |metrics| {
            metrics.count();
            0
        })
    });
    if !matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))) {
        // SAFETY: ends the process without running anything else.
        unsafe { nix::libc::_exit(2) }
    }
}

/// What is traced: counts, stops, counts, and stops.
fn traced() -> i32 {
    let action =
        SigAction::new(SigHandler::Handler(fork_here), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler forks, and waits for the child.
    let handled = unsafe { sigaction(Signal::SIGUSR1, &action) };
    let Some(metrics) = METRICS.get() else { return 3 };
    (0..BEFORE).for_each(|_| metrics.count());
    if handled.and_then(|_| ptrace::traceme()).and_then(|()| raise(Signal::SIGSTOP)).is_err() {
        return 4;
    }
    metrics.count();
    i32::from(raise(Signal::SIGSTOP).is_err())
}

/// Goes on to where it stops by itself, and from there to its end.
fn run_to_its_end(child: Pid) {
    loop {
        match waitpid(child, None).expect("a child") {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {
                ptrace::cont(child, None).expect("it stands")
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(child, signal).expect("it stands"),
            WaitStatus::Exited(_, 0) => return,
            other => panic!("expected a process that counts and ends well, found {other:?}"),
        }
    }
}

/// Forks a process when it has made so many instructions; says whether it was still counting then.
fn fork_after(instructions: u64) -> bool {
    let child = in_child(traced);
    let stopped = waitpid(child, None).expect("a child");
    assert_eq!(stopped, WaitStatus::Stopped(child, Signal::SIGSTOP));
    for _ in 0..instructions {
        ptrace::step(child, None).expect("it stands");
        match waitpid(child, None).expect("a child") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {
                ptrace::cont(child, None).expect("it stands");
                run_to_its_end(child);
                return false;
            }
            other => panic!("expected an instruction, found {other:?}"),
        }
    }
    ptrace::cont(child, Signal::SIGUSR1).expect("it stands");
    run_to_its_end(child);
    true
}

#[test]
fn a_fork_at_each_instruction_of_a_count_loses_and_doubles_nothing() {
    let _watchdog = Watchdog::new("a fork at each instruction");
    let served = Served::start("stepped", &[]);
    METRICS.get_or_init(|| Metrics::new(&served.control.to_string()));
    let mut forks = 0;
    while fork_after(forks) {
        forks += 1;
    }
    println!("{forks} instructions");
    // Less would be no count of five metrics.
    assert!(forks > 100, "{forks}");
    // The last one was not forked.
    let times = ((BEFORE + 1) * (forks + 1) + forks) as f64;
    let page = served.page();
    for (counted, expected) in [
        ("c_total", times),
        ("f_total", times * AMOUNT),
        ("h_count", times),
        ("h_sum", times * AMOUNT),
        ("s_count", times),
        ("s_sum", times * AMOUNT),
        ("n_count", times),
        ("n_sum", times * AMOUNT),
        ("tallyboard_dropped_total", 0.0),
        ("tallyboard_quarantines_total", 0.0),
    ] {
        assert_eq!(page.sum(counted), expected, "{counted}");
    }
}
