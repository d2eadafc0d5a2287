//! What a supervisor is started with.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

use nix::unistd::geteuid;
use tallyboard_exposition::format::Choices;
use tallyboard_proto::layout::{Geometry, GeometryError};
use tallyboard_segment::mapping::populates;
use tallyboard_segment::pass::Address;
use tallyboard_segment::process::random_u64;
use thiserror::Error;

use crate::outlet::Outlet;
use crate::page::labels::{Labels, WorkerLabel};

/// What an arena is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// `posix` where it will do, else `memfd`.
    #[default]
    Auto,
    /// A named object, which survives its supervisor.
    Posix,
    /// An anonymous object, which needs no mount and no name.
    Memfd,
}

/// A configuration that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a backing.
    #[error("a backing is auto, posix or memfd, found {found:?}; use one of these")]
    Backing {
        /// What was found.
        found: String,
    },
    /// Not what tells processes apart.
    #[error("processes are told apart by pid or slot, found {found:?}; use one of these")]
    WorkerLabel {
        /// What was found.
        found: String,
    },
    /// Not an address to listen on.
    #[error("a listen address is HOST:PORT or :PORT, found {found:?}; for example 127.0.0.1:9500")]
    Listen {
        /// What was found.
        found: String,
    },
}

impl FromStr for Backing {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "auto" => Ok(Self::Auto),
            "posix" => Ok(Self::Posix),
            "memfd" => Ok(Self::Memfd),
            _ => Err(ConfigError::Backing { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Posix => "posix",
            Self::Memfd => "memfd",
        })
    }
}

impl FromStr for WorkerLabel {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "pid" => Ok(Self::Pid),
            "slot" => Ok(Self::Slot),
            _ => Err(ConfigError::WorkerLabel { found: text.to_owned() }),
        }
    }
}

/// Where metrics are served: `HOST:PORT`, or `:PORT` for every address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(String);

impl FromStr for ListenAddress {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(ConfigError::Listen { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListenAddress {
    /// The socket addresses to try, in order; the first that can be bound is used.
    ///
    /// # Errors
    /// What resolving the host says.
    pub fn candidates(&self) -> io::Result<Vec<SocketAddr>> {
        match self.0.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
            // The IPv6 wildcard takes IPv4 connections too, where the host has IPv6 at all.
            Some(port) => Ok(vec![
                (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
                (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
            ]),
            None => Ok(self.0.to_socket_addrs()?.collect()),
        }
    }
}

/// Everything that a keeper and its supervisor are started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the arena: names its object and appears in lists.
    pub name: String,
    /// Where workers attach.
    pub control: Address,
    /// What the arena is made of.
    pub backing: Backing,
    /// How many workers can be attached at once.
    pub slots: usize,
    /// How many series the arena has room for.
    pub max_series: usize,
    /// How many label sets a family may have.
    pub label_limit: usize,
    /// What tells the processes of a gauge of mode `all` or `liveall` apart.
    pub worker_label: WorkerLabel,
    /// Labels of every sample.
    pub labels: Labels,
    /// Labels of the family `target_info`, which is there when there are any, and then instead of
    /// what workers say of it.
    pub target_info: Labels,
    /// Whether what /proc says of the workers is exposed.
    pub process_metrics: bool,
    /// What pages have or have not, where that can be chosen.
    pub choices: Choices,
    /// Uids of workers, beside that of the supervisor.
    pub worker_uids: Vec<u32>,
    /// Whether what this process has started may attach under whatever uid it has become: it is the
    /// application. Only for a process of root, whom nobody else's process descends from by itself.
    pub admits_own: bool,
    /// Where metrics are served.
    pub listen: Vec<ListenAddress>,
    /// Whether an address that is taken is an error; otherwise it is tried again.
    pub must_listen: bool,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// HTTP connections that may be open at once: when one more comes, one that does nothing has to go.
    pub max_connections: usize,
    /// Whether nobody can ask for this arena again, because its name was made up for one run. Its
    /// object is removed at the end even while workers still count in it, and one of the same name
    /// that was left is never gone on with.
    pub is_ephemeral: bool,
    /// Whether the service manager is told of this keeper, and keeps its arena: it is the service's
    /// main process.
    pub is_service: bool,
    /// How many descriptors a service manager has passed to this process for another one that it
    /// starts. A supervisor closes its copies of them, so that it keeps no socket of theirs open.
    pub passed_descriptors: u32,
    /// Whether a named object stays when the supervisor stops.
    pub keep_arena: bool,
    /// Whether a named object that was left behind is removed first.
    pub discard_arena: bool,
    /// Called by keeper and supervisor now and then, and with `true` at their ends: where a program
    /// tells what it has left out of its log.
    pub tell_left_out: fn(bool),
    /// Those who send the families elsewhere.
    pub outlets: Vec<Arc<dyn Outlet>>,
}

/// Slots of an arena unless the configuration says otherwise.
pub const DEFAULT_SLOTS: usize = 256;
/// Series of an arena unless the configuration says otherwise.
pub const DEFAULT_MAX_SERIES: usize = 65_536;
/// Label sets of a family unless the configuration says otherwise.
pub const DEFAULT_LABEL_LIMIT: usize = 10_000;
/// HTTP connections that may be open at once unless the configuration says otherwise, as of Prometheus.
pub const DEFAULT_MAX_CONNECTIONS: usize = 512;

impl Config {
    /// The defaults, for an arena of this name and control address.
    #[must_use]
    pub fn new(name: &str, control: Address) -> Self {
        Self {
            name: name.to_owned(),
            control,
            backing: Backing::Auto,
            slots: DEFAULT_SLOTS,
            max_series: DEFAULT_MAX_SERIES,
            label_limit: DEFAULT_LABEL_LIMIT,
            worker_label: WorkerLabel::default(),
            labels: Labels::default(),
            target_info: Labels::default(),
            process_metrics: true,
            choices: Choices::default(),
            worker_uids: Vec::new(),
            admits_own: false,
            listen: Vec::new(),
            must_listen: false,
            telemetry_path: "/metrics".to_owned(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            is_ephemeral: false,
            is_service: false,
            passed_descriptors: 0,
            keep_arena: false,
            discard_arena: false,
            tell_left_out: |_| {},
            outlets: Vec::new(),
        }
    }

    /// Whether workers may have another uid than this process.
    pub(crate) fn is_for_others(&self) -> bool {
        self.admits_own || !self.worker_uids.is_empty()
    }

    /// The URL of the metrics that are served at `at`.
    #[must_use]
    pub fn metrics_url(&self, at: SocketAddr) -> String {
        format!("http://{at}{}", self.telemetry_path)
    }

    /// The geometry of the arena.
    ///
    /// # Errors
    /// [`GeometryError`] for sizes that no arena can have.
    pub fn geometry(&self) -> Result<Geometry, GeometryError> {
        let geometry = Geometry::for_series(self.slots, self.max_series)?;
        // Where workers cannot make memory real themselves, slots are real from the first moment.
        let lanes = if populates() { geometry.lanes } else { 0 };
        Ok(Geometry { lanes, ..geometry })
    }
}

/// A control address that needs no directory and that nobody else has: an abstract name with a
/// random part.
///
/// # Errors
/// What the system says when it has no random number.
pub fn random_address() -> io::Result<Address> {
    Ok(Address::Abstract(format!("tallyboard/{}/{:016x}", geteuid(), random_u64()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_need_a_port() {
        for good in [":9500", "127.0.0.1:0", "[::1]:9500", "localhost:1"] {
            assert_eq!(good.parse::<ListenAddress>().unwrap().to_string(), good);
        }
        for bad in ["", "9500", "localhost", ":x", ":70000"] {
            assert!(bad.parse::<ListenAddress>().unwrap_err().to_string().contains("HOST:PORT"));
        }
    }
}
