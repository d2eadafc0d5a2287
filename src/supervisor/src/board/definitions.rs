//! Which definition of a name is exposed.
//!
//! A name may have several: a program that changes its mind, two libraries that mean different things,
//! two releases side by side. All are counted. An exposition has one family of a name, so it shows the
//! first that a living worker holds a series of; while no worker holds any, the last that has something
//! to show, which is what was shown before in a service that has gone from one to the next.

use std::collections::{HashMap, HashSet};

use crate::board::core::Core;

impl<P> Core<P> {
    /// The families of the catalog that are not exposed because another definition of their name is.
    /// The rows have just been read.
    pub(crate) fn hidden_definitions(&self) -> HashSet<u32> {
        let series = self.series_of_several();
        let names = self.catalog.definitions().values();
        names
            .flat_map(|of| {
                let shown = self.shown_of(of, &series);
                of.iter().copied().filter(move |family| Some(*family) != shown)
            })
            .collect()
    }

    fn shown_of(&self, definitions: &[u32], series: &HashMap<u32, Vec<u32>>) -> Option<u32> {
        let is_held = |family: &&u32| series[*family].iter().any(|&series| self.is_held(series));
        let is_there = |family: &&u32| {
            series[*family].iter().any(|&series| !self.archive.life(series as usize).is_hidden)
        };
        let held = definitions.iter().find(is_held);
        let shown = held.or_else(|| definitions.iter().rev().find(is_there));
        shown.or(definitions.last()).copied()
    }

    /// The series of each family whose name has several definitions, found in one look at all.
    fn series_of_several(&self) -> HashMap<u32, Vec<u32>> {
        let families = self.catalog.definitions().values().flatten();
        let mut found: HashMap<u32, Vec<u32>> =
            families.map(|&family| (family, Vec::new())).collect();
        if found.is_empty() {
            return found;
        }
        for (series, ordinal) in self.catalog.contents().series().iter().zip(0..) {
            if let Some(of_family) = found.get_mut(&series.family) {
                of_family.push(ordinal);
            }
        }
        found
    }
}
