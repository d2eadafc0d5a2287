//! The backing `posix`: a named object that survives its supervisor.
//!
//! An object is made under a passing name, which nobody looks for, and gets its own name when it is
//! locked and whole: whoever finds a name finds an arena, whatever its creator died at. What creators
//! that were killed leave behind has a passing name and no lock, and is pruned by the next who starts. A lock
//! is worth something when the name still leads to what was locked; else it is begun again.

mod left;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::mman::shm_open;
use nix::sys::stat::Mode;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use shared_memory::{ShmemConf, ShmemError};
use thiserror::Error;

use crate::mapping::Arena;
use crate::names::{self, Identity, Removal};
use crate::process::random_u64;

pub use left::{Left, ReopenError, Taken};

/// Where named objects are.
pub const MOUNT: &str = "/dev/shm";

/// The name of an object: `tallyboard-UID-NAME` of the arena `NAME`, or a passing one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// The object of the arena `name` of user `uid`.
    #[must_use]
    pub fn of_arena(uid: u32, name: &str) -> Self {
        Self(format!("tallyboard-{uid}-{name}"))
    }

    /// A name that nobody has and nobody looks for.
    fn passing(uid: u32) -> io::Result<Self> {
        Ok(Self(format!("{}{:016x}", passing_prefix(uid), random_u64()?)))
    }

    /// The names of the objects that user `uid` has now, in order.
    #[must_use]
    pub fn of_user(uid: u32) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(MOUNT) else { return Vec::new() };
        let is_ours = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|found| found.uid() == uid);
        let names = entries.filter_map(Result::ok).filter(is_ours);
        let names = names.filter_map(|entry| Some(Self(entry.file_name().to_str()?.to_owned())));
        let mut names: Vec<Self> =
            names.filter(|name| name.is_passing(uid) || name.arena(uid).is_some()).collect();
        names.sort();
        names
    }

    /// The arena of user `uid` that it is the name of.
    #[must_use]
    pub fn arena(&self, uid: u32) -> Option<&str> {
        self.0.strip_prefix("tallyboard-")?.strip_prefix(&uid.to_string())?.strip_prefix('-')
    }

    /// Whether it is one that an object of user `uid` has only until it gets its own.
    #[must_use]
    pub fn is_passing(&self, uid: u32) -> bool {
        self.0.starts_with(&passing_prefix(uid))
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

/// What passing names begin with. No arena's does: behind its uid a dash follows.
fn passing_prefix(uid: u32) -> String {
    format!("tallyboard-{uid}.")
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object that cannot be created.
#[derive(Debug, Error)]
#[error("cannot create an object in {MOUNT}: {source}; {}", advice(source))]
pub struct CreateError {
    /// What the system said.
    #[from]
    pub source: io::Error,
}

fn advice(error: &io::Error) -> String {
    too_long(error).unwrap_or_else(|| format!("check {MOUNT}, or use --backing memfd"))
}

/// What to do about an arena that is longer than a file may be; nothing for other errors.
#[must_use]
pub fn too_long(error: &io::Error) -> Option<String> {
    (error.raw_os_error() == Some(Errno::EFBIG as i32)).then(|| {
        "no file may be as long as the arena; raise the limit of file sizes (ulimit -f, \
         LimitFSIZE=), or choose smaller --slots or --max-series"
            .to_owned()
    })
}

/// The exclusive lock of an arena's supervisor, on a descriptor of its own. It is held until every
/// process that inherited it has ended.
#[derive(Debug)]
pub struct ArenaLock {
    _file: Flock<File>,
    identity: Identity,
}

impl ArenaLock {
    /// What is locked.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

/// An object that is made and locked, and has no name yet that anybody looks for. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft {
    arena: Arena,
    lock: ArenaLock,
    passing: Passing,
}

/// A passing name, as long as an object has it.
#[derive(Debug)]
struct Passing(Option<ObjectName>);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(name) = self.0.take() {
            // Nobody else makes it; what cannot be removed is pruned by the next who starts.
            let _ = fs::remove_file(name.path());
        }
    }
}

/// How often an object is begun again, because somebody pruned it.
const ATTEMPTS: usize = 100;

impl Draft {
    /// Creates an object of `words` words for this user alone. Signals of the file size limit must be
    /// blocked: it is an error here.
    ///
    /// # Errors
    /// [`CreateError`] when the system refuses.
    pub fn create(words: usize) -> Result<Self, CreateError> {
        for _ in 0..ATTEMPTS {
            if let Some(draft) = Self::attempt(words)? {
                return Ok(draft);
            }
        }
        Err(io::Error::from(Errno::EAGAIN).into())
    }

    /// One attempt; nothing when somebody has pruned the object before it could be locked.
    fn attempt(words: usize) -> io::Result<Option<Self>> {
        let name = ObjectName::passing(geteuid().as_raw())?;
        let shmem = ShmemConf::new().os_id(name.posix()).size(words * size_of::<u64>()).create();
        let mut shmem = match shmem {
            Ok(shmem) => shmem,
            Err(ShmemError::MappingIdExists) => return Ok(None),
            Err(error) => return Err(system(error)),
        };
        let passing = Passing(Some(name.clone()));
        // Its drop would unlink the object, in a forked child too; `Passing` does it once.
        shmem.set_owner(false);
        // The mapping outlives the handle: an arena is never unmapped (rule 2).
        let shmem = ManuallyDrop::new(shmem);
        let base = NonNull::new(shmem.as_ptr().cast::<u64>()).ok_or(Errno::EFAULT)?;
        let locked = left::lock(&name, FlockArg::LockExclusiveNonblock)?;
        let Some((object, lock)) = locked.got() else { return Ok(None) };
        Ok(Some(Self { arena: Arena::new(base, words, Some(object.into())), lock, passing }))
    }

    /// The arena, to be made whole before it gets its name.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Gives it the name that it is found by.
    ///
    /// # Errors
    /// `AlreadyExists` when somebody has the name; else what the system says.
    pub fn publish(mut self, name: &ObjectName) -> io::Result<(Arena, ArenaLock)> {
        if let Some(passing) = &self.passing.0 {
            names::rename_new(&passing.path(), &name.path())?;
        }
        self.passing.0 = None;
        Ok((self.arena, self.lock))
    }

    /// Leaves it without a name: it ends with the last process that has it.
    #[must_use]
    pub fn nameless(self) -> (Arena, ArenaLock) {
        (self.arena, self.lock)
    }
}

/// What the crate that makes objects knows of an error: its number.
fn system(error: ShmemError) -> io::Error {
    match error {
        ShmemError::MapCreateFailed(number)
        | ShmemError::MapOpenFailed(number)
        | ShmemError::UnknownOsError(number) => io::Error::from_raw_os_error(number as i32),
        error => io::Error::other(error.to_string()),
    }
}

/// Removes the name of the object that `lock` is of, where it still is its name. Processes that
/// mapped the object keep it.
///
/// # Errors
/// What the system says when it cannot be moved or removed.
pub fn remove(name: &ObjectName, lock: &ArenaLock) -> io::Result<Removal> {
    let aside = ObjectName::passing(geteuid().as_raw())?;
    names::remove(&name.path(), lock.identity, &aside.path())
}

fn open(name: &ObjectName) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let object: OwnedFd = shm_open(name.posix().as_str(), flags, Mode::empty())?;
    Ok(object.into())
}

fn try_lock(file: File, how: FlockArg) -> io::Result<Option<ArenaLock>> {
    let identity = Identity::of_file(&file)?;
    match Flock::lock(file, how) {
        Ok(file) => Ok(Some(ArenaLock { _file: file, identity })),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Bytes that named objects may still take; `None` when there is no mount for them.
#[must_use]
pub fn room_bytes() -> Option<u64> {
    let mount = Path::new(MOUNT);
    let own = fs::metadata(mount).ok()?;
    let is_mount = own.dev() != fs::metadata("/dev").ok()?.dev();
    let stat = statvfs(mount).ok().filter(|_| is_mount)?;
    Some(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}
