//! `Words`: the memory that the protocol runs on.
//!
//! The protocol is generic over this trait so that the same code runs on shared memory, on private
//! memory, on loom's modelled atomics, on a trace of stores and on a plain vector. A word is an
//! aligned `u64`; bytes in it are numbered from the least significant.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Memory of aligned 64-bit words, indexed from 0.
///
/// # Panics
/// Every method panics when an index is not below [`Words::len`]. The protocol computes all
/// indices from private geometry (rule 5), so a panic is a defect of the caller and never the
/// effect of bytes found in the memory.
pub trait Words {
    /// How many words there are.
    fn len(&self) -> usize;

    /// Whether there are no words.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one word.
    fn load(&self, at: usize, order: Ordering) -> u64;

    /// Writes one word.
    fn store(&self, at: usize, value: u64, order: Ordering);

    /// Orders the accesses around it, as [`std::sync::atomic::fence`] does.
    fn fence(&self, order: Ordering);

    /// Makes every word of `range` zero. An implementation may give the memory back to the system
    /// instead of writing it, as long as later reads see zero.
    fn scrub(&self, range: Range<usize>) {
        for at in range {
            self.store(at, 0, Ordering::Relaxed);
        }
    }

    /// Appends the words of `range` to `into`, each read once, in no particular order.
    fn read(&self, range: Range<usize>, into: &mut Vec<u64>) {
        into.extend(range.map(|at| self.load(at, Ordering::Relaxed)));
    }
}

/// Plain atomics are words: private registries, detached workers and tests run on these.
impl Words for [AtomicU64] {
    fn len(&self) -> usize {
        <[AtomicU64]>::len(self)
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        self[at].load(order)
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        self[at].store(value, order);
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

/// FNV-1a over the little-endian bytes of `words`.
#[must_use]
pub const fn fnv(words: &[u64]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < words.len() {
        let bytes = words[at].to_le_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            hash = (hash ^ bytes[byte] as u64).wrapping_mul(0x0100_0000_01b3);
            byte += 1;
        }
        at += 1;
    }
    hash
}
