//! What a supervisor has counted since it started, and what others have brought to be shown with it.

use std::collections::{BTreeMap, HashMap};

use tallyboard_exposition::sample::FamilySamples;
use tallyboard_proto::control::RefusedReason;

/// Where the others stand when some are named, and a metric of that name.
pub(crate) const OTHERS: &str = "(others)";

/// Counts by family: of so many families, and of all others together.
#[derive(Debug, Default)]
pub(crate) struct ByFamily {
    named: BTreeMap<Box<str>, u64>,
    others: u64,
}

impl ByFamily {
    /// Names that workers give do not make the supervisor's own metrics grow without end.
    const MOST: usize = 32;

    pub(crate) fn count(&mut self, family: &str, amount: u64) {
        let is_known = self.named.contains_key(family);
        let counted = match is_known || (self.named.len() < Self::MOST && family != OTHERS) {
            true => self.named.entry(family.into()).or_default(),
            false => &mut self.others,
        };
        *counted = counted.saturating_add(amount);
    }

    /// The counts by name; those of all others stand behind one that no metric has.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let named = self.named.iter().map(|(name, count)| (&**name, *count));
        [(OTHERS, self.others)].into_iter().chain(named)
    }
}

/// How often a metric was defined in another way: of so many changes, and of all others together.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    named: BTreeMap<[Box<str>; 3], u64>,
    others: u64,
}

impl Changes {
    pub(crate) fn count(&mut self, metric: &str, from: &str, to: &str) {
        let key = [metric, from, to].map(Box::from);
        let is_known = self.named.contains_key(&key);
        let counted = match is_known || self.named.len() < ByFamily::MOST {
            true => self.named.entry(key).or_default(),
            false => &mut self.others,
        };
        *counted = counted.saturating_add(1);
    }

    /// The counts by metric, what it was and what it became.
    pub(crate) fn counts(&self) -> impl Iterator<Item = ([&str; 3], u64)> {
        let named = self.named.iter().map(|(key, count)| (key.each_ref().map(|k| &**k), *count));
        [([OTHERS, "", ""], self.others)].into_iter().chain(named)
    }
}

/// What the supervisor has counted since it started.
#[derive(Debug, Default)]
pub struct Figures {
    pub(crate) attaches: u64,
    pub(crate) refused: HashMap<RefusedReason, u64>,
    pub(crate) ended: HashMap<Ended, u64>,
    pub(crate) worker_exits: u64,
    pub(crate) reclaims: u64,
    pub(crate) folds: u64,
    pub(crate) quarantined: u64,
    pub(crate) judged: ByFamily,
    pub(crate) given_up: ByFamily,
    pub(crate) definition_changes: Changes,
    pub(crate) left_out_gauges: ByFamily,
    pub(crate) floors_applied: u64,
    pub(crate) scrapes: u64,
    pub(crate) scrape_seconds: f64,
    pub(crate) scrape_cells: u64,
    /// What only the loop around the core knows, as samples ready to expose.
    pub(crate) outside: Vec<FamilySamples>,
    /// What outlets and connections know of themselves, asked anew for each scrape.
    pub(crate) fresh: Vec<FamilySamples>,
}

impl Figures {
    /// Replaces what the loop around the core knows.
    pub fn set_outside(&mut self, families: Vec<FamilySamples>) {
        self.outside = families;
    }

    /// Replaces what outlets and connections know of themselves.
    pub fn set_fresh(&mut self, families: Vec<FamilySamples>) {
        self.fresh = families;
    }

    /// Counts a conversation that was ended from this side.
    pub(crate) fn end(&mut self, reason: Ended) {
        *self.ended.entry(reason).or_default() += 1;
    }

    /// Counts somebody who was refused before the core was asked.
    pub fn refuse(&mut self, reason: RefusedReason) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Counts a scrape that took so long.
    pub fn scraped(&mut self, seconds: f64) {
        self.scrapes += 1;
        self.scrape_seconds += seconds;
    }
}

/// Why a conversation was ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// Nothing was said, or no answer read, for too long.
    Silent,
    /// Its place was wanted by others.
    Displaced,
}

impl Ended {
    /// Every reason.
    pub(crate) const ALL: [Self; 2] = [Self::Silent, Self::Displaced];

    /// The value of the label `reason`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Displaced => "displaced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_beyond_so_many_are_counted_together() {
        let mut counts = ByFamily::default();
        for round in 0..3 {
            (0..40).for_each(|family| counts.count(&format!("f{family}"), round));
        }
        let values: Vec<_> = counts.counts().collect();
        assert_eq!(values.len(), 1 + ByFamily::MOST);
        assert_eq!(values[0], (OTHERS, 8 * 3));
        assert!(values[1..].iter().all(|(_, count)| *count == 3));
    }
}
