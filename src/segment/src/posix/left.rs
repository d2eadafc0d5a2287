//! Objects that were left: what a name leads to, whose it is, and what becomes of it.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::fcntl::FlockArg;
use nix::unistd::geteuid;
use tallyboard_proto::layout::header;
use thiserror::Error;

use super::object::{ArenaLock, ObjectName, open, remove, try_lock};
use crate::mapping::{Arena, map_shared, pread};
use crate::names::{Identity, Removal};

/// Why a name cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Taken {
    /// Somebody else has it.
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
    /// It is no object.
    #[error(
        "{} is {found}, expected an object of shared memory; it was left alone: remove it, or choose another --name", name.path().display()
    )]
    Odd {
        /// The name.
        name: ObjectName,
        /// What it leads to.
        found: &'static str,
    },
    /// A supervisor of this user has it.
    #[error(
        "{name} is held by another supervisor, with pid {pid}; stop that one, or choose another --name"
    )]
    Held {
        /// The object.
        name: ObjectName,
        /// The pid that its keeper wrote into the arena; 0 when it cannot be read.
        pid: u64,
    },
}

/// An object that cannot be opened again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReopenError {
    /// Somebody has it, or it is not ours.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// What it holds is no arena that this supervisor can go on with.
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

/// How often a lock is taken anew, because the name leads to something else by then.
const ATTEMPTS: usize = 100;

/// What became of taking a lock.
#[derive(Debug)]
pub(super) enum Locking {
    /// It is taken, and the name leads to what is locked.
    Got(File, ArenaLock),
    /// Somebody else has it.
    Held,
    /// There is no such name.
    Gone,
}

impl Locking {
    pub(super) fn got(self) -> Option<(File, ArenaLock)> {
        if let Self::Got(object, lock) = self { Some((object, lock)) } else { None }
    }
}

/// Takes the lock of what `name` leads to, on an open of its own: the other open is everybody's who
/// is passed it.
pub(super) fn lock(name: &ObjectName, how: FlockArg) -> io::Result<Locking> {
    let found = |open: io::Result<File>| match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        open => open.map(Some),
    };
    for _ in 0..ATTEMPTS {
        let Some(file) = found(open(name))? else { return Ok(Locking::Gone) };
        let Some(lock) = try_lock(file, how)? else { return Ok(Locking::Held) };
        let Some(object) = found(open(name))? else { return Ok(Locking::Gone) };
        if Identity::of_file(&object)? == lock.identity() && lock.identity().is_at(&name.path()) {
            return Ok(Locking::Got(object, lock));
        }
    }
    Ok(Locking::Held)
}

impl Left {
    /// Takes an object of this user that no supervisor holds; nothing when there is none.
    ///
    /// # Errors
    /// [`ReopenError`] when it is somebody else's, is held, or cannot be opened.
    pub fn take(name: &ObjectName) -> Result<Option<Self>, ReopenError> {
        Self::lock(name, FlockArg::LockExclusiveNonblock)
    }

    /// The same to look at it only, which others may do at the same time.
    ///
    /// # Errors
    /// As [`Left::take`].
    pub fn look(name: &ObjectName) -> Result<Option<Self>, ReopenError> {
        Self::lock(name, FlockArg::LockSharedNonblock)
    }

    fn lock(name: &ObjectName, how: FlockArg) -> Result<Option<Self>, ReopenError> {
        let system = |source| ReopenError::System { name: name.to_string(), source };
        match fs::symlink_metadata(name.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => is_ours(name, &found.map_err(system)?)?,
        }
        let (object, lock) = match lock(name, how).map_err(system)? {
            Locking::Got(object, lock) => (object, lock),
            Locking::Held => return Err(held(name).into()),
            Locking::Gone => return Ok(None),
        };
        is_ours(name, &object.metadata().map_err(system)?)?;
        Ok(Some(Self { name: Some(name.clone()), object, lock }))
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
        let lock = try_lock(own, FlockArg::LockExclusiveNonblock).map_err(system)?;
        let held = || system(io::Error::other("another supervisor holds it"));
        Ok(Self { name: None, object: object.into(), lock: lock.ok_or_else(held)? })
    }

    /// What it is called where it is spoken of.
    #[must_use]
    pub fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| ANONYMOUS.to_owned(), ToString::to_string)
    }

    fn system(&self, source: io::Error) -> ReopenError {
        ReopenError::System { name: self.called(), source }
    }

    /// Its length.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn bytes(&self) -> Result<u64, ReopenError> {
        Ok(self.object.metadata().map_err(|source| self.system(source))?.len())
    }

    /// Its first words, by pread: nothing is mapped before they have been believed. Of an object that
    /// is shorter there are none.
    ///
    /// # Errors
    /// What `pread` says.
    pub fn header(&self, words: usize) -> Result<Vec<u64>, ReopenError> {
        match pread(&self.object, 0..words) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            read => read.map_err(|source| self.system(source)),
        }
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
        let (found, expected) = (self.bytes()?, (words * size_of::<u64>()) as u64);
        if found != expected {
            return Err(self.refuse("bytes", expected, found));
        }
        let base = map_shared(&self.object, words).map_err(|source| self.system(source))?;
        Ok((Arena::new(base, words, Some(self.object.into())), self.lock))
    }

    /// Removes it, as far as it has a name that leads to it.
    ///
    /// # Errors
    /// What the system says when it cannot be moved or removed.
    pub fn remove(self) -> io::Result<Removal> {
        self.name.as_ref().map_or(Ok(Removal::Gone), |name| remove(name, &self.lock))
    }
}

/// Makes sure that a name leads to an object of this user.
fn is_ours(name: &ObjectName, metadata: &Metadata) -> Result<(), Taken> {
    let (expected, found) = (geteuid().as_raw(), metadata.uid());
    let name = name.clone();
    if !metadata.is_file() {
        return Err(Taken::Odd { name, found: kind(metadata) });
    }
    if expected == found { Ok(()) } else { Err(Taken::Foreign { name, expected, found }) }
}

/// What a name leads to, in words.
fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_symlink() => "a link",
        () if kind.is_dir() => "a directory",
        () => "neither a file nor a directory",
    }
}

fn held(name: &ObjectName) -> Taken {
    let at = header::KEEPER_PID;
    let word = open(name).and_then(|object| pread(&object, at..at + 1));
    Taken::Held { name: name.clone(), pid: word.map_or(0, |word| word[0]) }
}
