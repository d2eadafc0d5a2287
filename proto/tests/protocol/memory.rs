//! Memories of one thread: a plain vector, and one that remembers every store.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::Ordering;

use tallyboard_proto::word::Words;

/// A vector. It has no orders, as one thread needs none.
#[derive(Clone, Debug, PartialEq)]
pub struct VecWords(RefCell<Vec<u64>>);

impl VecWords {
    pub fn new(words: usize) -> Self {
        Self(RefCell::new(vec![0; words]))
    }
}

impl Words for VecWords {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn load(&self, at: usize, _: Ordering) -> u64 {
        self.0.borrow()[at]
    }

    fn store(&self, at: usize, value: u64, _: Ordering) {
        self.0.borrow_mut()[at] = value;
    }

    fn fence(&self, _: Ordering) {}
}

/// In which order a scrub empties the words: the system's own way promises none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sweep {
    FromStart,
    FromEnd,
    /// Leaves out the words that are zero already: as many different memories in fewer stores.
    NotZero,
}

/// A memory that remembers every store, so that it can be had as it was after the first of them.
pub struct Trace {
    first: VecWords,
    now: VecWords,
    stores: RefCell<Vec<(usize, u64)>>,
    sweep: Sweep,
}

impl Trace {
    pub fn new(first: VecWords, sweep: Sweep) -> Self {
        Self { now: first.clone(), first, stores: RefCell::default(), sweep }
    }

    /// How many stores there were.
    pub fn stores(&self) -> usize {
        self.stores.borrow().len()
    }

    /// How many stores there were with the first one to `at` behind `from` stores.
    pub fn first_store_to(&self, at: usize, from: usize) -> Option<usize> {
        let stores = self.stores.borrow();
        let found = stores[from..].iter().position(|(word, _)| *word == at)?;
        Some(from + found + 1)
    }

    /// The memory before any store, after the first one, and so on to the last.
    pub fn cuts(&self) -> impl Iterator<Item = VecWords> + use<> {
        let (memory, stores) = (self.first.clone(), self.stores.borrow().clone());
        let first = memory.clone();
        let rest = stores.into_iter().map(move |(at, value)| {
            memory.store(at, value, Ordering::Relaxed);
            memory.clone()
        });
        [first].into_iter().chain(rest)
    }
}

impl Words for Trace {
    fn len(&self) -> usize {
        self.now.len()
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.now.load(at, order)
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        self.stores.borrow_mut().push((at, value));
        self.now.store(at, value, order);
    }

    fn fence(&self, _: Ordering) {}

    fn scrub(&self, range: Range<usize>) {
        let zero = |at| self.store(at, 0, Ordering::Relaxed);
        match self.sweep {
            Sweep::FromStart => range.for_each(zero),
            Sweep::FromEnd => range.rev().for_each(zero),
            Sweep::NotZero => {
                range.filter(|&at| self.load(at, Ordering::Relaxed) != 0).for_each(zero);
            }
        }
    }
}

#[test]
fn a_cut_holds_the_stores_before_it_and_none_after() {
    let trace = Trace::new(VecWords::new(2), Sweep::FromEnd);
    trace.store(0, 7, Ordering::Relaxed);
    trace.scrub(0..2);
    let cuts: Vec<_> = trace.cuts().map(|words| words.0.into_inner()).collect();
    assert_eq!(cuts, [[0, 0], [7, 0], [7, 0], [0, 0]]);
}
