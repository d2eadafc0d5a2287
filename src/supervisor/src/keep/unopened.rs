//! Why an arena cannot be opened, and what to do.

use std::io;

use tallyboard_proto::layout::GeometryError;
use tallyboard_segment::memfd::Unmade;
use tallyboard_segment::pass::Address;
use tallyboard_segment::posix::{CreateError, ReopenError, Taken, too_long};
use tallyboard_segment::reach::Unbound;
use thiserror::Error;

use crate::config::ListenAddress;

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

impl OpenError {
    /// Whether another process has what is wanted.
    pub(crate) fn is_held(&self) -> bool {
        if let Self::Listen { source, .. } = self {
            return source.kind() == io::ErrorKind::AddrInUse;
        }
        matches!(
            self,
            Self::ControlHeld { .. } | Self::Reopen(ReopenError::Taken(Taken::Held { .. }))
        )
    }
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
