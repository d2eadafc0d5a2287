//! Which metrics have met a limit: their number of label sets, the end of the arena, or that of a
//! slot. Each is named once in the log, and in a metric that has room for so many names.

use std::collections::{BTreeMap, BTreeSet};

use crate::board::figures::OTHERS;

/// What a metric can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// It has as many label sets as a metric may have.
    Labels,
    /// The arena has no room for what it began.
    Arena,
    /// It has most of a slot that is full.
    Slot,
}

/// Metrics that are named for each limit; of others it is known how many there are.
const MOST_NAMED: usize = 20;

/// What was met since the supervisor started.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    named: BTreeSet<(Limit, Box<str>)>,
    others: BTreeMap<Limit, u64>,
}

impl Limit {
    /// The value of the label `limit`.
    fn name(self) -> &'static str {
        match self {
            Self::Labels => "label_limit",
            Self::Arena => "arena",
            Self::Slot => "slot",
        }
    }

    /// What has happened, and what to do.
    fn advice(self) -> &'static str {
        match self {
            Self::Labels => {
                "a metric has as many label sets as it may have, and what begins beyond is dropped: \
                 look for a label whose values never end, or raise --label-limit"
            }
            Self::Arena => {
                "the arena has no room for what a metric begins, which is dropped: look for labels \
                 whose values never end, or raise --max-series and begin anew with --discard-arena"
            }
            Self::Slot => {
                "the slot of a worker is full, most of it of this metric, and what begins there is \
                 dropped: look for a label whose values never end, or raise --max-series and begin \
                 anew with --discard-arena"
            }
        }
    }
}

impl Limits {
    /// A metric has met a limit.
    pub(crate) fn meet(&mut self, limit: Limit, metric: &str) {
        let key = (limit, metric.into());
        if self.named.contains(&key) {
            return;
        }
        let named = self.named.iter().filter(|(met, _)| *met == limit).count();
        if named < MOST_NAMED && metric != OTHERS {
            self.named.insert(key);
            tracing::warn!(metric, limit = limit.name(), "{}", limit.advice());
            return;
        }
        let others = self.others.entry(limit).or_default();
        if *others == 0 {
            tracing::warn!(limit = limit.name(), "more metrics have met a limit than are named");
        }
        *others = others.saturating_add(1);
    }

    /// All of it, as limit, metric and value: the named ones are 1, others are how often one was met.
    pub(crate) fn met(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        let named = self.named.iter().map(|(limit, metric)| (*limit, &**metric, 1));
        let others = self.others.iter().map(|(&limit, &times)| (limit, OTHERS, times));
        named.chain(others).map(|(limit, metric, value)| (limit.name(), metric, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_named_once_a_limit_and_names_are_bounded() {
        let mut limits = Limits::default();
        assert_eq!(limits.met().next(), None);
        for _ in 0..2 {
            limits.meet(Limit::Labels, "a");
            limits.meet(Limit::Arena, "a");
        }
        let values = |limits: &Limits| -> Vec<String> {
            let mut met: Vec<String> = limits
                .met()
                .map(|(limit, metric, value)| format!("{limit} {metric} {value}"))
                .collect();
            met.sort();
            met
        };
        assert_eq!(values(&limits), ["arena a 1", "label_limit a 1"]);
        for number in 0..100 {
            limits.meet(Limit::Slot, &format!("m{number}"));
        }
        let values = values(&limits);
        assert_eq!(values.len(), 2 + MOST_NAMED + 1);
        assert!(values.contains(&format!("slot (others) {}", 100 - MOST_NAMED)));
    }
}
