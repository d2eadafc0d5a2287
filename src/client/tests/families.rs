//! Families: which label values share a series, however many there are and whoever asks.

use std::collections::HashSet;
use std::sync::Barrier;

use tallyboard::sample::Sample;
use tallyboard::{Counter, Family, Gauge, Histogram, Registry};

fn family(registry: &'static Registry, labels: &[&str]) -> Family<Counter> {
    let builder = Counter::builder("c_total", "").registry(registry).labels(labels);
    builder.family().expect("a good family")
}

tallyboard::labels! {
    struct Set<'a> { a: &'a str, b: String }
}

/// What tells one series from another.
fn cells_of(counter: Counter) -> String {
    format!("{counter:?}")
}

#[test]
fn the_same_values_are_the_same_series_and_others_are_another() {
    let family = family(Registry::builder().build(), &["a", "b"]);
    let series = |values: &[&str]| cells_of(family.with(values).expect("two values"));
    let sets = [["ab", "c"], ["a", "bc"], ["", "abc"], ["abc", ""], ["", ""], ["c", "ab"]];
    let found: HashSet<String> = sets.iter().map(|set| series(set)).collect();
    assert_eq!(found.len(), sets.len());
    for [a, b] in sets {
        assert_eq!(series(&[a, b]), series(&[a, b]));
        let named = family.with_named(&[("b", b), ("a", a)]).expect("two names");
        assert_eq!(cells_of(named), series(&[a, b]));
        let typed = family.with_labels(&Set { a, b: b.to_owned() }).expect("two fields");
        assert_eq!(cells_of(typed), series(&[a, b]));
    }
}

#[test]
fn thousands_of_series_are_found_again_by_all_threads() {
    const SERIES: usize = 5_000;
    let registry = Registry::builder().build();
    let family = family(registry, &["number"]);
    let series = |number: usize| cells_of(family.with(&[number.to_string()]).expect("one value"));
    let barrier = Barrier::new(4);
    let found: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (barrier, series) = (&barrier, &series);
                scope.spawn(move || {
                    barrier.wait();
                    // Each thread begins elsewhere, so that each is first somewhere.
                    let begin = thread * SERIES / 4;
                    let mut found = vec![String::new(); SERIES];
                    for step in 0..SERIES {
                        let number = (begin + step) % SERIES;
                        found[number] = series(number);
                    }
                    found
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that counts")).collect()
    });
    assert!(found.iter().all(|others| *others == found[0]));
    assert_eq!(found[0].iter().collect::<HashSet<_>>().len(), SERIES);
    assert!((0..SERIES).all(|number| series(number) == found[0][number]));
}

#[test]
fn a_reused_family_is_the_one_that_was_registered_before() {
    let registry = Registry::builder().build();
    let builder = || Histogram::builder("h", "").registry(registry).labels(&["l"]);
    let first = builder().family().expect("a good family");
    let again = builder().reuse().family().expect("the same family");
    let series = |family: &Family<Histogram>| format!("{:?}", family.with(&["x"]).unwrap());
    assert_eq!(series(&first), series(&again));
    let single = || Counter::builder("c_total", "").registry(registry);
    let first = single().register().expect("a good counter");
    assert_eq!(cells_of(first), cells_of(single().reuse().register().expect("the same counter")));
}

#[test]
fn a_removed_series_asks_its_callback_no_more() {
    let registry = Registry::new();
    let builder = Gauge::builder("g", "").registry(registry).labels(&["l"]);
    let family = builder.family().expect("a good family");
    let shown = || {
        let families = registry.gather();
        let samples = families.iter().flat_map(|family| &family.samples);
        let label = |sample: &Sample| sample.labels().map(|(_, value)| value.to_owned()).collect();
        samples.map(label).collect::<Vec<String>>()
    };
    for label in ["a", "b"] {
        family.with(&[label]).expect("one value").set_function(|| 3.0);
    }
    assert_eq!(shown(), ["a", "b"]);
    assert!(family.remove(&["a"]).expect("one value"));
    for _ in 0..2 {
        assert_eq!(shown(), ["b"]);
    }
    // One that removes itself is not set by what it gives.
    family.with(&["b"]).expect("one value").set_function(move || family.clear() as f64);
    for _ in 0..2 {
        assert_eq!(shown(), [""; 0]);
    }
    family.with(&["a"]).expect("one value").set(1.0);
    assert_eq!(shown(), ["a"]);
}
