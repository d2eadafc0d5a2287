//! Opening an arena: the sockets on which its supervisor is found, and then the arena itself.

use std::time::{Duration, Instant};

use tallyboard_proto::layout::Layout;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::posix::{ArenaLock, ObjectName};

use crate::board::origin::Origin;
use crate::config::{Backing, Config};
use crate::keep::listen::{Control, MetricsSocket};
use crate::keep::made::made;
use crate::keep::service;
use crate::keep::unopened::OpenError;

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

fn check_name(name: &str) -> Result<(), OpenError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(OpenError::Name { found: name.to_owned() })
}
