//! What is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tallyboard::{
    Counter, Gauge, GaugeMode, Histogram, Info, NativeHistogram, Registry, StateSet, Summary,
};
use tallyboard_bridges::Graphite;
use tallyboard_bridges::graphite::{Counts, Started};
use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type, Value};
use tallyboard_tests::start::child::until;

use crate::carbon::{Carbon, now};

/// Between two snapshots: short, and a test waits for many of them.
pub const INTERVAL: Duration = Duration::from_millis(50);

pub fn gauge(name: &str, value: f64, seconds: Option<i64>) -> FamilySamples {
    let timestamp = seconds.map(|seconds| Timestamp { seconds, nanos: 0 });
    let sample = Sample { timestamp, ..Sample::new("", vec![], Value::Float(value)) };
    let samples = vec![sample];
    FamilySamples { samples, ..FamilySamples::new(Type::Gauge, name, "") }
}

/// Snapshots that can be told apart: the `n`th is `n`, at a second of its own.
pub struct Numbered {
    /// The second of the first one, long enough ago that none is of the future.
    pub begin: i64,
    pub taken: Arc<AtomicU64>,
    pub started: Started,
}

impl Numbered {
    pub fn start(graphite: &Graphite) -> Self {
        let begin = now() - 80_000;
        let taken = Arc::new(AtomicU64::new(0));
        let source = {
            let taken = Arc::clone(&taken);
            move || {
                let n = taken.fetch_add(1, Relaxed);
                Ok::<_, String>(vec![gauge("numbered", n as f64, Some(begin + n as i64))])
            }
        };
        let started = graphite.start(INTERVAL, "", source).expect("a thread");
        Self { begin, taken, started }
    }

    pub fn counts(&self) -> Counts {
        self.started.status().counts()
    }

    pub fn wait(&self, until_it: impl Fn(&Counts) -> bool) -> Counts {
        until(|| Some(self.counts()).filter(&until_it))
    }

    /// The numbers of snapshots that carbon has stored, each with its own value at its own second.
    pub fn stored(&self, carbon: &Carbon) -> Vec<u64> {
        let taken = self.taken.load(Relaxed) as i64;
        let points = carbon.points("numbered", (self.begin - 1, self.begin + taken));
        let number = |(second, value): (i64, f64)| {
            let number = (second - self.begin) as u64;
            assert_eq!(value, number as f64);
            number
        };
        points.into_iter().map(number).collect()
    }
}

/// A private registry with every instrument.
pub fn registry() -> &'static Registry {
    let registry = Registry::new();
    let orders = Counter::builder("orders", "Orders.").labels(&["shop", "by"]).registry(registry);
    let orders = orders.family().expect("a family");
    orders.with(&["Zoë's & co.", "card"]).expect("two labels").inc_by(3);
    orders.with(&["b", "b"]).expect("two labels").add(0.125).expect("an amount");
    let queue = Gauge::builder("queue", "Waiting.").mode(GaugeMode::Sum).registry(registry);
    queue.register().expect("a gauge").set(-1.5e-7);
    let most = Gauge::builder("most", "The most.").mode(GaugeMode::Max).registry(registry);
    most.register().expect("a gauge").set(f64::INFINITY);
    let none = Gauge::builder("none", "No number.").mode(GaugeMode::Max).registry(registry);
    none.register().expect("a gauge").set(f64::NAN);
    let seconds = Histogram::builder("seconds", "Time.").buckets(&[0.25, 1.0]).registry(registry);
    let seconds = seconds.register().expect("a histogram");
    [0.125, 0.5, 7.0].iter().for_each(|value| seconds.observe(*value));
    let sizes = NativeHistogram::builder("sizes", "Sizes.").registry(registry);
    let sizes = sizes.register().expect("a native histogram");
    [1.0, 1e20].iter().for_each(|value| sizes.observe(*value));
    let bytes = Summary::builder("size_bytes", "Bytes.").registry(registry);
    bytes.register().expect("a summary").observe(1e16);
    let build = Info::builder("build", "What runs.").registry(registry);
    build.register().expect("an info").set(&[("version", "1.4.2")]).expect("labels");
    let state = StateSet::builder("job", "The job.", &["on", "off"]).registry(registry);
    state.register().expect("a stateset").set("on").expect("a state");
    registry
}
