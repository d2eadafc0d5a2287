//! A keeper for the parent of a prefork server: forked off before the server forks its workers, so
//! that the parent keeps one thread, no runtime and no descriptors but one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tallyboard_segment::pass::Socket;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::process::{ForkError, fork_child};
use thiserror::Error;

use crate::config::{Backing, Config, ListenAddress, random_address};
use crate::keep::inheritance::Run;
use crate::keep::keeper::{Happening, Keeper};
use crate::outlet::Outlet;

/// How long a keeper may take to open its arena, and to stop.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 4096;

/// Starts a keeper from the parent of a prefork server.
///
/// ```no_run
/// use tallyboard_supervisor::Builder;
///
/// let board = Builder::new().listen("127.0.0.1:9500".parse()?).spawn()?;
/// println!("workers find it with TALLYBOARD={}", board.address());
/// // ... fork workers for as long as the server runs ...
/// board.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    listen: Vec<ListenAddress>,
    slots: Option<usize>,
    max_series: Option<usize>,
    backing: Backing,
    outlets: Vec<Arc<dyn Outlet>>,
}

/// A keeper that runs beside this process, and ends with it.
#[derive(Debug)]
pub struct Handle {
    address: String,
    metrics: Vec<SocketAddr>,
    line: Socket,
}

/// A keeper that cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// This process cannot fork it.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// The keeper could not open its arena; it says why and what to do.
    #[error("{0}")]
    Open(String),
    /// The keeper did not answer.
    #[error("the keeper did not start: {0}; see its log on standard error")]
    System(#[from] io::Error),
}

impl Builder {
    /// A keeper with the default configuration, serving metrics nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Name of the arena; by default one of this process alone.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Serves metrics on this address too.
    #[must_use]
    pub fn listen(mut self, address: ListenAddress) -> Self {
        self.listen.push(address);
        self
    }

    /// How many workers can be attached at once.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// How many series the arena has room for.
    #[must_use]
    pub fn max_series(mut self, max_series: usize) -> Self {
        self.max_series = Some(max_series);
        self
    }

    /// What the arena is made of.
    #[must_use]
    pub fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// Sends what is served elsewhere too.
    #[must_use]
    pub fn outlet(mut self, outlet: Arc<dyn Outlet>) -> Self {
        self.outlets.push(outlet);
        self
    }

    /// As [`Builder::spawn`], with what the keeper's supervisors are to do.
    pub(crate) fn spawn_for(self, run: Run) -> Result<Handle, SpawnError> {
        let mut config = Config::new("", random_address()?);
        // Its address is made up, so nobody finds the arena again whatever its name.
        config.is_ephemeral = true;
        config.name = self.name.unwrap_or_else(|| format!("spawn-{}", std::process::id()));
        config.listen = self.listen;
        config.must_listen = true;
        config.backing = self.backing;
        config.outlets = self.outlets;
        config.slots = self.slots.unwrap_or(config.slots);
        config.max_series = self.max_series.unwrap_or(config.max_series);
        let address = config.control.to_string();
        let (mine, theirs) = Socket::pair()?;
        let owner = Pidfd::open(std::process::id())?;
        let mut mine = Some(mine);
        // Twice, so that the keeper is an orphan: nothing that waits for children finds it.
        let between = fork_child(|| {
            drop(mine.take());
            let keeper = fork_child(|| keep(config, run, &owner, &theirs));
            i32::from(keeper.is_err())
        })?;
        drop(theirs);
        waitpid(Pid::from_raw(between as i32), None).map_err(io::Error::from)?;
        let Some(line) = mine else { return Err(io::Error::other("no line").into()) };
        let answer = line.receive_until(MOST_BYTES, Instant::now() + KEEPER_TIMEOUT)?.bytes;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match answer.strip_prefix("ok") {
            Some(addresses) => {
                let metrics = addresses.split_whitespace().filter_map(|a| a.parse().ok()).collect();
                Ok(Handle { address, metrics, line })
            }
            None if answer.is_empty() => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            None => Err(SpawnError::Open(answer)),
        }
    }
}

/// The keeper's whole life.
fn keep(config: Config, run: Run, owner: &Pidfd, line: &Socket) -> i32 {
    let opened = Keeper::open_for(config, run).map_err(|error| error.to_string());
    let started = opened.and_then(|mut keeper| match keeper.start() {
        Ok(()) => Ok(keeper),
        Err(error) => Err(error.to_string()),
    });
    let mut keeper = match started {
        Ok(keeper) => keeper,
        Err(error) => {
            let length = error.len().min(MOST_BYTES);
            let _ = line.send(&error.as_bytes()[..length], None);
            return 1;
        }
    };
    let addresses: Vec<String> = keeper.metrics().iter().map(ToString::to_string).collect();
    let mut told = line.send(format!("ok {}", addresses.join(" ")).as_bytes(), None).is_ok();
    while told {
        match keeper.wait_for(&[owner.as_fd(), line.as_fd()]) {
            // The owner is dead, or it says stop.
            Ok(Happening::Readable(0)) => told = false,
            Ok(Happening::Readable(_)) => told = line.receive_bytes(MOST_BYTES).is_err(),
            Ok(Happening::Signal(signal)) if signal == Signal::SIGTERM as i32 => told = false,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the keeper cannot wait");
                told = false;
            }
        }
    }
    keeper.stop();
    0
}

impl Handle {
    /// Where workers attach: the value for `TALLYBOARD`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// Stops the keeper and its supervisor, and waits until they have ended.
    pub fn stop(self) {
        if self.line.send(b"stop", None).is_ok() {
            // An empty packet: the keeper has closed its end by ending.
            let _ = self.line.receive_until(MOST_BYTES, Instant::now() + KEEPER_TIMEOUT);
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}
