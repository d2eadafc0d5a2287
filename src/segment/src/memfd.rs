//! The backing `memfd`: an anonymous object that needs no tmpfs mount, no directory and no name,
//! and that nobody can truncate.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use crate::mapping::{Arena, map_shared};

/// Creates an arena of `words` words, sealed against shrinking, growing and unsealing.
///
/// # Errors
/// What `memfd_create`, `ftruncate`, `fcntl` or `mmap` says.
pub fn create(words: usize) -> io::Result<Arena> {
    let object = anonymous("tallyboard", MFdFlags::MFD_ALLOW_SEALING)?;
    ftruncate(&object, (words * size_of::<u64>()) as i64)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&object, FcntlArg::F_ADD_SEALS(seals))?;
    let base = map_shared(&object, words)?;
    Ok(Arena::new(base, words, Some(object)))
}

/// An object that nobody executes: where the host says `vm.memfd_noexec=2` there are no others.
fn anonymous(name: &str, flags: MFdFlags) -> io::Result<OwnedFd> {
    let flags = flags | MFdFlags::MFD_CLOEXEC;
    let sealed = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | sealed) {
        // Before Linux 6.3 nobody can say so.
        Err(Errno::EINVAL) => Ok(memfd_create(name, flags)?),
        created => Ok(created?),
    }
}

/// Puts `bytes` into an anonymous object that is passed once and then forgotten.
///
/// # Errors
/// What `memfd_create` or `write` says.
pub fn of_bytes(bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Write;
    let object = anonymous("tallyboard-body", MFdFlags::empty())?;
    let mut file = std::fs::File::from(object);
    file.write_all(bytes)?;
    Ok(file.into())
}
