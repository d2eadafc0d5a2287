//! Which metrics have the name of something else once names are written as a reader knows them. Each is
//! named once in the log, and in a metric that has room for so many names.

use std::collections::BTreeMap;

use tallyboard_exposition::clash::Settled;
use tallyboard_exposition::escaping::{Escaped, Outcome};

use crate::board::figures::OTHERS;

/// Metrics that are named for each outcome; of others it is known how often they were met.
const MOST_NAMED: usize = 20;

/// What was seen since the supervisor started.
#[derive(Debug, Default)]
pub struct Collisions {
    /// How many series, on the last page that had any.
    named: BTreeMap<(Outcome, Box<str>), u64>,
    others: BTreeMap<Outcome, u64>,
}

impl Collisions {
    /// Takes in what has become of the names of a page.
    pub(crate) fn see(&mut self, escaped: &Escaped<'_>, settled: &Settled<'_>) {
        for of in &escaped.collisions {
            self.meet(of.outcome, &of.family, of.series as u64);
        }
        for name in &settled.left_out {
            self.meet(Outcome::LeftOut, escaped.origin(name), 1);
        }
    }

    fn meet(&mut self, outcome: Outcome, metric: &str, series: u64) {
        let key = (outcome, metric.into());
        let named = self.named.keys().filter(|(of, _)| *of == outcome).count();
        if let Some(known) = self.named.get_mut(&key) {
            *known = series;
        } else if named < MOST_NAMED && metric != OTHERS {
            self.named.insert(key, series);
            tracing::warn!(metric, outcome = outcome.name(), "{}", advice(outcome));
        } else {
            let others = self.others.entry(outcome).or_default();
            if *others == 0 {
                tracing::warn!(
                    outcome = outcome.name(),
                    "more metrics have the name of something else than are named"
                );
            }
            *others = others.saturating_add(1);
        }
    }

    /// All of it, as outcome, metric and value.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        let named = self.named.iter().map(|((of, metric), series)| (*of, &**metric, *series));
        let others = self.others.iter().map(|(&of, &times)| (of, OTHERS, times));
        named.chain(others).map(|(of, metric, value)| (of.name(), metric, value))
    }
}

/// What has happened, and what to do.
fn advice(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Joined => {
            "series of a metric have the name and labels of another one's once names are escaped, and \
             are added to them for readers that know no other names: rename one of them"
        }
        Outcome::LeftOut => {
            "series of a metric have the name of something else once names are escaped, and are not \
             shown to readers that know no other names: rename one of them"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_named_once_an_outcome_and_names_are_bounded() {
        let mut collisions = Collisions::default();
        assert_eq!(collisions.seen().next(), None);
        collisions.meet(Outcome::Joined, "a.b", 3);
        collisions.meet(Outcome::LeftOut, "a.b", 1);
        collisions.meet(Outcome::Joined, "a.b", 2);
        collisions.meet(Outcome::LeftOut, OTHERS, 9);
        let seen: Vec<_> = collisions.seen().collect();
        let expect = [("joined", "a.b", 2), ("left_out", "a.b", 1), ("left_out", OTHERS, 1)];
        assert_eq!(seen, expect);
        for number in 0..100 {
            collisions.meet(Outcome::Joined, &format!("m.{number}"), 1);
        }
        let joined = collisions.seen().filter(|(outcome, ..)| *outcome == "joined");
        assert_eq!(joined.count(), MOST_NAMED + 1);
        assert!(collisions.seen().any(|row| row == ("joined", OTHERS, 81)));
    }
}
