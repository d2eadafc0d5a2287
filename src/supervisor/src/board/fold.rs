//! Slots into the archive: a batch of them at once, and what is there already.

use tallyboard_proto::archive::{Dead, DeadRow};
use tallyboard_proto::cell::GAUGE_CELLS;
use tallyboard_proto::layout::DROP_REASONS;

use crate::board::core::Core;

impl<P> Core<P> {
    /// Whether the archive counts the slot in its present generation.
    pub(crate) fn is_folded(&self, slot: usize) -> bool {
        self.archive.folded(slot) >= self.slots[slot].word.generation
    }

    pub(crate) fn fold(&mut self, batch: &[usize]) {
        let gauges: Vec<Option<DeadRow>> =
            batch.iter().map(|&slot| self.all_gauges_of(slot)).collect();
        let slots = &self.slots;
        let dead: Vec<Dead<'_>> = batch
            .iter()
            .zip(gauges)
            .map(|(&slot, gauges)| {
                let taken = &slots[slot];
                // A slot that was quarantined before its first good read has an empty row.
                let class = taken.class.as_deref().filter(|class| taken.row.len() == class.cells);
                Dead {
                    slot,
                    generation: taken.word.generation,
                    row: &taken.row,
                    runs: class.map_or(&[], |class| &class.runs),
                    gauges,
                    dropped: taken.dropped,
                }
            })
            .collect();
        self.archive.fold(&self.arena, &self.layout, self.catalog.cells(), &dead);
    }

    /// The gauges of mode `all` that a worker has set, in the order of the catalog's list.
    fn all_gauges_of(&self, slot: usize) -> Option<DeadRow> {
        let taken = &self.slots[slot];
        let class = taken.class.as_deref().filter(|class| taken.row.len() == class.cells)?;
        let mut cells = vec![0; self.catalog.all_gauges().len() * GAUGE_CELLS];
        let mut is_set = false;
        for &(series, from) in &class.gauges {
            let Ok(place) = self.catalog.all_gauges().binary_search(&series) else { continue };
            let shape = self.catalog.shape(series);
            let found = shape.own_value(&taken.row[from..from + shape.width()]);
            is_set |= found[1] != 0;
            cells[place * GAUGE_CELLS..][..GAUGE_CELLS].copy_from_slice(&found);
        }
        is_set.then_some(DeadRow {
            pid: if taken.shares_pid { 0 } else { taken.tenant.pid },
            slot: slot as u64,
            generation: taken.word.generation,
            cells,
        })
    }

    /// What all workers, dead or alive, could not count.
    pub(crate) fn dropped(&self) -> [u64; DROP_REASONS] {
        let mut total = *self.archive.dropped();
        for slot in self.taken().filter(|&slot| !self.is_folded(slot)) {
            for (total, dropped) in total.iter_mut().zip(self.slots[slot].dropped) {
                *total = total.saturating_add(dropped);
            }
        }
        total
    }
}
