//! Loom's memory.

use std::ops::Range;
use std::sync::atomic::{AtomicU64 as Plain, Ordering, Ordering::Relaxed};

use loom::sync::atomic::{AtomicU64, fence};
use tallyboard_proto::word::Words;

/// Words of which some are loom's and the others plain: a model names the words that its parties
/// race for, and the cost of exploring is that of these alone.
pub struct LoomWords {
    /// Every access is one of loom's choices: any order of threads, and any value that the memory
    /// model allows.
    modelled: Vec<(usize, AtomicU64)>,
    /// Written by one party and read by nobody else, or the same from beginning to end.
    plain: Vec<Plain>,
}

impl LoomWords {
    /// Copies `first`, the memory before the model begins; `modelled` are the words raced for.
    pub fn new(first: &[Plain], modelled: &[usize]) -> Self {
        let value = |at| first.load(at, Relaxed);
        Self {
            modelled: modelled.iter().map(|&at| (at, AtomicU64::new(value(at)))).collect(),
            plain: (0..first.len()).map(|at| Plain::new(value(at))).collect(),
        }
    }

    fn modelled(&self, at: usize) -> Option<&AtomicU64> {
        self.modelled.iter().find(|(index, _)| *index == at).map(|(_, word)| word)
    }

    /// Adds to a word at once, as a worker of several threads counts.
    pub fn add(&self, at: usize, amount: u64) {
        self.modelled(at).expect("a cell raced for").fetch_add(amount, Relaxed);
    }
}

impl Words for LoomWords {
    fn len(&self) -> usize {
        self.plain.len()
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.modelled(at).map_or_else(|| self.plain[at].load(order), |word| word.load(order))
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        match self.modelled(at) {
            Some(word) => word.store(value, order),
            None => self.plain[at].store(value, order),
        }
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }

    fn scrub(&self, range: Range<usize>) {
        // A slot's header is a page: a search for each of its words would cost more than a model.
        let raced = self.modelled.iter().filter(|(index, _)| range.contains(index));
        raced.for_each(|(_, word)| word.store(0, Relaxed));
        self.plain[range].iter().for_each(|word| word.store(0, Relaxed));
    }
}
