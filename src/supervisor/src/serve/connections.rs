//! The connections of the HTTP server, of which there is a limited number. Accepting never stops:
//! when all places are taken, a connection that does nothing gives way to the next one.
//!
//! Rule 1: a request that is being answered, to a client that reads, is never a victim. Rule 2: whoever
//! takes nothing of an answer for [`WRITE_TIMEOUT`] is hung up on, whether places are wanted or not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tallyboard_exposition::sample::{FamilySamples, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use crate::page::own;

/// How long a client may take nothing of its answer before it is hung up on.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of its answer before another one may have its place. Whoever has
/// asked more than once keeps it for as long after an answer.
const STALLED: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// No request of it was complete yet.
    New,
    /// A request is being answered.
    Answering,
    /// The answer is on its way.
    Sending,
    /// An answer was sent, and no request came after it.
    Idle,
}

/// Why a connection had to go. In the order in which they go: the first of these goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Evicted {
    /// It had not sent a whole request.
    Silent,
    /// It did not read its answer.
    Stalled,
    /// It was kept open after an answer.
    Idle,
    /// It was the newest, and all others were being answered.
    Full,
}

/// All connections.
pub(crate) struct Connections {
    limit: usize,
    open: RefCell<Vec<Rc<Place>>>,
    evicted: RefCell<HashMap<Evicted, u64>>,
}

/// One connection: what the server knows of it, and what tells it to end.
struct Place {
    peer: IpAddr,
    phase: Cell<Phase>,
    /// When bytes last went either way.
    moved: Cell<Instant>,
    /// Whether an answer waits for the client to read.
    waits_for_reader: Cell<bool>,
    /// Answers that were sent whole.
    answers: Cell<u64>,
    end: Notify,
}

/// A place that is given back when it is dropped.
pub(crate) struct Taken {
    place: Rc<Place>,
    connections: Weak<Connections>,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, open: RefCell::default(), evicted: RefCell::default() })
    }

    /// A place for a client. When none is free, one that does nothing has to go, or else this client.
    pub(crate) fn take(self: &Rc<Self>, peer: IpAddr) -> Option<Taken> {
        if self.open.borrow().len() >= self.limit && !self.make_room() {
            self.count(Evicted::Full);
            return None;
        }
        let place = Rc::new(Place {
            peer,
            phase: Cell::new(Phase::New),
            moved: Cell::new(Instant::now()),
            waits_for_reader: Cell::new(false),
            answers: Cell::new(0),
            end: Notify::new(),
        });
        self.open.borrow_mut().push(Rc::clone(&place));
        Some(Taken { place, connections: Rc::downgrade(self) })
    }

    /// Ends one connection that does nothing; says whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let Some((why, at)) = self.victim() else { return false };
        let place = self.open.borrow_mut().swap_remove(at);
        place.end.notify_one();
        self.count(why);
        true
    }

    /// Who goes first: the worst kind, of the client with most connections, the one that has done
    /// nothing for longest.
    fn victim(&self) -> Option<(Evicted, usize)> {
        let (open, now) = (self.open.borrow(), Instant::now());
        let mut by_peer: HashMap<IpAddr, usize> = HashMap::new();
        for place in open.iter() {
            *by_peer.entry(place.peer).or_default() += 1;
        }
        let candidates = open.iter().enumerate().filter_map(|(at, place)| {
            let order = usize::MAX - by_peer[&place.peer];
            Some(((place.kind(now)?, order, place.moved.get()), at))
        });
        candidates.min().map(|((why, ..), at)| (why, at))
    }

    fn count(&self, why: Evicted) {
        *self.evicted.borrow_mut().entry(why).or_default() += 1;
    }

    /// How many there are, of how many, and how many had to go.
    pub(crate) fn families(&self) -> [FamilySamples; 3] {
        let open = self.open.borrow();
        let phases = [Phase::New, Phase::Answering, Phase::Sending, Phase::Idle].map(|phase| {
            let there = open.iter().filter(|place| place.phase.get() == phase).count();
            (phase.to_string(), Value::Whole(there as u64))
        });
        let evicted = self.evicted.borrow();
        let reasons = [Evicted::Silent, Evicted::Stalled, Evicted::Idle, Evicted::Full];
        let reasons = reasons
            .map(|why| (why.to_string(), Value::Whole(evicted.get(&why).copied().unwrap_or(0))));
        [
            own::WEB_CONNECTIONS.labelled(phases),
            own::WEB_CONNECTIONS_EVICTED.labelled(reasons),
            own::WEB_CONNECTIONS_MAX.value(Value::Whole(self.limit as u64)),
        ]
    }
}

impl Place {
    /// As what it may go; `None` while it must not.
    fn kind(&self, now: Instant) -> Option<Evicted> {
        let is_quiet = now - self.moved.get() >= STALLED;
        match self.phase.get() {
            Phase::New => Some(Evicted::Silent),
            Phase::Answering => None,
            Phase::Sending => (self.waits_for_reader.get() && is_quiet).then_some(Evicted::Stalled),
            // A scraper that comes back at once is not outrun by many that ask one time each.
            Phase::Idle => (is_quiet || self.answers.get() < 2).then_some(Evicted::Idle),
        }
    }
}

impl Taken {
    /// A whole request has come.
    pub(crate) fn requested(&self) {
        self.place.phase.set(Phase::Answering);
    }

    /// Its answer is made, and will be written.
    pub(crate) fn answered(&self) {
        self.place.phase.set(Phase::Sending);
    }

    /// Waits until the place is wanted for somebody else.
    pub(crate) async fn ended(&self) {
        self.place.end.notified().await;
    }

    /// A stream that notes what goes over it.
    pub(crate) fn watch(&self, stream: TcpStream) -> Watched {
        Watched { stream, place: Rc::clone(&self.place), patience: None }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.open.borrow_mut().retain(|place| !Rc::ptr_eq(place, &self.place));
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Answering => "answering",
            Self::Sending => "sending",
            Self::Idle => "idle",
        })
    }
}

impl fmt::Display for Evicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Idle => "idle",
            Self::Full => "full",
        })
    }
}

/// A connection's stream, whose progress its place knows.
pub(crate) struct Watched {
    stream: TcpStream,
    place: Rc<Place>,
    /// Runs while an answer waits for the client to read.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Notes what a write came to, and ends one that comes to nothing for too long.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(wrote) => {
                self.patience = None;
                self.place.waits_for_reader.set(false);
                self.place.moved.set(Instant::now());
                Poll::Ready(wrote)
            }
            Poll::Pending => {
                self.place.waits_for_reader.set(true);
                let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
                ready!(patience.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client has read nothing of its answer for 10 s",
                )))
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.place.moved.set(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // What was to be written has been, when this is asked after an answer.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.place.phase.get() == Phase::Sending {
            self.place.phase.set(Phase::Idle);
            self.place.answers.set(self.place.answers.get() + 1);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
