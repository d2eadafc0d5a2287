//! Values that are set, in a process of its own: what it says then is what was set, and the dropped
//! are what no number can be.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

use tallyboard::raw::{Number, Series};
use tallyboard::sample::{Sample, Value};
use tallyboard::{Counter, Histogram, Registry, Summary};

fn samples(registry: &'static Registry) -> Vec<Sample> {
    registry.gather().into_iter().flat_map(|family| family.samples).collect()
}

fn value(registry: &'static Registry, suffix: &str) -> f64 {
    let samples = samples(registry);
    let found = samples.iter().find(|sample| sample.suffix == suffix);
    found.unwrap_or_else(|| panic!("expected {suffix} in {samples:?}")).value.as_f64()
}

fn counter(registry: &'static Registry) -> Counter {
    Counter::builder("set_total", "Set.").registry(registry).register().expect("a good counter")
}

fn of_counter(series: &Series) -> f64 {
    series.own(0) as f64 + f64::from_bits(series.own(1))
}

#[test]
fn a_counter_says_what_it_was_set_to_bit_for_bit_and_counts_on_from_there() {
    let registry = Registry::new();
    let counter = counter(registry);
    let series = Series::of(&counter);
    let mut random = 7_u64;
    let mut any = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 40) as f64 / 3.0
    };
    let values = [10.0, 20.0, 20.0, 20.1, 30.0, 4.5, 4.0, 0.1, 0.3, 0.7, 0.0, 1.0, 1e6, 0.25, 1e6];
    let values = values.into_iter().chain((0..1000).map(|_| any()));
    for value in values.collect::<Vec<f64>>() {
        series.set(Number::Counter, value);
        assert_eq!(of_counter(&series).to_bits(), value.to_bits(), "{value}");
        let shown = samples(registry)[0].value;
        assert_eq!(shown.as_f64(), value);
        counter.inc();
        let more = of_counter(&series) - (value + 1.0);
        assert!(more.abs() <= value * 1e-12, "{value}: {more}");
    }
}

#[test]
fn whole_numbers_that_a_counter_is_set_to_are_counted_in_ones() {
    let registry = Registry::new();
    let counter = counter(registry);
    for value in [10.0, 20.0, 15.0, 30.0, 0.0, 7.0] {
        Series::of(&counter).set(Number::Counter, value);
        assert_eq!(samples(registry)[0].value, Value::Whole(value as u64));
        assert_eq!(Series::of(&counter).own(1), 0);
    }
}

#[test]
fn a_bucket_and_a_sum_are_set_and_the_others_of_their_series_stay() {
    let registry = Registry::new();
    let seconds = Histogram::builder("seconds", "Seconds.").buckets(&[1.0, 2.0]).registry(registry);
    let seconds = seconds.register().expect("a good histogram");
    (0..4).for_each(|_| seconds.observe(1.5));
    let series = Series::of(&seconds);
    series.set(Number::Sum(3), 0.1);
    assert_eq!(value(registry, "_sum"), 0.1);
    series.set(Number::Count(1), 1.0);
    series.set(Number::Count(0), 5.0);
    series.set(Number::Sum(3), 100.7);
    assert_eq!((value(registry, "_sum"), value(registry, "_count")), (100.7, 6.0));
    seconds.observe(1.5);
    assert_eq!(value(registry, "_count"), 7.0);
    series.set(Number::Sum(3), 0.0);
    assert_eq!(value(registry, "_sum"), 0.0);
}

#[test]
fn a_sum_may_be_set_to_less_than_nothing_and_an_infinite_one_to_a_number() {
    let registry = Registry::new();
    let sizes = Summary::builder("sizes", "Sizes.").registry(registry).register().expect("good");
    sizes.observe(4.0);
    let series = Series::of(&sizes);
    for value_set in [-3.0, 2.5, -7.25, 0.0, 1.0] {
        series.set(Number::Sum(1), value_set);
        assert_eq!(value(registry, "_sum"), value_set);
    }
    sizes.observe(f64::INFINITY);
    assert_eq!(value(registry, "_sum"), f64::INFINITY);
    for value_set in [12.5, 3.0, 4.0] {
        series.set(Number::Sum(1), value_set);
        assert_eq!(value(registry, "_sum"), value_set);
    }
    assert_eq!(value(registry, "_count"), 2.0);
}

#[test]
fn what_no_number_can_be_is_left_as_it_is() {
    let registry = Registry::new();
    let counter = counter(registry);
    counter.inc_by(3);
    let sizes = Summary::builder("sizes", "Sizes.").registry(registry).register().expect("good");
    sizes.observe(1.0);
    for value_set in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        Series::of(&counter).set(Number::Counter, value_set);
        Series::of(&sizes).set(Number::Count(0), value_set);
    }
    for value_set in [0.5, 9_007_199_254_740_992.0] {
        Series::of(&sizes).set(Number::Count(0), value_set);
    }
    for value_set in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        Series::of(&sizes).set(Number::Sum(1), value_set);
    }
    assert_eq!(of_counter(&Series::of(&counter)), 3.0);
    assert_eq!((value(registry, "_count"), value(registry, "_sum")), (1.0, 1.0));
}

#[test]
fn a_value_that_the_log_has_no_room_to_lower_stays_and_is_raised_still() {
    const FROM: u64 = 1 << 20;
    let registry = Registry::new();
    let counter = counter(registry);
    let series = Series::of(&counter);
    series.set(Number::Counter, FROM as f64);
    let left = (0..FROM).rev().find(|&value| {
        series.set(Number::Counter, value as f64);
        series.own(0) != value
    });
    let left = left.expect("a log that has an end") + 1;
    assert_eq!(of_counter(&series), left as f64);
    assert!(left < FROM - 10_000, "{left}");
    series.set(Number::Counter, 0.0);
    assert_eq!(of_counter(&series), left as f64);
    series.set(Number::Counter, left as f64 + 2.5);
    counter.inc();
    assert_eq!(of_counter(&series), left as f64 + 3.5);
    assert_eq!(value(registry, "_total"), left as f64 + 3.5);
}

#[test]
fn an_infinite_sum_that_the_log_has_no_room_to_replace_stays_infinite() {
    let registry = Registry::new();
    let sizes = Summary::builder("sizes", "Sizes.").registry(registry).register().expect("good");
    let series = Series::of(&sizes);
    series.set(Number::Sum(1), 1.0);
    while value_of_sum(&series) == 1.0 {
        series.set(Number::Sum(1), 2.0);
        series.set(Number::Sum(1), 1.0);
    }
    sizes.observe(f64::INFINITY);
    series.set(Number::Sum(1), 3.0);
    assert_eq!(value(registry, "_sum"), f64::INFINITY);
}

fn value_of_sum(series: &Series) -> f64 {
    f64::from_bits(series.own(1))
}

#[test]
fn a_count_never_holds_more_than_one_can_and_a_counter_is_set_up_and_down_for_ever() {
    const MOST: f64 = 9_007_199_254_740_991.0;
    let registry = Registry::new();
    let sizes = Summary::builder("sizes", "Sizes.").registry(registry).register().expect("good");
    let (series, counter) = (Series::of(&sizes), counter(registry));
    series.set(Number::Count(0), MOST);
    series.count(0, 1.0);
    for _ in 0..3 {
        series.count(0, MOST);
        assert_eq!(series.own(0), MOST as u64 + 1);
    }
    // The cell keeps what was taken off, so there is no room to set it up again.
    series.set(Number::Count(0), 5.0);
    series.set(Number::Count(0), MOST);
    assert_eq!(series.own(0), 5);
    let series = Series::of(&counter);
    for _ in 0..3000 {
        for value_set in [0.0, MOST] {
            series.set(Number::Counter, value_set);
            assert_eq!(of_counter(&series), value_set);
        }
    }
}

#[test]
fn a_value_that_is_lowered_begins_a_life_and_one_that_is_as_it_was_does_not() {
    let registry = Registry::new();
    let counter = counter(registry);
    let created = || value(registry, "_created");
    let begun = created();
    let later = |than: f64| {
        let is_later = || tallyboard_segment::process::unix_ms() as f64 / 1000.0 > than;
        while !is_later() {
            std::thread::yield_now();
        }
    };
    later(begun);
    let series = Series::of(&counter);
    for value_set in [0.0, 5.0, 5.0, 9.0] {
        series.set(Number::Counter, value_set);
        assert_eq!(created(), begun);
    }
    series.set(Number::Counter, 8.0);
    assert!(created() > begun);
}

#[test]
fn a_removed_counter_that_is_set_has_what_was_set() {
    let registry = Registry::new();
    let family = Counter::builder("of_total", "Set.").labels(&["of"]).registry(registry);
    let family = family.family().expect("a good family");
    let counter = family.with(&["a"]).expect("one label");
    counter.inc_by(10);
    assert!(family.remove(&["a"]).expect("one label"));
    let series = Series::of(&counter);
    series.set(Number::Counter, 0.0);
    assert_eq!(of_counter(&series), 0.0);
    series.set(Number::Counter, 5.0);
    series.set(Number::Counter, 2.5);
    assert_eq!(of_counter(&series), 2.5);
    family.with(&["a"]).expect("one label").inc();
    assert_eq!(value(registry, "_total"), 3.5);
}

#[test]
fn what_threads_add_while_a_value_is_set_comes_on_top() {
    const THREADS: u64 = 3;
    let registry = Registry::new();
    let counter = counter(registry);
    let series = Series::of(&counter);
    let (begun, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    begun.fetch_add(2, Relaxed);
                    counter.inc();
                    counter.add(0.5).expect("an amount");
                }
            });
        }
        for round in 0..20_000 {
            let value_set = f64::from(round * 7919 % 1000) / 4.0;
            let before = begun.load(SeqCst);
            series.set(Number::Counter, value_set);
            let now = of_counter(&series);
            // Each thread may have begun two additions before, and made them since.
            let most = value_set + (begun.load(SeqCst) - before + 2 * THREADS) as f64;
            assert!((value_set..=most).contains(&now), "{now} of {value_set} to {most}");
        }
        is_over.store(true, Relaxed);
    });
}
