//! What is said of an arena, and what is wrong with it.

use std::path::PathBuf;

use tallyboard_proto::layout::{DROP_REASONS, Geometry};
use thiserror::Error;

/// Something in an arena that no writer of it wrote.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("byte {offset}: {field}: expected {expected}, found {found}")]
pub struct Damage {
    /// Where it is, in bytes from the start of the object.
    pub offset: u64,
    /// What should be there, by the names of `proto/abi.golden`.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// What an arena holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// What was read.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of it that are no holes.
    pub allocated_bytes: u64,
    /// What the header says.
    pub header: HeaderFacts,
    /// What the catalog says.
    pub catalog: CatalogFacts,
    /// The slots that are not free.
    pub slots: Vec<SlotFacts>,
    /// How many slots are free.
    pub free: usize,
    /// What the dead have left.
    pub archive: ArchiveFacts,
    /// Parts that changed each time they were read, so that nothing is known of them.
    pub unsettled: Vec<String>,
    /// What is wrong, in order of its place.
    pub damages: Vec<Damage>,
    /// How much more is wrong that was not written down.
    pub more_damages: u64,
}

/// The header of an arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// The layout version.
    pub version: u64,
    /// The layout's fingerprint.
    pub fingerprint: u64,
    /// Its sizes; `None` when they are none, and then nothing else was looked at.
    pub geometry: Option<Geometry>,
    /// Random number of the arena.
    pub arena_id: u64,
    /// The kernel's boot id.
    pub boot_id: [u64; 2],
    /// Inode of the pid namespace of supervisor and keeper.
    pub pid_namespace: u64,
    /// Who keeps it.
    pub keeper_pid: u64,
    /// Uid of the supervisor.
    pub uid: u64,
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0.
    pub unix_offset_ns: u64,
}

/// The catalog of an arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogFacts {
    /// Words that are committed.
    pub words: u64,
    /// Families.
    pub families: u64,
    /// Series.
    pub series: u64,
    /// Cells that the series own.
    pub cells: u64,
    /// Bytes behind the commit word that a writer stored and never committed.
    pub uncommitted_bytes: u64,
}

/// A slot that is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotFacts {
    /// Its number.
    pub slot: usize,
    /// Its generation.
    pub generation: u64,
    /// The name of its state.
    pub state: &'static str,
    /// Pid of its worker, as the supervisor sees it; 0 when it cannot.
    pub pid: u64,
    /// Uid of its worker.
    pub uid: u64,
    /// When it was assigned, in milliseconds of Unix time.
    pub attached_at_ms: u64,
    /// Whether its worker has begun to write.
    pub has_begun: bool,
    /// Whether the archive has it: it is being scrubbed, or was quarantined.
    pub is_folded: bool,
    /// Words of the catalog that it took over.
    pub prefix: u64,
    /// Words of its own log.
    pub log_words: u64,
    /// Series of its own log.
    pub series: u64,
    /// What its log says of series after they began: removals, resets and the like.
    pub removals: u64,
    /// Cells that its series own, those of the prefix included.
    pub cells: u64,
    /// What its worker could not count, by reason.
    pub dropped: [u64; DROP_REASONS],
    /// Bytes behind the commit word of its log that were stored and never committed.
    pub uncommitted_bytes: u64,
}

/// The archive of an arena: its active bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// How often it was committed: by folds, and by removals and resets.
    pub folds: u64,
    /// Which bank counts.
    pub bank: usize,
    /// Cells it holds.
    pub cells: u64,
    /// How many lives of slots are in it.
    pub lives: u64,
    /// Dead rows of gauges of mode `all`.
    pub rows: u64,
    /// Dead rows that fell out of the ring.
    pub rows_dropped: u64,
    /// What the dead could not count, by reason.
    pub dropped: [u64; DROP_REASONS],
    /// Floats that were exposed and do not fall any more.
    pub floors: u64,
    /// Series that a worker has removed, the hidden ones among them.
    pub removed: u64,
    /// Series that are not exposed: no worker holds them any more.
    pub hidden: u64,
    /// Series that began anew after a reset or a removal.
    pub renewed: u64,
}
