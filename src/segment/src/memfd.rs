//! The backing `memfd`: an anonymous object that needs no tmpfs mount, no directory and no name,
//! and that nobody can truncate.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use crate::mapping::{Arena, map_with};

/// Creates an arena of `words` words, sealed against shrinking, growing and unsealing.
///
/// # Errors
/// What `memfd_create`, `ftruncate`, `fcntl` or `mmap` says.
pub fn create(words: usize) -> io::Result<Arena> {
    let object = memfd_create("tallyboard", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    ftruncate(&object, (words * size_of::<u64>()) as i64)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&object, FcntlArg::F_ADD_SEALS(seals))?;
    let base = map(&object, words)?;
    Ok(Arena::new(base, words, Some(object)))
}

/// Maps an object read-write.
pub(crate) fn map(object: &impl AsRawFd, words: usize) -> io::Result<NonNull<u64>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    map_with(words, protection, flags, object.as_raw_fd(), 0)
}

/// Puts `bytes` into an anonymous object that is passed once and then forgotten.
///
/// # Errors
/// What `memfd_create` or `write` says.
pub fn of_bytes(bytes: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    use std::io::Write;
    let object = memfd_create("tallyboard-body", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(object);
    file.write_all(bytes)?;
    Ok(file.into())
}
