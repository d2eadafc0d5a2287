//! The workers of an arena as its supervisor has them: what each connection was offered, and who waits
//! for their deaths.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use tallyboard_proto::control::{Hello, Reply};
use tallyboard_segment::pass::Socket;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::process::unix_ms;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_local};

use crate::board::attach::Caller;
use crate::keep::link::{self, ToKeeper};
use crate::page::exposed::Core;
use crate::serve::events::{Events, watch};

/// The workers, attached and about to be.
pub(crate) struct Workers {
    /// The arena's object, which workers get.
    object: Arc<OwnedFd>,
    link: Rc<AsyncFd<Socket>>,
    events: Events,
    /// The slot that a connection was offered and has not taken yet.
    offers: HashMap<u64, (usize, u64)>,
    /// The task that watches the worker of each slot.
    watches: HashMap<usize, JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(core: &Core, link: Rc<AsyncFd<Socket>>, events: Events) -> io::Result<Self> {
        let object = core.arena().object().ok_or(io::ErrorKind::Unsupported)?;
        let object = Arc::new(object.try_clone_to_owned()?);
        Ok(Self { object, link, events, offers: HashMap::new(), watches: HashMap::new() })
    }

    /// Offers a slot to whoever asks on a connection.
    pub(crate) fn attach(
        &mut self,
        core: &mut Core,
        connection: u64,
        caller: &Caller,
        pidfd: Pidfd,
        hello: &Hello,
    ) -> (Reply, Option<Arc<OwnedFd>>) {
        let announce = |slot: usize, generation: u64| {
            self.announce(slot, generation, caller.pid.into(), &pidfd)
        };
        match core.attach(caller, hello, unix_ms(), announce) {
            Ok(attached) => {
                let (slot, generation) = (attached.slot as usize, attached.generation);
                // A connection takes one slot: the last one that it asked for.
                let before = self.offers.insert(connection, (slot, generation));
                self.withdraw(core, before);
                self.watch(pidfd, slot, generation);
                (Reply::Attached(attached), Some(Arc::clone(&self.object)))
            }
            Err(refused) => (Reply::Refused(refused), None),
        }
    }

    /// A connection takes the slot that it was offered.
    pub(crate) fn confirm(&mut self, core: &mut Core, connection: u64) {
        if let Some((slot, generation)) = self.offers.remove(&connection) {
            core.confirm(slot, generation);
        }
    }

    /// A connection has ended.
    pub(crate) fn hung_up(&mut self, core: &mut Core, connection: u64) {
        let offer = self.offers.remove(&connection);
        self.withdraw(core, offer);
    }

    /// Takes back a slot that a connection was offered. A client that asked again on another
    /// connection was offered the same one there, and may take it yet.
    fn withdraw(&self, core: &mut Core, offer: Option<(usize, u64)>) {
        if let Some((slot, generation)) = offer
            && !self.offers.values().any(|other| *other == (slot, generation))
        {
            core.release(slot, generation);
        }
    }

    /// Waits for the death of the worker of a slot.
    pub(crate) fn watch(&mut self, pidfd: Pidfd, slot: usize, generation: u64) {
        let watch = watch(pidfd, slot, generation, self.events.clone());
        if let Some(before) = self.watches.insert(slot, spawn_local(watch)) {
            before.abort();
        }
    }

    /// Tells the keeper who has a slot.
    pub(crate) fn announce(
        &self,
        slot: usize,
        generation: u64,
        pid: u64,
        pidfd: &Pidfd,
    ) -> io::Result<()> {
        let assigned = ToKeeper::Assigned { slot: slot as u64, generation, pid };
        link::send(self.link.get_ref(), assigned, Some(pidfd.as_fd()))
    }
}
