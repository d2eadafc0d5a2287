//! A named object, and the lock on it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::mman::shm_open;
use nix::sys::stat::Mode;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

use crate::names::{self, Identity, Removal};
use crate::process::random_u64;

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
    pub(super) fn passing(uid: u32) -> io::Result<Self> {
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

    pub(super) fn posix(&self) -> String {
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

/// Removes the name of the object that `lock` is of, where it still is its name. Processes that
/// mapped the object keep it.
///
/// # Errors
/// What the system says when it cannot be moved or removed.
pub fn remove(name: &ObjectName, lock: &ArenaLock) -> io::Result<Removal> {
    let aside = ObjectName::passing(geteuid().as_raw())?;
    names::remove(&name.path(), lock.identity, &aside.path())
}

pub(super) fn open(name: &ObjectName) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let object: OwnedFd = shm_open(name.posix().as_str(), flags, Mode::empty())?;
    Ok(object.into())
}

pub(super) fn try_lock(file: File, how: FlockArg) -> io::Result<Option<ArenaLock>> {
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
