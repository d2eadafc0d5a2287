//! The layout of an arena, written once.
//!
//! ```text
//! arena    | control                                           | slot 0 | slot 1 | ...
//! control  | header | slot table | catalog | bank 0 | bank 1 | floors |
//! bank     | bank header | folded generations | applied | cells | offsets | lives | ring of dead rows |
//! slot     | slot header | cells | series log | lane 0 | lane 1 | ...
//! lane     | nothing, as long as a slot header | cells |
//! ```
//!
//! The cells of a slot come before its log and begin at the same distance from its start in every
//! geometry, so a cell's index stays valid when a worker moves to an arena of another geometry. A lane
//! has each cell at that same distance from its own start.
//! All positions are in words. Constants are ABI: `abi.golden` holds every one of them, and a
//! change of any changes the fingerprint.

use thiserror::Error;

use crate::cell::GAUGE_CELLS;
pub use crate::word::fnv;

/// First word of an arena: the bytes `TALLYBRD`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TALLYBRD");
/// Version of this layout. A change of meaning that moves no offset raises it too.
pub const LAYOUT_VERSION: u64 = 5;

/// Words in the smallest page that an arena is cut into (4 KiB).
pub const PAGE_WORDS: usize = 512;
/// Words in an extent (64 KiB), the step in which memory is made real. Also the alignment of
/// slots and sections, so that an extent never belongs to two writers, on pages of up to 64 KiB.
pub const EXTENT_WORDS: usize = 8192;

/// Header words of control, by position.
pub mod header {
    /// [`super::MAGIC`], stored last with Release when the arena is ready.
    pub const MAGIC: usize = 0;
    /// [`super::LAYOUT_VERSION`].
    pub const VERSION: usize = 1;
    /// The fingerprint of the layout.
    pub const FINGERPRINT: usize = 2;
    /// First of the [`super::Geometry`] words.
    pub const GEOMETRY: usize = 3;
    /// Random number of this arena, never 0.
    pub const ARENA_ID: usize = 10;
    /// The kernel's boot id, high half.
    pub const BOOT_ID_HIGH: usize = 11;
    /// The kernel's boot id, low half.
    pub const BOOT_ID_LOW: usize = 12;
    /// Inode of the supervisor's pid namespace.
    pub const PID_NAMESPACE: usize = 13;
    /// Pid of the keeper that owns the arena, in its own namespace.
    pub const KEEPER_PID: usize = 14;
    /// Effective uid of the supervisor.
    pub const UID: usize = 15;
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0, when the arena was made: what every
    /// process adds to it, so that stamps are ordered and are times.
    pub const UNIX_OFFSET: usize = 16;
    /// The archive's commit word, alone on its cache line.
    pub const ARCHIVE_COMMIT: usize = 24;
    /// The catalog's commit word, alone on its cache line.
    pub const CATALOG_COMMIT: usize = 32;
    /// Words in the header.
    pub const WORDS: usize = 40;
}

/// Words of one entry of the slot table, by position.
pub mod entry {
    /// State and generation, see [`crate::slot::SlotWord`]. Written last.
    pub const STATE: usize = 0;
    /// Pid of the worker as the supervisor sees it; 0 when it cannot be seen.
    pub const PID: usize = 1;
    /// Inode of the worker's pidfd (unique per boot since Linux 6.9); 0 when unknown.
    pub const PIDFS_INODE: usize = 2;
    /// Start time of the worker in clock ticks since boot; 0 when unknown.
    pub const START_TIME: usize = 3;
    /// Uid of the worker.
    pub const UID: usize = 4;
    /// Hash that names one execution of a program image.
    pub const IMAGE: usize = 5;
    /// Random number of the client in the worker.
    pub const ATTACH_ID: usize = 6;
    /// Words of the catalog that the slot took over as its first series.
    pub const PREFIX: usize = 7;
    /// When the slot was assigned, in milliseconds of Unix time.
    pub const ATTACHED_AT: usize = 8;
    /// Words in an entry: two cache lines.
    pub const WORDS: usize = 16;
}

/// Words of the header of a bank, by position.
pub mod bank {
    /// How many folds this bank has seen.
    pub const EPOCH: usize = 0;
    /// How many cells of the catalog it holds.
    pub const CELLS: usize = 1;
    /// How many rows its ring holds.
    pub const ROWS: usize = 2;
    /// Dead rows of gauges of mode `all` that fell out of the ring.
    pub const ROWS_DROPPED: usize = 3;
    /// How many offsets it holds; those beyond are 0.
    pub const OFFSETS: usize = 4;
    /// How many lives of series it holds; those beyond are 0.
    pub const LIVES: usize = 5;
    /// First of the [`super::DROP_REASONS`] counts of what the dead could not count.
    pub const DROPPED: usize = 8;
    /// Words in the bank header.
    pub const WORDS: usize = 16;
}

/// Words of the header of a row in the ring, by position.
pub mod row {
    /// Pid of the dead worker as the supervisor saw it; 0 when it did not.
    pub const PID: usize = 0;
    /// Slot of the dead worker.
    pub const SLOT: usize = 1;
    /// Generation of the dead worker's slot.
    pub const GENERATION: usize = 2;
    /// How many words of cells follow.
    pub const CELLS: usize = 3;
    /// Words in the header of a row.
    pub const WORDS: usize = 4;
}

/// Words of a slot's header, by position. The worker writes them.
pub mod slot_header {
    /// Generation of the slot's life, stored last with Release; 0 until the worker has begun.
    pub const GENERATION: usize = 0;
    /// Arena id that the worker was told.
    pub const ARENA_ID: usize = 1;
    /// Words of the catalog taken over as prefix.
    pub const PREFIX: usize = 2;
    /// How many lanes threads of the worker have had: cells of the others are all 0.
    pub const LANES: usize = 3;
    /// First of the [`super::DROP_REASONS`] counts of what could not be counted.
    pub const DROPPED: usize = 8;
    /// The log's commit word, alone on its cache line.
    pub const LOG_COMMIT: usize = 16;
    /// Words in the header: one page.
    pub const WORDS: usize = super::PAGE_WORDS;
}

/// Why something could not be counted. The order is ABI: it is the index of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// The slot's log or cells, or the catalog, have no room for another series.
    Full = 0,
    /// The family has reached its limit of label sets.
    LabelLimit = 1,
    /// The system had no memory for another extent.
    Memory = 2,
    /// The amount was negative or not a number.
    Amount = 3,
    /// The first use was re-entered, from a signal handler.
    Reentered = 4,
    /// The process counts under the same name with another type, labels or bounds.
    Conflict = 5,
}

/// How many reasons there are room for, in a slot header and in a bank.
pub const DROP_REASONS: usize = 8;

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::LabelLimit, Self::Memory, Self::Amount, Self::Reentered, Self::Conflict];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::LabelLimit => "label_limit",
            Self::Memory => "memory",
            Self::Amount => "amount",
            Self::Reentered => "reentered",
            Self::Conflict => "conflict",
        }
    }
}

const _: () = {
    assert!(header::GEOMETRY + Geometry::WORDS <= header::ARENA_ID);
    assert!(header::UNIX_OFFSET < header::ARCHIVE_COMMIT);
    // Commit words stand alone on cache lines of 8 words: their readers poll them.
    assert!(header::ARCHIVE_COMMIT.is_multiple_of(8));
    assert!(header::CATALOG_COMMIT == header::ARCHIVE_COMMIT + 8);
    assert!(header::WORDS == header::CATALOG_COMMIT + 8);
    assert!(entry::ATTACHED_AT < entry::WORDS && entry::WORDS.is_multiple_of(8));
    assert!(bank::LIVES < bank::DROPPED && bank::DROPPED + DROP_REASONS == bank::WORDS);
    assert!(slot_header::LANES < slot_header::DROPPED);
    assert!(slot_header::DROPPED + DROP_REASONS == slot_header::LOG_COMMIT);
    assert!(DropReason::ALL.len() <= DROP_REASONS);
    assert!(EXTENT_WORDS.is_multiple_of(PAGE_WORDS));
};

/// The sizes that an arena is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many slots.
    pub slots: usize,
    /// How many cells a slot, a bank and the floors have room for.
    pub cells: usize,
    /// How many words a series log has room for, in a slot and in the catalog.
    pub log_words: usize,
    /// How many dead rows of gauges of mode `all` a bank keeps.
    pub ring_rows: usize,
    /// How many words of cells such a row has room for.
    pub row_cells: usize,
    /// Alignment of sections and slots, in words: [`EXTENT_WORDS`] in real memory, less in models.
    pub unit: usize,
    /// How many lanes a slot has.
    pub lanes: usize,
}

/// Sizes that no arena can have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GeometryError {
    /// A size is out of its bounds.
    #[error("{name} must be from {min} to {max}, found {found}; choose a value in that range")]
    OutOfRange {
        /// Which size.
        name: &'static str,
        /// Least value allowed.
        min: usize,
        /// Greatest value allowed.
        max: usize,
        /// Value found.
        found: u64,
    },
}

impl Geometry {
    /// Words that a geometry takes in the header.
    pub const WORDS: usize = 7;
    /// Cells that a series has on average: a histogram of the default buckets has 17.
    pub const CELLS_PER_SERIES: usize = 16;
    /// Words of log that a series has on average.
    pub const LOG_WORDS_PER_SERIES: usize = 16;
    /// Dead rows that are kept of gauges of mode `all`.
    pub const RING_ROWS: usize = 64;
    /// Threads of a worker that count in lanes of their own.
    pub const LANES: usize = 16;
    /// Most lanes that a slot can have.
    pub const MAX_LANES: usize = 64;

    /// The geometry for `slots` workers and `max_series` series of average size.
    ///
    /// # Errors
    /// [`GeometryError`] for no slot or series, or for more than 65,536 slots or 4,194,304 series.
    pub fn for_series(slots: usize, max_series: usize) -> Result<Self, GeometryError> {
        within("slots", slots as u64, 1, 1 << 16)?;
        within("max-series", max_series as u64, 1, 1 << 22)?;
        Self {
            slots,
            cells: (max_series * Self::CELLS_PER_SERIES).max(PAGE_WORDS),
            log_words: (max_series * Self::LOG_WORDS_PER_SERIES).max(PAGE_WORDS),
            ring_rows: Self::RING_ROWS,
            row_cells: max_series * GAUGE_CELLS,
            unit: EXTENT_WORDS,
            lanes: Self::LANES,
        }
        .checked()
    }

    /// The words of the header, in order.
    #[must_use]
    pub fn to_words(self) -> [u64; Self::WORDS] {
        let Self { slots, cells, log_words, ring_rows, row_cells, unit, lanes } = self;
        [slots, cells, log_words, ring_rows, row_cells, unit, lanes].map(|size| size as u64)
    }

    /// Reads a geometry from words that somebody else wrote.
    ///
    /// # Errors
    /// [`GeometryError`] when a size is out of bounds.
    pub fn from_words(words: [u64; Self::WORDS]) -> Result<Self, GeometryError> {
        let [slots, cells, log_words, ring_rows, row_cells, unit, lanes] = words;
        Self {
            slots: within("slots", slots, 1, 1 << 16)?,
            cells: within("cells", cells, 1, 1 << 28)?,
            log_words: within("log words", log_words, 1, 1 << 28)?,
            ring_rows: within("ring rows", ring_rows, 0, 1 << 12)?,
            row_cells: within("row cells", row_cells, 0, 1 << 28)?,
            unit: within("unit", unit, 1, EXTENT_WORDS as u64)?,
            lanes: within("lanes", lanes, 0, Self::MAX_LANES as u64)?,
        }
        .checked()
    }

    /// Refuses a whole that is too large to address: 2^44 bytes, well below the 2^47 of x86-64.
    fn checked(self) -> Result<Self, GeometryError> {
        let ring = self.ring_rows as u64 * (self.row_cells + row::WORDS) as u64;
        let bank = (3 * self.cells + 2 * self.slots) as u64 + ring;
        let row = self.cells + 2 * EXTENT_WORDS;
        let slot = (self.log_words + (self.lanes + 1) * row) as u64;
        let whole = 2 * bank + slot * (self.slots as u64 + 2);
        within("words of the whole arena", whole, 1, 1 << 41)?;
        Ok(self)
    }
}

fn within(name: &'static str, found: u64, min: u64, max: u64) -> Result<usize, GeometryError> {
    let out = GeometryError::OutOfRange { name, min: min as usize, max: max as usize, found };
    if (min..=max).contains(&found) { Ok(found as usize) } else { Err(out) }
}

/// Where everything is, computed from a [`Geometry`]. Positions are word indices from the start of
/// the arena unless a name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The geometry that it was computed from.
    pub geometry: Geometry,
    /// The slot table.
    pub table: usize,
    /// The catalog's log.
    pub catalog: usize,
    /// The first bank; the second follows at `banks + bank_words`.
    pub banks: usize,
    /// Words of one bank.
    pub bank_words: usize,
    /// The floors, one word per cell of the catalog.
    pub floors: usize,
    /// Words of the control segment; the first slot begins here.
    pub control_words: usize,
    /// Words of one slot.
    pub slot_words: usize,
}

impl Layout {
    /// Lays an arena out.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        let up = |words: usize| words.next_multiple_of(geometry.unit);
        let table = header::WORDS;
        let catalog = up(table + geometry.slots * entry::WORDS);
        let banks = catalog + up(geometry.log_words);
        let ring = geometry.ring_rows * (row::WORDS + geometry.row_cells);
        let bank_words = up(bank::WORDS + 2 * geometry.slots + 3 * geometry.cells + ring);
        let floors = banks + 2 * bank_words;
        let control_words = floors + up(geometry.cells);
        let slot_words = Self::lane_in_slot(&geometry, geometry.lanes);
        Self { geometry, table, catalog, banks, bank_words, floors, control_words, slot_words }
    }

    fn log_in_slot(geometry: &Geometry) -> usize {
        (slot_header::WORDS + geometry.cells).next_multiple_of(geometry.unit)
    }

    fn lane_in_slot(geometry: &Geometry, lane: usize) -> usize {
        let row = Self::log_in_slot(geometry);
        row + geometry.log_words.next_multiple_of(geometry.unit) + lane * row
    }

    /// Words of the whole arena.
    #[must_use]
    pub fn arena_words(&self) -> usize {
        self.control_words + self.geometry.slots * self.slot_words
    }

    /// The table entry of `slot`.
    #[must_use]
    pub fn entry(&self, slot: usize) -> usize {
        assert!(slot < self.geometry.slots, "slot {slot} of {}", self.geometry.slots);
        self.table + slot * entry::WORDS
    }

    /// The header of `bank` (0 or 1).
    #[must_use]
    pub fn bank(&self, bank: usize) -> usize {
        assert!(bank < 2, "bank {bank} of 2");
        self.banks + bank * self.bank_words
    }

    /// The folded generations of `bank`, one word per slot.
    #[must_use]
    pub fn folded(&self, bank: usize) -> usize {
        self.bank(bank) + self::bank::WORDS
    }

    /// How far removals were applied in each slot's log, as of `bank`: one word per slot.
    #[must_use]
    pub fn applied(&self, bank: usize) -> usize {
        self.folded(bank) + self.geometry.slots
    }

    /// The cells of `bank`, in catalog order.
    #[must_use]
    pub fn bank_cells(&self, bank: usize) -> usize {
        self.applied(bank) + self.geometry.slots
    }

    /// What is taken off each cell in an exposition, as of `bank`.
    #[must_use]
    pub fn offsets(&self, bank: usize) -> usize {
        self.bank_cells(bank) + self.geometry.cells
    }

    /// The life of each series of the catalog, as of `bank`, see [`crate::life::Life`].
    #[must_use]
    pub fn lives(&self, bank: usize) -> usize {
        self.offsets(bank) + self.geometry.cells
    }

    /// Row `row` of the ring of `bank`.
    #[must_use]
    pub fn ring_row(&self, bank: usize, row: usize) -> usize {
        assert!(row < self.geometry.ring_rows, "row {row} of {}", self.geometry.ring_rows);
        let words = self::row::WORDS + self.geometry.row_cells;
        self.lives(bank) + self.geometry.cells + row * words
    }

    /// The header of `slot`.
    #[must_use]
    pub fn slot(&self, slot: usize) -> usize {
        assert!(slot < self.geometry.slots, "slot {slot} of {}", self.geometry.slots);
        self.control_words + slot * self.slot_words
    }

    /// The cells of `slot`.
    #[must_use]
    pub fn slot_cells(&self, slot: usize) -> usize {
        self.slot(slot) + slot_header::WORDS
    }

    /// Where `lane` of a slot begins whose header is at `base`: each cell is as far from there as it
    /// is from `base`.
    #[must_use]
    pub fn lane_of_slot_at(&self, base: usize, lane: usize) -> usize {
        assert!(lane < self.geometry.lanes, "lane {lane} of {}", self.geometry.lanes);
        base + Self::lane_in_slot(&self.geometry, lane)
    }

    /// The cells of `lane` of `slot`.
    #[must_use]
    pub fn lane_cells(&self, slot: usize, lane: usize) -> usize {
        self.lane_of_slot_at(self.slot(slot), lane) + slot_header::WORDS
    }

    /// Words of a slot without its lanes.
    #[must_use]
    pub fn slot_words_without_lanes(&self) -> usize {
        Self::lane_in_slot(&self.geometry, 0)
    }

    /// The catalog as a log.
    #[must_use]
    pub fn catalog_log(&self) -> LogArea {
        LogArea {
            commit: header::CATALOG_COMMIT,
            start: self.catalog,
            words: self.geometry.log_words,
        }
    }

    /// The log of `slot`, by positions in the arena.
    #[must_use]
    pub fn slot_log(&self, slot: usize) -> LogArea {
        self.log_of_slot_at(self.slot(slot))
    }

    /// The log of a slot whose header is at `base`: 0 for a worker, which maps its slot alone.
    #[must_use]
    pub fn log_of_slot_at(&self, base: usize) -> LogArea {
        LogArea {
            commit: base + slot_header::LOG_COMMIT,
            start: base + Self::log_in_slot(&self.geometry),
            words: self.geometry.log_words,
        }
    }
}

/// Where a series log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogArea {
    /// Its commit word: how many words of it are valid.
    pub commit: usize,
    /// Its first word.
    pub start: usize,
    /// How many words it has room for.
    pub words: usize,
}
