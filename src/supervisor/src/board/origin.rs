//! What an arena says of itself in its first words: who made it, and where.

use std::io;
use std::sync::atomic::Ordering::{Relaxed, Release};

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::layout::{Geometry, LAYOUT_VERSION, Layout, MAGIC, entry, header};
use tallyboard_proto::slot::SlotWord;
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::Arena;

use crate::board::catalog::first_words;

/// Who made an arena, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Random number of the arena.
    pub arena_id: u64,
    /// The kernel's boot id.
    pub boot_id: [u64; 2],
    /// Inode of the supervisor's pid namespace.
    pub pid_namespace: u64,
    /// Pid of the keeper.
    pub keeper_pid: u64,
    /// Effective uid of the supervisor.
    pub uid: u64,
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0, when the arena was made.
    pub unix_offset_ns: u64,
}

/// Makes an arena out of zeroed memory: what its first words say, and its first slots.
///
/// # Errors
/// What making it real says.
pub fn format(arena: &Arena, layout: &Layout, origin: &Origin) -> io::Result<()> {
    arena.make_real(0..layout.table + layout.geometry.slots * entry::WORDS)?;
    for bank in [0, 1] {
        arena.make_real(layout.bank(bank)..layout.bank_cells(bank))?;
    }
    for words in first_words(layout) {
        arena.make_real(words)?;
    }
    let store = |at, value| arena.store(at, value, Relaxed);
    store(header::VERSION, LAYOUT_VERSION);
    store(header::FINGERPRINT, FINGERPRINT);
    let geometry = layout.geometry.to_words();
    for (at, word) in (header::GEOMETRY..header::GEOMETRY + Geometry::WORDS).zip(geometry) {
        store(at, word);
    }
    store(header::ARENA_ID, origin.arena_id);
    store(header::BOOT_ID_HIGH, origin.boot_id[0]);
    store(header::BOOT_ID_LOW, origin.boot_id[1]);
    store(header::PID_NAMESPACE, origin.pid_namespace);
    store(header::KEEPER_PID, origin.keeper_pid);
    store(header::UID, origin.uid);
    store(header::UNIX_OFFSET, origin.unix_offset_ns);
    (0..layout.geometry.slots).for_each(|slot| SlotWord::FIRST.publish(arena, layout, slot));
    // Release: whoever sees the magic number sees all of the above.
    arena.store(header::MAGIC, MAGIC, Release);
    Ok(())
}

impl Origin {
    /// Says who keeps the arena from now on.
    pub(crate) fn write_keeper(&self, arena: &Arena) {
        arena.store(header::KEEPER_PID, self.keeper_pid, Relaxed);
    }
}
