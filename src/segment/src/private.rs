//! The backing `private`: memory of one process, for clients without an arena and for tests.

use std::io;

use crate::mapping::{Arena, Inherit, SlotMapping, map, map_with};

const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Reserves a slot of `words` words in private memory.
///
/// # Errors
/// What `mmap` says.
pub fn slot(words: usize, inherit: Inherit) -> io::Result<SlotMapping> {
    Ok(SlotMapping::new(map(words, ANONYMOUS, -1, 0)?, words, inherit))
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
