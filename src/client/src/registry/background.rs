//! What threads of this client have to do in the background: the book of it, which knows no registry.
//!
//! A program may fork whatever they do: a child needs nothing of theirs. But an interpreter counts the
//! threads of its process as it forks, and warns of what it finds. So a binding may have them leave
//! first, and go on with what they had left to do.

use std::collections::BTreeMap;
use std::fmt;
use std::thread::Thread;

/// Something that a thread does; it gives what is left to do when it has to leave.
pub(crate) struct Task(Box<dyn FnOnce() -> Option<Task> + Send>);

impl Task {
    pub(crate) fn new(act: impl FnOnce() -> Option<Self> + Send + 'static) -> Self {
        Self(Box::new(act))
    }

    pub(crate) fn run(self) -> Option<Self> {
        (self.0)()
    }
}

/// The threads of a process.
#[derive(Default)]
pub(crate) struct Background {
    /// The process that all of this is of.
    life: u64,
    /// Those that run, by their numbers.
    pub(crate) threads: BTreeMap<u32, Thread>,
    /// Whether they are to leave.
    pub(crate) is_leaving: bool,
    /// What those that left had to do still.
    pub(crate) left: Vec<Task>,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Background {
    /// That of the process `life`: a child has none of its parent's threads.
    pub(crate) fn of(&mut self, life: u64) -> &mut Self {
        if self.life != life {
            *self = Self { life, ..Self::default() };
        }
        self
    }
}
