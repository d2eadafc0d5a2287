//! Everything that can happen to a supervisor, and the tasks that say so of its keeper, the time and
//! its workers. Those of connections are in `control.rs` and `http.rs`.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tallyboard_exposition::negotiation::Negotiated;
use tallyboard_proto::control::{Hello, RefusedReason, Reply, Request};
use tallyboard_segment::pass::Socket;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::reach::{NoDescriptor, is_out_of_descriptors};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::board::attach::Caller;
use crate::board::figures::Ended;
use crate::keep::link::{self, ToSupervisor};
use crate::outlet::Ask;
use crate::serve::reactor::register;

/// What a scrape asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// Names of families or of their samples; none for all.
    pub(crate) metrics: Vec<String>,
    /// The format, and what becomes of names.
    pub(crate) negotiated: Negotiated,
}

/// A scrape that waits for its page.
pub(crate) struct Scrape {
    pub(crate) wanted: Wanted,
    /// When nobody waits any more.
    pub(crate) deadline: Option<Instant>,
    pub(crate) answer: oneshot::Sender<Bytes>,
}

impl Scrape {
    /// Whether somebody still waits for the page; else it need not be made.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.answer.is_closed() && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

/// Everything that can happen to a supervisor.
pub(crate) enum Event {
    /// A worker asks for a slot.
    Attach { connection: u64, caller: Caller, pidfd: Pidfd, hello: Hello, answer: Answer },
    /// Somebody who was let in asks something that needs no more identity.
    Asked { connection: u64, request: Request, answer: Answer },
    /// Somebody was refused before it could be asked about.
    Refused(RefusedReason),
    /// A conversation was ended from this side.
    Ended(Ended),
    /// A connection has ended.
    HungUp { connection: u64 },
    /// The kernel says that a worker is dead.
    WorkerExited { slot: usize, generation: u64 },
    /// Somebody wants the page.
    Scrape(Scrape),
    /// An outlet wants all families.
    Snapshot(Ask),
    /// The keeper says something.
    Keeper(ToSupervisor, Option<OwnedFd>),
    /// The keeper is dead, so nobody would restart this supervisor or free its names.
    KeeperGone,
    /// It is time to look at /proc.
    Tick,
    /// The HTTP server has answered what was under way.
    Stopped,
}

/// Where an answer goes; `None` when the request has none.
pub(crate) type Answer = oneshot::Sender<Option<(Reply, Option<Arc<OwnedFd>>)>>;
pub(crate) type Events = mpsc::Sender<Event>;

/// How often /proc is looked at.
const TICK: Duration = Duration::from_secs(5);

pub(crate) async fn hear_keeper(link: Rc<AsyncFd<Socket>>, events: Events) {
    loop {
        let Ok(mut ready) = link.readable().await else { break };
        match ready.try_io(|link| link::receive::<ToSupervisor>(link.get_ref())) {
            Ok(Ok(Some((message, descriptor)))) => {
                let _ = events.send(Event::Keeper(message, descriptor)).await;
            }
            // A message that does not arrive whole is lost, and the link goes on.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(%error, "the keeper said what cannot be understood");
            }
            Ok(Err(error)) if is_out_of_descriptors(&error) => {
                tracing::error!("cannot take what the keeper passes: {}", NoDescriptor(&error));
            }
            Ok(Ok(None) | Err(_)) => break,
            Err(_would_block) => {}
        }
    }
    let _ = events.send(Event::KeeperGone).await;
}

pub(crate) async fn tick(events: Events) {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if events.send(Event::Tick).await.is_err() {
            return;
        }
    }
}

/// Waits until the worker of a slot is dead.
pub(crate) async fn watch(pidfd: Pidfd, slot: usize, generation: u64, events: Events) {
    match register(pidfd, tokio::io::Interest::READABLE) {
        Ok(pidfd) => {
            // Readable means dead. An error of the reactor means that the runtime is ending.
            if pidfd.readable().await.is_ok() {
                let _ = events.send(Event::WorkerExited { slot, generation }).await;
            }
        }
        Err(error) => tracing::error!(%error, slot, "cannot watch a worker"),
    }
}
