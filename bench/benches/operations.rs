//! What counting costs beside the atomic operation that it must at least be, on the same kind of
//! mapping.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tallyboard::{
    Counter, Family, Gauge, GaugeMode, Histogram, Info, NativeHistogram, Registry, StateSet,
    Summary, Timed,
};
use tallyboard_bench::{Outcome, Race, finish};
use tallyboard_proto::layout::{EXTENT_WORDS, Geometry, Layout, slot_header};
use tallyboard_segment::fork::{Cells, ForkPage};
use tallyboard_segment::mapping::{Inherit, SlotMapping};
use tallyboard_segment::{memfd, private};

static IN_A_STATIC: LazyLock<Counter> =
    LazyLock::new(|| Counter::new("static", "Counted from a static.").expect("well formed"));
static FAMILY: LazyLock<Family<Counter>> = LazyLock::new(|| {
    let family = Counter::builder("labelled", "Counted by label.").labels(&["route", "status"]);
    family.family().expect("well formed")
});

tallyboard::labels! {
    struct Request { route: &'static str, status: u16 }
}

/// Cells in a mapping, handed out as a client hands them out.
fn cells(mapping: SlotMapping) -> Cells {
    let page = ForkPage::new(Inherit::Nothing).expect("a page is mapped");
    mapping.open(0..EXTENT_WORDS).expect("an extent is made real");
    page.lock().publish(mapping, 1).expect("nothing was handed out that is not real");
    page.lock().cells(slot_header::WORDS, 8)
}

fn private_cells() -> Cells {
    let layout = Layout::new(Geometry::for_series(1, 64).expect("a geometry"));
    cells(private::slot(&layout, Inherit::Nothing).expect("private memory is mapped"))
}

fn shared_cells() -> Cells {
    let arena = memfd::create(EXTENT_WORDS).expect("a memfd is made");
    let object: BorrowedFd<'_> = arena.object().expect("a memfd has a descriptor");
    cells(SlotMapping::of_object(object, 0, EXTENT_WORDS).expect("a memfd is mapped"))
}

fn main() -> ExitCode {
    let (bare, shared) = (private_cells(), shared_cells());
    let bare = bare.words().expect("published").at(0);
    let bare_shared = shared.words().expect("published").at(0);
    let counter = Counter::new("requests", "Requests.").expect("well formed");
    let counting = Race::new("a count")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("fetch_add, memfd mapping", || bare_shared.fetch_add(1, Relaxed))
        .enter("cell of a slot, memfd mapping", || {
            if let Some(words) = shared.words() {
                words.at(1).fetch_add(1, Relaxed);
            }
        })
        .at_most(1.3)
        .enter("Counter::inc", || counter.inc())
        .at_most(1.3)
        .enter("Counter::inc from a static", || IN_A_STATIC.inc())
        .enter("Counter::inc_by", || counter.inc_by(3))
        .at_most(1.3)
        .enter("Counter::add, whole", || counter.add(3.0))
        .enter("Counter::add, fraction", || counter.add(0.5))
        .run();
    let histogram = Histogram::new("seconds", "Seconds.").expect("well formed");
    let native = |schema: i8| {
        let name = format!("sizes_{}", schema.unsigned_abs());
        let native = NativeHistogram::builder(&name, "Sizes.").schema(schema).max_buckets(4096);
        native.register().expect("well formed")
    };
    let (coarse, fine) = (native(3), native(8));
    let summary = Summary::new("bytes", "Bytes.").expect("well formed");
    let gauge = |mode: GaugeMode| {
        let name = format!("level_{}", mode.name());
        Gauge::builder(&name, "Level.").mode(mode).register().expect("well formed")
    };
    let (all, newest) = (gauge(GaugeMode::All), gauge(GaugeMode::MostRecent));
    let (mut turn, mut turn_of_coarse, mut turn_of_fine) = (0_u32, 0_u32, 0_u32);
    let others = Race::new("other instruments")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("Histogram::observe, 14 bounds", || {
            turn = turn.wrapping_add(1);
            histogram.observe(f64::from(turn & 1023) * 0.01);
        })
        .enter("NativeHistogram::observe, schema 3", || {
            turn_of_coarse = turn_of_coarse.wrapping_add(1);
            coarse.observe(f64::from(turn_of_coarse & 1023) * 0.01);
        })
        .enter("NativeHistogram::observe, schema 8", || {
            turn_of_fine = turn_of_fine.wrapping_add(1);
            fine.observe(f64::from(turn_of_fine & 1023) * 0.01);
        })
        .enter("Summary::observe", || summary.observe(0.25))
        .enter("Gauge::set, mode all", || all.set(1.0))
        .enter("Gauge::inc, mode all", || all.inc())
        .enter("Gauge::set, mode mostrecent", || newest.set(1.0))
        .run();
    finish(&[
        counting,
        others,
        look_ups(bare),
        guards(bare),
        seldom(bare),
        endings(bare),
        asked(bare),
    ])
}

fn look_ups(bare: &AtomicU64) -> Outcome {
    let seconds = Histogram::builder("labelled_seconds", "Observed by label.");
    let seconds = seconds.labels_of::<Request>().family().expect("well formed");
    Race::new("a series of 2 labels, looked up each time")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("Family::with, and inc", || FAMILY.with(&["/", "200"]).map(|counter| counter.inc()))
        .enter("Family::with_named, and inc", || {
            FAMILY.with_named(&[("status", "200"), ("route", "/")]).map(|counter| counter.inc())
        })
        .enter("Family::with_labels, and inc", || {
            FAMILY.with_labels(&Request { route: "/", status: 200 }).map(|counter| counter.inc())
        })
        .enter("the same of the set it was registered with, and observe", || {
            let labels = Request { route: "/", status: 200 };
            seconds.with_labels(&labels).map(|histogram| histogram.observe(0.25))
        })
        .run()
}

fn guards(bare: &AtomicU64) -> Outcome {
    let histogram = Histogram::new("timed_seconds", "Timed.").expect("well formed");
    let gauge = Gauge::new("in_progress", "In progress.").expect("well formed");
    let errors = Counter::new("errors", "Errors.").expect("well formed");
    Race::new("guards")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("two calls of Instant::now", || Instant::now().elapsed())
        .enter("Histogram::time", || histogram.time(|| ()))
        .enter("Histogram::start_timer, stop", || histogram.start_timer().stop())
        .enter("Gauge::time", || gauge.time(|| ()))
        .enter("Gauge::track", || gauge.track(|| ()))
        .enter("Counter::count_errors, none", || errors.count_errors(|| black_box(Ok::<_, ()>(()))))
        .enter("Counter::count_errors, one", || errors.count_errors(|| black_box(Err::<(), _>(()))))
        .enter("Counter::count_panics, none", || errors.count_panics(|| black_box(())))
        .run()
}

/// What takes a lock of this process, or finds its place by text: meant to be done now and then.
fn seldom(bare: &AtomicU64) -> Outcome {
    let counter = Counter::new("examples", "Counted by example.").expect("well formed");
    let histogram = Histogram::new("example_seconds", "By example.").expect("well formed");
    let states = ["starting", "running", "stopped"];
    let task = StateSet::new("task", "What the task does.", &states).expect("well formed");
    let build = Info::new("build", "What runs here.").expect("well formed");
    let newest = Gauge::builder("offset", "Position.").mode(GaugeMode::MostRecent);
    let newest = newest.register().expect("well formed");
    let mut at = SystemTime::now();
    Race::new("now and then")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("Counter::inc_by_with_exemplar", || counter.inc_by_with_exemplar(1, &TRACE))
        .enter("Histogram::observe_with_exemplar", || histogram.observe_with_exemplar(0.3, &TRACE))
        .enter("StateSet::set", || task.set("stopped"))
        .enter("Info::set, the same again", || build.set(&[("version", "1.4.2")]))
        .enter("Gauge::set_at, mode mostrecent", || {
            at += Duration::from_nanos(1);
            newest.set_at(1.0, at)
        })
        .run()
}

const TRACE: [(&str, &str); 1] = [("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")];

/// Series that end. Each takes room in the log, so a process does so only that often: the registry
/// is another one each time, and its making is part of it.
fn endings(bare: &AtomicU64) -> Outcome {
    let counter = || {
        let counter = Counter::builder("ending", "Ends.").registry(Registry::new());
        counter.labels(&["route", "status"]).family().expect("well formed")
    };
    let labels = ["/", "200"];
    let each = |ending: &dyn Fn(&Family<Counter>)| {
        let family = counter();
        family.with(&labels).expect("two labels").inc();
        (0..ENDINGS).for_each(|_| ending(&family));
    };
    let count = |family: &Family<Counter>| family.with(&labels).map(|counter| counter.inc());
    Race::new("the end of a series, of 1,000 in a registry")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("Family::with, and inc, without an end", || each(&|family| _ = count(family)))
        .of(ENDINGS)
        .enter("Counter::reset", || {
            let reset = |counter: Counter| counter.reset();
            each(&|family| _ = family.with(&labels).map(reset));
        })
        .of(ENDINGS)
        .enter("Family::remove, and inc", || {
            each(&|family| {
                _ = family.remove(&labels);
                _ = count(family);
            });
        })
        .of(ENDINGS)
        .run()
}

const ENDINGS: usize = 1_000;

/// What a registry without supervisor does when it is exposed.
fn asked(bare: &AtomicU64) -> Outcome {
    let registry = Registry::new();
    for gauge in 0..CALLBACKS {
        let gauge = Gauge::builder(&format!("asked_{gauge}"), "Asked.").registry(registry);
        gauge.register().expect("well formed").set_function(|| 1.0);
    }
    Race::new("callbacks of 100 gauges, asked and written as a page")
        .enter("fetch_add, private mapping", || bare.fetch_add(1, Relaxed))
        .enter("a callback", || registry.exposition_of_process("", &[]))
        .of(CALLBACKS)
        .run()
}

const CALLBACKS: usize = 100;
