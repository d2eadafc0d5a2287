//! The scrapes: a process that asks for the metrics again and again, and sees whether anything that
//! only goes up ever went down.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::demo::children::{Bell, Reporter};
use crate::demo::flags::Inject;
use crate::demo::page::{self, METRICS, Page};

/// Pause between two scrapes.
const PAUSE_MS: u16 = 100;
/// How long a scrape may take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest text of a fault that is reported.
const MOST_TEXT: usize = 300;

/// What the watch has seen.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Watched {
    /// Pages that came and could be read.
    pub scrapes: u64,
    /// Pages that did not.
    pub failures: u64,
    /// Samples that were less than before, or gone.
    pub decreases: u64,
    /// Samples that were compared with the page before.
    pub compared: u64,
    /// Requests of the load on the last page.
    pub counted: Option<u64>,
    /// The first failure or decrease, in words.
    pub first_fault: Option<String>,
    /// Whether nothing more comes.
    pub done: bool,
}

/// What the watch is told.
#[derive(Debug)]
pub struct Orders<'a> {
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// Rings when the last scrape is to be made.
    pub bell: &'a Bell,
    /// Where to report.
    pub reporter: &'a Reporter<Watched>,
    /// What to falsify.
    pub inject: Option<Inject>,
}

/// The watch's whole life; gives its exit status.
pub fn run(orders: &Orders<'_>) -> i32 {
    let mut watch = Watch { inject: orders.inject, ..Watch::default() };
    loop {
        // Heard before the last scrape, so that this one sees the end of the run.
        let last = orders.bell.rings_within(PAUSE_MS);
        watch.take(page::scrape(orders.metrics, METRICS, SCRAPE_TIMEOUT));
        watch.seen.done = last;
        if let Err(error) = orders.reporter.report(&watch.seen) {
            eprintln!("tallyboard: the watch of the demo cannot report: {error}");
            return 1;
        }
        if last {
            return 0;
        }
    }
}

#[derive(Debug, Default)]
struct Watch {
    seen: Watched,
    /// The value that each series had on the page before.
    before: HashMap<String, f64>,
    inject: Option<Inject>,
}

impl Watch {
    fn take(&mut self, page: anyhow::Result<Page>) {
        match page {
            Ok(_) if self.inject == Some(Inject::Blind) => self.compare(&Page::default()),
            Ok(page) => self.compare(&page),
            Err(error) => {
                self.seen.failures += 1;
                self.fault(format!("a scrape failed: {error:#}"));
            }
        }
    }

    fn compare(&mut self, page: &Page) {
        self.seen.scrapes += 1;
        self.seen.counted = page.counted();
        let mut now = HashMap::with_capacity(self.before.len());
        for sample in page.monotone() {
            if let Some(before) = self.before.remove(&sample.series) {
                self.seen.compared += 1;
                if sample.value < before || sample.value.is_nan() {
                    self.decrease(&sample.series, before, &sample.value.to_string());
                }
            }
            now.insert(sample.series.clone(), sample.value);
        }
        let gone: Vec<(String, f64)> = self.before.drain().collect();
        for (series, before) in gone {
            self.decrease(&series, before, "nothing");
        }
        self.before = now;
        if self.inject == Some(Inject::Decrease) && self.seen.scrapes == 2 {
            self.before.values_mut().take(1).for_each(|value| *value += 1e9);
        }
    }

    fn decrease(&mut self, series: &str, before: f64, now: &str) {
        self.seen.decreases += 1;
        self.fault(format!("{series} went from {before} to {now}"));
    }

    fn fault(&mut self, text: String) {
        self.seen.first_fault.get_or_insert_with(|| text.chars().take(MOST_TEXT).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(inject: Option<Inject>, pages: &[&str]) -> Watched {
        let mut watch = Watch { inject, ..Watch::default() };
        for text in pages {
            let typed = format!("# TYPE a counter\n# TYPE g gauge\n# TYPE h histogram\n{text}");
            watch.take(Page::parse(&typed));
        }
        watch.seen
    }

    #[test]
    fn what_goes_down_or_away_is_seen_and_gauges_may() {
        for (pages, decreases, compared) in [
            (&["a 1\n", "a 1\n", "a 2\n"][..], 0, 2),
            (&["a 2\n", "a 1\n", "a 1\n"], 1, 2),
            (&["a 2\n", "a 1\n", "a 0\n"], 2, 2),
            (&["a 2\n", ""], 1, 0),
            (&["a 2\n", "a NaN\n"], 1, 1),
            (&["g 2\n", "g 1\n", ""], 0, 0),
            (&["a{b=\"c\"} 2\n", "a{b=\"c\"} 2\na{b=\"d\"} 1\n"], 0, 1),
            (&["h_sum 0.3\n", "h_sum 0.29999999999999999\n"], 0, 1),
            (&["h_sum 0.3\n", "h_sum 0.29999999999999993\n"], 1, 1),
            (&["h_bucket{le=\"1\"} 2\nh_count 2\n", "h_bucket{le=\"1\"} 1\nh_count 1\n"], 2, 2),
        ] {
            let seen = watch(None, pages);
            assert_eq!((seen.decreases, seen.compared), (decreases, compared), "{pages:?}");
            assert_eq!(seen.first_fault.is_some(), decreases > 0);
            assert_eq!((seen.scrapes, seen.failures), (pages.len() as u64, 0));
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_is_a_failure_and_not_a_decrease() {
        let seen = watch(None, &["a 5\n", "damaged", "a 4\n"]);
        assert_eq!((seen.scrapes, seen.failures, seen.decreases), (2, 1, 1));
        assert!(seen.first_fault.unwrap().contains("a scrape failed"));
    }

    #[test]
    fn a_falsified_watch_sees_a_decrease_or_nothing() {
        let pages = ["a 1\n"; 4];
        assert_eq!(watch(Some(Inject::Decrease), &pages).decreases, 1);
        let blind = watch(Some(Inject::Blind), &pages);
        assert_eq!((blind.scrapes, blind.compared, blind.counted), (4, 0, None));
    }
}
