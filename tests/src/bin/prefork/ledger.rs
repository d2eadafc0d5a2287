//! The test's own memory, shared with its workers and unknown to the arena: what each worker was
//! about to count, and what it has counted.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd;

/// What a worker counts, each with an intent and an acknowledgement of its own.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum What {
    /// The series that is the worker's alone.
    Own = 0,
    /// The series that all workers count into.
    Shared = 1,
    /// The histogram that all workers observe into.
    Observation = 2,
    /// The native histogram that all workers observe into.
    Size = 3,
    /// The numbers that the worker sets.
    Setting = 4,
}

const WORDS_PER_WORKER: usize = 16;
const ATTACHED: usize = 14;
const HUNTED: usize = 15;
const SCRAPES: usize = 0;
const FAILURES: usize = 1;
const DECREASES: usize = 2;
const STOP: usize = 3;
const HEADER: usize = 8;

/// The ledger.
pub(crate) struct Ledger {
    words: Arena,
}

impl Ledger {
    pub(crate) fn new(workers: usize) -> Result<Self, String> {
        let words = memfd::create(HEADER + workers * WORDS_PER_WORKER);
        let words = words.map_err(|error| error.to_string())?;
        words.make_real(0..words.len()).map_err(|error| error.to_string())?;
        Ok(Self { words })
    }

    fn at(worker: usize, word: usize) -> usize {
        HEADER + worker * WORDS_PER_WORKER + word
    }

    /// Counts once: says so before, does it, says so after.
    pub(crate) fn count(&self, worker: usize, what: What, operation: impl FnOnce()) {
        self.number(worker, what, |_| operation());
    }

    /// The same for what depends on how often it was done with this time.
    pub(crate) fn number(&self, worker: usize, what: What, operation: impl FnOnce(u64)) {
        let (intent, acknowledgement) = (2 * what as usize, 2 * what as usize + 1);
        let number = self.words.load(Self::at(worker, intent), Relaxed) + 1;
        // Release and Acquire keep the three in order for whoever looks after a SIGKILL.
        self.words.store(Self::at(worker, intent), number, Release);
        operation(number);
        self.words.store(Self::at(worker, acknowledgement), number, Release);
    }

    /// What a worker has acknowledged, and what it has intended.
    pub(crate) fn bounds(&self, worker: usize, what: What) -> (u64, u64) {
        let word = |word| self.words.load(Self::at(worker, word), Acquire);
        (word(2 * what as usize + 1), word(2 * what as usize))
    }

    /// The same over the first `workers` workers.
    pub(crate) fn sums(&self, workers: usize, what: What) -> (u64, u64) {
        (0..workers)
            .map(|worker| self.bounds(worker, what))
            .fold((0, 0), |sum, bounds| (sum.0 + bounds.0, sum.1 + bounds.1))
    }

    pub(crate) fn set_attached(&self, worker: usize) {
        self.words.store(Self::at(worker, ATTACHED), 1, Release);
    }

    pub(crate) fn is_attached(&self, worker: usize) -> bool {
        self.words.load(Self::at(worker, ATTACHED), Acquire) == 1
    }

    /// Tells a worker that it is about to be killed: it stops resting.
    pub(crate) fn hunt(&self, worker: usize) {
        self.words.store(Self::at(worker, HUNTED), 1, Release);
    }

    pub(crate) fn is_hunted(&self, worker: usize) -> bool {
        self.words.load(Self::at(worker, HUNTED), Acquire) == 1
    }

    /// Adds what a scrape found; only the scraper does.
    pub(crate) fn add_scrape(&self, failed: bool, decreases: u64) {
        for (word, by) in [(SCRAPES, 1), (FAILURES, failed.into()), (DECREASES, decreases)] {
            self.words.store(word, self.words.load(word, Relaxed) + by, Release);
        }
    }

    /// Scrapes, failures, decreases.
    pub(crate) fn scrapes(&self) -> [u64; 3] {
        [SCRAPES, FAILURES, DECREASES].map(|word| self.words.load(word, Acquire))
    }

    pub(crate) fn stop(&self) {
        self.words.store(STOP, 1, Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.words.load(STOP, Acquire) == 1
    }
}
