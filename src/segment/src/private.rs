//! The backing `private`: memory of one process, for clients without an arena and for tests.

use std::io;

use tallyboard_proto::layout::Layout;

use crate::mapping::{Arena, Inherit, SlotMapping, map, map_with};

const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Reserves a slot in private memory, with lanes where there is room for them.
///
/// # Errors
/// What `mmap` says.
pub fn slot(layout: &Layout, inherit: Inherit) -> io::Result<SlotMapping> {
    let of =
        |words| io::Result::Ok(SlotMapping::new(map(words, ANONYMOUS, -1, 0)?, words, inherit));
    let slot = of(layout.slot_words).or_else(|_| of(layout.slot_words_without_lanes()))?;
    Ok(slot.with_lanes(layout))
}

/// Maps a whole arena of `words` words in private memory.
///
/// # Errors
/// What `mmap` says.
pub fn arena(words: usize) -> io::Result<Arena> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let base = map_with(words, protection, ANONYMOUS, -1, 0)?;
    Ok(Arena::new(base, words, None))
}
