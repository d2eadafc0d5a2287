//! The supervisor's process: a runtime of one thread, tasks that turn sockets, pidfds and timers
//! into events, and the one loop that acts on them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::negotiation::{Negotiated, negotiate};
use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_proto::control::{
    Description, Hello, Refused, RefusedReason, Reply, Request, encode_rows,
};
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd::{self, Unmade};
use tallyboard_segment::pass::Socket;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::process::unix_ms;
use tallyboard_segment::reach::{NoDescriptor, is_out_of_descriptors};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use crate::board::core::{Caller, Core, Rules, refuse};
use crate::board::guests::Guests;
use crate::config::Config;
use crate::keep::inheritance::{Holder, Inheritance};
use crate::keep::link::{self, ToKeeper, ToSupervisor};
use crate::outlet::Ask;
use crate::page::collector::{Collector, Process, Spent};
use crate::page::process::Found;
use crate::page::{own, process};
use crate::serve::control;
use crate::serve::http::Http;
use crate::serve::outlets;
use crate::serve::places::{Ended, Places};
use crate::serve::reactor::{both, register};

/// What a scrape asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// Names of families or of their samples; none for all.
    pub(crate) metrics: Vec<String>,
    /// The format. Names need no escaping: those of an arena are what every reader knows.
    pub(crate) format: Format,
    /// Whether it is to have all summaries: see [`Choices`].
    pub(crate) any_summaries: bool,
}

impl Wanted {
    pub(crate) fn new(metrics: Vec<String>, negotiated: Negotiated) -> Self {
        let Negotiated { format, any_summaries, .. } = negotiated;
        Self { metrics, format, any_summaries }
    }
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
/// How long it is nothing special that no worker has attached.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long requests under way may take when the supervisor stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);

/// Runs a supervisor until it is told to stop; gives the status to end with.
pub(crate) fn run(arena: Arena, inheritance: Inheritance<'_>, link: Socket) -> i32 {
    let tell_left_out = inheritance.config.tell_left_out;
    run_until(serve(arena, inheritance, link), tell_left_out)
}

/// Runs what a supervisor does, in a runtime of one thread; gives the status to end with.
pub(crate) fn run_until(
    served: impl Future<Output = io::Result<()>>,
    tell_left_out: fn(bool),
) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return 1;
        }
    };
    let tasks = LocalSet::new();
    let served = runtime.block_on(tasks.run_until(served));
    if let Err(error) = &served {
        tracing::error!(%error, "the supervisor cannot go on");
    }
    tell_left_out(true);
    i32::from(served.is_err())
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

/// The places of conversations beside those of `slots` workers, as many as this process may have.
pub(crate) fn places(slots: usize, config: &Config) -> Rc<Places> {
    let limit = raise_descriptor_limit();
    Places::new(conversations(limit, slots, config.max_connections))
}

/// How many conversations there are places for, when `limit` files may be open: what every slot and
/// every scrape may need is kept for them.
fn conversations(limit: usize, slots: usize, scrapes: usize) -> usize {
    /// The arena, the runtime and what is looked up in /proc.
    const OTHERS: usize = 64;
    const LEAST: usize = 8;
    let kept = slots.saturating_add(scrapes).saturating_add(OTHERS);
    let needed = kept + LEAST * control::DESCRIPTORS_EACH;
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "{slots} workers and {scrapes} connections of scrapers may need more open files than this process may have; raise its limit (ulimit -n, LimitNOFILE=), or use fewer --slots or --web.max-connections"
        );
    }
    let most = limit.saturating_sub(kept) / control::DESCRIPTORS_EACH;
    most.clamp(LEAST, control::MOST_CONVERSATIONS)
}

async fn serve(arena: Arena, mut inheritance: Inheritance<'_>, link: Socket) -> io::Result<()> {
    let places = places(inheritance.layout.geometry.slots, inheritance.config);
    let (events, mut happened) = mpsc::channel(1024);
    let link = Rc::new(both(link)?);
    let http = Http::new(
        &inheritance.config.telemetry_path,
        inheritance.config.max_connections,
        events.clone(),
    );
    spawn_local(hear_keeper(Rc::clone(&link), events.clone()));
    spawn_local(tick(events.clone()));
    let control = both(inheritance.control.try_clone()?)?;
    let core = open_core(arena, &inheritance)?;
    let mut supervisor = Supervisor::new(core, &inheritance, link, events.clone(), http)?;
    supervisor.watch_tenants(std::mem::take(&mut inheritance.holders));
    for (index, socket) in inheritance.metrics.iter().enumerate() {
        if let Some(listener) = &socket.listener {
            supervisor.listen(index, listener.try_clone()?)?;
        }
    }
    supervisor.look_outside();
    let own = control::Own::of(inheritance.config);
    let door = control::Door { guests: supervisor.core.guests().clone(), own };
    spawn_local(control::accept(control, door, places, events));
    link::send(supervisor.link.get_ref(), ToKeeper::Ready, None)?;
    supervisor.start_outlets();
    while let Some(first) = happened.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = happened.try_recv() {
            batch.push(next);
        }
        if supervisor.act(batch) == Next::End {
            break;
        }
    }
    Ok(())
}

/// The first supervisor of a new arena finds it empty; every other finds what the last one left.
fn open_core(arena: Arena, inheritance: &Inheritance<'_>) -> io::Result<Core> {
    let config = inheritance.config;
    let rules = Rules {
        guests: Guests::of(config),
        label_limit: config.label_limit,
        worker_label: config.worker_label,
        labels: config.labels.clone(),
        choices: config.choices,
    };
    let (layout, origin) = (inheritance.layout, inheritance.origin);
    if inheritance.starts == 1 && !inheritance.is_reopened {
        return Ok(Core::new(arena, layout, origin, rules));
    }
    Core::recover(arena, layout, origin, rules).map_err(io::Error::other)
}

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

async fn tick(events: Events) {
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
async fn watch(pidfd: Pidfd, slot: usize, generation: u64, events: Events) {
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

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// The loop's state: the core, and the sockets and tasks around it.
struct Supervisor {
    core: Core,
    /// The arena's object, which workers get.
    object: Arc<OwnedFd>,
    link: Rc<AsyncFd<Socket>>,
    events: Events,
    http: Rc<Http>,
    /// The slot that a connection was offered and has not taken yet.
    offers: HashMap<u64, (usize, u64)>,
    /// The task that watches the worker of each slot.
    watches: HashMap<usize, JoinHandle<()>>,
    /// Where metrics are served, as far as their addresses could be had.
    listeners: RefCell<Vec<Option<SocketAddr>>>,
    description: Description,
    config: Config,
    reason: String,
    starts: u64,
    collector: Collector,
    /// What the keeper knows of it.
    spent: Spent,
    /// What the supervisor knows of its own process.
    own_process: Vec<FamilySamples>,
    /// Whether more is known of the world outside than the core exposes.
    is_stale: bool,
    /// The outlets, once they are started.
    outlets: Option<Rc<outlets::Running>>,
    /// Since when it waits for a first worker, until that is done or has been said.
    alone_since: Option<Instant>,
}

impl Supervisor {
    fn new(
        core: Core,
        inheritance: &Inheritance<'_>,
        link: Rc<AsyncFd<Socket>>,
        events: Events,
        http: Rc<Http>,
    ) -> io::Result<Self> {
        let config = inheritance.config;
        let origin = inheritance.origin;
        let object = core.arena().object().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self {
            object: Arc::new(object.try_clone_to_owned()?),
            core,
            link,
            events,
            http,
            offers: HashMap::new(),
            watches: HashMap::new(),
            listeners: RefCell::new(vec![None; inheritance.metrics.len()]),
            description: Description {
                name: config.name.clone(),
                backing: inheritance.backing.to_string(),
                arena_id: origin.arena_id,
                keeper_pid: origin.keeper_pid as u32,
                supervisor_pid: std::process::id(),
                slots: inheritance.layout.geometry.slots as u64,
                taken: 0,
                series: 0,
                metrics: Vec::new(),
            },
            config: config.clone(),
            reason: inheritance.reason.to_owned(),
            starts: inheritance.starts,
            collector: Collector::new(inheritance.spent),
            spent: inheritance.spent,
            own_process: Vec::new(),
            is_stale: true,
            outlets: None,
            // Later ones find the workers of the first.
            alone_since: (inheritance.starts == 1 && !inheritance.is_reopened).then(Instant::now),
        })
    }

    /// Watches the workers that an earlier supervisor has left: by the pidfds that the keeper
    /// kept, else by what the slot table says of them.
    fn watch_tenants(&mut self, mut holders: Vec<Option<Holder>>) {
        let tenants: Vec<_> = self
            .core
            .tenants()
            .map(|(slot, generation, tenant)| (slot, generation, *tenant))
            .collect();
        for (slot, generation, tenant) in tenants {
            let holder = holders.get_mut(slot).and_then(Option::take);
            let kept = holder.filter(|holder| holder.generation == generation);
            if let Some(kept) = kept {
                self.watch(kept.pidfd, slot, generation);
                continue;
            }
            match process::find(&tenant) {
                Found::Alive(pidfd) => {
                    // The keeper that knew it is dead; this one must keep the arena for it.
                    let link = self.link.get_ref();
                    let known = announce(link, slot, generation, tenant.pid, &pidfd);
                    if let Err(error) = known {
                        tracing::error!(slot, %error, "cannot tell the keeper of a worker");
                    }
                    self.watch(pidfd, slot, generation);
                }
                Found::Dead => self.core.exited(slot, generation),
                Found::Unknown => tracing::error!(
                    slot,
                    pid = tenant.pid,
                    "nobody knows whether the worker of this slot lives; it is kept as it is"
                ),
            }
        }
        self.core.reclaim();
    }

    fn watch(&mut self, pidfd: Pidfd, slot: usize, generation: u64) {
        let watch = watch(pidfd, slot, generation, self.events.clone());
        if let Some(before) = self.watches.insert(slot, spawn_local(watch)) {
            before.abort();
        }
    }

    /// Acts on what has happened: deaths first, so that their slots are free for who asks next;
    /// scrapes last and all together.
    fn act(&mut self, batch: Vec<Event>) -> Next {
        // The kernel ends who touches what is cut off. It would end this process too, but later.
        if !self.core.arena().is_whole() {
            return Next::End;
        }
        let (deaths, others): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|event| matches!(event, Event::WorkerExited { .. }));
        self.core.set_time(unix_ms());
        self.reclaim(deaths);
        let (mut scrapes, mut snapshots) = (Vec::new(), Vec::new());
        for event in others {
            match event {
                Event::Attach { connection, caller, pidfd, hello, answer } => {
                    let reply = self.attach(connection, &caller, pidfd, &hello);
                    let _ = answer.send(Some(reply));
                }
                Event::Asked { connection, request, answer } => {
                    let _ = answer.send(self.answer(connection, request));
                }
                Event::Refused(reason) => self.core.figures().refuse(reason),
                Event::Ended(reason) => self.core.figures().end(reason),
                Event::HungUp { connection } => {
                    let offer = self.offers.remove(&connection);
                    self.withdraw(offer);
                }
                Event::Scrape(scrape) => scrapes.push(scrape),
                Event::Snapshot(answer) => snapshots.push(answer),
                Event::Keeper(message, descriptor) => self.obey(message, descriptor),
                Event::Tick => {
                    (self.config.tell_left_out)(false);
                    self.look_outside();
                    self.look_for_workers();
                }
                Event::KeeperGone => {
                    tracing::error!("the keeper has gone; ending without it");
                    return Next::End;
                }
                Event::Stopped => return Next::End,
                Event::WorkerExited { .. } => {}
            }
        }
        self.answer_scrapes(scrapes);
        self.answer_snapshots(snapshots);
        Next::GoOn
    }

    /// Reclaims the slots of the dead; their processor time is read before, while /proc may have it.
    fn reclaim(&mut self, deaths: Vec<Event>) {
        let mut dead = Vec::new();
        for death in deaths {
            let Event::WorkerExited { slot, generation } = death else { continue };
            let mut tenants = self.core.tenants();
            let tenant = tenants.find(|(at, turn, _)| (*at, *turn) == (slot, generation));
            dead.extend(tenant.and_then(|(_, _, tenant)| Process::of(tenant)));
            drop(tenants);
            self.core.exited(slot, generation);
        }
        if !self.config.process_metrics || dead.is_empty() {
            self.core.reclaim();
            return;
        }
        dead.iter().for_each(|&process| self.collector.see_last(process));
        self.core.reclaim();
        let core = &self.core;
        self.collector.bury(&dead, || core.tenants().map(|(_, _, tenant)| tenant));
        self.is_stale = true;
    }

    /// Takes back a slot that a connection was offered. A client that asked again on another
    /// connection was offered the same one there, and may take it yet.
    fn withdraw(&mut self, offer: Option<(usize, u64)>) {
        if let Some((slot, generation)) = offer
            && !self.offers.values().any(|other| *other == (slot, generation))
        {
            self.core.release(slot, generation);
        }
    }

    /// Answers scrapes: those that want the same share one page.
    fn answer_scrapes(&mut self, scrapes: Vec<Scrape>) {
        let mut pages: HashMap<Wanted, Bytes> = HashMap::new();
        for scrape in scrapes {
            if !scrape.is_awaited() {
                continue;
            }
            let page = pages.entry(scrape.wanted);
            let page = page.or_insert_with_key(|wanted| Bytes::from(self.expose(wanted)));
            let _ = scrape.answer.send(page.clone());
        }
    }

    fn expose(&mut self, wanted: &Wanted) -> Vec<u8> {
        let any_summaries = wanted.any_summaries;
        self.scrape(|core| {
            let choices = Choices { any_summaries, ..core.choices() };
            core.expose_with(wanted.format, &choices, &wanted.metrics)
        })
    }

    /// Answers outlets, which all want the same.
    fn answer_snapshots(&mut self, mut answers: Vec<Ask>) {
        answers.retain(|answer| !answer.is_closed());
        if answers.is_empty() {
            return;
        }
        let families = Arc::new(self.scrape(|core| core.families(&[])));
        for answer in answers {
            // An outlet that has ended meanwhile needs no families.
            let _ = answer.send(Arc::clone(&families));
        }
    }

    fn scrape<T>(&mut self, read: impl FnOnce(&mut Core) -> T) -> T {
        let start = Instant::now();
        if std::mem::take(&mut self.is_stale) {
            self.show_outside();
        }
        let mut fresh = outlets::families(&self.config.outlets);
        fresh.extend(self.http.families());
        self.core.figures().set_fresh(fresh);
        self.core.set_time(unix_ms());
        let found = read(&mut self.core);
        self.core.figures().scraped(start.elapsed().as_secs_f64());
        found
    }

    fn start_outlets(&mut self) {
        if !self.config.outlets.is_empty() {
            let running = outlets::Running::start(&self.config.outlets, &self.events);
            self.outlets = Some(Rc::new(running));
        }
    }

    fn attach(
        &mut self,
        connection: u64,
        caller: &Caller,
        pidfd: Pidfd,
        hello: &Hello,
    ) -> (Reply, Option<Arc<OwnedFd>>) {
        let link = self.link.get_ref();
        let announce = |slot: usize, generation: u64| {
            announce(link, slot, generation, caller.pid.into(), &pidfd)
        };
        match self.core.attach(caller, hello, unix_ms(), announce) {
            Ok(attached) => {
                let (slot, generation) = (attached.slot as usize, attached.generation);
                // A connection takes one slot: the last one that it asked for.
                let before = self.offers.insert(connection, (slot, generation));
                self.withdraw(before);
                self.watch(pidfd, slot, generation);
                (Reply::Attached(attached), Some(Arc::clone(&self.object)))
            }
            Err(refused) => (Reply::Refused(refused), None),
        }
    }

    fn answer(
        &mut self,
        connection: u64,
        request: Request,
    ) -> Option<(Reply, Option<Arc<OwnedFd>>)> {
        let body = |bytes: Vec<u8>, content_type: &str| match memfd::of_bytes(&bytes) {
            Ok(object) => {
                let (bytes, content_type) = (bytes.len() as u64, content_type.to_owned());
                (Reply::Body { bytes, content_type }, Some(Arc::new(object)))
            }
            Err(error) => (Reply::Refused(no_body(&error)), None),
        };
        match request {
            Request::Confirm => {
                if let Some((slot, generation)) = self.offers.remove(&connection) {
                    self.core.confirm(slot, generation);
                }
                None
            }
            Request::Scrape { metrics, accept } => {
                let negotiated = negotiate(&accept);
                let wanted = Wanted::new(metrics, negotiated);
                Some(body(self.expose(&wanted), &negotiated.content_type()))
            }
            Request::Slots => Some(body(encode_rows(&self.core.rows()), "")),
            Request::Describe => {
                let mut description = self.description.clone();
                description.taken = self.core.rows().len() as u64;
                description.series = self.core.series() as u64;
                let served = self.listeners.borrow();
                let served = served.iter().flatten().map(|&at| self.config.metrics_url(at));
                description.metrics = served.collect();
                Some((Reply::Described(description), None))
            }
            // `control` turns a Hello into `Event::Attach`.
            Request::Hello(_) => None,
        }
    }

    fn obey(&mut self, message: ToSupervisor, descriptor: Option<OwnedFd>) {
        match (message, descriptor) {
            (ToSupervisor::Stop, _) => {
                let (http, events) = (Rc::clone(&self.http), self.events.clone());
                let outlets = self.outlets.take();
                spawn_local(async move {
                    let drained = tokio::time::timeout(DRAIN, http.drain());
                    let ended = async {
                        if let Some(outlets) = outlets {
                            outlets.stop().await;
                        }
                    };
                    let _ = tokio::join!(drained, ended);
                    let _ = events.send(Event::Stopped).await;
                });
            }
            (ToSupervisor::Ask, _) => {
                if let Err(error) = link::send(self.link.get_ref(), ToKeeper::Alive, None) {
                    tracing::warn!(%error, "cannot tell the keeper that the loop turns");
                }
            }
            (ToSupervisor::Listener { index }, Some(descriptor)) => {
                let listener = TcpListener::from(descriptor);
                if let Err(error) = self.listen(index as usize, listener) {
                    tracing::error!(%error, "cannot serve metrics on a socket of the keeper");
                }
                self.is_stale = true;
            }
            (ToSupervisor::Listener { .. }, None) => {
                tracing::error!("a metrics socket of the keeper did not arrive");
            }
        }
    }

    fn listen(&self, index: usize, listener: TcpListener) -> io::Result<()> {
        let at = listener.local_addr()?;
        self.http.listen(listener)?;
        if let Some(place) = self.listeners.borrow_mut().get_mut(index) {
            *place = Some(at);
        }
        Ok(())
    }

    /// Looks at what the core cannot know, so that a scrape need not.
    fn look_outside(&mut self) {
        self.own_process = process::own_process();
        if self.config.process_metrics {
            self.collector.look(self.core.tenants());
        }
        self.is_stale = true;
    }

    /// Says once when no worker has attached for long.
    fn look_for_workers(&mut self) {
        let has_any = self.core.figures().attaches > 0;
        if has_any || self.alone_since.is_none_or(|since| since.elapsed() >= PATIENCE) {
            let is_alone = self.alone_since.take().is_some() && !has_any;
            if is_alone {
                let seconds = PATIENCE.as_secs();
                tracing::warn!(
                    "no worker has attached in {seconds} s: see whether the application counts something, has \
                     TALLYBOARD, and has the wheel in its interpreter; `tallyboard doctor -- COMMAND` says"
                );
            }
        }
    }

    /// Gives the core what is known of the world outside, as samples.
    fn show_outside(&mut self) {
        // Before the bytes leave, so that a later supervisor does not undercut them.
        let spent = self.collector.spent();
        if std::mem::replace(&mut self.spent, spent) != spent
            && let Err(error) = link::send(self.link.get_ref(), ToKeeper::Spent(spent), None)
        {
            tracing::warn!(%error, "the keeper does not learn the processor time of the workers");
        }
        let up = self.listeners.borrow();
        let addresses = self.config.listen.iter().map(ToString::to_string);
        let up = addresses.zip(up.iter().map(|at| Value::Whole(at.is_some().into())));
        let mut outside = self.own_process.clone();
        outside.extend(self.collector.families(self.config.worker_label));
        outside.push(process::platform());
        let target: Vec<(&str, &str)> = self.config.target_info.pairs().collect();
        if !target.is_empty() {
            outside.push(own::TARGET_INFO.info(&target));
        }
        outside.push(own::LISTENER_UP.labelled(up));
        outside.push(own::SUPERVISOR_STARTS.value(Value::Whole(self.starts)));
        outside.push(own::ARENA_INFO.info(&[
            ("arena", &self.config.name),
            ("backing", &self.description.backing),
            ("reason", &self.reason),
        ]));
        let layout = tallyboard_proto::layout::LAYOUT_VERSION.to_string();
        outside.push(
            own::BUILD_INFO.info(&[("layout", &layout), ("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.core.figures().set_outside(outside);
    }
}

/// Tells the keeper who has a slot.
fn announce(
    link: &Socket,
    slot: usize,
    generation: u64,
    pid: u64,
    pidfd: &Pidfd,
) -> io::Result<()> {
    let assigned = ToKeeper::Assigned { slot: slot as u64, generation, pid };
    link::send(link, assigned, Some(pidfd.as_fd()))
}

fn no_body(error: &io::Error) -> Refused {
    refuse(RefusedReason::Memory, format!("the supervisor cannot answer: {}", Unmade(error)))
}
