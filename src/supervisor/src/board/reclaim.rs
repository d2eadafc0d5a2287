//! The dead: drain, fold, scrub, free, as one batch.

use tallyboard_proto::archive::scrub;
use tallyboard_proto::family::BUCKET_PREFIX;
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log;
use tallyboard_proto::slot::State;

use crate::board::catalog::Unplaced;
use crate::board::core::Core;

impl<P> Core<P> {
    /// Folds every slot whose worker is dead into the archive, then frees it. Gives how many. A slot
    /// of which a part waits until the catalog has memory is folded later: it drains for so long, and
    /// what has a place counts.
    pub fn reclaim(&mut self) -> usize {
        let mut batch: Vec<usize> = self.taken().filter(|&slot| self.slots[slot].exited).collect();
        if batch.is_empty() {
            return 0;
        }
        for &slot in &batch {
            if self.slots[slot].word.state != State::Draining {
                self.go_to(slot, State::Draining);
            }
            // The dead cannot write, so this read is exact.
            self.read_row(slot, None);
        }
        batch.retain(|&slot| !self.waits(slot));
        self.say_waiting();
        if batch.is_empty() {
            return 0;
        }
        // What was removed before this batch's slots are given away is removed before their next
        // workers count it again.
        self.read_logs();
        if self.has_removals() {
            self.read_rows(None);
        }
        // A slot that was quarantined is in the archive already.
        let counts = |slot: &usize| !self.is_folded(*slot);
        let unfolded: Vec<usize> = batch.iter().copied().filter(counts).collect();
        if !unfolded.is_empty() {
            self.fold(&unfolded);
            self.figures.folds += 1;
        }
        // The dead may have been the last to hold a series, and a slot's next worker must not find
        // it shown.
        if self.has_removed() {
            self.read_rows(None);
        }
        for &slot in &batch {
            let word = self.slots[slot].word;
            self.slots[slot].word = scrub(&self.arena, &self.layout, slot, word);
            self.vacate(slot);
        }
        self.figures.reclaims += batch.len() as u64;
        self.classes.prune();
        batch.len()
    }

    /// Folds a slot of the dead that waits for memory without what waits, because its slot is needed.
    /// The one that has had it longest goes first. What is given up is counted by family.
    pub(crate) fn give_up(&mut self) {
        let dead = self.waiting().filter(|&slot| self.slots[slot].exited);
        let Some(slot) = dead.min_by_key(|&slot| self.slots[slot].tenant.attached_at_ms) else {
            return;
        };
        let (area, from) = (self.layout.slot_log(slot), self.slots[slot].log_words);
        let mut words = Vec::new();
        // What does not parse was found when the log was read.
        let _ = log::read(&self.arena, area, from, &mut words);
        let class = self.slots[slot].class.clone();
        let names = class.map(|class| class.begun_in(&self.catalog, &words)).unwrap_or_default();
        for name in &names {
            let name = name.strip_prefix(BUCKET_PREFIX).unwrap_or(name);
            self.figures.given_up.count(name, 1);
            self.catalog.count_unplaced(Unplaced::Dropped(DropReason::Memory));
        }
        tracing::error!(
            slot,
            pid = self.slots[slot].tenant.pid,
            series = names.len(),
            "gave up series of a dead worker that waited for memory: all slots are taken; free memory, or start the supervisor with a larger --slots"
        );
        self.slots[slot].is_given_up = true;
        self.reclaim();
    }
}
