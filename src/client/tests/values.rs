//! What `get` says, in one process: what was counted since the series began anew, as the page of the
//! process has it.

use tallyboard::raw::{Number, Series};
use tallyboard::sample::{Sample, Value};
use tallyboard::{
    BucketValue, Builder, Counter, Gauge, GaugeMode, Histogram, NativeHistogram, Registry, Summary,
    SummaryValue, Timed,
};

/// A private registry, and one whose supervisor nobody is.
fn registries() -> [&'static Registry; 2] {
    let nobody = format!("unix:@tallyboard/test/values-{}", std::process::id());
    [Registry::new(), Registry::builder().address(&nobody).on_warning(|_| {}).build()]
}

fn samples(registry: &'static Registry) -> Vec<Sample> {
    registry.gather().into_iter().flat_map(|family| family.samples).collect()
}

fn shown(registry: &'static Registry, suffix: &str) -> f64 {
    let samples = samples(registry);
    let found = samples.iter().find(|sample| sample.suffix == suffix);
    found.unwrap_or_else(|| panic!("expected {suffix} in {samples:?}")).value.as_f64()
}

fn pairs(buckets: &[BucketValue]) -> Vec<(f64, u64)> {
    buckets.iter().map(|bucket| (bucket.upper_bound, bucket.cumulative_count)).collect()
}

#[test]
fn a_counter_says_what_it_has_counted_since_it_was_reset_or_lowered() {
    for registry in registries() {
        let counter = Counter::builder("c_total", "").registry(registry).register().unwrap();
        assert_eq!(counter.get(), 0.0);
        counter.inc();
        counter.inc_by(1 << 40);
        counter.add(0.25).unwrap();
        assert!(counter.add(-1.0).is_err());
        assert_eq!(counter.get(), 2_f64.powi(40) + 1.25);
        assert_eq!(shown(registry, "_total"), counter.get());
        counter.reset();
        assert_eq!(counter.get(), 0.0);
        counter.inc_by(7);
        assert_eq!(counter.get(), 7.0);
        Series::of(&counter).set(Number::Counter, 2.5);
        assert_eq!(counter.get(), 2.5);
        counter.inc();
        assert_eq!((counter.get(), shown(registry, "_total")), (3.5, 3.5));
    }
}

#[test]
fn each_series_of_a_family_says_its_own_and_begins_anew_when_it_was_removed() {
    for registry in registries() {
        let family = Counter::builder("c_total", "").registry(registry).labels(&["l"]);
        let family = family.family().unwrap();
        let (a, b) = (family.with(&["a"]).unwrap(), family.with(&["b"]).unwrap());
        a.inc_by(2);
        b.inc_by(3);
        assert_eq!((a.get(), b.get()), (2.0, 3.0));
        assert_eq!(family.with(&["a"]).unwrap().get(), 2.0);
        assert!(family.remove(&["a"]).unwrap());
        assert_eq!((a.get(), b.get()), (0.0, 3.0));
        let again = family.with(&["a"]).unwrap();
        again.inc();
        assert_eq!((again.get(), b.get()), (1.0, 3.0));
    }
}

#[test]
fn a_gauge_says_what_it_is_set_to_in_every_mode_or_what_its_callback_does() {
    for (registry, mode) in registries().into_iter().flat_map(|r| GaugeMode::EVERY.map(|m| (r, m)))
    {
        let gauge = Gauge::builder(&format!("g_{}", mode.name()), "").registry(registry);
        let gauge = gauge.mode(mode).register().unwrap();
        assert_eq!(gauge.get(), 0.0);
        gauge.set(-1.5);
        gauge.inc();
        assert_eq!(gauge.get(), -0.5);
        let tracked = gauge.track_in_progress();
        assert_eq!(gauge.get(), 0.5);
        drop(tracked);
        assert_eq!(gauge.get(), -0.5);
        gauge.set_function(|| 42.0);
        gauge.set(7.0);
        assert_eq!(gauge.get(), 42.0);
    }
}

#[test]
fn a_histogram_says_its_count_sum_and_buckets() {
    for registry in registries() {
        let histogram = Histogram::builder("h", "").buckets(&[-1.0, 1.0, 2.0]).registry(registry);
        let histogram = histogram.register().unwrap();
        assert_eq!((histogram.get().count, histogram.get().sum), (0, 0.0));
        for value in [-2.0, -1.0, 0.5, 2.0, 2.5, f64::NAN] {
            histogram.observe(value);
        }
        let value = histogram.get();
        assert_eq!((value.count, value.sum), (5, 2.0));
        let expect = [(-1.0, 2), (1.0, 3), (2.0, 4), (f64::INFINITY, 5)];
        assert_eq!(pairs(&value.buckets), expect);
        let page = samples(registry);
        let of_page = page.iter().filter(|sample| sample.suffix == "_bucket");
        let of_page: Vec<f64> = of_page.map(|sample| sample.value.as_f64()).collect();
        assert_eq!(of_page, [2.0, 3.0, 4.0, 5.0]);
        assert_eq!((shown(registry, "_count"), shown(registry, "_sum")), (5.0, 2.0));
        Series::of(&histogram).set(Number::Count(0), 0.0);
        assert_eq!((histogram.get().count, histogram.get().sum), (3, 2.0));
    }
}

#[test]
fn a_summary_says_its_count_and_sum() {
    for registry in registries() {
        let summary = Summary::builder("s", "").registry(registry).register().unwrap();
        assert_eq!(summary.get(), SummaryValue::default());
        summary.observe(1.5);
        summary.observe(-0.5);
        summary.observe(f64::NAN);
        assert_eq!((summary.get().count, summary.get().sum), (2, 1.0));
        assert_eq!((shown(registry, "_count"), shown(registry, "_sum")), (2.0, 1.0));
        drop(summary.start_timer());
        assert_eq!(summary.get().count, 3);
    }
}

#[test]
fn a_native_histogram_says_what_its_page_has() {
    for registry in registries() {
        let bytes = NativeHistogram::builder("n", "").schema(0).max_buckets(4).registry(registry);
        let bytes = bytes.classic_buckets(&[1.0, 16.0]).register().unwrap();
        let whole = |count: u64| Value::Whole(count);
        let check = |count: u64, sum: f64, buckets: [u64; 3]| {
            let (value, page) = (bytes.get(), samples(registry));
            assert_eq!((value.count, value.sum), (count, sum));
            let expect = [1.0, 16.0, f64::INFINITY].into_iter().zip(buckets);
            assert!(pairs(&value.buckets).into_iter().eq(expect), "{value:?}");
            assert_eq!(
                (page[0].value, page[0].native.as_deref()),
                (whole(count), Some(&value.native))
            );
        };
        check(0, 0.0, [0, 0, 0]);
        for value in [0.0, 0.75, 3.0, -3.0, 1e6, f64::NAN] {
            bytes.observe(value);
        }
        check(5, 1_000_000.75, [3, 4, 5]);
        // More than there may be: they become wider.
        (0..8).for_each(|power| bytes.observe(f64::from(1 << power)));
        check(13, 1_000_255.75, [4, 9, 13]);
        bytes.reset();
        check(0, 0.0, [0, 0, 0]);
        bytes.observe(20.0);
        check(1, 20.0, [0, 0, 1]);
    }
}

#[test]
fn what_has_no_room_says_nothing() {
    fn full<M: tallyboard::Timed>(builder: Builder<M>) -> M {
        let family = builder.labels(&["l"]).registry(Registry::new()).family().unwrap();
        let begun = (0..tallyboard::DEFAULT_LABEL_LIMIT).map(|at| family.with(&[at.to_string()]));
        begun.for_each(|series| _ = series.unwrap());
        family.with(&["one too many"]).unwrap()
    }
    let histogram = full(Histogram::builder("h", "").buckets(&[1.0]));
    histogram.observe(1.0);
    assert_eq!(pairs(&histogram.get().buckets), [(1.0, 0), (f64::INFINITY, 0)]);
    let summary = full(Summary::builder("s", ""));
    summary.observe(1.0);
    assert_eq!(summary.get(), SummaryValue::default());
    let gauge = full(Gauge::builder("g", ""));
    gauge.set(1.0);
    assert_eq!(gauge.get(), 0.0);
    let native = full(NativeHistogram::builder("n", ""));
    native.observe(1.0);
    assert_eq!(native.get().count, 0);
}
