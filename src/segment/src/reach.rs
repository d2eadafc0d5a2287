//! Reaching a supervisor: one question, one answer, and in words why there is none.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::geteuid;
use tallyboard_proto::control::MAX_MESSAGE_BYTES;
use thiserror::Error;

pub use crate::descriptors::{NoDescriptor, is_out_of_descriptors};

use crate::pass::{Address, Packet, Socket};
use crate::trust::{Trust, Untrusted};

/// An answer, who gave it, and the conversation that goes on.
#[derive(Debug)]
pub struct Answer {
    /// What was said.
    pub packet: Packet,
    /// The uid that answers.
    pub uid: u32,
    /// The conversation.
    pub socket: Socket,
}

/// A supervisor that is not reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReachError {
    /// Nobody could be connected to.
    #[error("{}", Unconnected { address, source })]
    Connect {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody answers who is not believed.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The other side has ended the conversation.
    #[error(
        "the supervisor on {address} ended the conversation before it answered ({source}); it was stopped or replaced just now, or has no room for another conversation: see its log"
    )]
    Ended {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The answer did not come in time.
    #[error(
        "the supervisor on {address} did not answer in {} ms; see whether it is stopped or its machine is overloaded", timeout.as_millis()
    )]
    Silent {
        /// The address.
        address: Address,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The question cannot be sent.
    #[error(
        "a question of {bytes} bytes cannot be sent to {address}, expected at most {MAX_MESSAGE_BYTES}: {source}; name fewer metrics"
    )]
    Question {
        /// The address.
        address: Address,
        /// How long it is.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// This process has no descriptor left.
    #[error("{}", NoDescriptor(source))]
    Descriptors {
        /// What the system said.
        source: io::Error,
    },
    /// The answer cannot be received.
    #[error(
        "the answer on {address} cannot be received: {source}; use the same release on both sides"
    )]
    Answer {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
}

impl ReachError {
    /// Whether the time was over before somebody who listens has answered: whoever has a backlog that
    /// is full listens.
    #[must_use]
    pub fn is_late(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether the conversation broke off, as it does when a supervisor dies in it.
    #[must_use]
    pub fn is_broken_off(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match self {
            Self::Ended { .. } => true,
            Self::Connect { source, .. } => matches!(source.kind(), BrokenPipe | ConnectionReset),
            _ => false,
        }
    }
}

/// Asks at `address` with one packet, when whoever listens there is believed, and waits for one
/// answer until `deadline`, which is `timeout` after the first attempt.
///
/// # Errors
/// [`ReachError`] says what is in the way.
pub fn ask(
    address: &Address,
    trust: Trust,
    question: &[u8],
    timeout: Duration,
    deadline: Instant,
) -> Result<Answer, ReachError> {
    let socket = Socket::connect(address, deadline).map_err(|source| match kind(&source) {
        Kind::Descriptors => ReachError::Descriptors { source },
        _ => ReachError::Connect { address: address.clone(), source },
    })?;
    let uid = trust.check(address, &socket)?;
    // Whoever refuses says so before it has read anything: what finds the end may be answered.
    let sent = match question.len() {
        0..=MAX_MESSAGE_BYTES => socket.send(question, None),
        _ => Err(Errno::EMSGSIZE.into()),
    };
    let sent = match sent {
        Err(source) if !matches!(kind(&source), Kind::Ended) => {
            let (address, bytes) = (address.clone(), question.len());
            return Err(ReachError::Question { address, bytes, source });
        }
        sent => sent,
    };
    let received = socket.receive_until(MAX_MESSAGE_BYTES, deadline);
    let packet = match (sent, received) {
        (Err(source), Ok(packet)) if packet.bytes.is_empty() => Err(source),
        (_, Ok(packet)) if packet.bytes.is_empty() => Err(io::ErrorKind::ConnectionReset.into()),
        (_, received) => received,
    };
    let packet = packet.map_err(|source| match kind(&source) {
        Kind::Descriptors => ReachError::Descriptors { source },
        Kind::Ended => ReachError::Ended { address: address.clone(), source },
        Kind::Late => ReachError::Silent { address: address.clone(), timeout },
        Kind::Other => ReachError::Answer { address: address.clone(), source },
    })?;
    Ok(Answer { packet, uid, socket })
}

enum Kind {
    Descriptors,
    Ended,
    Late,
    Other,
}

fn kind(error: &io::Error) -> Kind {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    match error.kind() {
        BrokenPipe | ConnectionReset => Kind::Ended,
        TimedOut => Kind::Late,
        _ if is_out_of_descriptors(error) => Kind::Descriptors,
        _ => Kind::Other,
    }
}

/// Why nobody could be connected to, and what to do.
struct Unconnected<'a> {
    address: &'a Address,
    source: &'a io::Error,
}

impl fmt::Display for Unconnected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        match (source.raw_os_error().map(Errno::from_raw), address.path()) {
            (Some(Errno::EACCES | Errno::EPERM), Some(path)) => write!(
                f,
                "uid {} may not use {address}, {}: {source}; run as that uid, or let this one in with --worker-uid {0}",
                geteuid(),
                obstacle(path)
            ),
            (Some(Errno::EPROTOTYPE), _) => write!(
                f,
                "{address} is no control socket of a supervisor, but a socket of another kind: {source}; correct TALLYBOARD or --control"
            ),
            (Some(Errno::ECONNREFUSED), Some(path)) if path.exists() => write!(
                f,
                "no supervisor listens on {address}, which is left from somebody who did: {source}; start `tallyboard serve`, or correct TALLYBOARD"
            ),
            (Some(Errno::ENOENT), Some(path)) if !path.parent().is_some_and(Path::exists) => {
                write!(
                    f,
                    "no supervisor listens on {address}, in a folder that does not exist here: {source}; start `tallyboard serve`, mount its folder here when it runs in another container, or correct TALLYBOARD"
                )
            }
            _ if source.kind() == io::ErrorKind::TimedOut => write!(
                f,
                "the supervisor on {address} takes no conversation: as many wait as may; see whether it is stopped or its machine is overloaded"
            ),
            _ => write!(
                f,
                "no supervisor listens on {address}: {source}; start `tallyboard serve`, or correct TALLYBOARD"
            ),
        }
    }
}

/// Why nobody can listen at an address, and what to do.
#[derive(Debug)]
pub struct Unbound<'a> {
    /// The address.
    pub address: &'a Address,
    /// What the system said.
    pub source: &'a io::Error,
}

impl fmt::Display for Unbound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        let folder = address.path().and_then(Path::parent);
        match (source.raw_os_error().map(Errno::from_raw), folder) {
            (Some(Errno::EACCES | Errno::EPERM | Errno::EROFS), Some(folder)) => write!(
                f,
                "cannot listen on {address}: uid {} may not make a file in the folder {}, {}: {source}; run as that uid, or choose another --control",
                geteuid(),
                folder.display(),
                obstacle(folder)
            ),
            (Some(Errno::ENOENT), Some(folder)) => write!(
                f,
                "cannot listen on {address}: there is no folder {}: {source}; make it (RuntimeDirectory=), or choose another --control",
                folder.display()
            ),
            _ => write!(f, "cannot listen on {address}: {source}; choose another --control"),
        }
    }
}

/// What keeps this process from a socket file: a folder that it may not enter, or the file.
fn obstacle(path: &Path) -> String {
    let mut at = path;
    let found = loop {
        match (at.symlink_metadata(), at.parent()) {
            (Ok(found), _) => break found,
            (Err(_), Some(parent)) => at = parent,
            (Err(_), None) => return "which it cannot look at".to_owned(),
        }
    };
    let what =
        if at == path { "which".to_owned() } else { format!("whose folder {}", at.display()) };
    format!("{what} belongs to uid {} and has mode {:o}", found.uid(), found.mode() & 0o7777)
}
