//! The slot table's state word, the states of a slot, and a slot's header.
//!
//! ```text
//!            attach           Confirm           WorkerExited          fold, scrub
//!  Free(g) ----------> Assigned(g) ----> Live(g) ----------> Draining(g) ----------> Free(g+1)
//!     ^                    |  \__________________________________/
//!     |____________________|            the worker died first
//!       EOF without Confirm
//! ```
//!
//! Every arrow is the supervisor's, and is one Release store of one word that holds the state and
//! the generation together: two words could be torn by a death between them, and a slot that was
//! freed without its next generation would be taken for folded when it counts again.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{DROP_REASONS, Layout, entry, slot_header};
use crate::word::Words;

/// Bits of a state word that hold the state; the others hold the generation.
pub const STATE_BITS: u32 = 3;

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum State {
    /// Nobody's.
    Free = 0,
    /// Promised to a worker that has not confirmed yet and has stored nothing.
    Assigned = 1,
    /// Its worker counts.
    Live = 2,
    /// Its worker is dead and its cells are about to be in the archive.
    Draining = 3,
}

impl State {
    /// Every state, in the order of its number.
    pub const EVERY: [Self; 4] = [Self::Free, Self::Assigned, Self::Live, Self::Draining];

    /// The value of the label `state`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Assigned => "assigned",
            Self::Live => "live",
            Self::Draining => "draining",
        }
    }
}

/// State and generation of a slot, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotWord {
    /// State.
    pub state: State,
    /// Generation, from 1.
    pub generation: u64,
}

impl SlotWord {
    /// The word of a slot that no worker has had yet.
    pub const FIRST: Self = Self { state: State::Free, generation: 1 };

    /// Packs it.
    #[must_use]
    pub fn to_word(self) -> u64 {
        self.generation << STATE_BITS | self.state as u64
    }

    /// Unpacks it; `None` for bits that are no state or generation 0.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let state = *State::EVERY.get((word & ((1 << STATE_BITS) - 1)) as usize)?;
        let generation = word >> STATE_BITS;
        (generation != 0).then_some(Self { state, generation })
    }

    /// The next state of the same turn, or of the next one when the slot becomes free after it
    /// was drained.
    ///
    /// # Panics
    /// When the diagram above has no such arrow: a defect of the supervisor, whose own heap is the
    /// only source of states while it runs.
    #[must_use]
    pub fn to(self, state: State) -> Self {
        use State::{Assigned, Draining, Free, Live};
        let generation = match (self.state, state) {
            (Free, Assigned) | (Assigned, Live | Free | Draining) | (Live, Draining) => {
                self.generation
            }
            (Draining, Free) => self.generation + 1,
            (from, to) => panic!("a slot does not go from {from:?} to {to:?}"),
        };
        Self { state, generation }
    }

    /// Publishes the word of `slot`.
    pub fn publish<W: Words + ?Sized>(self, words: &W, layout: &Layout, slot: usize) {
        // Release: the other words of the entry, and a scrub, are visible before the new state.
        words.store(layout.entry(slot) + entry::STATE, self.to_word(), Release);
    }

    /// Reads the word of `slot`.
    pub fn read<W: Words + ?Sized>(words: &W, layout: &Layout, slot: usize) -> Option<Self> {
        // Acquire: pairs with `publish`.
        Self::from_word(words.load(layout.entry(slot) + entry::STATE, Acquire))
    }
}

/// Who has a slot: what the supervisor writes beside the state word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Pid as the supervisor sees it; 0 when it cannot.
    pub pid: u64,
    /// Inode of the pidfd; 0 when unknown.
    pub pidfs_inode: u64,
    /// Start time in clock ticks since boot; 0 when unknown.
    pub start_time: u64,
    /// Uid.
    pub uid: u64,
    /// Hash naming one execution of an image.
    pub image: u64,
    /// Random number of the client.
    pub attach_id: u64,
    /// Words of the catalog taken over as prefix.
    pub prefix: u64,
    /// Milliseconds of Unix time.
    pub attached_at_ms: u64,
}

impl Tenant {
    /// Writes the entry of `slot`, all but its state word.
    pub fn write<W: Words + ?Sized>(&self, words: &W, layout: &Layout, slot: usize) {
        let at = layout.entry(slot);
        for (word, value) in [
            (entry::PID, self.pid),
            (entry::PIDFS_INODE, self.pidfs_inode),
            (entry::START_TIME, self.start_time),
            (entry::UID, self.uid),
            (entry::IMAGE, self.image),
            (entry::ATTACH_ID, self.attach_id),
            (entry::PREFIX, self.prefix),
            (entry::ATTACHED_AT, self.attached_at_ms),
        ] {
            words.store(at + word, value, Relaxed);
        }
    }

    /// Reads the entry of `slot`, all but its state word.
    pub fn read<W: Words + ?Sized>(words: &W, layout: &Layout, slot: usize) -> Self {
        let at = layout.entry(slot);
        let word = |word| words.load(at + word, Relaxed);
        Self {
            pid: word(entry::PID),
            pidfs_inode: word(entry::PIDFS_INODE),
            start_time: word(entry::START_TIME),
            uid: word(entry::UID),
            image: word(entry::IMAGE),
            attach_id: word(entry::ATTACH_ID),
            prefix: word(entry::PREFIX),
            attached_at_ms: word(entry::ATTACHED_AT),
        }
    }
}

/// What a worker writes into its slot's header before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotHeader {
    /// Generation it was granted.
    pub generation: u64,
    /// Arena id it was told.
    pub arena_id: u64,
    /// Words of the catalog taken over as prefix.
    pub prefix: u64,
}

impl SlotHeader {
    /// Writes the header of the slot whose first word is `base`; the generation last. It comes
    /// after the conversation that granted the slot and before every other store into the slot.
    pub fn write<W: Words + ?Sized>(&self, words: &W, base: usize) {
        // Release fence: a reader outside that sees a word this thread stores from here on, and
        // then fences, sees the commit word of the fold that ended the slot's last life. Without
        // it a count stored plainly could be taken for one of that life. SLOT-BEGIN; its other
        // side is in `read_outside`.
        words.fence(Release);
        words.store(base + slot_header::ARENA_ID, self.arena_id, Relaxed);
        words.store(base + slot_header::PREFIX, self.prefix, Relaxed);
        // Release: whoever sees the generation sees the rest of the header.
        words.store(base + slot_header::GENERATION, self.generation, Release);
    }

    /// Reads the header; `None` when its worker has not begun.
    pub fn read<W: Words + ?Sized>(words: &W, base: usize) -> Option<Self> {
        // Acquire: pairs with `write`.
        let generation = words.load(base + slot_header::GENERATION, Acquire);
        let word = |word| words.load(base + word, Relaxed);
        (generation != 0).then(|| Self {
            generation,
            arena_id: word(slot_header::ARENA_ID),
            prefix: word(slot_header::PREFIX),
        })
    }
}

/// Reads what the worker of `slot` could not count, by reason.
pub fn dropped<W: Words + ?Sized>(words: &W, base: usize) -> [u64; DROP_REASONS] {
    std::array::from_fn(|reason| words.load(base + slot_header::DROPPED + reason, Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_word_survives_the_round_trip_and_nothing_else_parses() {
        for state in State::EVERY {
            for generation in [1, 2, 1 << 60] {
                let word = SlotWord { state, generation };
                assert_eq!(SlotWord::from_word(word.to_word()), Some(word));
            }
        }
        for word in [0, 1, 2, 3, 4 | 1 << 3, 7 | 1 << 3] {
            assert_eq!(SlotWord::from_word(word), None, "{word:#x}");
        }
    }

    #[test]
    fn the_diagram_has_these_arrows_and_no_others() {
        let mut arrows = 0;
        for from in State::EVERY {
            for to in State::EVERY {
                let word = SlotWord { state: from, generation: 5 };
                if let Ok(next) = std::panic::catch_unwind(|| word.to(to)) {
                    let turn = u64::from(from == State::Draining);
                    assert_eq!(next, SlotWord { state: to, generation: 5 + turn });
                    arrows += 1;
                }
            }
        }
        assert_eq!(arrows, 6);
    }
}
