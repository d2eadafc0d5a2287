//! An object that is made.

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::FlockArg;
use nix::unistd::geteuid;
use shared_memory::{ShmemConf, ShmemError};
use thiserror::Error;

use super::left::lock;
use super::object::{ArenaLock, MOUNT, ObjectName};
use crate::mapping::Arena;
use crate::names;

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
        let locked = lock(&name, FlockArg::LockExclusiveNonblock)?;
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
