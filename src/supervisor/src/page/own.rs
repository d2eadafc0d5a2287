//! The supervisor's own metrics: one table makes the code, the help texts and the manual.

use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};

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
    ($(#[$doc:meta])+ $table:ident: $($constant:ident $kind:ident $name:literal [$($label:literal)?] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Own = Own {
                name: $name,
                kind: Type::$kind,
                label: own!(@label $($label)?),
                help: $help,
            };
        )+
        $(#[$doc])+
        pub const $table: &[Own] = &[$($constant),+];
    };
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}

own! {
    /// Every metric of the supervisor's own, sorted by name. Those of a worker each have the label
    /// that tells workers apart.
    TABLE:
    ARENA_BYTES Gauge "tallyboard_arena_bytes" [] "Bytes of memory that the arena takes.";
    ARENA_INFO Gauge "tallyboard_arena_info" ["backing"] "What the arena is made of, and why; always 1.";
    ATTACHES Counter "tallyboard_attaches" [] "Slots that were granted to workers.";
    ATTACHES_REFUSED Counter "tallyboard_attaches_refused" ["reason"] "Connections and workers that were refused; a worker counts privately then.";
    BUILD_INFO Gauge "tallyboard_build_info" ["version"] "Version of the supervisor; always 1.";
    CATALOG_FILL Gauge "tallyboard_catalog_fill_ratio" [] "How full the catalog is, from 0 to 1.";
    CATALOG_SERIES Gauge "tallyboard_catalog_series" [] "Series in the catalog.";
    CONVERSATIONS_ENDED Counter "tallyboard_conversations_ended" ["reason"] "Conversations on the control socket that the supervisor ended, because nothing was said or others wanted their places.";
    DEAD_ROWS_DROPPED Counter "tallyboard_dead_rows_dropped" [] "Dead workers whose gauges of mode all are no longer kept.";
    DEFINITION_CHANGES Counter "tallyboard_definition_changes" ["metric"] "How often a metric was defined in another way than it was shown, from what and to what.";
    DROPPED Counter "tallyboard_dropped" ["reason"] "Operations of workers that could not be counted.";
    DROPPED_SERIES Counter "tallyboard_dropped_series" ["reason"] "Series of workers that have no place in the catalog.";
    FLOORS_APPLIED Counter "tallyboard_floors_applied" [] "Sums that were exposed as before because adding them anew gave less.";
    FOLDS Counter "tallyboard_folds" [] "Batches of dead workers that were folded into the archive.";
    GIVEN_UP Counter "tallyboard_given_up_series" ["metric"] "Series of dead workers that waited for memory when their slots were needed; their counts are lost.";
    JUDGED_CELLS Counter "tallyboard_judged_cells" ["metric"] "Counts of workers that held more than a count can; each goes on with its last good value.";
    LAYOUT_CLASSES Gauge "tallyboard_layout_classes" [] "Different layouts of slots in use.";
    LEFT_OUT_GAUGES Counter "tallyboard_left_out_gauges" ["metric"] "Series of gauges whose mode has changed, of which what the dead have left is not shown.";
    LIMITS_MET Gauge "tallyboard_limits_met" ["metric"] "Metrics that have met a limit: label_limit, arena or slot; 1, and for those that are not named how often.";
    LISTENER_UP Gauge "tallyboard_listener_up" ["address"] "Whether metrics are served on this address.";
    NAME_COLLISIONS Gauge "tallyboard_name_collisions" ["metric"] "Series that have the name of others once names are escaped, joined with them or left_out, on the last page that had any; of metrics that are not named how often.";
    PLATFORM_INFO Gauge "tallyboard_platform_info" ["machine"] "The machine and its kernel; always 1.";
    QUARANTINED_FAMILIES Gauge "tallyboard_quarantined_families" [] "Families whose counts are not exposed, because another definition leads their name or that of a sample, or because there were too many.";
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
    WAITING_SLOTS Gauge "tallyboard_waiting_slots" [] "Slots with series that are shown when the catalog has memory for them.";
    WEB_CONNECTIONS Gauge "tallyboard_web_connections" ["state"] "HTTP connections by what they do.";
    WEB_CONNECTIONS_EVICTED Counter "tallyboard_web_connections_evicted" ["reason"] "HTTP connections that were ended to make room for others, by what they did; full is one that found no room.";
    WEB_CONNECTIONS_MAX Gauge "tallyboard_web_connections_max" [] "HTTP connections that may be open at once.";
    WORKER_CPU Counter "tallyboard_worker_cpu_seconds" ["pid"] "Processor time of each living worker.";
    WORKER_EXITS Counter "tallyboard_worker_exits" [] "Deaths of attached workers that the kernel reported.";
    WORKER_OPEN_FDS Gauge "tallyboard_worker_open_fds" ["pid"] "Descriptors that each worker has open.";
    WORKER_RESIDENT Gauge "tallyboard_worker_resident_memory_bytes" ["pid"] "Resident memory of each worker, with the part that it shares with others.";
    WORKER_START Gauge "tallyboard_worker_start_time_seconds" ["pid"] "When each worker started, in seconds since 1970.";
    WORKER_THREADS Gauge "tallyboard_worker_threads" ["pid"] "Threads of each worker.";
    WORKER_VIRTUAL Gauge "tallyboard_worker_virtual_memory_bytes" ["pid"] "Virtual memory of each worker, the arena's reserved part included.";
}

own! {
    /// The metrics of the service as one process, sorted by name: the names are those that the
    /// clients of single processes use. A family of the workers that has one of them comes instead,
    /// but for `target_info`.
    SERVICE_TABLE:
    SERVICE_CPU Counter "process_cpu_seconds" [] "Processor time of all workers, the dead included.";
    SERVICE_MAX_FDS Gauge "process_max_fds" [] "Least number of descriptors that a worker may open.";
    SERVICE_OPEN_FDS Gauge "process_open_fds" [] "Descriptors that all workers have open.";
    SERVICE_RESIDENT Gauge "process_resident_memory_bytes" [] "Resident memory of all workers; what they share counts once for each.";
    SERVICE_START Gauge "process_start_time_seconds" [] "When the oldest worker started, in seconds since 1970.";
    SERVICE_THREADS Gauge "process_threads" [] "Threads of all workers.";
    SERVICE_VIRTUAL Gauge "process_virtual_memory_bytes" [] "Virtual memory of all workers.";
    TARGET_INFO Gauge "target_info" [] "What is measured here, as its owner has labelled it; always 1.";
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

    /// The family with a sample for each set of labels.
    #[must_use]
    pub fn rows<'a, const N: usize>(
        &self,
        rows: impl IntoIterator<Item = ([(&'a str, &'a str); N], Value)>,
    ) -> FamilySamples {
        let owned = |labels: [(&str, &str); N]| {
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        let rows = rows.into_iter().map(|(labels, value)| self.sample(owned(labels), value));
        let mut samples: Vec<Sample> = rows.collect();
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.family(samples)
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
        assert!(SERVICE_TABLE.is_sorted_by(|a, b| a.name < b.name));
        assert!(SERVICE_TABLE.iter().all(|own| own.help.ends_with('.')));
    }
}
