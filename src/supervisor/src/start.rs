//! Where keeper and supervisor meet, above both: who starts a keeper gives it what its supervisors do.

use tallyboard_segment::pass::Socket;

use crate::config::Config;
use crate::keep::inheritance::Inheritance;
use crate::keep::keeper::Keeper;
use crate::keep::spawn::{Builder, Handle, SpawnError};
use crate::keep::unopened::OpenError;
use crate::serve::{lost, supervise};

impl Keeper {
    /// Opens the arena and its sockets, and takes signals as messages from now on. Nothing runs
    /// until [`Keeper::start`].
    ///
    /// # Errors
    /// [`OpenError`] says what was expected, what was found, and what to do.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::open_for(config, run)
    }
}

impl Builder {
    /// Forks the keeper, which is no child of this process: its parent's own waiting for children
    /// never sees it. It ends when this process does.
    ///
    /// # Errors
    /// [`SpawnError`] when this process has threads, or the arena cannot be opened.
    pub fn spawn(self) -> Result<Handle, SpawnError> {
        self.spawn_for(run)
    }
}

/// Runs the supervisor of an arena, or one that says that it is lost.
fn run(mut inheritance: Inheritance<'_>, link: Socket) -> i32 {
    match inheritance.arena.take() {
        Some(arena) => supervise::run(arena, inheritance, link),
        None => lost::run(&inheritance, link),
    }
}
