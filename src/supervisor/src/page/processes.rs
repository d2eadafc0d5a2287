//! Gauges of which each process has a sample: what tells the processes apart.

use std::collections::{HashMap, HashSet};

use tallyboard_proto::cell::GAUGE_CELLS;

use crate::page::exposed::Core;

/// The values of a series of a per-process gauge: what tells each process apart, and the value.
pub(crate) type ProcessValues = Vec<(String, f64)>;

impl Core {
    /// The values of per-process gauges, by series. No series has two values of one process label:
    /// the living come first, then the dead, newest first, and what comes first hides the rest.
    pub(crate) fn per_process(&self) -> HashMap<u32, ProcessValues> {
        let mut processes: HashMap<u32, ProcessValues> = HashMap::new();
        let mut seen: HashSet<(u32, String)> = HashSet::new();
        let mut add = |series: u32, label: &str, value: u64| {
            if seen.insert((series, label.to_owned())) {
                let value = (label.to_owned(), f64::from_bits(value));
                processes.entry(series).or_default().push(value);
            }
        };
        let kind = self.page.style.worker_label;
        for slot in self.taken() {
            let taken = &self.slots[slot];
            let Some(class) = taken.class.as_deref().filter(|c| taken.row.len() == c.cells) else {
                continue;
            };
            let (pid, generation) = (taken.tenant.pid, taken.word.generation);
            let label = kind.value(pid, taken.shares_pid, slot as u64, generation);
            for &(series, from) in &class.gauges {
                let shape = self.catalog.shape(series);
                let [value, stamp] = shape.own_value(&taken.row[from..from + shape.width()]);
                if stamp != 0 {
                    add(series, &label, value);
                }
            }
        }
        for dead in self.archive.rows().rev() {
            let label = kind.value(dead.pid, false, dead.slot, dead.generation);
            let gauges = self.catalog.all_gauges().iter();
            for (&series, cells) in gauges.zip(dead.cells.as_chunks::<GAUGE_CELLS>().0) {
                if cells[1] != 0 {
                    add(series, &label, cells[0]);
                }
            }
        }
        processes.values_mut().for_each(|rows| rows.sort_by(|a, b| a.0.cmp(&b.0)));
        processes
    }
}
