//! Bad input to a client: an error that says what was expected, what was found and what to do, or a
//! drop that is counted; never a panic, and never more than one warning.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tallyboard::{Counter, Gauge, Histogram, LabelError, RegisterError, Registry, Summary};

#[track_caller]
fn says(error: impl std::fmt::Display, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} has no {part:?}");
    }
}

fn registry() -> &'static Registry {
    Registry::builder().build()
}

#[test]
fn an_address_that_leads_nowhere_is_one_warning_and_everything_counts_privately() {
    static WARNINGS: AtomicUsize = AtomicUsize::new(0);
    for (address, parts) in [
        ("unix:@tallyboard-nobody-is-here", ["no supervisor listens on", "tallyboard serve"]),
        ("unix:/nonexistent/socket", ["no supervisor listens on", "correct TALLYBOARD"]),
        ("tcp:localhost:1", ["unix:", "tcp:localhost:1"]),
    ] {
        WARNINGS.store(0, Relaxed);
        let registry = Registry::builder()
            .address(address)
            .on_warning(|_| {
                WARNINGS.fetch_add(1, Relaxed);
            })
            .build();
        let builder = Counter::builder("c_total", "Counted.").registry(registry);
        let counter = builder.register().expect("a good counter");
        (0..3).for_each(|_| counter.inc());
        let family = Counter::builder("f_total", "Counted.").registry(registry).labels(&["l"]);
        family.family().expect("a good family").with(&["x"]).expect("one value").inc();
        assert!(registry.attachment().is_none());
        assert_eq!(WARNINGS.load(Relaxed), 1, "{address}");
        let fresh = Registry::builder().address(address).on_warning(|_| {}).build();
        // The second time it asks again, and says what that came to.
        (0..2).for_each(|_| says(fresh.attach().expect_err("nobody is there"), &parts));
    }
    says(registry().attach().expect_err("no address"), &["TALLYBOARD, found none", "exec --"]);
}

#[test]
fn the_longest_time_to_wait_is_not_too_long() {
    let builder = Registry::builder().address("unix:@tallyboard-nobody-is-here");
    let registry = builder.attach_timeout(Duration::MAX).on_warning(|_| {}).build();
    says(registry.attach().expect_err("nobody is there"), &["no supervisor listens on"]);
}

#[test]
fn negative_and_non_finite_amounts_are_refused_and_change_nothing() {
    let counter = Counter::builder("c_total", "Counted.").registry(registry()).register().unwrap();
    for amount in [-1.0, -0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = counter.add(amount).expect_err("not an amount");
        assert_eq!(error.found.to_bits(), amount.to_bits());
        says(error, &["finite amount of 0 or more", "use a gauge"]);
    }
    for amount in [0.0, -0.0, 0.5, f64::MAX] {
        counter.add(amount).expect("an amount");
    }
}

#[test]
fn names_and_labels_that_cannot_be_are_refused_with_what_was_found() {
    let long = "n".repeat(257);
    for name in ["", "_total", "a\0", long.as_str()] {
        let error = Counter::builder(name, "").registry(registry()).register().unwrap_err();
        says(error, &["metric names have from 1 to 256 bytes", "rename the metric"]);
    }
    for name in ["tallyboard_x", "tallyboard.x"] {
        let error = Gauge::builder(name, "").registry(registry()).register().unwrap_err();
        says(error, &["the supervisor's own", name, "choose another prefix"]);
    }
    for label in ["", "__a", "a\0", long.as_str()] {
        let builder = Counter::builder("c_total", "").labels(&[label]).registry(registry());
        says(builder.family().unwrap_err(), &["label names", "rename the label"]);
    }
    let twice = Counter::builder("c_total", "").labels(&["a", "a"]).registry(registry());
    says(twice.family().unwrap_err(), &["differ from each other", "\"a\""]);
    let le = Histogram::builder("h", "").labels(&["le"]).registry(registry());
    says(le.family().unwrap_err(), &["le"]);
    let quantile = Summary::builder("s", "").labels(&["quantile"]).registry(registry());
    says(quantile.family().unwrap_err(), &["quantile"]);
    for bounds in [&[2.0, 1.0][..], &[1.0, 1.0], &[f64::NAN], &[f64::INFINITY], &[]] {
        let builder = Histogram::builder("h", "").buckets(bounds).registry(registry());
        says(builder.register().unwrap_err(), &["each greater than the one before", "found"]);
    }
}

#[test]
fn label_values_must_be_as_many_as_labels_and_named_as_they_are() {
    let builder = Counter::builder("c_total", "").labels(&["a", "b"]).registry(registry());
    let family = builder.family().unwrap();
    for values in [&[][..], &["1"], &["1", "2", "3"]] {
        let error = family.with(values).unwrap_err();
        assert!(matches!(error, LabelError::Count { found, .. } if found == values.len()));
        says(error, &["[\"a\", \"b\"]", "one value per label"]);
    }
    says(family.with(&["1", &"v".repeat(4097)]).unwrap_err(), &["4096", "4097", "shorten"]);
    for labels in [&[("a", "1"), ("c", "2")][..], &[("a", "1"), ("a", "2")]] {
        says(family.with_named(labels).unwrap_err(), &["[\"a\", \"b\"]", "each once"]);
    }
    tallyboard::labels! {
        struct Turned { b: u8, a: u8 }
    }
    tallyboard::labels! {
        struct Straight { a: u8, b: u8 }
    }
    let error = family.with_labels(&Turned { b: 2, a: 1 }).unwrap_err();
    assert!(matches!(error, LabelError::Set { .. }));
    says(error, &["[\"a\", \"b\"]", "[\"b\", \"a\"]", "in the same order"]);
    family.with_labels(&Straight { a: 1, b: 2 }).expect("the labels of the family");
    tallyboard::labels! {
        struct Reserved { le: u8 }
    }
    let le = Histogram::builder("h", "").labels_of::<Reserved>().registry(registry());
    says(le.family().unwrap_err(), &["le"]);
    let labels = RegisterError::Labels { name: "d_total".into(), found: 1 };
    let builder = Counter::builder("d_total", "").labels(&["a"]).registry(registry());
    assert_eq!(builder.register().unwrap_err(), labels);
}

#[test]
fn one_process_cannot_use_a_name_for_two_things() {
    let registry = registry();
    let counter = || Counter::builder("c_total", "").registry(registry);
    counter().register().unwrap();
    let twice = counter().register().unwrap_err();
    assert!(matches!(twice, RegisterError::Duplicate { .. }));
    says(twice, &["of counter \"c\" with labels []", "a second, of counter \"c\"", ".reuse()"]);
    counter().reuse().register().expect("the same again, and shared");
    let reused = Gauge::builder("c", "").registry(registry).reuse().register();
    assert!(matches!(reused, Err(RegisterError::Conflict { .. })), "{reused:?}");
    let error = Gauge::builder("c", "").registry(registry).register().unwrap_err();
    says(error, &["registered already as a counter", "found a gauge", "use one definition"]);
    says(counter().labels(&["l"]).family().unwrap_err(), &["counter", "[\"l\"]"]);
    Histogram::builder("h", "").registry(registry).register().unwrap();
    let other = Histogram::builder("h", "").registry(registry).buckets(&[1.0]).register();
    assert!(matches!(other, Err(RegisterError::Conflict { .. })));
    let sample = Counter::builder("h_count", "").registry(registry).register();
    assert!(matches!(sample, Err(RegisterError::Conflict { .. })), "{sample:?}");
}

#[test]
fn label_sets_beyond_the_limit_give_handles_that_count_nothing() {
    let builder = Counter::builder("c_total", "").labels(&["l"]).registry(registry());
    let family = builder.family().unwrap();
    for number in 0..=tallyboard::DEFAULT_LABEL_LIMIT {
        family.with(&[number.to_string()]).expect("a handle").inc();
    }
    family.with(&["0"]).expect("a set that was there before").inc();
}
