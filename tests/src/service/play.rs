//! A service whose workers count and die under a real Prometheus, which knows all of it each time.

use std::collections::BTreeSet;

use crate::read::page::Labels;
use crate::read::prometheus::{Bucket, Prometheus};
use crate::service::arena::Service;
use crate::service::expected::{NATIVES, Shown, schema};
use crate::start::child::until;

impl Service {
    /// Kills the oldest worker that lives, and waits until Prometheus, which knew it a moment ago, knows
    /// that it has ended.
    ///
    /// # Panics
    /// As [`kill`](Self::kill), or when Prometheus does not answer.
    pub fn kill_until_stale(&mut self, prometheus: &Prometheus) {
        let threads = format!("tallyboard_worker_threads{{pid=\"{}\"}}", self.oldest());
        until(|| (!prometheus.query(&threads).is_empty()).then_some(()));
        self.kill();
        until(|| prometheus.query(&threads).is_empty().then_some(()));
        let written = prometheus.query(&format!("{threads}[1h]"));
        assert!(written[0]["values"].as_array().is_some_and(|all| !all.is_empty()), "{written:?}");
    }
}

/// Has workers count and die, and holds what Prometheus knows of each job against what was counted,
/// each time and in the end: then no sample has ever gone down.
///
/// # Panics
/// When anything differs.
pub fn play(service: &mut Service, prometheus: &Prometheus, jobs: &[(&str, Shown)]) {
    let check = |service: &Service| {
        prometheus.scrape_all();
        for (job, shown) in jobs {
            let found = prometheus.samples(&format!("{{job=\"{job}\",__name__=~\"work_.+\"}}"));
            service.check(found, *shown).unwrap_or_else(|error| panic!("{job}: {error}"));
        }
    };
    service.work(&[0.5, 2.5]);
    check(service);
    service.work(&[40.0, 0.5, 7.0]);
    check(service);
    service.kill();
    check(service);
    // More buckets than there may be.
    service.work(&WIDE.map(|exponent| 2_f64.powi(exponent)));
    check(service);
    service.kill();
    service.kill();
    check(service);
    for (job, shown) in jobs {
        expect_no_resets(service, prometheus, job, *shown);
    }
}

/// Binary logarithms of what the last worker of a play counts: their sum is exact in any order.
const WIDE: [i32; 11] = [-20, -16, -12, -8, -4, 0, 4, 8, 12, 16, 1];

fn expect_no_resets(service: &Service, prometheus: &Prometheus, job: &str, shown: Shown) {
    let expected = service.expected(shown);
    let parts = ["_total", "_bucket", "_count", "_sum"];
    let names = expected.keys().map(|(name, _)| name.as_str());
    let names: BTreeSet<&str> =
        names.filter(|name| parts.iter().any(|part| name.ends_with(part))).collect();
    for name in names {
        let resets = prometheus.value(&format!("sum(resets({name}{{job=\"{job}\"}}[1h]))"));
        assert_eq!(resets, Some(0.0), "{job}: {name}");
    }
    if matches!(shown, Shown::Classic | Shown::Neither) {
        return;
    }
    for name in NATIVES {
        let stored = prometheus.natives(&format!("{name}{{job=\"{job}\"}}"));
        assert!(stored.len() >= 5, "{job}: {name} {stored:?}");
        assert!(stored.is_sorted_by_key(|native| native.count), "{job}: {name} {stored:?}");
    }
    let wide = prometheus.natives(&format!("work_wide{{job=\"{job}\"}}"));
    let schemas: Vec<Option<i32>> = wide.iter().map(schema).collect();
    // Wider buckets, in the same life of the series.
    assert!(schemas[0] == Some(3) && schemas.is_sorted_by(|a, b| a >= b), "{job}: {schemas:?}");
    assert!(schemas.last() < schemas.first(), "{job}: {schemas:?}");
}

/// Holds what the functions for native histograms say against what was counted.
///
/// # Panics
/// When anything differs.
pub fn expect_functions(service: &Service, prometheus: &Prometheus, job: &str) {
    let numbers = service.numbers();
    for name in ["work_native_seconds", "work_wide"] {
        let selector = format!("{name}{{job=\"{job}\"}}");
        let ask = |query: &str| prometheus.value(&query.replace("NAME", &selector));
        assert_eq!(ask("histogram_count(NAME)"), Some(numbers.len() as f64), "{name}");
        assert_eq!(ask("histogram_sum(NAME)"), Some(numbers.iter().sum()), "{name}");
        assert_eq!(ask("resets(NAME[1h])"), Some(0.0), "{name}");
        let natives = prometheus.natives(&selector);
        let buckets = &natives.last().expect("there is one").buckets;
        let mut sorted = numbers.clone();
        sorted.sort_by(f64::total_cmp);
        // Where a bucket ends, versions of Prometheus take this or the next one.
        for quantile in [0.2, 0.55, 0.9] {
            let found = ask(&format!("histogram_quantile({quantile}, NAME)"));
            let found = found.expect("there is a quantile");
            // It is somewhere in the bucket of the observation of that rank.
            let exact = sorted[(quantile * numbers.len() as f64).ceil() as usize - 1];
            let is_right = |bucket: &&Bucket| bucket.has(exact) && bucket.has(found);
            assert_eq!(
                buckets.iter().filter(is_right).count(),
                1,
                "{name}: {quantile} is {found}, not {exact}: {buckets:?}"
            );
        }
    }
}

/// Holds the exemplars that are known of a job against what was counted: the newest of the counter
/// and of each bucket of the classic histogram are there.
///
/// # Panics
/// When one is missing, or is of something that was not counted.
pub fn expect_exemplars(service: &Service, prometheus: &Prometheus, job: &str) {
    let all = (0.0, f64::INFINITY);
    expect_exemplar(service, prometheus, &format!("work_done_total{{job=\"{job}\"}}"), all);
    let mut lower = 0.0;
    for (upper, le) in [(1.0, "1.0"), (10.0, "10.0"), (f64::INFINITY, "+Inf")] {
        let selector = format!("work_seconds_bucket{{job=\"{job}\",le=\"{le}\"}}");
        expect_exemplar(service, prometheus, &selector, (lower, upper));
        lower = upper;
    }
}

/// The same for one series, of whose exemplars the newest one between two bounds must be there.
///
/// # Panics
/// As [`expect_exemplars`].
pub fn expect_exemplar(
    service: &Service,
    prometheus: &Prometheus,
    selector: &str,
    (lower, upper): (f64, f64),
) {
    let numbers = service.numbers();
    let newest = numbers.iter().rev().find(|number| **number > lower && **number <= upper);
    let newest = *newest.expect("something is between the bounds");
    let is_count = selector.starts_with("work_done_total");
    let of = |number: f64| {
        let labels = Labels::from([("trace_id".to_owned(), number.to_string())]);
        (labels, if is_count { 1.0 } else { number })
    };
    let found = prometheus.exemplars(selector);
    let is_counted = |exemplar: &(Labels, f64)| numbers.iter().any(|n| *exemplar == of(*n));
    let is_there = found.contains(&of(newest)) && found.iter().all(is_counted);
    assert!(is_there, "{selector}: expected {newest}, found {found:?}");
}
