//! A receiver of lines, and a snapshot on its way to it.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tallyboard_exposition::sample::{FamilySamples, Timestamp};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::lines::{LeftOut, Lines};
use crate::blocking::{self, BlockingError};
use crate::connect::connect;
use crate::receiver::{DEFAULT_TIMEOUT, one_line};

/// How many bytes wait for a receiver that is away, unless something else is said: an hour of a
/// thousand samples every fifteen seconds.
pub const DEFAULT_BUFFER_BYTES: usize = 16 << 20;
/// How long a refusal may take to arrive, where the system keeps a connection's peer beyond its end.
const LONGEST_REFUSAL: Duration = Duration::from_secs(1);
/// Nobody waits as long, and clocks can still add it.
pub(super) const A_YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A receiver of Graphite's plaintext protocol.
///
/// ```no_run
/// use std::time::Duration;
/// use tallyboard_bridges::graphite::Graphite;
/// # let families = Vec::new();
///
/// let graphite = Graphite::new("graphite.example:2003")?.timeout(Duration::from_secs(5));
/// let pushed = graphite.blocking_push(&families, "servers.web-1")?;
/// println!("{} lines", pushed.lines);
/// # Ok::<(), tallyboard_bridges::graphite::GraphiteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graphite {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    has_tags: bool,
    pub(super) timeout: Duration,
    pub(super) buffer_bytes: usize,
}

/// What is no receiver of lines, and what comes of sending to one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GraphiteError {
    /// It is not an address.
    #[error(
        "expected the address of a Graphite receiver, HOST:PORT or [IPV6]:PORT, found {found:?}: {why}; for example graphite:2003"
    )]
    Address {
        /// What was found.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The prefix would not stay one.
    #[error(
        "expected a prefix without blanks and semicolons, found {found:?}, which would end the name in a line; for example servers.web-1"
    )]
    Prefix {
        /// What was found.
        found: String,
    },
    /// The interval is zero.
    #[error("expected an interval above zero, found {found:?}; for example 15 s")]
    Interval {
        /// What was found.
        found: Duration,
    },
    /// Nobody is there.
    #[error(
        "cannot connect to Graphite at {receiver}: {why}; see whether it runs and is reachable"
    )]
    Connect {
        /// The receiver.
        receiver: String,
        /// What the system said.
        why: String,
    },
    /// It takes too long.
    #[error(
        "Graphite at {receiver} {what} within {limit:?}; see whether it is overloaded, or allow more time"
    )]
    Timeout {
        /// The receiver.
        receiver: String,
        /// What it has not done.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It hung up before it had everything.
    #[error(
        "Graphite at {receiver} broke the connection: {why}; see its log, and whether this is its port for plaintext lines"
    )]
    Broken {
        /// The receiver.
        receiver: String,
        /// What the system said.
        why: String,
    },
    /// It speaks, which Graphite does not.
    #[error(
        "expected a receiver of Graphite's lines at {receiver}, which never answers, found one that said {said:?}; see whether this is its port for plaintext lines"
    )]
    Answered {
        /// The receiver.
        receiver: String,
        /// What it said, cut, in one line.
        said: String,
    },
    /// There is no thread to send from.
    #[error("cannot send to Graphite at {receiver}: {why}; see the limits of this process")]
    Thread {
        /// The receiver.
        receiver: String,
        /// What the system said.
        why: String,
    },
    /// The call cannot wait.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    /// There is nothing to send.
    #[error("there is no snapshot for Graphite at {receiver}: {why}")]
    Source {
        /// The receiver.
        receiver: String,
        /// What the source said.
        why: String,
    },
}

/// What a push has brought to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// How many lines.
    pub lines: u64,
    /// How many bytes they were.
    pub bytes: u64,
    /// What was not sent.
    pub left_out: LeftOut,
}

impl Graphite {
    /// The receiver at `HOST:PORT`. A host is a name or an address, an IPv6 address in brackets; the
    /// port of carbon's plaintext receiver is 2003. A name is looked up for each connection, and all
    /// that it has is tried.
    ///
    /// # Errors
    /// [`GraphiteError::Address`] says what is wrong with it.
    pub fn new(address: &str) -> Result<Self, GraphiteError> {
        let wrong = |why| GraphiteError::Address { found: address.to_owned(), why };
        let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host,
            None if host.contains([':', '[', ']']) => {
                return Err(wrong("an IPv6 address stands in brackets"));
            }
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@".contains(c)) {
            return Err(wrong("its host is no name and no address"));
        }
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| wrong("its port is no number from 1 to 65535"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
            has_tags: false,
            timeout: DEFAULT_TIMEOUT,
            buffer_bytes: DEFAULT_BUFFER_BYTES,
        })
    }

    /// Whether labels become tags (Graphite 1.1 and later) instead of parts of the path.
    #[must_use]
    pub fn tags(mut self, tags: bool) -> Self {
        self.has_tags = tags;
        self
    }

    /// How long all of a push may take: looking the name up, connecting, sending, and the receiver's
    /// reading to the end.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of snapshots may wait while the receiver is away. The newest snapshot and the
    /// one on its way are kept in any case.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Pushes a snapshot once, as of now.
    ///
    /// # Errors
    /// [`GraphiteError`] names the receiver and what happened. What it has read by then it may have
    /// stored.
    pub async fn push(
        &self,
        families: &[FamilySamples],
        prefix: &str,
    ) -> Result<Pushed, GraphiteError> {
        let lines = self.lines(families, prefix)?;
        self.send(&lines.text).await?;
        let Lines { text, count, left_out, .. } = lines;
        Ok(Pushed { lines: count, bytes: text.len() as u64, left_out })
    }

    /// As [`push`](Self::push), for a program that has no runtime.
    ///
    /// # Errors
    /// As there, and [`GraphiteError::Blocking`] in a thread of an async runtime.
    pub fn blocking_push(
        &self,
        families: &[FamilySamples],
        prefix: &str,
    ) -> Result<Pushed, GraphiteError> {
        blocking::run(self.push(families, prefix))?
    }

    /// A snapshot as lines, as of now.
    pub(super) fn lines(
        &self,
        families: &[FamilySamples],
        prefix: &str,
    ) -> Result<Lines, GraphiteError> {
        check_prefix(prefix)?;
        Ok(Lines::of(families, prefix, self.has_tags, now()))
    }

    /// Sends lines over a connection of their own, and waits until the receiver has read them.
    pub(super) async fn send(&self, text: &str) -> Result<(), GraphiteError> {
        let deadline = Instant::now() + self.timeout.min(A_YEAR);
        let late = |what| move |_| self.late(what);
        let connected = connect(&self.host, self.port, self.timeout.min(A_YEAR));
        let connected = timeout_at(deadline, connected).await.map_err(late("was not reached"))?;
        let mut stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => self.late("was not reached"),
            _ => GraphiteError::Connect { receiver: self.to_string(), why: error.to_string() },
        })?;
        let written = timeout_at(deadline, self.write(&mut stream, text)).await;
        written.map_err(late("did not take all lines"))??;
        let ended = timeout_at(deadline, self.end(&mut stream)).await;
        ended.map_err(late("did not end the connection behind the last line"))?
    }

    /// Writes everything and the end, unless the receiver ends or speaks before.
    async fn write(&self, stream: &mut TcpStream, text: &str) -> Result<(), GraphiteError> {
        let (mut from, mut to) = stream.split();
        let all = async {
            to.write_all(text.as_bytes()).await?;
            to.shutdown().await
        };
        let mut said = [0; 512];
        tokio::select! {
            biased;
            early = from.read(&mut said) => Err(match early {
                Ok(0) => self.broken("it was closed before the last line"),
                Ok(length) => self.answered(&said[..length]),
                Err(error) => self.broken(&error.to_string()),
            }),
            written = all => written.map_err(|error| self.broken(&error.to_string())),
        }
    }

    /// Waits for the receiver's end of the connection: it has read ours then.
    async fn end(&self, stream: &mut TcpStream) -> Result<(), GraphiteError> {
        let mut said = [0; 512];
        match stream.read(&mut said).await {
            Ok(0) => {}
            Ok(length) => return Err(self.answered(&said[..length])),
            Err(error) => return Err(self.broken(&error.to_string())),
        }
        // One that hangs up at this very moment reads as ended too; its refusal of what it has not
        // read is still on its way then. When both ends are acknowledged, or refused, the connection
        // is no more, and has no peer (getpeername(2)).
        let since = Instant::now();
        while stream.peer_addr().is_ok() && since.elapsed() < LONGEST_REFUSAL {
            sleep(Duration::from_millis(1)).await;
        }
        match stream.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    fn late(&self, what: &'static str) -> GraphiteError {
        GraphiteError::Timeout { receiver: self.to_string(), what, limit: self.timeout }
    }

    fn broken(&self, why: &str) -> GraphiteError {
        GraphiteError::Broken { receiver: self.to_string(), why: why.to_owned() }
    }

    fn answered(&self, said: &[u8]) -> GraphiteError {
        GraphiteError::Answered { receiver: self.to_string(), said: one_line(said) }
    }

    pub(super) fn threadless(&self, error: &io::Error) -> GraphiteError {
        GraphiteError::Thread { receiver: self.to_string(), why: error.to_string() }
    }
}

impl fmt::Display for Graphite {
    /// Its address.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), GraphiteError> {
    let ends = |letter: char| letter.is_whitespace() || letter.is_control() || letter == ';';
    match prefix.contains(ends) {
        true => Err(GraphiteError::Prefix { found: prefix.to_owned() }),
        false => Ok(()),
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_nanos() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, expect) in [
            ("graphite:2003", Ok("graphite:2003")),
            ("10.0.0.1:2003", Ok("10.0.0.1:2003")),
            ("[::1]:2003", Ok("[::1]:2003")),
            ("[fe80::1%eth0]:2003", Ok("[fe80::1%eth0]:2003")),
            ("graphite", Err("no port")),
            ("", Err("no port")),
            (":2003", Err("host is no name and no address")),
            ("[]:2003", Err("host is no name and no address")),
            ("::1:2003", Err("stands in brackets")),
            ("[::1]", Err("stands in brackets")),
            ("http://graphite:2003", Err("stands in brackets")),
            ("//graphite:2003", Err("host is no name and no address")),
            ("gra phite:2003", Err("host is no name and no address")),
            ("graphite:0", Err("port is no number from 1 to 65535")),
            ("graphite:line", Err("port is no number from 1 to 65535")),
            ("graphite:70000", Err("port is no number from 1 to 65535")),
        ] {
            let found = Graphite::new(address).map(|graphite| graphite.to_string());
            match (found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect),
                (Err(error), Err(expect)) => {
                    let error = error.to_string();
                    assert!(error.contains(expect) && error.contains(address), "{error}");
                }
                (found, expect) => panic!("{address}: {found:?}, expected {expect:?}"),
            }
        }
    }

    #[test]
    fn a_prefix_that_would_end_a_name_is_refused() {
        let graphite = Graphite::new("graphite:2003").expect("an address");
        for prefix in ["", "a", "a.b-c_d.é", "a:b", "a."] {
            assert!(graphite.lines(&[], prefix).is_ok(), "{prefix:?}");
        }
        for prefix in ["a b", "a\n", "\t", "a;b=c", "a\u{a0}b", "a\0"] {
            let error = graphite.lines(&[], prefix).expect_err(prefix).to_string();
            assert!(error.contains(&format!("{prefix:?}")), "{error}");
        }
    }
}
