//! The series that a family has handed out, found again without a lock.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use foldhash::fast::RandomState;
use tallyboard_segment::fork::Cells;

use super::lookup::{Entry, Lookup};
use super::parts::Parts;

/// Label values in the order of their family's label names.
pub(crate) trait Values {
    /// Calls `visit` with each value, the same ones each time.
    fn each(&self, visit: impl FnMut(&str));
}

impl<S: AsRef<str>> Values for [S] {
    #[inline]
    fn each(&self, mut visit: impl FnMut(&str)) {
        self.iter().for_each(|value| visit(value.as_ref()));
    }
}

/// Where a series is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) cells: Cells,
    /// Of a series that has any.
    pub(crate) parts: Option<&'static Parts>,
}

/// See [`Lookup`] for its rules.
#[derive(Debug)]
pub(crate) struct Children {
    hasher: RandomState,
    lookup: Lookup<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    hash: u64,
    child: Arc<Child>,
}

impl Entry for Known {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }
}

#[derive(Debug)]
struct Child {
    values: Box<[Box<str>]>,
    place: Place,
    /// Whether the series was removed: then who looks for it asks the registry.
    is_removed: AtomicBool,
}

impl Children {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::default(), lookup: Lookup::new() }
    }

    /// Where the series with these values is, when it was handed out before.
    #[inline]
    pub(crate) fn find(&self, values: &(impl Values + ?Sized)) -> Option<Place> {
        let child = self.child(values)?;
        (!child.is_removed.load(Relaxed)).then_some(child.place)
    }

    /// Forgets a series that was removed. The caller holds the registry's lock.
    pub(crate) fn forget(&self, values: &[Box<str>]) {
        if let Some(child) = self.child(values) {
            child.is_removed.store(true, Relaxed);
        }
    }

    #[inline]
    fn child(&self, values: &(impl Values + ?Sized)) -> Option<&Child> {
        let hash = self.hash(values);
        let is_same = |known: &Known| known.hash == hash && is_same(&known.child.values, values);
        self.lookup.find(hash, is_same).map(|known| &*known.child)
    }

    /// The parts of the series with these values, which it keeps when it is removed.
    pub(crate) fn parts(&self, values: &[Box<str>]) -> Option<&'static Parts> {
        self.child(values)?.place.parts
    }

    /// Remembers where a series is. The caller holds the registry's lock.
    pub(crate) fn insert(&self, values: &[Box<str>], place: Place) {
        if let Some(child) = self.child(values) {
            child.is_removed.store(false, Relaxed);
            return;
        }
        let child =
            Arc::new(Child { values: values.into(), place, is_removed: AtomicBool::new(false) });
        self.lookup.insert(Known { hash: self.hash(values), child });
    }

    #[inline]
    fn hash(&self, values: &(impl Values + ?Sized)) -> u64 {
        let mut state = self.hasher.build_hasher();
        values.each(|value| {
            state.write(value.as_bytes());
            // ("ab", "c") and ("a", "bc") differ: no text has this byte.
            state.write_u8(0xff);
        });
        state.finish()
    }
}

#[inline]
fn is_same(stored: &[Box<str>], values: &(impl Values + ?Sized)) -> bool {
    let mut stored = stored.iter();
    let mut same = true;
    values.each(|value| same = same && stored.next().is_some_and(|stored| **stored == *value));
    same && stored.next().is_none()
}
