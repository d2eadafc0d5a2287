//! The state behind the supervisor's loop: slots, catalog, archive. It has no sockets and no clock;
//! time and identity come in as arguments, so a test owns both.
//!
//! What is here is the truth while the supervisor lives. It is written through to the control
//! segment for recovery and for readers outside, and never read back from there.

use std::collections::{HashMap, VecDeque};

use tallyboard_proto::archive::Archive;
use tallyboard_proto::layout::Layout;
use tallyboard_proto::slot::State;
use tallyboard_segment::mapping::{Arena, populates};

use crate::board::catalog::Catalog;
use crate::board::class::Classes;
use crate::board::figures::Figures;
use crate::board::floors::Floors;
use crate::board::guests::Guests;
use crate::board::names::Pairs;
use crate::board::origin::Origin;
use crate::board::shown::Definitions;
use crate::board::slot::Slot;

/// What may be granted.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    /// Whose processes may attach.
    pub(crate) guests: Guests,
    /// How many label sets a family may have.
    pub(crate) label_limit: usize,
    /// The labels that are added to every sample: by these, too, series may be alike.
    pub(crate) constant: Pairs,
}

/// Slots, catalog and archive of one arena; and `P`, what is made of them for those who look at them.
/// It is kept here because it lives as long. Nothing in this room knows what it is.
#[derive(Debug)]
pub struct Core<P> {
    pub(crate) arena: Arena,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    pub(crate) grants: Grants,
    pub(crate) slots: Vec<Slot>,
    /// Free slots, the one that has been free longest first.
    pub(crate) free: VecDeque<usize>,
    pub(crate) catalog: Catalog,
    pub(crate) definitions: Definitions,
    pub(crate) classes: Classes,
    pub(crate) archive: Archive,
    pub(crate) floors: Floors,
    pub(crate) page: P,
    pub(crate) figures: Figures,
    /// Whether series wait until the catalog has memory, as was said.
    pub(crate) is_short: bool,
    /// Now, in milliseconds of Unix time.
    now_ms: u64,
    /// Words of a slot that must be real before its worker touches it, beside its cells.
    pub(crate) whole_slots: bool,
}

impl<P> Core<P> {
    /// The core of an arena that has just been made.
    pub(crate) fn with(
        arena: Arena,
        layout: Layout,
        origin: Origin,
        grants: Grants,
        page: P,
    ) -> Self {
        let slots = layout.geometry.slots;
        Self {
            catalog: Catalog::new(&layout, grants.label_limit, grants.constant.clone()),
            definitions: Definitions::default(),
            archive: Archive::new(&layout),
            classes: Classes::default(),
            floors: Floors::default(),
            figures: Figures::default(),
            is_short: false,
            now_ms: 0,
            slots: (0..slots).map(|_| Slot::new()).collect(),
            free: (0..slots).collect(),
            whole_slots: !populates(),
            arena,
            layout,
            origin,
            grants,
            page,
        }
    }

    /// Whose processes may attach.
    #[must_use]
    pub fn guests(&self) -> &Guests {
        &self.grants.guests
    }

    /// The arena.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Says what time it is, in milliseconds of Unix time: series that begin anew began then.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What it has counted about itself.
    pub fn figures(&mut self) -> &mut Figures {
        &mut self.figures
    }

    pub(crate) fn go_to(&mut self, slot: usize, state: State) {
        let word = self.slots[slot].word.to(state);
        word.publish(&self.arena, &self.layout, slot);
        self.slots[slot].word = word;
    }

    /// Puts a slot that has become free behind the others.
    pub(crate) fn vacate(&mut self, slot: usize) {
        let freed = &mut self.slots[slot];
        freed.class = None;
        (freed.waits, freed.is_given_up) = (false, false);
        freed.said.clear();
        freed.last_words.clear();
        freed.row = Vec::new();
        freed.lanes = 0;
        freed.quarantine = None;
        freed.exited = false;
        self.free.push_back(slot);
    }

    /// Slots that are taken, by number.
    pub(crate) fn taken(&self) -> impl Iterator<Item = usize> + '_ {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.word.state != State::Free).map(|(at, _)| at)
    }

    /// How many slots there are in each state.
    #[must_use]
    pub fn states(&self) -> HashMap<State, u64> {
        let mut states: HashMap<State, u64> = State::EVERY.map(|state| (state, 0)).into();
        for slot in &self.slots {
            *states.entry(slot.word.state).or_default() += 1;
        }
        states
    }

    /// Series in the catalog.
    #[must_use]
    pub fn series(&self) -> usize {
        self.catalog.contents().series().len()
    }
}
