//! The series that a family has handed out, found again without a lock.
//!
//! Rule 1: only the holder of the registry's lock inserts, so a fork never finds an entry half
//! made. Rule 2: an entry stays where it is; a table that is half full gets a successor of twice
//! its size that holds the same entries, and readers of the old one merely miss what came later.
//! Rule 3: who misses asks the registry, which knows everything; so this may hold less, never more.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

use crate::definition::SeriesRef;

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

/// See the rules above.
#[derive(Debug)]
pub(crate) struct Children {
    hasher: RandomState,
    /// The last of them that is there holds every entry.
    tables: [OnceLock<Table>; TABLES],
    newest: AtomicUsize,
    /// Entries of the newest table. Only the holder of the lock reads or writes it.
    entries: AtomicUsize,
}

/// Open addressing; at least half of the places are empty.
type Table = Box<[OnceLock<Entry>]>;

#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    child: Arc<Child>,
}

#[derive(Debug)]
struct Child {
    values: Box<[Box<str>]>,
    series: SeriesRef,
    /// Whether the series was removed: then who looks for it asks the registry.
    is_removed: AtomicBool,
}

const FIRST_PLACES: usize = 16;
/// The last table has 2^28 places, which is more than an arena has room for series.
const TABLES: usize = 25;

impl Children {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            tables: [const { OnceLock::new() }; TABLES],
            newest: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
        }
    }

    /// The series with these values, when it was handed out before.
    #[inline]
    pub(crate) fn find(&self, values: &(impl Values + ?Sized)) -> Option<SeriesRef> {
        // Acquire: CHILDREN-TABLE, pairs with `grow`.
        let table = self.tables.get(self.newest.load(Acquire))?.get()?;
        let hash = self.hash(values);
        let child = find_in(table, hash, values)?;
        (!child.is_removed.load(Relaxed)).then_some(child.series)
    }

    /// Forgets a series that was removed. The caller holds the registry's lock.
    pub(crate) fn forget(&self, values: &[Box<str>]) {
        if let Some(child) = self.child(values) {
            child.is_removed.store(true, Relaxed);
        }
    }

    fn child(&self, values: &[Box<str>]) -> Option<&Child> {
        let table = self.tables.get(self.newest.load(Acquire))?.get()?;
        find_in(table, self.hash(values), values)
    }

    /// Remembers a series. The caller holds the registry's lock.
    pub(crate) fn insert(&self, values: &[Box<str>], series: SeriesRef) {
        if let Some(child) = self.child(values) {
            child.is_removed.store(false, Relaxed);
            return;
        }
        let entries = self.entries.load(Relaxed);
        let places = FIRST_PLACES << self.newest.load(Relaxed);
        if 2 * (entries + 1) > places && !self.grow() {
            return;
        }
        let Some(table) = self.tables.get(self.newest.load(Relaxed)) else { return };
        let table = table.get_or_init(|| empty(FIRST_PLACES));
        let child =
            Arc::new(Child { values: values.into(), series, is_removed: AtomicBool::new(false) });
        put(table, Entry { hash: self.hash(values), child });
        self.entries.store(entries + 1, Relaxed);
    }

    /// Makes a table of twice the size, with the same entries; says whether there is room for it.
    fn grow(&self) -> bool {
        let newest = self.newest.load(Relaxed);
        let (Some(old), Some(next)) = (self.tables.get(newest), self.tables.get(newest + 1)) else {
            return false;
        };
        let table = empty(FIRST_PLACES << (newest + 1));
        let entries = old.get().into_iter().flatten().filter_map(OnceLock::get);
        entries.for_each(|entry| put(&table, entry.clone()));
        let is_fresh = next.set(table).is_ok();
        // Release: whoever finds the new number finds its table whole. CHILDREN-TABLE; its other
        // side is in `find`.
        self.newest.store(newest + 1, Release);
        is_fresh
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
fn find_in<'a>(
    table: &'a [OnceLock<Entry>],
    hash: u64,
    values: &(impl Values + ?Sized),
) -> Option<&'a Child> {
    let same = |entry: &&Entry| entry.hash == hash && is_same(&entry.child.values, values);
    probe(table, hash).map_while(OnceLock::get).find(same).map(|entry| &*entry.child)
}

#[inline]
fn probe(table: &[OnceLock<Entry>], hash: u64) -> impl Iterator<Item = &OnceLock<Entry>> {
    // A table's length is a power of two.
    let mask = table.len() - 1;
    (0..table.len()).map(move |step| &table[(hash as usize).wrapping_add(step) & mask])
}

fn put(table: &[OnceLock<Entry>], entry: Entry) {
    if let Some(place) = probe(table, entry.hash).find(|place| place.get().is_none()) {
        place.get_or_init(|| entry);
    }
}

fn empty(places: usize) -> Table {
    (0..places).map(|_| OnceLock::new()).collect()
}

#[inline]
fn is_same(stored: &[Box<str>], values: &(impl Values + ?Sized)) -> bool {
    let mut stored = stored.iter();
    let mut same = true;
    values.each(|value| same = same && stored.next().is_some_and(|stored| **stored == *value));
    same && stored.next().is_none()
}
