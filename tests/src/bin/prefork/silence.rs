//! Somebody listens and nobody answers: the first use of a worker is over at its deadline, the
//! worker counts by itself, and what it has counted is moved when there is an answer.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, Registry};
use tallyboard_segment::pass::{Address, Listener, Socket};
use tallyboard_supervisor::{Builder, ask};
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::{free_address, until};

use crate::board::{fork, scrape, scrape_when_taken, taken};
use crate::flags::text_flag;
use crate::stage::{Stage, ended, send, state_of, text};

const WORKERS: usize = 4;
/// How long a first use may wait. Nothing here takes so long that twenty times as much is right.
const DEADLINE: Duration = Duration::from_millis(100);
const EACH: u64 = 1000;
/// Words of the stage: what all are told, then some of each worker.
const GO_ON: usize = 0;
const GO_HOME: usize = 1;
const USED: usize = 0;
const MILLISECONDS: usize = 1;
const PRIVATE: usize = 2;
const MOVED: usize = 3;
const WARNINGS: usize = 4;

fn word(worker: usize, word: usize) -> usize {
    8 + 8 * worker + word
}

static WARNED: AtomicU64 = AtomicU64::new(0);

fn work(stage: &Stage, address: &str, worker: usize) -> i32 {
    let say = |at, value| stage.say(word(worker, at), value);
    let registry = Registry::builder().address(address).attach_timeout(DEADLINE);
    let registry = registry.on_warning(|_| _ = WARNED.fetch_add(1, Relaxed)).build();
    let begin = Instant::now();
    let counter = Counter::builder("silence_total", "Counted by all.").registry(registry);
    let Ok(counter) = counter.register() else { return 3 };
    counter.inc_by(EACH);
    say(MILLISECONDS, begin.elapsed().as_millis() as u64);
    say(PRIVATE, registry.attachment().is_none().into());
    say(USED, 1);
    stage.wait(GO_ON, 1);
    until(|| registry.attachment());
    counter.inc_by(EACH);
    say(WARNINGS, WARNED.load(Relaxed));
    say(MOVED, 1);
    stage.wait(GO_HOME, 1);
    0
}

fn wait_for_all(stage: &Stage, pids: &[u32], at: usize) -> Result<(), String> {
    let mut workers = pids.iter().enumerate();
    workers.try_for_each(|(worker, &pid)| stage.wait_for(pid, word(worker, at), 1))
}

/// What is the same however it was that nobody answered: from the first answer on.
fn hear_out(stage: &Stage, pids: &[u32], metrics: SocketAddr) -> Result<Value, String> {
    let all = pids.len() as f64;
    until(|| scrape(metrics).ok().filter(|page| taken(page) == all));
    let count = |page: &Page| page.value("silence_total", &[]).unwrap_or(0.0);
    // What was counted before is in the slots before they are seen.
    let whole = all * EACH as f64;
    let moved = until(|| scrape(metrics).ok().map(|page| count(&page)).filter(|&n| n >= whole));
    stage.say(GO_ON, 1);
    wait_for_all(stage, pids, MOVED)?;
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    pids.iter().try_for_each(|&pid| ended(pid))?;
    let dead = scrape_when_taken(metrics, 0.0)?;
    let said = |at| (0..pids.len()).map(|worker| stage.said(word(worker, at))).collect::<Vec<_>>();
    Ok(json!({
        "workers": pids.len(), "each": EACH, "deadline_ms": DEADLINE.as_millis() as u64,
        "moved": moved, "living": count(&living), "dead": count(&dead),
        "taken": taken(&living), "free": dead.value("tallyboard_slots", &[("state", "free")]),
        "milliseconds": said(MILLISECONDS), "private": said(PRIVATE), "warnings": said(WARNINGS),
        "attaches": dead.sum("tallyboard_attaches_total"),
        "quarantines": dead.sum("tallyboard_quarantines_total"),
    }))
}

/// A supervisor that is stopped.
pub(crate) fn stalled() -> Result<Value, String> {
    let listen = "127.0.0.1:0".parse().map_err(|error| format!("{error}"))?;
    let handle = Builder::new().listen(listen).slots(8).spawn().map_err(text)?;
    let address: Address = handle.address().parse().map_err(text)?;
    let described = ask::describe(&address, Duration::from_secs(60)).map_err(text)?;
    let supervisor = described.supervisor_pid;
    send(supervisor, Signal::SIGSTOP)?;
    until(|| (state_of(supervisor) == Some('T')).then_some(()));
    let stage = Stage::new()?;
    let workers = (0..WORKERS).map(|worker| fork(|| work(&stage, handle.address(), worker)));
    let pids = workers.collect::<Result<Vec<_>, _>>()?;
    wait_for_all(&stage, &pids, USED)?;
    let was_stopped = state_of(supervisor) == Some('T');
    send(supervisor, Signal::SIGCONT)?;
    let mut found = hear_out(&stage, &pids, handle.metrics()[0])?;
    let described = ask::describe(&address, Duration::from_secs(60)).map_err(text)?;
    found["was_stopped"] = was_stopped.into();
    found["is_same_supervisor"] = (described.supervisor_pid == supervisor).into();
    handle.stop();
    Ok(found)
}

/// A listener that is no supervisor: it accepts and says nothing, or with `--backlog full` it does
/// not even accept. Later a real one takes its place.
pub(crate) fn mute() -> Result<Value, String> {
    let is_full = text_flag("backlog", "") == "full";
    let name = format!("mute-{}", std::process::id());
    let address = Address::Abstract(format!("tallyboard/test/{name}"));
    let mut listener = Some(Listener::bind(&address).map_err(text)?);
    let waiting = if is_full { fill(&address)? } else { 0 };
    let stage = Stage::new()?;
    let text_of_address = address.to_string();
    let workers = (0..WORKERS).map(|worker| {
        fork(|| {
            // The copy of the listener would keep its address.
            drop(listener.take());
            work(&stage, &text_of_address, worker)
        })
    });
    let pids = workers.collect::<Result<Vec<_>, _>>()?;
    let mut accepted = Vec::new();
    until(|| {
        if !is_full {
            accepted.extend(listener.as_ref().and_then(|listener| listener.accept().ok()));
        }
        let is_done = (0..WORKERS).all(|worker| stage.said(word(worker, USED)) == 1);
        is_done.then_some(())
    });
    let accepts = accepted.len();
    drop((listener, accepted));
    let server = Served::start(&name, &address)?;
    let mut found = hear_out(&stage, &pids, server.metrics)?;
    found["waiting"] = waiting.into();
    found["accepts"] = accepts.into();
    Ok(found)
}

/// Fills the backlog of whoever listens; gives how many it takes. Those who have hung up stay in
/// it until they are accepted.
fn fill(address: &Address) -> Result<u64, String> {
    for waiting in 0.. {
        match Socket::connect(address, Instant::now()) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Ok(waiting),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(0)
}

/// A `tallyboard serve` that does not outlive this.
struct Served {
    child: Child,
    metrics: SocketAddr,
}

impl Served {
    fn start(name: &str, address: &Address) -> Result<Self, String> {
        let metrics = free_address();
        let mut program = Command::new(text_flag("program", "tallyboard"));
        program.args(["serve", "--log.level", "error", "--backing", "memfd", "--slots", "8"]);
        program.args(["--name", name, "--control", &address.to_string()]);
        program.args(["--web.listen-address", &metrics.to_string()]);
        Ok(Self { child: program.spawn().map_err(text)?, metrics })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A server that is gone already has nothing to be told.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
