//! Which definition of a name is exposed.
//!
//! A name may have several: a program that changes its mind, two libraries that mean different things,
//! two releases side by side. All are counted. An exposition has one family of a name, so it shows the
//! first that a living worker holds a series of; while no worker holds any, the last that has something
//! to show, which is what was shown before in a service that has gone from one to the next.

use std::collections::HashSet;

use crate::core::Core;

impl Core {
    /// The families of the catalog that are not exposed because another definition of their name is.
    /// The rows have just been read.
    pub(crate) fn hidden_definitions(&self) -> HashSet<u32> {
        let names = self.catalog.definitions().values();
        names
            .flat_map(|of| {
                let shown = self.shown_of(of);
                of.iter().copied().filter(move |family| Some(*family) != shown)
            })
            .collect()
    }

    fn shown_of(&self, definitions: &[u32]) -> Option<u32> {
        let is_held = |family: &&u32| self.series_of(**family).any(|series| self.is_held(series));
        let is_there = |family: &&u32| {
            self.series_of(**family).any(|series| !self.archive.life(series as usize).is_hidden)
        };
        let held = definitions.iter().find(is_held);
        let shown = held.or_else(|| definitions.iter().rev().find(is_there));
        shown.or(definitions.last()).copied()
    }

    fn series_of(&self, family: u32) -> impl Iterator<Item = u32> + '_ {
        let series = self.catalog.contents().series().iter().zip(0..);
        series.filter(move |(series, _)| series.family == family).map(|(_, ordinal)| ordinal)
    }
}
