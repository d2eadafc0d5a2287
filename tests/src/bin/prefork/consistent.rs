//! Scrapes while many write: each page is whole in itself, and nothing on it is less than on the one
//! before.
//!
//! A worker counts an observation in its bucket first and adds it to the sum then, and a scrape reads
//! while it does. So the sum of one page is held against the buckets of its neighbours: whatever is in
//! it is in the buckets of the next page, and of what is in those of the page before it lacks at most
//! what each worker was just about to add.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tallyboard::{Counter, Family, Histogram, NativeHistogram, Summary};
use tallyboard_exposition::sample::{FamilySamples, NativeHistogram as NativeSamples, Type};

use crate::board::{fork, scrape_when_taken, spawn};
use crate::features::shown::{ACCEPTED, Shown};
use crate::flags::flag;
use crate::ledger::{Ledger, What};
use crate::stage::{killed, text};

const BOUNDS: [f64; 3] = [1.0, 2.0, 4.0];
/// What is observed in turn: exact in binary, one or two for each bucket.
const VALUES: [f64; 6] = [0.5, 1.0, 1.5, 2.5, 4.0, 8.0];
const MOST: f64 = 8.0;
/// One observation of so many is an example too.
const EXAMPLE: usize = 16;

struct Metrics {
    seconds: Family<Histogram>,
    sizes: NativeHistogram,
    bytes: Summary,
    rounds: Counter,
}

impl Metrics {
    fn new() -> Result<Self, tallyboard::RegisterError> {
        let seconds = Histogram::builder("consistent_seconds", "Observed by all.").buckets(&BOUNDS);
        Ok(Self {
            seconds: seconds.labels(&["half"]).family()?,
            // The bounds of its classic buckets are those of native ones.
            sizes: NativeHistogram::builder("consistent_sizes", "Observed by all.")
                .schema(0)
                .classic_buckets(&BOUNDS)
                .register()?,
            bytes: Summary::new("consistent_bytes", "Observed by all.")?,
            rounds: Counter::new("consistent_rounds_total", "Counted by all.")?,
        })
    }
}

pub(crate) fn run() -> Result<Value, String> {
    let (writers, scrapes) = (flag("writers", 16) as usize, flag("scrapes", 2000) as usize);
    let handle = spawn(64)?;
    let metrics = Metrics::new().map_err(text)?;
    let ledger = Ledger::new(writers)?;
    let pids = (0..writers).map(|writer| fork(|| write(&metrics, &ledger, writer)));
    let pids = pids.collect::<Result<Vec<_>, _>>()?;
    let (mut pages, mut checked) = (Vec::new(), 0);
    for (accept, format) in ACCEPTED.iter().cycle().take(scrapes) {
        let page = Shown::get(handle.metrics()[0], accept, *format)?;
        pages.push(Points::of(&page.families)?);
        if let [before, now, next] = &pages[..] {
            checked += check(before, now, next, writers)?;
            pages.remove(0);
        }
    }
    pids.into_iter().try_for_each(killed)?;
    // This process has a slot too: it registered the metrics.
    let page = scrape_when_taken(handle.metrics()[0], 1.0)?;
    handle.stop();
    let (acknowledged, intended) = ledger.sums(writers, What::Observation);
    let counted = page.sum("consistent_seconds_count");
    if !(acknowledged as f64..=intended as f64).contains(&counted) {
        return Err(format!("counted {counted}, expected from {acknowledged} to {intended}"));
    }
    Ok(json!({
        "scrapes": scrapes, "points": checked, "observations": counted,
        "dropped": page.sum("tallyboard_dropped_total"),
        "floors_applied": page.sum("tallyboard_floors_applied_total"),
    }))
}

fn write(metrics: &Metrics, ledger: &Ledger, writer: usize) -> i32 {
    let halves = ["a", "b"].map(|half| metrics.seconds.with(&[half]));
    let [Ok(first), Ok(second)] = halves else { return 3 };
    for round in writer.. {
        let (value, seconds) = (VALUES[round % VALUES.len()], [first, second][round % 2]);
        ledger.count(writer, What::Observation, || {
            if round % EXAMPLE == 0 {
                // Labels of three characters, which are always good.
                let _ = seconds.observe_with_exemplar(value, &[("of", &value.to_string())]);
            } else {
                seconds.observe(value);
            }
        });
        metrics.sizes.observe(value);
        metrics.bytes.observe(value);
        metrics.rounds.inc();
        std::thread::sleep(Duration::from_millis(1));
    }
    0
}

/// The histograms and summaries of a page by name and labels, and the counter.
#[derive(Default)]
struct Points {
    points: BTreeMap<String, Point>,
}

#[derive(Clone, Default)]
struct Point {
    /// Up to each bound and in all; that alone for a summary or counter.
    counts: Vec<u64>,
    count: u64,
    /// None for a counter.
    sum: Option<f64>,
    /// Up to each bound and in all, by the buckets of a native histogram.
    native: Option<Vec<u64>>,
}

impl Points {
    fn of(families: &[FamilySamples]) -> Result<Self, String> {
        let mut page = Self::default();
        for family in families.iter().filter(|family| family.name.starts_with("consistent_")) {
            for sample in &family.samples {
                let labels = sample.labels().filter(|(name, _)| *name != "le");
                let labels: Vec<_> = labels.collect();
                let name = family.name.trim_end_matches("_total");
                let point = page.points.entry(format!("{name}{labels:?}")).or_default();
                let value = sample.value.as_f64();
                if let Some(native) = &sample.native {
                    point.native = Some(counts_of(native));
                    continue;
                }
                match &*sample.suffix {
                    "_bucket" => point.counts.push(value as u64),
                    "_count" | "_total" => point.count = value as u64,
                    // A counter has its whole name in text 0.0.4.
                    "" if family.kind == Type::Counter => point.count = value as u64,
                    "_sum" => point.sum = Some(value),
                    _ => {}
                }
                if let Some(exemplar) = &sample.exemplar {
                    let said = exemplar.labels.first().and_then(|(_, of)| of.parse().ok());
                    let le = sample.labels().find(|(name, _)| *name == "le");
                    let le = le.and_then(|(_, le)| le.replace("+Inf", "inf").parse::<f64>().ok());
                    if said != Some(exemplar.value) || le.is_none_or(|le| exemplar.value > le) {
                        return Err(format!("an exemplar that nobody gave: {sample:?}"));
                    }
                }
            }
        }
        Ok(page)
    }
}

/// How much is up to each bound and in all, by the buckets of a native histogram of schema 0.
fn counts_of(native: &NativeSamples) -> Vec<u64> {
    let mut buckets = Vec::new();
    let mut counts = native.positive.counts.iter();
    let mut index = 0;
    for span in &native.positive.spans {
        index += span.offset;
        for count in counts.by_ref().take(span.length as usize) {
            buckets.push((2_f64.powi(index), count.as_f64() as u64));
            index += 1;
        }
    }
    let zero = native.zero_count.as_f64() as u64;
    let up_to = |bound: f64| {
        let buckets = buckets.iter().filter(|(upper, _)| *upper <= bound);
        zero + buckets.map(|(_, count)| count).sum::<u64>()
    };
    BOUNDS.iter().copied().chain([f64::INFINITY]).map(up_to).collect()
}

/// Holds a page against itself and its neighbours; says how many points there were.
fn check(before: &Points, now: &Points, next: &Points, writers: usize) -> Result<usize, String> {
    for (name, now) in &now.points {
        let wrong = |what: &str| {
            let (counts, count, sum) = (&now.counts, now.count, now.sum);
            Err(format!("{name}: {what}: {counts:?}, count {count}, sum {sum:?}"))
        };
        if !now.counts.is_sorted() || now.counts.last().is_some_and(|all| *all != now.count) {
            return wrong("the buckets do not rise to the count");
        }
        if now.native.as_ref().is_some_and(|native| *native != now.counts) {
            return wrong("native buckets that are not the classic ones");
        }
        if let Some(before) = before.points.get(name) {
            let fell = before.counts.iter().zip(&now.counts).any(|(before, now)| before > now);
            if fell || before.count > now.count || before.sum > now.sum {
                return wrong("less than before");
            }
            if now.sum.is_some_and(|sum| sum + MOST * (writers as f64) < before.bounds().0) {
                return wrong("a sum of less than was observed");
            }
        }
        match next.points.get(name) {
            Some(next) if now.sum.is_some_and(|sum| sum > next.bounds().1) => {
                return wrong("a sum of more than was observed");
            }
            Some(_) => {}
            None => return wrong("gone on the next page"),
        }
    }
    Ok(now.points.len())
}

impl Point {
    /// The least and the greatest sum that its buckets allow.
    fn bounds(&self) -> (f64, f64) {
        let values = |bucket: usize| {
            let from = if bucket == 0 { 0.0 } else { BOUNDS[bucket - 1] };
            let to = BOUNDS.get(bucket).copied().unwrap_or(f64::INFINITY);
            VALUES.iter().copied().filter(move |value| *value > from && *value <= to)
        };
        if self.counts.is_empty() {
            let least = VALUES.iter().copied().fold(f64::INFINITY, f64::min);
            return (least * self.count as f64, MOST * self.count as f64);
        }
        let mut below = 0;
        let mut bounds = (0.0, 0.0);
        for (bucket, &count) in self.counts.iter().enumerate() {
            let here = (count - below) as f64;
            below = count;
            bounds.0 += here * values(bucket).fold(f64::INFINITY, f64::min);
            bounds.1 += here * values(bucket).fold(0.0, f64::max);
        }
        bounds
    }
}
