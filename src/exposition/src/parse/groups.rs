//! Which samples belong together, and whether they stand together and in order.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::sample::{Labels, Timestamp};

/// A label set in any order, without the label that tells the samples of a metric apart. Two hashes
/// with secret keys stand for it: that they agree by chance or by malice is out of reach.
pub(super) type Key = (u64, u64);

/// Makes keys.
#[derive(Default)]
pub(super) struct Keys(RandomState, RandomState);

impl Keys {
    /// The key of `labels` without the label `except`, for samples of this suffix.
    pub fn key(&self, suffix: &str, labels: &Labels, except: Option<&str>) -> Key {
        let is_counted = |(name, _): &&(String, String)| Some(name.as_str()) != except;
        let mut sorted: Vec<_> = labels.iter().filter(is_counted).collect();
        sorted.sort_unstable();
        let of = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            suffix.hash(&mut hasher);
            sorted.hash(&mut hasher);
            hasher.finish()
        };
        (of(&self.0), of(&self.1))
    }
}

/// What to do with a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Admission {
    /// It is the first of its metric, or of another moment than the one before it.
    Begins,
    /// It belongs to the one before it.
    Continues,
    /// Its series has a sample of that nanosecond already, so it is left out.
    Repeats,
}

/// Groups of samples that stand together: metrics, mostly.
#[derive(Default)]
pub(super) struct Groups {
    current: Option<Key>,
    seen: HashSet<Key>,
    timestamp: Option<Timestamp>,
    series: HashSet<Key>,
}

impl Groups {
    /// Takes the next sample: `group` is the key of its metric, `series` its own.
    pub fn admit(
        &mut self,
        group: Key,
        series: Key,
        timestamp: Option<Timestamp>,
        in_order: bool,
    ) -> Result<Admission, &'static str> {
        if self.enter(group)? {
            self.series.clear();
            self.series.insert(series);
            self.timestamp = timestamp;
            return Ok(Admission::Begins);
        }
        match (self.timestamp, timestamp) {
            (Some(_), None) | (None, Some(_)) => {
                return Err("either all samples of a metric have a timestamp, or none has");
            }
            (Some(last), Some(this)) if this < last && in_order => {
                return Err("expected a timestamp that is not before the last of this metric");
            }
            _ => {}
        }
        if timestamp != self.timestamp {
            self.series.clear();
            self.timestamp = timestamp;
            self.series.insert(series);
            return Ok(Admission::Begins);
        }
        match (self.series.insert(series), timestamp) {
            (true, _) => Ok(Admission::Continues),
            (false, Some(_)) => Ok(Admission::Repeats),
            (false, None) => Err("this series has a sample already"),
        }
    }

    /// Goes to a group; true if it is another one than before.
    pub fn enter(&mut self, group: Key) -> Result<bool, &'static str> {
        if self.current == Some(group) {
            return Ok(false);
        }
        if !self.seen.insert(group) {
            return Err("the samples of a metric stand together; there are some before others");
        }
        self.current = Some(group);
        Ok(true)
    }
}
