//! The places of conversations on the control socket: there are so many, and when all are taken the
//! one that has kept its place longest without a word gives it up. So nobody who says nothing keeps
//! workers from attaching, or readers from asking.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tallyboard_segment::pass::Socket;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// How long somebody who has said something keeps a place that others want, whatever he says next: a
/// worker that was offered a slot maps it meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked for a place when nobody gives one up.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Conversations that are held at once, where there are descriptors for them.
const MOST_CONVERSATIONS: usize = 128;
/// Descriptors that a conversation may take: its socket, the pidfd of who asks, and an answer.
const DESCRIPTORS_EACH: usize = 3;

/// The places of conversations beside `slots` workers and `scrapes` connections of scrapers, as many as
/// this process may have.
pub(crate) fn places(slots: usize, scrapes: usize) -> Rc<Places> {
    Places::new(conversations(raise_descriptor_limit(), slots, scrapes))
}

/// A pidfd per slot and a socket per request: the soft limit is often too low, the hard one not.
/// Gives what is the limit then.
fn raise_descriptor_limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            soft
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many conversations there are places for, when `limit` files may be open: what every slot and
/// every scrape may need is kept for them.
fn conversations(limit: usize, slots: usize, scrapes: usize) -> usize {
    /// The arena, the runtime and what is looked up in /proc.
    const OTHERS: usize = 64;
    const LEAST: usize = 8;
    let kept = slots.saturating_add(scrapes).saturating_add(OTHERS);
    let needed = kept + LEAST * DESCRIPTORS_EACH;
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "{slots} workers and {scrapes} connections of scrapers may need more open files than this process may have; raise its limit (ulimit -n, LimitNOFILE=), or use fewer --slots or --web.max-connections"
        );
    }
    let most = limit.saturating_sub(kept) / DESCRIPTORS_EACH;
    most.clamp(LEAST, MOST_CONVERSATIONS)
}

/// All places.
pub(crate) struct Places {
    most: usize,
    guests: RefCell<BTreeMap<u64, Guest>>,
    freed: Notify,
}

/// Who has a place.
struct Guest {
    socket: Rc<AsyncFd<Socket>>,
    /// Since when it was waited for his next word; nothing while he waits for an answer.
    waited_since: Option<Instant>,
    has_spoken: bool,
    sent_away: Rc<Notify>,
}

/// A place that was taken. It is free again when this is dropped.
pub(crate) struct Place {
    places: Rc<Places>,
    connection: u64,
    sent_away: Rc<Notify>,
}

impl Places {
    fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { most, guests: RefCell::default(), freed: Notify::new() })
    }

    /// Takes a place, and says whether somebody had to give it up; waits until there is one.
    pub(crate) async fn take(
        self: &Rc<Self>,
        connection: u64,
        socket: &Rc<AsyncFd<Socket>>,
    ) -> (Place, bool) {
        let mut gave_up = None;
        while self.guests.borrow().len() >= self.most {
            if gave_up.is_none() {
                gave_up = self.idlest(Instant::now());
                if let Some(guest) = gave_up.and_then(|id| self.guests.borrow_mut().remove(&id)) {
                    guest.sent_away.notify_one();
                    continue;
                }
            }
            // Whether somebody has become silent is told by nobody.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.freed.notified()).await;
        }
        let sent_away = Rc::new(Notify::new());
        let guest = Guest {
            socket: Rc::clone(socket),
            waited_since: Some(Instant::now()),
            has_spoken: false,
            sent_away: Rc::clone(&sent_away),
        };
        self.guests.borrow_mut().insert(connection, guest);
        (Place { places: Rc::clone(self), connection, sent_away }, gave_up.is_some())
    }

    /// Who gives up his place: the first that has said nothing at all, else who was waited for
    /// longest, and too long. What was sent and is not read yet is a word.
    fn idlest(&self, now: Instant) -> Option<u64> {
        let guests = self.guests.borrow();
        let waited = guests.iter().filter_map(|(&id, guest)| {
            let since = guest.waited_since?;
            let may_stay = guest.has_spoken && now.saturating_duration_since(since) < PATIENCE;
            (!may_stay).then_some((guest.has_spoken, since, id))
        });
        let mut waited: Vec<_> = waited.collect();
        waited.sort_unstable();
        let quiet = |id: &u64| guests[id].socket.get_ref().is_quiet();
        waited.into_iter().map(|(_, _, id)| id).find(quiet)
    }
}

impl Place {
    /// Something was said, which is answered now.
    pub(crate) fn heard(&self) {
        self.change(|guest| {
            guest.waited_since = None;
            guest.has_spoken = true;
        });
    }

    /// The next word is waited for, or that the answer is read.
    pub(crate) fn waits(&self) {
        self.change(|guest| guest.waited_since = Some(Instant::now()));
    }

    /// Waits until the place is to be given up.
    pub(crate) async fn sent_away(&self) {
        self.sent_away.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Guest)) {
        if let Some(guest) = self.places.guests.borrow_mut().get_mut(&self.connection) {
            change(guest);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.guests.borrow_mut().remove(&self.connection);
        self.places.freed.notify_one();
    }
}
