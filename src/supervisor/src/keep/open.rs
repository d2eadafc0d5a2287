//! Opening an arena: the sockets on which its supervisor is found, and then the arena itself.

use std::io;
use std::time::{Duration, Instant};

use tallyboard_proto::layout::{GeometryError, Layout};
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd::Unmade;
use tallyboard_segment::pass::Address;
use tallyboard_segment::posix::{ArenaLock, CreateError, ObjectName, ReopenError, Taken, too_long};
use tallyboard_segment::reach::Unbound;
use thiserror::Error;

use crate::board::core::Origin;
use crate::config::{Backing, Config, ListenAddress};
use crate::keep::listen::{Control, MetricsSocket};
use crate::keep::made::made;
use crate::keep::service;

/// An arena that cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The sizes are none that an arena can have.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The name is none that an object can have.
    #[error(
        "an arena's name is made of letters, digits, '.', '_' and '-', at most 64, found {found:?}; choose such a --name"
    )]
    Name {
        /// The name found.
        found: String,
    },
    /// The named object cannot be created.
    #[error(transparent)]
    Object(#[from] CreateError),
    /// The named object that was left cannot be gone on with.
    #[error(transparent)]
    Reopen(#[from] ReopenError),
    /// The anonymous object cannot be created.
    #[error("cannot create the arena in anonymous memory: {}", unmade(source))]
    Memory {
        /// What the system said.
        source: io::Error,
    },
    /// Another supervisor listens on the control address.
    #[error(
        "{address} is held by {}; stop that one, or choose another --name or --control", who(*pid)
    )]
    ControlHeld {
        /// The address.
        address: Address,
        /// Its pid; 0 when it cannot be seen.
        pid: u32,
    },
    /// Something that is not ours to remove is where the control socket would be.
    #[error(
        "cannot listen on {address}: expected nothing there, or a socket that a supervisor of this user has left, found {found}; it was left alone: choose another --control, or remove it"
    )]
    ControlTaken {
        /// The address.
        address: Address,
        /// What is there.
        found: String,
    },
    /// The control socket cannot be made.
    #[error("{}", Unbound { address, source })]
    Control {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// A metrics address cannot be had.
    #[error("cannot serve metrics on {address}: {source}; {}", other_address(source))]
    Listen {
        /// The address.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// The process cannot be prepared.
    #[error("cannot prepare the keeper: {0}")]
    System(#[from] io::Error),
}

/// Why there is no anonymous memory, and what to do.
fn unmade(error: &io::Error) -> String {
    match too_long(error) {
        Some(advice) => format!("{error}; {advice}"),
        None => Unmade(error).to_string(),
    }
}

/// Who holds an address.
fn who(pid: u32) -> String {
    match pid {
        0 => "another supervisor, which cannot be seen from here".to_owned(),
        pid => format!("the supervisor with pid {pid}"),
    }
}

/// What to do about a metrics address that cannot be had.
fn other_address(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "stop who listens there (ss -ltnp), or choose another --web.listen-address"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are root's, or of those with CAP_NET_BIND_SERVICE: choose another --web.listen-address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "it is no address of this host: choose another --web.listen-address"
        }
        _ => "choose another --web.listen-address",
    }
}

/// What a keeper holds for its supervisors.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Taken out by each supervisor, in its own copy of this process.
    pub(crate) arena: Option<Arena>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    pub(crate) backing: Backing,
    pub(crate) reason: String,
    pub(crate) object: Option<ObjectName>,
    /// Whether an earlier keeper's arena is gone on with.
    pub(crate) is_reopened: bool,
    pub(crate) control: Control,
    pub(crate) metrics: Vec<MetricsSocket>,
    pub(crate) lock: Option<ArenaLock>,
    /// What the owner should know of the arena.
    pub(crate) warnings: Vec<String>,
}

/// Opens everything that the configuration asks for, and leaves nothing behind when it fails.
pub(crate) fn open(config: &Config) -> Result<Opened, OpenError> {
    let layout = Layout::new(config.geometry()?);
    check_name(&config.name)?;
    let deadline = Instant::now() + SUCCESSION;
    let metrics = config
        .listen
        .iter()
        .map(|address| once_free(deadline, || MetricsSocket::open(address, config.must_listen)))
        .collect::<Result<Vec<_>, _>>()?;
    let passed = if config.is_service { service::control() } else { None };
    let control = match passed.filter(|(_, address)| *address == config.control) {
        Some((listener, _)) => Control::passed(listener),
        None => once_free(deadline, || Control::bind(&config.control, config.is_for_others()))?,
    };
    match once_free(deadline, || made(config, layout)) {
        Ok(made) => Ok(Opened {
            arena: Some(made.arena),
            layout: made.layout,
            origin: made.origin,
            backing: made.backing,
            reason: made.reason,
            object: made.object,
            is_reopened: made.is_reopened,
            control,
            metrics,
            lock: made.lock,
            warnings: made.warnings,
        }),
        Err(error) => {
            control.remove();
            Err(error)
        }
    }
}

/// How long what is held is waited for: a supervisor whose keeper was killed ends within this.
const SUCCESSION: Duration = Duration::from_secs(1);

/// Tries again while somebody holds what is wanted, until the deadline.
fn once_free<T>(
    deadline: Instant,
    attempt: impl Fn() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    loop {
        match attempt() {
            Err(error) if error.is_held() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

impl OpenError {
    /// Whether another process has what is wanted.
    fn is_held(&self) -> bool {
        if let Self::Listen { source, .. } = self {
            return source.kind() == io::ErrorKind::AddrInUse;
        }
        matches!(
            self,
            Self::ControlHeld { .. } | Self::Reopen(ReopenError::Taken(Taken::Held { .. }))
        )
    }
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(OpenError::Name { found: name.to_owned() })
}
