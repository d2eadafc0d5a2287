//! The supervisor's own metrics: one table makes the code, the help texts and the manual.

use std::collections::HashMap;

use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_proto::control::RefusedReason;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Name, without `_total`.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// Label, when it has one.
    pub label: Option<&'static str>,
    /// Help text.
    pub help: &'static str,
}

macro_rules! own {
    ($($constant:ident $kind:ident $name:literal [$($label:literal)?] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Own = Own {
                name: $name,
                kind: Type::$kind,
                label: own!(@label $($label)?),
                help: $help,
            };
        )+
        /// Every metric of the supervisor's own, sorted by name.
        pub const TABLE: &[Own] = &[$($constant),+];
    };
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}

own! {
    ARENA_BYTES Gauge "tallyboard_arena_bytes" [] "Bytes of memory that the arena takes.";
    ARENA_INFO Gauge "tallyboard_arena_info" ["backing"] "What the arena is made of, and why; always 1.";
    ATTACHES Counter "tallyboard_attaches" [] "Slots that were granted to workers.";
    ATTACHES_REFUSED Counter "tallyboard_attaches_refused" ["reason"] "Workers that were refused a slot and count privately.";
    BUILD_INFO Gauge "tallyboard_build_info" ["version"] "Version of the supervisor; always 1.";
    CATALOG_FILL Gauge "tallyboard_catalog_fill_ratio" [] "How full the catalog is, from 0 to 1.";
    CATALOG_SERIES Gauge "tallyboard_catalog_series" [] "Series in the catalog.";
    DEAD_ROWS_DROPPED Counter "tallyboard_dead_rows_dropped" [] "Dead workers whose gauges of mode all are no longer kept.";
    DROPPED Counter "tallyboard_dropped" ["reason"] "Operations of workers that could not be counted.";
    DROPPED_SERIES Counter "tallyboard_dropped_series" ["reason"] "Series of workers that have no place in the catalog.";
    FLOORS_APPLIED Counter "tallyboard_floors_applied" [] "Sums that were exposed as before because adding them anew gave less.";
    FOLDS Counter "tallyboard_folds" [] "Batches of dead workers that were folded into the archive.";
    LAYOUT_CLASSES Gauge "tallyboard_layout_classes" [] "Different layouts of slots in use.";
    LISTENER_UP Gauge "tallyboard_listener_up" ["address"] "Whether metrics are served on this address.";
    QUARANTINED_FAMILIES Gauge "tallyboard_quarantined_families" [] "Families that contradict another one of the same name; their counts are not exposed.";
    QUARANTINED_SLOTS Gauge "tallyboard_quarantined_slots" [] "Slots that count with their last good values.";
    QUARANTINES Counter "tallyboard_quarantines" [] "Slots that were quarantined.";
    RECLAIMS Counter "tallyboard_reclaims" [] "Slots of dead workers that were folded into the archive and freed.";
    SCRAPE_CELLS Gauge "tallyboard_scrape_cells" [] "Cells of slots that the last scrape read.";
    SCRAPE_SECONDS Summary "tallyboard_scrape_duration_seconds" [] "Time that scrapes took inside the supervisor.";
    SLOTS Gauge "tallyboard_slots" ["state"] "Slots by state.";
    PROCESS_CPU Counter "tallyboard_supervisor_process_cpu_seconds" [] "Processor time of the supervisor.";
    PROCESS_MAX_FDS Gauge "tallyboard_supervisor_process_max_fds" [] "Descriptors that the supervisor may open.";
    PROCESS_OPEN_FDS Gauge "tallyboard_supervisor_process_open_fds" [] "Descriptors that the supervisor has open.";
    PROCESS_RESIDENT Gauge "tallyboard_supervisor_process_resident_memory_bytes" [] "Resident memory of the supervisor.";
    PROCESS_START Gauge "tallyboard_supervisor_process_start_time_seconds" [] "When the supervisor started, in seconds since 1970.";
    PROCESS_VIRTUAL Gauge "tallyboard_supervisor_process_virtual_memory_bytes" [] "Virtual memory of the supervisor, most of it reserved only.";
    SUPERVISOR_STARTS Counter "tallyboard_supervisor_starts" [] "Supervisors that the keeper has started.";
    WORKER_EXITS Counter "tallyboard_worker_exits" [] "Deaths of attached workers that the kernel reported.";
}

/// What the supervisor has counted since it started.
#[derive(Debug, Default)]
pub struct Figures {
    pub(crate) attaches: u64,
    pub(crate) refused: HashMap<RefusedReason, u64>,
    pub(crate) worker_exits: u64,
    pub(crate) reclaims: u64,
    pub(crate) folds: u64,
    pub(crate) quarantined: u64,
    pub(crate) floors_applied: u64,
    pub(crate) scrapes: u64,
    pub(crate) scrape_seconds: f64,
    pub(crate) scrape_cells: u64,
    /// What only the loop around the core knows, as samples ready to expose.
    pub(crate) outside: Vec<FamilySamples>,
}

impl Figures {
    /// Replaces what the loop around the core knows.
    pub fn set_outside(&mut self, families: Vec<FamilySamples>) {
        self.outside = families;
    }

    /// Counts a worker that was refused before the core was asked.
    pub fn refuse(&mut self, reason: RefusedReason) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Counts a scrape that took so long.
    pub fn scraped(&mut self, seconds: f64) {
        self.scrapes += 1;
        self.scrape_seconds += seconds;
    }
}

impl Own {
    /// The family with one value.
    #[must_use]
    pub fn value(&self, value: Value) -> FamilySamples {
        self.family(vec![self.sample(vec![], value)])
    }

    /// The family with a value per value of its label.
    #[must_use]
    pub fn labelled<L: Into<String>>(
        &self,
        values: impl IntoIterator<Item = (L, Value)>,
    ) -> FamilySamples {
        let label = self.label.unwrap_or("label");
        let sample =
            |(text, value): (L, Value)| self.sample(vec![(label.to_owned(), text.into())], value);
        let mut samples: Vec<Sample> = values.into_iter().map(sample).collect();
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.family(samples)
    }

    /// The family with one sample of these labels.
    #[must_use]
    pub fn info(&self, labels: &[(&str, &str)]) -> FamilySamples {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.family(vec![self.sample(labels.collect(), Value::Whole(1))])
    }

    /// The family as a summary.
    #[must_use]
    pub fn summary(&self, count: u64, sum: f64) -> FamilySamples {
        let sample = |suffix, value| Sample::new(suffix, vec![], value);
        self.family(vec![sample("_count", Value::Whole(count)), sample("_sum", Value::Float(sum))])
    }

    fn sample(&self, labels: Vec<(String, String)>, value: Value) -> Sample {
        let suffix = if self.kind == Type::Counter { "_total" } else { "" };
        Sample::new(suffix, labels, value)
    }

    fn family(&self, samples: Vec<Sample>) -> FamilySamples {
        let (name, help) = (self.name.to_owned(), self.help.to_owned());
        FamilySamples { kind: self.kind, name, unit: String::new(), help, samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_names_are_reserved() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for own in TABLE {
            assert!(own.name.starts_with(tallyboard_proto::family::RESERVED_PREFIX));
            assert!(own.help.ends_with('.'), "{}", own.name);
        }
    }
}
