//! Tallyboard beside the crates `prometheus` and `prometheus-client`, in the same run. The rivals
//! count in the heap of one process; we count where another process can read it.

#![forbid(unsafe_code)]

mod formats;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;

use prometheus::{Encoder, TextEncoder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as ClientCounter;
use prometheus_client::metrics::family::Family as ClientFamily;
use prometheus_client::metrics::histogram::Histogram as ClientHistogram;
use tallyboard::{Counter, DEFAULT_BUCKETS, Histogram};
use tallyboard_bench::{Outcome, Race, finish};
use tallyboard_exposition::prefixes::Prefixes;

const LINES: usize = 10_000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    route: String,
    status: String,
}

fn main() -> ExitCode {
    let alone = vec![whole(), fractions(), observations()];
    let threads = [2, 8].map(threads).concat();
    let formats = [vec![formats::writing()], formats::reading()].concat();
    finish(&[alone, threads, vec![labels(), lines()], formats].concat())
}

fn whole() -> Outcome {
    let theirs = prometheus::IntCounter::new("requests", "Requests.").expect("well formed");
    let client: ClientCounter = ClientCounter::default();
    let ours = Counter::new("requests", "Requests.").expect("well formed");
    Race::new("a count")
        .enter("prometheus IntCounter::inc", || theirs.inc())
        .enter("prometheus-client Counter::inc", || client.inc())
        .enter("tallyboard Counter::inc", || ours.inc())
        .at_most(1.0 + NOISE)
        .run()
}

/// Two measurements of one and the same loop differ by this much.
const NOISE: f64 = 0.05;

fn fractions() -> Outcome {
    let theirs = prometheus::Counter::new("busy", "Seconds.").expect("well formed");
    let client = ClientCounter::<f64, AtomicU64>::default();
    let ours = Counter::new("busy", "Seconds.").expect("well formed");
    Race::new("an amount with a fraction")
        .enter("prometheus Counter::inc_by", || theirs.inc_by(0.5))
        .enter("prometheus-client Counter<f64>::inc_by", || client.inc_by(0.5))
        .enter("tallyboard Counter::add", || ours.add(0.5))
        .run()
}

/// Values that fall into every bucket, in no order that a branch predictor could learn.
fn values() -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..4096).map(|_| 0.002 * 1.01_f64.powi((next() % 900) as i32)).collect()
}

fn observations() -> Outcome {
    let options = prometheus::HistogramOpts::new("seconds", "Seconds.");
    let options = options.buckets(DEFAULT_BUCKETS.to_vec());
    let theirs = prometheus::Histogram::with_opts(options).expect("well formed");
    let client = ClientHistogram::new(DEFAULT_BUCKETS);
    let ours = Histogram::new("seconds", "Seconds.").expect("well formed");
    let values = values();
    let [mut a, mut b, mut c] = [0; 3].map(|_: usize| values.iter().cycle());
    let spread = Race::new("an observation, spread over all of 14 bounds")
        .enter("prometheus Histogram::observe", || theirs.observe(*a.next().unwrap_or(&0.0)))
        .enter("prometheus-client Histogram::observe", || client.observe(*b.next().unwrap_or(&0.0)))
        .enter("tallyboard Histogram::observe", || ours.observe(*c.next().unwrap_or(&0.0)))
        .at_most(1.0 + NOISE)
        .run();
    let same = Race::new("an observation, always the same")
        .enter("prometheus Histogram::observe", || theirs.observe(black_box(0.012)))
        .enter("prometheus-client Histogram::observe", || client.observe(black_box(0.012)))
        .enter("tallyboard Histogram::observe", || ours.observe(black_box(0.012)))
        .at_most(1.0 + NOISE)
        .run();
    Outcome { missed: [spread.missed, same.missed].concat() }
}

/// Two threads at one series, as in a worker with a thread pool.
/// Threads that all count in one series.
fn threads(threads: usize) -> [Outcome; 2] {
    let at_once = |operation: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..THREAD_OPERATIONS).for_each(|_| operation()));
            }
        });
    };
    let counter = format!("shared_by_{threads}");
    let counted = prometheus::IntCounter::new(counter.as_str(), "Requests.").expect("well formed");
    let ours = Counter::new(&counter, "Requests.").expect("well formed");
    let counts = Race::new(&format!("a count by {threads} threads"))
        .enter("prometheus IntCounter::inc", || at_once(&|| counted.inc()))
        .of(THREAD_OPERATIONS)
        .enter("tallyboard Counter::inc", || at_once(&|| ours.inc()))
        .of(THREAD_OPERATIONS)
        .run();
    let histogram = format!("seconds_by_{threads}");
    let options = prometheus::HistogramOpts::new(histogram.as_str(), "Seconds.");
    let options = options.buckets(DEFAULT_BUCKETS.to_vec());
    let theirs = prometheus::Histogram::with_opts(options).expect("well formed");
    let ours = Histogram::new(&histogram, "Seconds.").expect("well formed");
    let observations = Race::new(&format!("an observation by {threads} threads"))
        .enter("prometheus Histogram::observe", || at_once(&|| theirs.observe(0.012)))
        .of(THREAD_OPERATIONS)
        .enter("tallyboard Histogram::observe", || at_once(&|| ours.observe(0.012)))
        .of(THREAD_OPERATIONS)
        .run();
    [counts, observations]
}

/// Enough that starting the threads is nothing beside it.
const THREAD_OPERATIONS: usize = 500_000;

fn labels() -> Outcome {
    let options = prometheus::Opts::new("labelled", "Requests.");
    let theirs =
        prometheus::IntCounterVec::new(options, &["route", "status"]).expect("well formed");
    let client = ClientFamily::<Labels, ClientCounter>::default();
    let ours = Counter::builder("labelled", "Requests.").labels(&["route", "status"]);
    let ours = ours.family().expect("well formed");
    Race::new("a count by 2 labels, looked up each time")
        .enter("prometheus with_label_values", || theirs.with_label_values(&["/", "200"]).inc())
        .enter("prometheus-client get_or_create", || {
            let labels = Labels { route: "/".to_owned(), status: "200".to_owned() };
            client.get_or_create(&labels).inc()
        })
        .enter("tallyboard Family::with", || ours.with(&["/", "200"]).map(|counter| counter.inc()))
        .run()
}

fn lines() -> Outcome {
    let routes: Vec<String> = (0..LINES).map(|route| format!("/items/{route}")).collect();
    let options = prometheus::Opts::new("app_requests_total", "Requests.");
    let vector =
        prometheus::IntCounterVec::new(options, &["route", "status"]).expect("well formed");
    let registry = prometheus::Registry::new();
    registry.register(Box::new(vector.clone())).expect("registered once");
    let family = ClientFamily::<Labels, ClientCounter>::default();
    let mut client = prometheus_client::registry::Registry::default();
    client.register("app_requests", "Requests.", family.clone());
    let mut prefixes = Prefixes::default();
    let mut values = Vec::new();
    for (route, line) in routes.iter().zip(0_u64..) {
        vector.with_label_values(&[route.as_str(), "200"]).inc_by(line * line * 7);
        let labels = Labels { route: route.clone(), status: "200".to_owned() };
        family.get_or_create(&labels).inc_by(line * line * 7);
        let labels = [("route", route.as_str()), ("status", "200")];
        prefixes.push("app_requests", "_total", labels);
        values.push(line * line * 7);
    }
    let [mut theirs, mut ours] = [const { Vec::<u8>::new() }; 2];
    let mut text = String::new();
    Race::new("a line of text, of 10,000")
        .enter("prometheus TextEncoder", || {
            theirs.clear();
            TextEncoder::new().encode(&registry.gather(), &mut theirs).expect("it encodes");
            black_box(&theirs);
        })
        .of(LINES)
        .enter("prometheus-client encode", || {
            text.clear();
            prometheus_client::encoding::text::encode(&mut text, &client).expect("it encodes");
            black_box(&text);
        })
        .of(LINES)
        .enter("tallyboard Prefixes::write_whole", || {
            ours.clear();
            for (line, value) in values.iter().enumerate() {
                prefixes.write_whole(&mut ours, line, *value);
            }
            black_box(&ours);
        })
        .of(LINES)
        .run()
}
