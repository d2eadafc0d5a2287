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

const WORDS_PER_THREAD: usize = 16;
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
    /// How many threads of a worker count.
    threads: usize,
}

impl Ledger {
    pub(crate) fn new(workers: usize) -> Result<Self, String> {
        Self::with_threads(workers, 1)
    }

    /// One in which each thread of a worker has words of its own; the first has those of the worker.
    pub(crate) fn with_threads(workers: usize, threads: usize) -> Result<Self, String> {
        let words = memfd::create(HEADER + workers * threads * WORDS_PER_THREAD);
        let words = words.map_err(|error| error.to_string())?;
        words.make_real(0..words.len()).map_err(|error| error.to_string())?;
        Ok(Self { words, threads })
    }

    fn at(&self, worker: usize, thread: usize, word: usize) -> usize {
        HEADER + (worker * self.threads + thread) * WORDS_PER_THREAD + word
    }

    /// Counts once: says so before, does it, says so after.
    pub(crate) fn count(&self, worker: usize, what: What, operation: impl FnOnce()) {
        self.count_in(worker, 0, what, operation);
    }

    /// The same in a thread of the worker.
    pub(crate) fn count_in(
        &self,
        worker: usize,
        thread: usize,
        what: What,
        operation: impl FnOnce(),
    ) {
        self.number_in(worker, thread, what, |_| operation());
    }

    /// The same for what depends on how often it was done with this time.
    pub(crate) fn number(&self, worker: usize, what: What, operation: impl FnOnce(u64)) {
        self.number_in(worker, 0, what, operation);
    }

    fn number_in(&self, worker: usize, thread: usize, what: What, operation: impl FnOnce(u64)) {
        let [intent, acknowledgement] =
            [0, 1].map(|word| self.at(worker, thread, 2 * what as usize + word));
        let number = self.words.load(intent, Relaxed) + 1;
        // Release and Acquire keep the three in order for whoever looks after a SIGKILL.
        self.words.store(intent, number, Release);
        operation(number);
        self.words.store(acknowledgement, number, Release);
    }

    /// What a worker has acknowledged, and what it has intended.
    pub(crate) fn bounds(&self, worker: usize, what: What) -> (u64, u64) {
        let sum = |word| {
            let threads = (0..self.threads).map(|thread| self.at(worker, thread, word));
            threads.map(|at| self.words.load(at, Acquire)).sum()
        };
        (sum(2 * what as usize + 1), sum(2 * what as usize))
    }

    /// The same over the first `workers` workers.
    pub(crate) fn sums(&self, workers: usize, what: What) -> (u64, u64) {
        (0..workers)
            .map(|worker| self.bounds(worker, what))
            .fold((0, 0), |sum, bounds| (sum.0 + bounds.0, sum.1 + bounds.1))
    }

    pub(crate) fn set_attached(&self, worker: usize) {
        self.words.store(self.at(worker, 0, ATTACHED), 1, Release);
    }

    pub(crate) fn is_attached(&self, worker: usize) -> bool {
        self.words.load(self.at(worker, 0, ATTACHED), Acquire) == 1
    }

    /// Tells a worker that it is about to be killed: it stops resting.
    pub(crate) fn hunt(&self, worker: usize) {
        self.words.store(self.at(worker, 0, HUNTED), 1, Release);
    }

    pub(crate) fn is_hunted(&self, worker: usize) -> bool {
        self.words.load(self.at(worker, 0, HUNTED), Acquire) == 1
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
