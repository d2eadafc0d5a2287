//! A table that is read without a lock, on the path of every operation.
//!
//! Rule 1: only the holder of the registry's lock inserts, so a fork never finds an entry half
//! made. Rule 2: an entry stays where it is; a table that is half full gets a successor of twice
//! its size that holds the same entries, and readers of the old one merely miss what came later.
//! Rule 3: who misses asks the registry, which knows everything; so this may hold less, never more.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What a table holds: found by a hash that it knows.
pub(crate) trait Entry: Clone {
    /// The hash, of which the low bits choose the place.
    fn hash(&self) -> u64;
}

/// See the rules above.
#[derive(Debug)]
pub(crate) struct Lookup<E> {
    /// The last of them that is there holds every entry.
    tables: [OnceLock<Table<E>>; TABLES],
    newest: AtomicUsize,
    /// Entries of the newest table. Only the holder of the lock reads or writes it.
    entries: AtomicUsize,
}

/// Open addressing; at least half of the places are empty.
type Table<E> = Box<[OnceLock<E>]>;

const FIRST_PLACES: usize = 16;
/// The last table has 2^28 places, which is more than an arena has room for series.
const TABLES: usize = 25;

impl<E: Entry> Lookup<E> {
    pub(crate) const fn new() -> Self {
        Self {
            tables: [const { OnceLock::new() }; TABLES],
            newest: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
        }
    }

    /// The entry of a hash that is the same as what is looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_same: impl Fn(&E) -> bool) -> Option<&E> {
        // Acquire: LOOKUP-TABLE, pairs with `grow`.
        let table = self.tables.get(self.newest.load(Acquire))?.get()?;
        probe(table, hash).map_while(OnceLock::get).find(|entry| is_same(entry))
    }

    /// Remembers an entry that is not there. The caller holds the registry's lock.
    pub(crate) fn insert(&self, entry: E) {
        let entries = self.entries.load(Relaxed);
        let places = FIRST_PLACES << self.newest.load(Relaxed);
        if 2 * (entries + 1) > places && !self.grow() {
            return;
        }
        let Some(table) = self.tables.get(self.newest.load(Relaxed)) else { return };
        put(table.get_or_init(|| empty(FIRST_PLACES)), entry);
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
        // Release: whoever finds the new number finds its table whole. LOOKUP-TABLE; its other
        // side is in `find`.
        self.newest.store(newest + 1, Release);
        is_fresh
    }
}

#[inline]
fn probe<E>(table: &[OnceLock<E>], hash: u64) -> impl Iterator<Item = &OnceLock<E>> {
    // A table's length is a power of two.
    let mask = table.len() - 1;
    (0..table.len()).map(move |step| &table[(hash as usize).wrapping_add(step) & mask])
}

fn put<E: Entry>(table: &[OnceLock<E>], entry: E) {
    if let Some(place) = probe(table, entry.hash()).find(|place| place.get().is_none()) {
        place.get_or_init(|| entry);
    }
}

fn empty<E>(places: usize) -> Table<E> {
    (0..places).map(|_| OnceLock::new()).collect()
}
