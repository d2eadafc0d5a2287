//! What is known of an export, as metrics: one table makes names, types and help texts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};

use super::queue::Queue;

/// Name, type, help text, and what it is read from.
type Figure = (&'static str, Type, &'static str, fn(&Counts) -> Value);

/// The metrics, sorted by name: name without `_total`, type, help text, value. Each has the label
/// `target`, which says where the export goes to: `otlp`, `remote_write` or `graphite`.
const TABLE: &[Figure] = &[
    (
        "tallyboard_export_lag_seconds",
        Type::Gauge,
        "Time since the first snapshot that the receiver has not taken; 0 when it has taken the last.",
        Counts::lag,
    ),
    (
        "tallyboard_export_last_success_timestamp_seconds",
        Type::Gauge,
        "When the receiver took something last, in seconds since 1970; 0 for never.",
        |counts| seconds(counts.success_ms),
    ),
    ("tallyboard_export_queue_bytes", Type::Gauge, "Bytes that wait to be sent.", |counts| {
        Value::Whole(counts.queue_bytes)
    }),
    ("tallyboard_export_requests", Type::Counter, "Requests that were made.", |counts| {
        Value::Whole(counts.requests)
    }),
    (
        "tallyboard_export_requests_failed",
        Type::Counter,
        "Requests that were not answered or refused.",
        |counts| Value::Whole(counts.requests_failed),
    ),
    (
        "tallyboard_export_samples_dropped",
        Type::Counter,
        "Samples that were not sent, for want of room or because newer ones took their place.",
        |counts| Value::Whole(counts.dropped),
    ),
    (
        "tallyboard_export_samples_failed",
        Type::Counter,
        "Samples that the receiver has refused.",
        |counts| Value::Whole(counts.failed),
    ),
    (
        "tallyboard_export_samples_sent",
        Type::Counter,
        "Samples that the receiver has taken.",
        |counts| Value::Whole(counts.sent),
    ),
];

/// What is known of one export. Whoever counts and whoever reads may be in different threads, which
/// wait for each other no longer than a few additions take.
#[derive(Debug)]
pub struct Figures {
    kind: &'static str,
    counts: Mutex<Counts>,
    given_up: Mutex<BTreeMap<String, u64>>,
}

/// How many names of series what was given up is counted by; all others are one more.
const MOST_METRICS: usize = 20;
/// What all others are called, which no metric is.
const OTHERS: &str = "";
/// Name and help text of what was given up.
const GIVEN_UP: (&str, &str) = (
    "tallyboard_export_samples_given_up",
    "Samples that remote write 1.0 gave up, of those that the receiver has refused, by the name of their series; those of further names have none.",
);

/// What there is to say of an export, in milliseconds since 1970 where it is a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    pub(crate) requests: u64,
    pub(crate) requests_failed: u64,
    pub(crate) queue_bytes: u64,
    /// When the first snapshot was made that the receiver has not taken.
    pub(crate) behind_ms: Option<u64>,
    pub(crate) success_ms: u64,
}

impl Counts {
    fn lag(&self) -> Value {
        seconds(self.behind_ms.map_or(0, |since| now_ms().saturating_sub(since)))
    }

    /// They as families, sorted by name, with a label that says where the export goes.
    pub(crate) fn families(&self, target: &str) -> Vec<FamilySamples> {
        let family = |&(name, kind, help, value): &Figure| {
            let suffix = if kind == Type::Counter { "_total" } else { "" };
            let labels = vec![("target".to_owned(), target.to_owned())];
            let mut family = FamilySamples::new(kind, name, help);
            family.samples.push(Sample::new(suffix, labels, value(self)));
            family
        };
        TABLE.iter().map(family).collect()
    }
}

impl Figures {
    /// Those of an export to a target of this kind.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, counts: Mutex::default(), given_up: Mutex::default() }
    }

    /// They as families, sorted by name.
    #[must_use]
    pub fn families(&self) -> Vec<FamilySamples> {
        let counts = *self.counts();
        let mut families = counts.families(self.kind);
        families.extend(self.given_up_family());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// What was given up, where something was.
    fn given_up_family(&self) -> Option<FamilySamples> {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = |(metric, samples): (&String, &u64)| {
            let labels = [("target", self.kind), ("metric", metric)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Sample::new("_total", labels.into(), Value::Whole(*samples))
        };
        let mut family = FamilySamples::new(Type::Counter, GIVEN_UP.0, GIVEN_UP.1);
        family.samples = given_up.iter().map(sample).collect();
        (!family.samples.is_empty()).then_some(family)
    }

    pub(super) fn taken(&self, sent: u64, left_out: u64) {
        let mut counts = self.counts();
        counts.sent = counts.sent.saturating_add(sent);
        counts.failed = counts.failed.saturating_add(left_out);
        if sent > 0 {
            counts.success_ms = now_ms();
        }
    }

    pub(super) fn failed(&self, samples: u64) {
        let mut counts = self.counts();
        counts.failed = counts.failed.saturating_add(samples);
    }

    pub(super) fn dropped(&self, samples: u64) {
        let mut counts = self.counts();
        counts.dropped = counts.dropped.saturating_add(samples);
    }

    pub(super) fn requests(&self, all: u64, failed: u64) {
        let mut counts = self.counts();
        counts.requests += all;
        counts.requests_failed += failed;
    }

    /// Counts samples that were given up, by the name of their series.
    pub(super) fn given_up(&self, samples: &BTreeMap<String, u64>) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        for (metric, samples) in samples {
            let has_room = given_up.len() < MOST_METRICS || given_up.contains_key(metric);
            let metric = if has_room { metric } else { OTHERS };
            let total: &mut u64 = given_up.entry(metric.to_owned()).or_default();
            *total = total.saturating_add(*samples);
        }
    }

    pub(super) fn waiting(&self, queue: &Queue) {
        let mut counts = self.counts();
        counts.queue_bytes = queue.bytes() as u64;
        counts.behind_ms = queue.behind_ms().map(|since| u64::try_from(since).unwrap_or(0));
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

fn seconds(ms: u64) -> Value {
    Value::Float(ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_says_what_its_metrics_are() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for (name, _, help, _) in TABLE {
            assert!(name.starts_with("tallyboard_export_") && help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn what_was_counted_is_shown_by_target() {
        let figures = Figures::new("otlp");
        figures.taken(7, 2);
        figures.failed(3);
        figures.dropped(4);
        figures.requests(2, 1);
        let value = |name: &str| {
            let families = figures.families();
            let family = families.into_iter().find(|family| family.name == name);
            let sample = family.expect("a family").samples.remove(0);
            assert_eq!(sample.labels, [("target".to_owned(), "otlp".to_owned())]);
            sample.value.as_f64()
        };
        assert_eq!(value("tallyboard_export_samples_sent"), 7.0);
        assert_eq!(value("tallyboard_export_samples_failed"), 5.0);
        assert_eq!(value("tallyboard_export_samples_dropped"), 4.0);
        assert_eq!(value("tallyboard_export_requests"), 2.0);
        assert_eq!(value("tallyboard_export_requests_failed"), 1.0);
        assert_eq!(value("tallyboard_export_lag_seconds"), 0.0);
        assert!(value("tallyboard_export_last_success_timestamp_seconds") > 1e9);
    }

    #[test]
    fn what_was_given_up_is_shown_by_metric_and_there_are_few_of_them() {
        let figures = Figures::new("remote_write");
        assert_eq!(figures.families().len(), TABLE.len());
        for number in 0..1000 {
            figures.given_up(&BTreeMap::from([(format!("m{number:03}"), 2)]));
        }
        figures.given_up(&BTreeMap::from([("m000".to_owned(), 5)]));
        let families = figures.families();
        assert!(families.is_sorted_by(|a, b| a.name < b.name));
        let family = families.iter().find(|family| family.name == GIVEN_UP.0).expect("it is there");
        let found = |metric: &str| {
            let is_it = |sample: &&Sample| sample.labels[1].1 == metric;
            family.samples.iter().find(is_it).map(|sample| sample.value)
        };
        assert_eq!(family.samples.len(), MOST_METRICS + 1);
        assert_eq!(found("m000"), Some(Value::Whole(7)));
        assert_eq!(found(OTHERS), Some(Value::Whole(2 * (1000 - MOST_METRICS as u64))));
    }
}
