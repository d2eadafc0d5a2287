//! What a supervisor that has died left in the control segment, as a core.

use tallyboard_proto::archive::{Archive, ArchiveError, Turn, scrub};
use tallyboard_proto::layout::Layout;
use tallyboard_proto::log::LogError;
use tallyboard_proto::slot::{SlotWord, State, Tenant};
use tallyboard_segment::mapping::Arena;
use thiserror::Error;

use crate::board::catalog::Catalog;
use crate::board::core::{Core, Grants};
use crate::board::floors::Floors;
use crate::board::origin::Origin;
use crate::board::slot::Quarantine;

/// A control segment that no supervisor wrote.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The catalog does not parse.
    #[error("the catalog of the arena is damaged: {0}; start anew with --discard-arena")]
    Catalog(#[from] LogError),
    /// The active bank is none.
    #[error("the archive of the arena is damaged: {0}; start anew with --discard-arena")]
    Archive(#[from] ArchiveError),
    /// The archive has cells of series that the catalog does not have.
    #[error(
        "the archive of the arena has {found} cells, expected at most the {most} of its catalog; start anew with --discard-arena"
    )]
    Cells {
        /// Cells of the catalog.
        most: usize,
        /// Cells of the archive.
        found: usize,
    },
    /// A slot's entry is none.
    #[error("the entry of slot {slot} of the arena is damaged; start anew with --discard-arena")]
    Slot {
        /// The slot.
        slot: usize,
    },
}

impl<P> Core<P> {
    /// The core of an arena whose supervisor has died: catalog, archive and floors as they were
    /// committed, folds finished, and the slots of those who may still be alive. Those that are not
    /// are for the caller to say ([`Core::exited`]).
    ///
    /// # Errors
    /// [`RecoverError`] when the control segment holds what no supervisor wrote.
    pub(crate) fn recovered(
        arena: Arena,
        layout: Layout,
        origin: Origin,
        grants: Grants,
        page: P,
    ) -> Result<Self, RecoverError> {
        let catalog =
            Catalog::recover(&arena, &layout, grants.label_limit, grants.constant.clone())?;
        let archive = Archive::recover(&arena, &layout)?;
        let (most, found) = (catalog.cells(), archive.cells().len());
        if found > most {
            return Err(RecoverError::Cells { most, found });
        }
        let floors = Floors::recovered(&arena, &layout, catalog.cells());
        let mut core = Self::with(arena, layout, origin, grants, page);
        core.catalog = catalog;
        core.archive = archive;
        core.floors = floors;
        core.free.clear();
        for slot in 0..core.slots.len() {
            core.recover_slot(slot)?;
        }
        core.mark_shared_pids();
        core.reclaim();
        core.read_rows(None);
        Ok(core)
    }

    fn recover_slot(&mut self, slot: usize) -> Result<(), RecoverError> {
        let word = SlotWord::read(&self.arena, &self.layout, slot);
        let word = word.ok_or(RecoverError::Slot { slot })?;
        let tenant = Tenant::read(&self.arena, &self.layout, slot);
        self.slots[slot].word = word;
        match Turn::of(word, self.archive.folded(slot)) {
            Turn::Idle => self.free.push_back(slot),
            // Draining comes before the fold of the dead, so this one was quarantined: its worker
            // may live, and the archive has its last good row.
            Turn::Folded if word.state != State::Draining => {
                self.slots[slot].tenant = tenant;
                self.slots[slot].quarantine = Some(Quarantine::Earlier);
            }
            Turn::Folded => {
                self.slots[slot].word = scrub(&self.arena, &self.layout, slot, word);
                self.free.push_back(slot);
            }
            Turn::Counts => {
                let words = usize::try_from(tenant.prefix).unwrap_or(usize::MAX);
                let prefix = self.catalog.contents().mark(words);
                let prefix = prefix.ok_or(RecoverError::Slot { slot })?;
                self.slots[slot].class = Some(self.classes.of_prefix(&self.catalog, prefix));
                self.slots[slot].tenant = tenant;
                // Whether the worker had confirmed died with the supervisor that it told.
                if word.state == State::Assigned {
                    self.go_to(slot, State::Live);
                }
                self.slots[slot].exited = word.state == State::Draining;
            }
        }
        Ok(())
    }
}
