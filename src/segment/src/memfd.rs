//! The backing `memfd`: an anonymous object that needs no tmpfs mount, no directory and no name,
//! and that nobody can truncate.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use crate::descriptors::NoDescriptor;
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

/// What it means that an object without a name cannot be made, and what to do.
#[derive(Debug)]
pub struct Unmade<'a>(pub &'a io::Error);

impl fmt::Display for Unmade<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        match error.raw_os_error().map(Errno::from_raw) {
            // A filter of system calls says either, whatever the kernel could do.
            Some(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => write!(
                f,
                "this process may not make memory without a name: {error}; allow memfd_create in its seccomp profile (SystemCallFilter=)"
            ),
            Some(Errno::EFBIG) => write!(
                f,
                "memory without a name may not become that large: {error}; raise the limit of file sizes (ulimit -f, LimitFSIZE=)"
            ),
            Some(Errno::EMFILE | Errno::ENFILE) => NoDescriptor(error).fmt(f),
            _ => write!(
                f,
                "no memory: {error}; raise the memory limit of this process, container or host, or free memory"
            ),
        }
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
