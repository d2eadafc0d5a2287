//! What a supervisor has from its keeper, all of it as values: a keeper knows no more of what its
//! supervisor does than what to call for it.

use tallyboard_proto::layout::Layout;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::pass::{Listener, Socket};

use crate::board::origin::Origin;
use crate::config::{Backing, Config};
use crate::keep::holders::Holders;
use crate::keep::listen::MetricsSocket;
use crate::page::collector::Spent;

/// Runs a supervisor, in a process of its own, until it is told to stop over the link to its keeper;
/// gives the status to end with.
pub(crate) type Run = fn(Inheritance<'_>, Socket) -> i32;

/// What a supervisor has from its keeper.
pub(crate) struct Inheritance<'a> {
    pub(crate) config: &'a Config,
    /// The arena; nothing when it is lost: nothing of it may be touched then, and whoever asks is told
    /// [`LOST`].
    pub(crate) arena: Option<Arena>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    pub(crate) backing: Backing,
    pub(crate) reason: &'a str,
    pub(crate) control: &'a Listener,
    pub(crate) metrics: &'a [MetricsSocket],
    /// Who had a slot when the last supervisor died.
    pub(crate) holders: Holders,
    /// Processor time of the workers, as the last supervisor left it.
    pub(crate) spent: Spent,
    pub(crate) starts: u64,
    pub(crate) is_reopened: bool,
}

/// What whoever asks is told when the arena is lost.
pub(crate) const LOST: &str = "The arena is lost, with all that was counted in it: some process has \
     cut off its object in /dev/shm. Start this again for a new one; --backing memfd has one that nobody can cut off.\n";
