//! Opening an arena: which backing it gets and why, its first words, and the sockets on which its
//! supervisor is found.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use tallyboard_proto::layout::{
    EXTENT_WORDS, FINGERPRINT, Geometry, GeometryError, LAYOUT_VERSION, Layout, MAGIC, header,
};
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::pass::{Address, Listener, Socket};
use tallyboard_segment::posix::{ArenaLock, CreateError, Left, ObjectName, ReopenError, Taken};
use tallyboard_segment::process::{random_u64, unix_offset_ns};
use tallyboard_segment::{memfd, pidfd, posix};
use thiserror::Error;

use crate::config::{Backing, Config, ListenAddress};
use crate::core::{Origin, format};
use crate::service;

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
    #[error(
        "cannot create the arena in anonymous memory: {0}; check the memory limits of this host or container"
    )]
    Memory(io::Error),
    /// Another supervisor listens on the control address.
    #[error(
        "{address} is held by the supervisor with pid {pid}; stop that one, or choose another --name or --control"
    )]
    ControlHeld {
        /// The address.
        address: Address,
        /// Its pid; 0 when it cannot be seen.
        pid: u32,
    },
    /// The control socket cannot be made.
    #[error("cannot listen on {address}: {source}; choose another --control")]
    Control {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// A metrics address cannot be had.
    #[error("cannot serve metrics on {address}: {source}; choose another --web.listen-address")]
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
    _lock: Option<ArenaLock>,
}

/// The control socket, and the lock on its path.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) listener: Listener,
    lock: Option<(Flock<File>, PathBuf)>,
    path: Option<PathBuf>,
}

/// A metrics address, with its socket once it could be bound.
#[derive(Debug)]
pub(crate) struct MetricsSocket {
    pub(crate) address: ListenAddress,
    pub(crate) listener: Option<TcpListener>,
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
    let control = once_free(deadline, || Control::bind(&config.control, config.is_for_others()))?;
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
            _lock: made.lock,
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
            Self::ControlHeld { .. }
                | Self::Object(CreateError::Taken(Taken::Held { .. }))
                | Self::Reopen(ReopenError::Taken(Taken::Held { .. }))
        )
    }
}

/// An arena that is ready for its supervisor.
struct Made {
    arena: Arena,
    layout: Layout,
    origin: Origin,
    backing: Backing,
    reason: String,
    object: Option<ObjectName>,
    is_reopened: bool,
    lock: Option<ArenaLock>,
}

/// Creates the arena, or goes on with the one that a supervisor of this name has left.
fn made(config: &Config, layout: Layout) -> Result<Made, OpenError> {
    let origin = origin()?;
    if config.is_service
        && config.backing != Backing::Posix
        && !config.discard_arena
        && let Some(object) = service::kept()
    {
        return reopen(Left::kept(object)?, None, origin);
    }
    match create(config, &layout) {
        Ok((arena, backing, reason, object, lock)) => {
            if let Err(source) = format(&arena, &layout, &origin) {
                return Err(unmade(object, source));
            }
            let is_reopened = false;
            Ok(Made { arena, layout, origin, backing, reason, object, is_reopened, lock })
        }
        Err(OpenError::Object(CreateError::Taken(Taken::Left { name }))) => {
            reopen(Left::take(&name)?, Some(name), origin)
        }
        Err(error) => Err(error),
    }
}

/// Removes an arena that has no memory for its first words, and says what to do.
fn unmade(object: Option<ObjectName>, source: io::Error) -> OpenError {
    let Some(name) = object else { return OpenError::Memory(source) };
    // What cannot be removed is told apart from an arena by its first word.
    let _ = posix::unlink(&name);
    CreateError::System { name, source }.into()
}

/// Goes on with an object that was left, once its header has been believed word by word.
fn reopen(left: Left, object: Option<ObjectName>, mut origin: Origin) -> Result<Made, OpenError> {
    let words = left.header(header::WORDS)?;
    let word = |at: usize| words[at];
    let hex = |word: u64| format!("{word:#018x}");
    for (what, at, expected) in [
        ("magic number", header::MAGIC, MAGIC),
        ("layout version", header::VERSION, LAYOUT_VERSION),
        ("layout fingerprint", header::FINGERPRINT, FINGERPRINT),
        ("boot id", header::BOOT_ID_HIGH, origin.boot_id[0]),
        ("boot id", header::BOOT_ID_LOW, origin.boot_id[1]),
        ("pid namespace", header::PID_NAMESPACE, origin.pid_namespace),
        ("uid", header::UID, origin.uid),
    ] {
        if word(at) != expected {
            return Err(left.refuse(what, hex(expected), hex(word(at))).into());
        }
    }
    let sizes = std::array::from_fn(|at| word(header::GEOMETRY + at));
    let geometry = Geometry::from_words(sizes)?;
    if geometry.unit != EXTENT_WORDS {
        return Err(left.refuse("unit", EXTENT_WORDS, geometry.unit).into());
    }
    let layout = Layout::new(geometry);
    origin.arena_id = word(header::ARENA_ID);
    origin.unix_offset_ns = word(header::UNIX_OFFSET);
    let (arena, lock) = left.map(layout.arena_words())?;
    origin.write_keeper(&arena);
    let reason = "left by an earlier supervisor".to_owned();
    let backing = if object.is_some() { Backing::Posix } else { Backing::Memfd };
    let lock = Some(lock);
    Ok(Made { arena, layout, origin, backing, reason, object, is_reopened: true, lock })
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(OpenError::Name { found: name.to_owned() })
}

type Created = (Arena, Backing, String, Option<ObjectName>, Option<ArenaLock>);

fn create(config: &Config, layout: &Layout) -> Result<Created, OpenError> {
    let (backing, reason) = choose(config);
    let words = layout.arena_words();
    let memory = |reason| {
        let arena = memfd::create(words).map_err(OpenError::Memory)?;
        Ok((arena, Backing::Memfd, reason, None, None))
    };
    if backing == Backing::Memfd {
        return memory(reason);
    }
    let name = ObjectName::of_arena(geteuid().as_raw(), &config.name);
    match create_named(config, &name, words) {
        Ok((arena, lock)) => Ok((arena, Backing::Posix, reason, Some(name), Some(lock))),
        // A name that was made up is nobody's to ask for, so the arena may as well have none.
        Err(CreateError::Taken(taken))
            if config.backing == Backing::Auto && config.is_ephemeral =>
        {
            memory(taken.to_string())
        }
        Err(error @ CreateError::System { .. }) if config.backing == Backing::Auto => {
            memory(error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates the named object, in the place of one that was left when nobody wants that one: it is to
/// be discarded, or its name was made up from a pid, which another process had before or has in
/// another pid namespace.
fn create_named(
    config: &Config,
    name: &ObjectName,
    words: usize,
) -> Result<(Arena, ArenaLock), CreateError> {
    if config.discard_arena || config.is_ephemeral {
        posix::discard(name)?;
    }
    posix::create(name, words)
}

/// Room that a named object needs before it is chosen: what its slots take at first, and as much
/// again for series.
fn room_needed(config: &Config) -> u64 {
    const SLOT: u64 = 128 << 10;
    (config.slots as u64 * SLOT).max(8 << 20)
}

/// Which backing, and why.
fn choose(config: &Config) -> (Backing, String) {
    let needed = room_needed(config);
    match (config.backing, posix::room_bytes()) {
        (Backing::Posix, _) => (Backing::Posix, "configured".into()),
        (Backing::Memfd, _) => (Backing::Memfd, "configured".into()),
        (Backing::Auto, _) if !config.worker_uids.is_empty() => {
            (Backing::Memfd, "workers of other uids".into())
        }
        // A container's runtime starts the next one in another pid namespace, where this one's
        // workers cannot be judged: a named object would only be in its way.
        (Backing::Auto, _) if std::process::id() == 1 => {
            (Backing::Memfd, "pid 1: nobody goes on with it after its pid namespace".into())
        }
        (Backing::Auto, None) => (Backing::Memfd, format!("no {} is mounted", posix::MOUNT)),
        (Backing::Auto, Some(room)) if room < needed => {
            (Backing::Memfd, format!("{} has {room} bytes, needs {needed}", posix::MOUNT))
        }
        (Backing::Auto, Some(_)) => (Backing::Posix, format!("{} has room", posix::MOUNT)),
    }
}

fn origin() -> Result<Origin, OpenError> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| u64::from_str_radix(digits.get(range).unwrap_or("0"), 16).unwrap_or(0);
    let pid_namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
    Ok(Origin {
        arena_id: random_u64()?,
        boot_id: [half(0..16), half(16..32)],
        pid_namespace,
        keeper_pid: std::process::id().into(),
        uid: geteuid().as_raw().into(),
        unix_offset_ns: unix_offset_ns(),
    })
}

impl Control {
    fn bind(address: &Address, for_others: bool) -> Result<Self, OpenError> {
        let control = |source| OpenError::Control { address: address.clone(), source };
        let Some(path) = address.path() else {
            let listener = Listener::bind(address).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => held(address),
                _ => control(error),
            })?;
            return Ok(Self { listener, lock: None, path: None });
        };
        let lock_path = path.with_extension("lock");
        let lock = lock_file(&lock_path).map_err(control)?.ok_or_else(|| held(address))?;
        // With the lock held, a socket file is one that nobody serves.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(control(error)),
            _ => {}
        }
        let listener = Listener::bind(address).map_err(control)?;
        // Who may attach is decided by uid; the mode only keeps strangers from asking.
        let mode = if for_others { 0o666 } else { 0o600 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(control)?;
        Ok(Self { listener, lock: Some((lock, lock_path)), path: Some(path.to_owned()) })
    }

    /// Removes the socket file and its lock.
    pub(crate) fn remove(&self) {
        let lock = self.lock.as_ref().map(|(_, path)| path);
        for path in self.path.iter().chain(lock) {
            // Nothing is lost when it is gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn lock_file(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// The error that names who listens on `address`.
fn held(address: &Address) -> OpenError {
    let deadline = Instant::now() + Duration::from_millis(250);
    let peer = Socket::connect(address, deadline).and_then(|socket| pidfd::peer(socket.as_fd()));
    OpenError::ControlHeld { address: address.clone(), pid: peer.map_or(0, |peer| peer.pid) }
}

impl MetricsSocket {
    fn open(address: &ListenAddress, must: bool) -> Result<Self, OpenError> {
        let mut socket = Self { address: address.clone(), listener: None };
        match socket.bind() {
            Ok(()) => Ok(socket),
            Err(source) if must => Err(OpenError::Listen { address: address.clone(), source }),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot serve metrics yet; trying again every 5 s: free the address, or choose another --web.listen-address");
                Ok(socket)
            }
        }
    }

    /// Tries to bind the address.
    pub(crate) fn bind(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(&self.address.candidates()?[..])?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Where metrics are served, with the port that the system chose.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}
