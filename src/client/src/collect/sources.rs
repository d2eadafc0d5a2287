//! Asking the collectors that this crate has. A registry without supervisor does it when it is exposed;
//! in the shared one what they say is written into the slot.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tallyboard_exposition::sample::FamilySamples;

use super::parts::with_suffixes;
use crate::registry::questions::Source;
use crate::registry::registry::Registry;

impl Registry {
    /// What the collectors say now.
    pub(crate) fn collected(&'static self) -> Vec<FamilySamples> {
        let sources = self.state.lock().questions.sources.clone();
        sources.iter().filter_map(|source| self.said_by(source)).flatten().collect()
    }

    /// What a collector says now; nothing when it panics, and that is counted.
    fn said_by(&'static self, source: &Source) -> Option<Vec<FamilySamples>> {
        let said = catch_unwind(AssertUnwindSafe(|| (source.function)())).ok();
        if said.is_none() {
            self.count_error(source.name);
        }
        said
    }

    /// Writes what the collectors say into the slot, but those whose numbers are `known`, which has
    /// them afterwards.
    pub(crate) fn refresh_collected(&'static self, known: &mut BTreeSet<u64>) {
        let sources = self.state.lock().questions.sources.clone();
        for source in sources {
            if known.insert(source.number) {
                let said = self.said_by(&source).unwrap_or_default();
                let said = with_suffixes(said);
                for (sample, why) in self.write_collected(source.number, source.mode, &said) {
                    self.leave_out(source.name, &sample, &why);
                }
            }
        }
    }
}
