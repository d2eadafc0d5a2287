//! What callbacks and collectors failed, counted by name.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::family::{COLLECTOR_ERRORS, COLLECTOR_LABEL, Family, Kind};

use crate::registry::registry::Registry;

/// How many collectors a process tells apart in what it says of their errors.
const NAMED_COLLECTORS: usize = 100;
/// The name of all that come after them.
const OTHER_COLLECTORS: &str = "other";

/// Of how many samples a process says that they cannot be shown.
const NAMED_SAMPLES: usize = 1000;

impl Registry {
    /// Says once of a sample of a collector that it is not shown, and counts that by the collector's
    /// name.
    pub(crate) fn leave_out(&'static self, collector: &'static str, sample: &str, why: &str) {
        let is_new = {
            let left_out = &mut self.state.lock().questions.left_out;
            left_out.len() < NAMED_SAMPLES && left_out.insert((collector, sample.to_owned()))
        };
        if is_new {
            self.count_error(collector);
            (self.configured.warn)(&format!(
                "{collector} says {sample:?}, which is not shown: {why}"
            ));
        }
    }

    /// Counts what a collector or callback failed, by its name. A process that has named many names
    /// no more.
    pub(crate) fn count_error(&'static self, name: &str) {
        // What has no supervisor shows nothing but what its program registered.
        if self.address().is_none() {
            return;
        }
        let help = "What collectors and callbacks raised instead of an answer.";
        let family = Family::new(Kind::Counter, COLLECTOR_ERRORS, "", help, &[COLLECTOR_LABEL]);
        let Ok(family) = family else { return };
        let value = |name: &str| [Box::from(name)];
        let is_named = {
            let state = self.state.lock();
            let known = state.contents.find_family(&family.name);
            known.is_none_or(|known| {
                state.contents.find_series(known, &value(name)).is_some()
                    || state.contents.series_of_family(known) < NAMED_COLLECTORS
            })
        };
        let name = if is_named { name } else { OTHER_COLLECTORS };
        match self.series_of(&family, &value(name)) {
            Ok(series) => {
                if let Some(cells) = series.words() {
                    cells.at(0).fetch_add(1, Relaxed);
                }
            }
            Err(reason) => self.drop_one(reason),
        }
    }
}
