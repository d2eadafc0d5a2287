//! The supervisor's process: the one loop that acts on everything that happens. What happens is in
//! `events.rs`; what the loop keeps beside the state is in `attach.rs` and `outside.rs`.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tallyboard_exposition::negotiation::negotiate;
use tallyboard_exposition::whole;
use tallyboard_proto::control::{Description, Refused, RefusedReason, Reply, Request, encode_rows};
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd::{self, Unmade};
use tallyboard_segment::pass::Socket;
use tallyboard_segment::process::unix_ms;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::config::Config;
use crate::keep::inheritance::Inheritance;
use crate::keep::link::{self, ToKeeper, ToSupervisor};
use crate::outlet::Ask;
use crate::page::collector::Process;
use crate::page::exposed::Core;
use crate::serve::attach::Workers;
use crate::serve::control;
use crate::serve::door::{Door, Own, guests};
use crate::serve::events::{Event, Events, Scrape, Wanted, hear_keeper, tick};
use crate::serve::http::{DRAIN, Http};
use crate::serve::outlets::{self, Running};
use crate::serve::outside::Outside;
use crate::serve::places::places;
use crate::serve::reactor::{both, run_until};
use crate::serve::restart::{is_first, open_core, watch_tenants};

/// How long it is nothing special that no worker has attached.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a supervisor until it is told to stop; gives the status to end with.
pub(crate) fn run(arena: Arena, inheritance: Inheritance<'_>, link: Socket) -> i32 {
    let tell_left_out = inheritance.config.tell_left_out;
    run_until(serve(arena, inheritance, link), tell_left_out)
}

async fn serve(arena: Arena, mut inheritance: Inheritance<'_>, link: Socket) -> io::Result<()> {
    let config = inheritance.config;
    let places = places(inheritance.layout.geometry.slots, config.max_connections);
    let (events, mut happened) = mpsc::channel(1024);
    let link = Rc::new(both(link)?);
    let http = Http::new(&config.telemetry_path, config.max_connections, events.clone());
    spawn_local(hear_keeper(Rc::clone(&link), events.clone()));
    spawn_local(tick(events.clone()));
    let control = both(inheritance.control.try_clone()?)?;
    let door = Door { guests: guests(config), own: Own::of(config) };
    let core = open_core(arena, &inheritance, door.guests.clone())?;
    let mut supervisor = Supervisor::new(core, &inheritance, link, events.clone(), http)?;
    let holders = std::mem::take(&mut inheritance.holders);
    watch_tenants(&mut supervisor.core, &mut supervisor.workers, holders);
    for (index, socket) in inheritance.metrics.iter().enumerate() {
        if let Some(listener) = &socket.listener {
            supervisor.listen(index, listener.try_clone()?)?;
        }
    }
    supervisor.outside.look(&supervisor.core);
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

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// The loop's state: the core, and the sockets and tasks around it.
struct Supervisor<'a> {
    core: Core,
    workers: Workers,
    outside: Outside<'a>,
    link: Rc<AsyncFd<Socket>>,
    events: Events,
    http: Rc<Http>,
    description: Description,
    config: &'a Config,
    /// The outlets, once they are started.
    outlets: Option<Rc<Running>>,
    /// Since when it waits for a first worker, until that is done or has been said.
    alone_since: Option<Instant>,
}

impl<'a> Supervisor<'a> {
    fn new(
        core: Core,
        inheritance: &Inheritance<'a>,
        link: Rc<AsyncFd<Socket>>,
        events: Events,
        http: Rc<Http>,
    ) -> io::Result<Self> {
        let (config, origin) = (inheritance.config, inheritance.origin);
        Ok(Self {
            workers: Workers::new(&core, Rc::clone(&link), events.clone())?,
            outside: Outside::new(inheritance, Rc::clone(&link)),
            core,
            link,
            events,
            http,
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
            config,
            outlets: None,
            // Later ones find the workers of the first.
            alone_since: is_first(inheritance).then(Instant::now),
        })
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
                    let reply =
                        self.workers.attach(&mut self.core, connection, &caller, pidfd, &hello);
                    let _ = answer.send(Some(reply));
                }
                Event::Asked { connection, request, answer } => {
                    let _ = answer.send(self.answer(connection, request));
                }
                Event::Refused(reason) => self.core.figures().refuse(reason),
                Event::Ended(reason) => self.core.figures().end(reason),
                Event::HungUp { connection } => {
                    self.workers.hung_up(&mut self.core, connection);
                }
                Event::Scrape(scrape) => scrapes.push(scrape),
                Event::Snapshot(answer) => snapshots.push(answer),
                Event::Keeper(message, descriptor) => self.obey(message, descriptor),
                Event::Tick => {
                    (self.config.tell_left_out)(false);
                    self.outside.look(&self.core);
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
        self.outside.see_last(&dead);
        self.core.reclaim();
        self.outside.bury(&dead, &self.core);
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
        let (format, escaping) = (wanted.negotiated.format, wanted.negotiated.escaping);
        self.scrape(|core| core.expose_escaped(format, escaping, &wanted.metrics))
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
        self.outside.show(&mut self.core);
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
            let running = Running::start(&self.config.outlets, &self.events);
            self.outlets = Some(Rc::new(running));
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
                self.workers.confirm(&mut self.core, connection);
                None
            }
            Request::Scrape { metrics, accept } if accept == whole::CONTENT_TYPE => {
                let families = self.scrape(|core| core.families(&metrics));
                Some(body(whole::write(&families), whole::CONTENT_TYPE))
            }
            Request::Scrape { metrics, accept } => {
                let negotiated = negotiate(&accept);
                let wanted = Wanted { metrics, negotiated };
                Some(body(self.expose(&wanted), &negotiated.content_type()))
            }
            Request::Slots => Some(body(encode_rows(&self.core.rows()), "")),
            Request::Describe => {
                let mut description = self.description.clone();
                description.taken = self.core.rows().len() as u64;
                description.series = self.core.series() as u64;
                description.metrics = self.outside.urls();
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
            }
            (ToSupervisor::Listener { .. }, None) => {
                tracing::error!("a metrics socket of the keeper did not arrive");
            }
        }
    }

    fn listen(&mut self, index: usize, listener: TcpListener) -> io::Result<()> {
        let at = listener.local_addr()?;
        self.http.listen(listener)?;
        self.outside.serves(index, at);
        Ok(())
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
}

fn no_body(error: &io::Error) -> Refused {
    Refused {
        reason: RefusedReason::Memory,
        detail: format!("the supervisor cannot answer: {}", Unmade(error)),
    }
}
