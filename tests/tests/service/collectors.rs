//! Collectors and callbacks in a registry with a supervisor: what they say is written into the slot
//! again and again, and what they say no more is not shown.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{Collector, Gauge, GaugeMode, PlatformCollector, ProcessCollector, Registry};
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, until};

/// A supervisor, a registry of this process that counts in it, and where its page is.
fn serve(name: &str) -> (Running, &'static Registry, SocketAddr) {
    let Served { running, control, metrics } = Served::start(&format!("collectors-{name}"), &[]);
    let often = Duration::from_millis(5);
    let registry =
        Registry::builder().address(&control.to_string()).refresh_interval(often).build();
    registry.attach().expect("a slot");
    (running, registry, metrics)
}

fn page(address: SocketAddr) -> Page {
    Page::parse(&get(address, "/metrics").expect("an answer").body).expect("a page")
}

/// A process that waits for its end.
fn sleeper() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat starts")
}

#[test]
fn another_process_is_shown_while_it_lives() {
    let _watchdog = Watchdog::new("another process");
    let (_serving, registry, address) = serve("process");
    let mut child = sleeper();
    let collector = ProcessCollector::new().namespace("app").pid(child.id());
    registry.register_collector(collector).expect("nobody has the names");
    registry.register_collector(PlatformCollector).expect("nobody has the name");
    let fds = |page: &Page| page.value("app_process_open_fds", &[]);
    let shown = until(|| Some(page(address)).filter(|page| fds(page).is_some()));
    assert!(fds(&shown) >= Some(3.0), "{shown:?}");
    assert!(shown.value("app_process_cpu_seconds_total", &[]).is_some(), "{shown:?}");
    until(|| (page(address).sum("platform_info") == 1.0).then_some(()));
    drop(child.stdin.take());
    child.wait().expect("it ends with its input");
    let gone = until(|| Some(page(address)).filter(|page| fds(page).is_none()));
    for name in ["app_process_start_time_seconds", "app_process_resident_memory_bytes"] {
        assert_eq!(gone.value(name, &[]), None, "{name}");
    }
    // What has been counted stays.
    assert!(gone.value("app_process_cpu_seconds_total", &[]).is_some(), "{gone:?}");
}

/// The queues that there are, by the bits of a number, and jobs.
struct Queues(&'static AtomicU64);

impl Collector for Queues {
    fn describe(&self) -> Vec<FamilySamples> {
        let gauge = FamilySamples::new(Type::Gauge, "queue_length", "Waiting.");
        vec![gauge, FamilySamples::new(Type::Counter, "queue_jobs", "Done.")]
    }

    fn collect(&self) -> Vec<FamilySamples> {
        let mut families = self.describe();
        let bits = self.0.load(Relaxed);
        for queue in (0..8).filter(|queue| bits & 1 << queue != 0) {
            let labels = || vec![("queue".to_owned(), queue.to_string())];
            let value = Value::Whole(10 + queue);
            families[0].samples.push(Sample::new("", labels(), value));
            families[1].samples.push(Sample::new("_total", labels(), value));
        }
        families
    }

    fn gauge_mode(&self) -> GaugeMode {
        GaugeMode::Sum
    }
}

#[test]
fn values_come_and_go_as_a_collector_says_and_counts_stay() {
    static BITS: AtomicU64 = AtomicU64::new(0);
    let _watchdog = Watchdog::new("values come and go");
    let (_serving, registry, address) = serve("queues");
    registry.register_collector(Queues(&BITS)).expect("nobody has the names");
    let mut ever = 0_u64;
    for bits in [0b1, 0b111, 0b10, 0, 0b101, 0b1000_0000] {
        BITS.store(bits, Relaxed);
        ever |= bits;
        let expect =
            |bits: u64, queue: u64| (bits & 1 << queue != 0).then_some(10.0 + queue as f64);
        until(|| {
            let page = page(address);
            let found = |name: &str, queue: u64| page.value(name, &[("queue", &queue.to_string())]);
            let is_so = |queue| {
                found("queue_length", queue) == expect(bits, queue)
                    && found("queue_jobs_total", queue) == expect(ever, queue)
            };
            (0..8).all(is_so).then_some(())
        });
    }
}

#[test]
fn a_callback_is_asked_again_and_again_whatever_becomes_of_it() {
    static LEVEL: AtomicU64 = AtomicU64::new(0);
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let _watchdog = Watchdog::new("a callback");
    let (_serving, registry, address) = serve("callback");
    let level = Gauge::builder("level", "").mode(GaugeMode::Max).registry(registry);
    level.register().expect("a good gauge").set_function(|| match LEVEL.load(Relaxed) {
        7 => {
            PANICS.fetch_add(1, Relaxed);
            panic!("this one is not asked");
        }
        level => level as f64,
    });
    let shown = || page(address).value("level", &[]);
    for level in [3, 1] {
        LEVEL.store(level, Relaxed);
        until(|| (shown() == Some(level as f64)).then_some(()));
    }
    LEVEL.store(7, Relaxed);
    until(|| (PANICS.load(Relaxed) >= 2).then_some(()));
    // What it said before is not what is there now.
    until(|| shown().is_none().then_some(()));
    let errors = [("collector", "level")];
    until(|| {
        page(address).value("tallyboard_collector_errors_total", &errors).filter(|at| *at > 1.0)
    });
    LEVEL.store(9, Relaxed);
    until(|| (shown() == Some(9.0)).then_some(()));
}

#[test]
fn a_gauge_with_a_callback_shows_that_and_nothing_else() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let _watchdog = Watchdog::new("a gauge with a callback");
    let (_serving, registry, address) = serve("shown");
    for (registry, is_shared) in [(registry, true), (Registry::new(), false)] {
        let family = Gauge::builder("depth", "").mode(GaugeMode::MostRecent).labels(&["queue"]);
        let family = family.registry(registry).family().expect("a good family");
        let [one, other] = ["one", "other"].map(|queue| family.with(&[queue]).expect("a label"));
        let shown = |queue: &str| match is_shared {
            true => page(address).value("depth", &[("queue", queue)]),
            false => {
                let (_, page) = registry.exposition_of_process("", &["depth"]);
                let page = String::from_utf8(page).expect("text");
                let page = Page::parse(&page).expect("a page");
                page.value("depth", &[("queue", queue)])
            }
        };
        let asked = ASKED.load(Relaxed);
        one.set(3.0);
        one.set_function(|| {
            ASKED.fetch_add(1, Relaxed);
            5.0
        });
        until(|| (shown("one") == Some(5.0)).then_some(()));
        // No two rounds see anything else, whatever the gauge is told.
        for _ in 0..200 {
            one.inc();
            one.set(9.0);
            one.set_at(8.0, SystemTime::now()).expect("a gauge with an order");
            let progress = one.track_in_progress();
            other.inc();
            assert_eq!(shown("one"), Some(5.0));
            drop(progress);
        }
        assert_eq!(shown("other"), Some(200.0));
        assert!(ASKED.load(Relaxed) > asked);
        // A series that begins anew counts again.
        assert!(family.remove(&["one"]).expect("a label"));
        one.set(1.0);
        let one = family.with(&["one"]).expect("a label");
        one.set(2.0);
        one.inc();
        until(|| (shown("one") == Some(3.0)).then_some(()));
    }
}
