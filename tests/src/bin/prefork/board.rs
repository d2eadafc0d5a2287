//! What the parts have in common: a keeper beside this process, and the page that it serves.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tallyboard::{Registry, RegistryBuilder};
use tallyboard_segment::pass::Address;
use tallyboard_segment::posix::ObjectName;
use tallyboard_segment::process::fork_child;
use tallyboard_supervisor::{Builder, Handle, ask};
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::{Labels, Page};
use tallyboard_tests::start::child::{free_address, until};

use crate::flags::text_flag;
use crate::stage::{send, text};

/// Spawns a keeper with the backing of `--backing`, and points the shared registry at it.
pub(crate) fn spawn(slots: usize) -> Result<Handle, String> {
    let backing = text_flag("backing", "auto").parse().map_err(|e| format!("{e}"))?;
    let listen = "127.0.0.1:0".parse().map_err(|e| format!("{e}"))?;
    let handle = Builder::new().listen(listen).backing(backing).slots(slots).spawn();
    let handle = handle.map_err(|error| error.to_string())?;
    install(Registry::builder(), handle.address())?;
    Ok(handle)
}

/// Somebody who serves: a keeper beside this process, or with `--program` a `tallyboard serve` that
/// can be killed and started again.
pub(crate) enum Board {
    Spawned(Handle),
    Served { program: Box<Command>, child: Child, address: Address, metrics: SocketAddr },
}

impl Board {
    pub(crate) fn open() -> Result<Self, String> {
        let program = text_flag("program", "");
        if program.is_empty() {
            return Ok(Self::Spawned(spawn(256)?));
        }
        Self::serve(&program, &[], Registry::builder())
    }

    /// Starts the program with these flags, and points the shared registry at it.
    pub(crate) fn serve(
        program: &str,
        flags: &[&str],
        registry: RegistryBuilder,
    ) -> Result<Self, String> {
        let name = name();
        let address = Address::Abstract(format!("tallyboard/test/{name}"));
        let metrics = free_address();
        let mut program = Box::new(Command::new(program));
        program.args(["serve", "--log.level", "error", "--name", &name]);
        program.args(["--backing", &text_flag("backing", "auto")]);
        program.args(["--control", &address.to_string()]);
        program.args(["--web.listen-address", &metrics.to_string()]).args(flags);
        let child = program.spawn().map_err(|error| error.to_string())?;
        until(|| ask::describe(&address, WAIT).ok());
        install(registry, &address.to_string())?;
        Ok(Self::Served { program, child, address, metrics })
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        match self {
            Self::Spawned(handle) => handle.metrics()[0],
            Self::Served { metrics, .. } => *metrics,
        }
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Spawned(handle) => handle.address().parse().expect("a handle has an address"),
            Self::Served { address, .. } => address.clone(),
        }
    }

    /// Kills keeper and supervisor, the keeper first, so that it cannot replace its supervisor.
    pub(crate) fn kill(&self) -> Result<(), String> {
        let described = ask::describe(&self.address(), WAIT).map_err(text)?;
        send(described.keeper_pid, Signal::SIGKILL)?;
        send(described.supervisor_pid, Signal::SIGKILL)
    }

    /// Has the next `tallyboard serve` start anew, whatever the last one has left.
    pub(crate) fn discard(&mut self) {
        if let Self::Served { program, .. } = self {
            program.arg("--discard-arena");
        }
    }

    /// Starts another `tallyboard serve` after the last one was killed.
    pub(crate) fn serve_again(&mut self) -> Result<(), String> {
        let Self::Served { program, child, address, .. } = self else {
            return Err("expected --program, found none".to_owned());
        };
        child.wait().map_err(|error| error.to_string())?;
        *child = program.spawn().map_err(|error| error.to_string())?;
        until(|| match child.try_wait() {
            Ok(None) => ask::describe(address, WAIT).ok().map(|_| Ok(())),
            other => Some(Err(format!("expected a server, found {other:?}"))),
        })
    }

    pub(crate) fn stop(self) {
        match self {
            Self::Spawned(handle) => handle.stop(),
            Self::Served { mut child, .. } => {
                let pid = nix::unistd::Pid::from_raw(child.id() as i32);
                // A server that is gone already has nothing to be told.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
                let _ = child.wait();
                // It leaves a named object to this process, which has a slot.
                let object = ObjectName::of_arena(geteuid().as_raw(), &name());
                std::fs::remove_file(object.path()).ok();
            }
        }
    }
}

const WAIT: Duration = Duration::from_secs(10);

/// Name of the arena that this process has served.
fn name() -> String {
    format!("prefork-{}", std::process::id())
}

fn install(registry: RegistryBuilder, address: &str) -> Result<(), String> {
    let installed = registry.address(address).attach_timeout(WAIT).install();
    installed.map_err(|error| error.to_string())
}

/// Forks a child that runs `body`, and that does not outlive this process.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> Result<u32, String> {
    let tied = || if end_with_parent().is_ok() { body() } else { 1 };
    fork_child(tied).map_err(|error| error.to_string())
}

/// Has the kernel kill this process when its parent dies.
pub(crate) fn end_with_parent() -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
}

/// Scrapes the page.
pub(crate) fn scrape(address: SocketAddr) -> Result<Page, String> {
    let answer = get(address, "/metrics").map_err(|error| format!("no scrape: {error}"))?;
    if answer.status != 200 {
        return Err(format!("expected a page, found status {}", answer.status));
    }
    Page::parse(&answer.body)
}

/// How many slots are taken, as the page says.
pub(crate) fn taken(page: &Page) -> f64 {
    // Constant labels may stand beside that of the state.
    let state = |state: &str| {
        let is_state = |labels: &Labels| labels.get("state").is_some_and(|found| found == state);
        let mut slots = page.of("tallyboard_slots").filter(|(labels, _)| is_state(labels));
        slots.next().map_or(f64::NAN, |(_, slots)| slots)
    };
    state("live") + state("assigned") + state("draining")
}

/// Scrapes until at most `most` slots are taken.
pub(crate) fn scrape_when_taken(address: SocketAddr, most: f64) -> Result<Page, String> {
    until(|| match scrape(address) {
        Ok(page) if taken(&page) <= most => Some(Ok(page)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// Kills the supervisor, and waits for the one that the keeper starts in its place.
pub(crate) fn restart(address: &Address) -> Result<(), String> {
    let dead = settled_supervisor(address)?;
    send(dead, Signal::SIGKILL)?;
    until(|| {
        let described = ask::describe(address, Duration::from_secs(1)).ok()?;
        (described.supervisor_pid != dead).then_some(())
    });
    Ok(())
}

/// The pid of a supervisor that has lived long enough for its keeper to replace it at once.
pub(crate) fn settled_supervisor(address: &Address) -> Result<u32, String> {
    let described = ask::describe(address, Duration::from_secs(60));
    let pid = described.map_err(|error| error.to_string())?.supervisor_pid;
    let born = std::fs::metadata(format!("/proc/{pid}")).and_then(|found| found.created());
    // Where the birth of a directory in /proc is not known, it counts as now.
    let age = born.ok().and_then(|born| born.elapsed().ok()).unwrap_or_default();
    std::thread::sleep(SETTLED.saturating_sub(age));
    Ok(pid)
}

/// An age that is no longer short for a supervisor.
const SETTLED: Duration = Duration::from_millis(120);
