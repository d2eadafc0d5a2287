//! The backing `posix`: a named object that survives its supervisor.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use shared_memory::{ShmemConf, ShmemError};
use tallyboard_proto::layout::header;
use thiserror::Error;

use crate::mapping::{Arena, pread};
use crate::memfd;

/// Where named objects are.
pub const MOUNT: &str = "/dev/shm";

/// The name of an arena's object: `tallyboard-UID-NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(String);

impl ObjectName {
    /// The object of the arena `name` of user `uid`.
    #[must_use]
    pub fn of_arena(uid: u32, name: &str) -> Self {
        Self(format!("tallyboard-{uid}-{name}"))
    }

    /// Its path, where the system shows one.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(MOUNT).join(&self.0)
    }

    fn posix(&self) -> String {
        format!("/{}", self.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object that cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name is taken.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// The system refused.
    #[error("cannot create {name}: {source}; check {MOUNT}, or use --backing memfd")]
    System {
        /// The object.
        name: ObjectName,
        /// What the system said.
        source: io::Error,
    },
}

/// Whose object has the name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Taken {
    /// Somebody else's.
    #[error(
        "{name} belongs to uid {found}, expected uid {expected}; choose another --name, or have it removed"
    )]
    Foreign {
        /// The object.
        name: ObjectName,
        /// Our uid.
        expected: u32,
        /// The owner.
        found: u32,
    },
    /// Ours, and a supervisor has it.
    #[error(
        "{name} is held by another supervisor, with pid {pid}; stop that one, or choose another --name"
    )]
    Held {
        /// The object.
        name: ObjectName,
        /// The pid that its keeper wrote into the arena; 0 when it cannot be read.
        pid: u64,
    },
    /// Ours, and nobody has it any more.
    #[error(
        "{name} is left from a supervisor that ended without stopping; --discard-arena removes it with what it counted, another --name leaves it"
    )]
    Left {
        /// The object.
        name: ObjectName,
    },
}

/// The exclusive lock of an arena's supervisor, on a descriptor of its own. It is held until every
/// process that inherited it has ended.
#[derive(Debug)]
pub struct ArenaLock {
    _file: Flock<File>,
}

/// Creates the object `name` with `words` words, exclusively and for this user alone.
///
/// # Errors
/// [`CreateError`] when the name is taken or the system refuses.
pub fn create(name: &ObjectName, words: usize) -> Result<(Arena, ArenaLock), CreateError> {
    let system = |source| CreateError::System { name: name.clone(), source };
    let size = words * size_of::<u64>();
    let mut shmem = match ShmemConf::new().os_id(name.posix()).size(size).create() {
        Ok(shmem) => shmem,
        Err(ShmemError::MappingIdExists) => return Err(taken(name).into()),
        Err(error) => return Err(system(io::Error::other(error.to_string()))),
    };
    // Its drop would unlink the object, in a forked child too; `unlink` does it once.
    shmem.set_owner(false);
    // The mapping outlives the handle: an arena is never unmapped (rule 2).
    let shmem = ManuallyDrop::new(shmem);
    let base = NonNull::new(shmem.as_ptr().cast::<u64>());
    let base = base.ok_or_else(|| system(Errno::EFAULT.into()))?;
    let object = open(name).map_err(system)?;
    let lock = lock(name).map_err(system)?.ok_or_else(|| held(name))?;
    let arena = Arena::new(base, words, Some(object));
    Ok((arena, lock))
}

/// An object that cannot be opened again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReopenError {
    /// Somebody has it, or it is not ours.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// What it holds is no arena of this release.
    #[error(
        "{name} is no arena that can be gone on with: expected {what} {expected}, found {found}; --discard-arena removes it with what it counted"
    )]
    Header {
        /// The object.
        name: String,
        /// What was looked at.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The system refused.
    #[error("cannot open {name} again: {source}; --discard-arena removes it with what it counted")]
    System {
        /// The object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// An object that is locked and was not mapped yet: its first words can be looked at.
#[derive(Debug)]
pub struct Left {
    name: Option<ObjectName>,
    object: File,
    lock: ArenaLock,
}

/// What an object without a name is called.
const ANONYMOUS: &str = "the anonymous object that was kept";

impl Left {
    /// Takes an object of this user that no supervisor holds.
    ///
    /// # Errors
    /// [`ReopenError`] when it is somebody else's, is held, or cannot be opened.
    pub fn take(name: &ObjectName) -> Result<Self, ReopenError> {
        let system = |source| ReopenError::System { name: name.to_string(), source };
        let object = File::from(open(name).map_err(system)?);
        let (expected, found) = (geteuid().as_raw(), object.metadata().map_err(system)?.uid());
        if expected != found {
            return Err(Taken::Foreign { name: name.clone(), expected, found }.into());
        }
        let lock = lock(name).map_err(system)?.ok_or_else(|| held(name))?;
        Ok(Self { name: Some(name.clone()), object, lock })
    }

    /// Takes an object without a name that somebody kept the descriptor of.
    ///
    /// # Errors
    /// [`ReopenError`] when it is held or cannot be opened again.
    pub fn kept(object: OwnedFd) -> Result<Self, ReopenError> {
        let name = || ANONYMOUS.to_owned();
        let system = |source| ReopenError::System { name: name(), source };
        // A lock belongs to an open of the object, and this one is everybody's who was passed it.
        let path = format!("/proc/self/fd/{}", object.as_raw_fd());
        let own = OpenOptions::new().read(true).write(true).open(path).map_err(system)?;
        let lock = try_lock(own).map_err(system)?;
        let held = || system(io::Error::other("another supervisor holds it"));
        Ok(Self { name: None, object: object.into(), lock: lock.ok_or_else(held)? })
    }

    fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| ANONYMOUS.to_owned(), ToString::to_string)
    }

    fn system(&self, source: io::Error) -> ReopenError {
        ReopenError::System { name: self.called(), source }
    }

    /// Its first words, by pread: nothing is mapped before they have been believed.
    ///
    /// # Errors
    /// What `pread` says.
    pub fn header(&self, words: usize) -> Result<Vec<u64>, ReopenError> {
        pread(&self.object, 0..words).map_err(|source| self.system(source))
    }

    /// The error that the header is not what was expected.
    pub fn refuse(
        &self,
        what: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> ReopenError {
        let (expected, found) = (expected.to_string(), found.to_string());
        ReopenError::Header { name: self.called(), what, expected, found }
    }

    /// Maps it as an arena of `words` words.
    ///
    /// # Errors
    /// [`ReopenError`] when it has another size or cannot be mapped.
    pub fn map(self, words: usize) -> Result<(Arena, ArenaLock), ReopenError> {
        let found = self.object.metadata().map_err(|source| self.system(source))?.len();
        let expected = (words * size_of::<u64>()) as u64;
        if found != expected {
            return Err(self.refuse("bytes", expected, found));
        }
        let base = match &self.name {
            None => memfd::map(&self.object, words).map_err(|source| self.system(source))?,
            Some(name) => {
                let opened = ShmemConf::new().os_id(name.posix()).open();
                let mut shmem =
                    opened.map_err(|error| self.system(io::Error::other(error.to_string())))?;
                shmem.set_owner(false);
                // As in `create`: an arena is never unmapped (rule 2).
                let shmem = ManuallyDrop::new(shmem);
                if shmem.len() as u64 != expected {
                    return Err(self.refuse("bytes", expected, shmem.len()));
                }
                let base = NonNull::new(shmem.as_ptr().cast::<u64>());
                base.ok_or_else(|| self.system(Errno::EFAULT.into()))?
            }
        };
        Ok((Arena::new(base, words, Some(self.object.into())), self.lock))
    }
}

/// Removes the name of an object. Processes that mapped it keep it.
///
/// # Errors
/// What `shm_unlink` says; an object that is gone is no error.
pub fn unlink(name: &ObjectName) -> io::Result<()> {
    match shm_unlink(name.posix().as_str()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes an object of this user that no supervisor holds.
///
/// # Errors
/// [`CreateError`] when it is somebody else's or is held.
pub fn discard(name: &ObjectName) -> Result<(), CreateError> {
    match taken_or_gone(name) {
        None => Ok(()),
        Some(Taken::Left { .. }) => {
            unlink(name).map_err(|source| CreateError::System { name: name.clone(), source })
        }
        Some(taken) => Err(taken.into()),
    }
}

fn open(name: &ObjectName) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(shm_open(name.posix().as_str(), flags, Mode::empty())?)
}

/// Takes the lock, on a separate open of the object; `None` when somebody has it.
fn lock(name: &ObjectName) -> io::Result<Option<ArenaLock>> {
    try_lock(File::from(open(name)?))
}

fn try_lock(file: File) -> io::Result<Option<ArenaLock>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(Some(ArenaLock { _file: file })),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

fn taken(name: &ObjectName) -> Taken {
    // An object that vanished between the two looks was held until now.
    taken_or_gone(name).unwrap_or_else(|| held(name))
}

fn held(name: &ObjectName) -> Taken {
    let at = header::KEEPER_PID;
    let word = open(name).and_then(|object| pread(&File::from(object), at..at + 1));
    Taken::Held { name: name.clone(), pid: word.map_or(0, |word| word[0]) }
}

fn taken_or_gone(name: &ObjectName) -> Option<Taken> {
    let (expected, name) = (geteuid().as_raw(), name.clone());
    let found = std::fs::symlink_metadata(name.path()).ok()?.uid();
    if found != expected {
        return Some(Taken::Foreign { name, expected, found });
    }
    Some(match lock(&name) {
        Ok(Some(_)) => Taken::Left { name },
        _ => held(&name),
    })
}

/// Bytes that named objects may still take; `None` when there is no mount for them.
#[must_use]
pub fn room_bytes() -> Option<u64> {
    let mount = Path::new(MOUNT);
    let own = std::fs::metadata(mount).ok()?;
    let is_mount = own.dev() != std::fs::metadata("/dev").ok()?.dev();
    let stat = statvfs(mount).ok().filter(|_| is_mount)?;
    Some(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}
