//! Threads that count in rows of their own: more of them than there are rows, one after the other, with
//! a signal handler that comes into the middle of a count, and in the destructors of their last moments.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use tallyboard::{Counter, Histogram, NativeHistogram, Registry, Summary};
use tallyboard_proto::layout::Geometry;
use tallyboard_tests::start::child::Watchdog;

/// One metric of each kind that counts in lanes.
#[derive(Clone, Copy)]
struct Metrics {
    counter: Counter,
    fractions: Counter,
    histogram: Histogram,
    summary: Summary,
    native: NativeHistogram,
}

/// What is added and observed each time: sums of it are exact.
const AMOUNT: f64 = 0.25;

impl Metrics {
    fn new() -> Self {
        let registry = Registry::builder().build();
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

    /// Holds all of them against having been counted so often.
    #[track_caller]
    fn have_counted(&self, times: u64) {
        let sum = times as f64 * AMOUNT;
        assert_eq!(self.counter.get(), times as f64);
        assert_eq!(self.fractions.get(), sum);
        let histogram = self.histogram.get();
        assert_eq!((histogram.count, histogram.sum), (times, sum));
        let summary = self.summary.get();
        assert_eq!((summary.count, summary.sum), (times, sum));
        let native = self.native.get();
        assert_eq!((native.count, native.sum), (times, sum));
    }
}

#[test]
fn more_threads_than_lanes_count_exactly_at_once_and_one_after_the_other() {
    let _watchdog = Watchdog::new("more threads than lanes");
    let (metrics, threads, each) = (Metrics::new(), 4 * Geometry::LANES, 2_000);
    let at_once = || {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..each).for_each(|_| metrics.count()));
            }
        });
    };
    at_once();
    metrics.have_counted((threads * each) as u64);
    for _ in 0..1_000 {
        thread::scope(|scope| _ = scope.spawn(|| metrics.count()));
    }
    // The lanes that were given back are taken again.
    at_once();
    metrics.have_counted((2 * threads * each + 1_000) as u64);
}

#[test]
fn the_destructors_of_a_thread_count_after_its_lane_was_given_back() {
    struct Last(Metrics);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.count();
        }
    }
    thread_local! {
        static EARLY: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    extern "C" fn late(_: *mut nix::libc::c_void) {
        METRICS.get().expect("set below").count();
    }
    let _watchdog = Watchdog::new("destructors of threads");
    let metrics = METRICS.get_or_init(Metrics::new);
    // The first use makes the key that gives lanes back: destructors of keys run in the order of keys.
    metrics.count();
    let mut key = 0;
    // SAFETY: the function uses nothing of the thread.
    let made = unsafe { nix::libc::pthread_key_create(&raw mut key, Some(late)) };
    assert_eq!(made, 0);
    let threads = 300;
    for _ in 0..threads {
        let ended = thread::spawn(move || {
            EARLY.set(Some(Last(*metrics)));
            let any = std::ptr::NonNull::<nix::libc::c_void>::dangling().as_ptr();
            // SAFETY: the key was made above; nobody follows the pointer.
            assert_eq!(unsafe { nix::libc::pthread_setspecific(key, any) }, 0);
            metrics.count();
        });
        ended.join().expect("a thread that does not panic");
    }
    // The first use, and of each thread its own, that of the thread-local and that of the key.
    metrics.have_counted(1 + 3 * threads);
}

/// What the handler below counts in.
static HANDLED: OnceLock<Metrics> = OnceLock::new();
static TIMES: AtomicU64 = AtomicU64::new(0);

extern "C" fn handle(_: i32) {
    if let Some(metrics) = HANDLED.get() {
        metrics.count();
        TIMES.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_signal_handler_counts_in_the_middle_of_a_count_of_its_own_thread() {
    let _watchdog = Watchdog::new("a signal handler that counts");
    let metrics = HANDLED.get_or_init(Metrics::new);
    // Series and buckets begin before: what a handler must not do is to begin one.
    metrics.count();
    let action = SigAction::new(SigHandler::Handler(handle), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler counts in series that have begun, which takes no lock and no memory.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a handler");
    let (counter, signals) = (pthread_self(), 20_000);
    let is_over = AtomicBool::new(false);
    let own = thread::scope(|scope| {
        scope.spawn(|| {
            for sent in 1..=signals {
                pthread_kill(counter, Signal::SIGUSR1).expect("a thread that lives");
                // One that comes while another is waiting is one with it.
                while TIMES.load(Relaxed) < sent {
                    std::hint::spin_loop();
                }
            }
            is_over.store(true, Relaxed);
        });
        let mut own = 0;
        while !is_over.load(Relaxed) {
            metrics.count();
            own += 1;
        }
        own
    });
    assert_eq!(TIMES.load(Relaxed), signals);
    metrics.have_counted(1 + own + signals);
}
