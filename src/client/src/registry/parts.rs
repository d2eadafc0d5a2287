//! What belongs to a series and begins later, with cells of its own: found again without a lock.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_segment::fork::Cells;

use super::lookup::{Entry, Lookup};

/// The parts of a series that this process has counted in, each by a key that its instrument makes.
/// See [`Lookup`] for the rules.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The level that this process counts at. It only rises, and only under the registry's lock.
    level: AtomicU8,
    known: Lookup<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    key: u64,
    cells: Cells,
}

impl Entry for Part {
    #[inline]
    fn hash(&self) -> u64 {
        hash(self.key)
    }
}

impl Parts {
    pub(crate) const fn new() -> Self {
        Self { level: AtomicU8::new(0), known: Lookup::new() }
    }

    #[inline]
    pub(crate) fn level(&self) -> u8 {
        self.level.load(Relaxed)
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<Cells> {
        self.known.find(hash(key), |part| part.key == key).map(|part| part.cells)
    }

    /// Remembers a part, at whose level this process counts from now on. The caller holds the
    /// registry's lock.
    pub(crate) fn insert(&self, level: u8, key: u64, cells: Cells) {
        self.level.fetch_max(level, Relaxed);
        if self.find(key).is_none() {
            self.known.insert(Part { key, cells });
        }
    }
}

/// Keys that follow each other have places that do, which is all that a hash of few parts has to do.
/// What the high half of a key says comes on top.
#[inline]
fn hash(key: u64) -> u64 {
    key.wrapping_add((key >> 32).wrapping_mul(0x9e37_79b9))
}
