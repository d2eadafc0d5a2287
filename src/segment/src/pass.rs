//! The control socket: SEQPACKET Unix sockets, their addresses, packets and passed descriptors.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr,
    accept4, bind, connect, getsockname, getsockopt, listen, sendmsg, shutdown, socket, socketpair,
    sockopt,
};
use thiserror::Error;

use crate::rights::{self, Received};

/// Where a supervisor listens: `unix:/path` or `unix:@name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A socket file.
    Path(PathBuf),
    /// A name in the abstract namespace of the network namespace.
    Abstract(String),
}

/// A text that is no address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "a control address is unix:/absolute/path or unix:@name of at most 107 bytes, found {found:?}; correct TALLYBOARD or --control"
)]
pub struct AddressError {
    /// The text found.
    pub found: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Some(Self::Path(path.into())),
            Some(name) if name.len() > 1 && name.starts_with('@') => {
                Some(Self::Abstract(name[1..].to_owned()))
            }
            _ => None,
        };
        let fits = address.filter(|address| address.socket_address().is_ok() && text.len() < 113);
        fits.ok_or_else(|| AddressError { found: text.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

impl Address {
    fn socket_address(&self) -> nix::Result<UnixAddr> {
        match self {
            Self::Path(path) => UnixAddr::new(path),
            Self::Abstract(name) => UnixAddr::new_abstract(name.as_bytes()),
        }
    }

    /// The socket file, when it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) => None,
        }
    }
}

/// One end of a conversation, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// A socket that others connect to, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A packet that came, with the descriptor that came with it.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes; none means that the other side has closed.
    pub bytes: Vec<u8>,
    /// Its descriptor.
    pub descriptor: Option<OwnedFd>,
}

const FLAGS: SockFlag = SockFlag::SOCK_NONBLOCK.union(SockFlag::SOCK_CLOEXEC);

fn unix_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, FLAGS, None)?)
}

impl Listener {
    /// Listens on `address`. A socket file must not exist yet.
    ///
    /// # Errors
    /// What `bind` or `listen` says: EADDRINUSE when somebody has the address.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let socket = unix_socket()?;
        bind(socket.as_raw_fd(), &address.socket_address()?)?;
        listen(&socket, Backlog::MAXCONN)?;
        Ok(Self(socket))
    }

    /// A socket that a service manager listens on and has passed, with its address; nothing when it
    /// is of another kind.
    ///
    /// # Errors
    /// What the system says of it.
    pub fn passed(socket: OwnedFd) -> io::Result<Option<(Self, Address)>> {
        let is_ours = getsockopt(&socket, sockopt::SockType) == Ok(SockType::SeqPacket)
            && getsockopt(&socket, sockopt::AcceptConn) == Ok(true);
        let name =
            if is_ours { getsockname::<UnixAddr>(socket.as_raw_fd())? } else { return Ok(None) };
        let address = match (name.path(), name.as_abstract()) {
            (Some(path), _) => Address::Path(path.to_owned()),
            (None, Some(name)) => Address::Abstract(String::from_utf8_lossy(name).into_owned()),
            (None, None) => return Ok(None),
        };
        let flags = OFlag::from_bits_truncate(fcntl(&socket, FcntlArg::F_GETFL)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Some((Self(socket), address)))
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// What `dup` says.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; else what `accept4` says.
    pub fn accept(&self) -> io::Result<Socket> {
        let fd = accept4(self.0.as_raw_fd(), FLAGS)?;
        // SAFETY: the descriptor was made above and nothing else owns it.
        Ok(Socket(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Socket {
    /// Connects to `address`. A full backlog is tried again until the deadline.
    ///
    /// # Errors
    /// What `connect` says; `TimedOut` when the deadline passes.
    pub fn connect(address: &Address, deadline: Instant) -> io::Result<Self> {
        let socket = unix_socket()?;
        let to = address.socket_address()?;
        loop {
            match connect(socket.as_raw_fd(), &to) {
                Ok(()) => return Ok(Self(socket)),
                Err(Errno::EINTR) => {}
                // The kernel tells nobody when a backlog has room again.
                Err(Errno::EAGAIN) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Two ends of a new conversation.
    ///
    /// # Errors
    /// What `socketpair` says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, FLAGS)?;
        Ok((Self(a), Self(b)))
    }

    /// Sends one packet, with a descriptor or without.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; else what `sendmsg` says. Never a signal.
    pub fn send(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let fds: Vec<i32> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[][..] } else { &control[..] };
        let bytes = [IoSlice::new(bytes)];
        loop {
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.0.as_raw_fd(), &bytes, control, flags, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says one last thing, as far as there is room for it, and ends the conversation. What the other
    /// side has sent is not read; it hears the last thing whether it has sent anything or not.
    pub fn dismiss(self, bytes: &[u8]) {
        /// As many packets as fit into a socket's buffer, and more.
        const MOST: usize = 1 << 12;
        // Who does not hear it finds the end.
        let _ = self.send(bytes, None);
        // Nothing arrives after this, and what has is taken out: what is left unread at the end
        // would be told to the other side, as a reset, before what it was sent.
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Read);
        let mut byte = [0];
        for _ in 0..MOST {
            match rights::receive(self.0.as_fd(), &mut byte, false) {
                Ok(received) if received.len > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Whether there is nothing to receive just now.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0)
    }

    /// Receives one packet of at most `most` bytes, with the descriptor that came with it.
    ///
    /// # Errors
    /// `WouldBlock` when none is there; `InvalidData` for one that is longer or has more than one
    /// descriptor; EMFILE when there was one that this process may not open; else what `recvmsg`
    /// says. Whatever came is closed.
    pub fn receive(&self, most: usize) -> io::Result<Packet> {
        let (bytes, received) = self.next(most, true)?;
        let mut descriptors = received.descriptors;
        let found = descriptors.len();
        if found > 1 || (found == 1 && received.lacks_descriptors) {
            return Err(invalid("expected at most one descriptor with a packet, found more"));
        }
        if received.lacks_descriptors {
            return Err(Errno::EMFILE.into());
        }
        Ok(Packet { bytes, descriptor: descriptors.pop() })
    }

    /// The same without descriptors: those that come have no place in this process at any moment.
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub fn receive_bytes(&self, most: usize) -> io::Result<Vec<u8>> {
        Ok(self.next(most, false)?.0)
    }

    /// The next packet: no bytes mean the end, because empty packets are passed over.
    fn next(&self, most: usize, wants_descriptors: bool) -> io::Result<(Vec<u8>, Received)> {
        let mut buffer = vec![0; most];
        let (mut has_ended, mut was_reset) = (false, false);
        let received = loop {
            match rights::receive(self.0.as_fd(), &mut buffer, wants_descriptors) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel looks for a packet first and for the end after, so a packet that came
                // just before the end may be behind it. Nothing comes after the end, so the second
                // look is sure.
                Ok(received) if received.len == 0 && !has_ended => has_ended = true,
                Ok(received) if received.len == 0 && was_reset => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                // That the other side has ended without reading all is said before what it sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !was_reset => {
                    was_reset = true;
                }
                result => break result?,
            }
        };
        if received.is_cut {
            return Err(invalid(&format!(
                "expected a packet of at most {most} bytes, found a longer one"
            )));
        }
        buffer.truncate(received.len);
        Ok((buffer, received))
    }

    /// Receives one packet, waiting until the deadline.
    ///
    /// # Errors
    /// As [`Socket::receive`]; `TimedOut` when the deadline passes.
    pub fn receive_until(&self, most: usize, deadline: Instant) -> io::Result<Packet> {
        loop {
            match self.receive(most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
            let timeout = timeout.unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn invalid(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found.to_owned())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_the_same() {
        for text in ["unix:/run/tallyboard/default.sock", "unix:@tallyboard/x"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(108));
        for text in ["", "unix:", "unix:@", "unix:relative", "/run/x.sock", "tcp:1", &long] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("unix:/absolute/path"), "{error}");
        }
    }

    #[test]
    fn a_packet_carries_a_descriptor_and_keeps_its_bounds() {
        let (a, b) = Socket::pair().unwrap();
        let body = crate::memfd::of_bytes(b"body").unwrap();
        a.send(b"one", Some(body.as_fd())).unwrap();
        a.send(b"second", None).unwrap();
        let first = b.receive(16).unwrap();
        assert_eq!(first.bytes, b"one");
        assert!(first.descriptor.is_some());
        assert_eq!(b.receive(3).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(b.receive(3).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert_eq!(b.receive(3).unwrap().bytes, b"");
    }

    /// Sends a packet with `count` descriptors, which is more than [`Socket::send`] does.
    fn send_with(socket: &Socket, bytes: &[u8], count: usize) {
        let body = crate::memfd::of_bytes(b"body").unwrap();
        let fds = vec![body.as_raw_fd(); count];
        let rights = [ControlMessage::ScmRights(&fds)];
        let bytes = [IoSlice::new(bytes)];
        sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).unwrap();
    }

    #[test]
    fn a_packet_with_more_than_one_descriptor_is_refused_and_the_next_one_is_read() {
        let (a, b) = Socket::pair().unwrap();
        for count in [2, 3, 4, 5, 16, 253] {
            send_with(&a, b"many", count);
            assert_eq!(b.receive(16).unwrap_err().kind(), io::ErrorKind::InvalidData, "{count}");
            send_with(&a, b"many", count);
            assert_eq!(b.receive_bytes(16).unwrap(), b"many", "{count}");
        }
        // Empty ones are passed over, whatever comes with them, and so is one that is too long.
        send_with(&a, b"", 5);
        assert_eq!(b.receive(16).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        send_with(&a, b"longer than that", 5);
        assert_eq!(b.receive(3).unwrap_err().kind(), io::ErrorKind::InvalidData);
        send_with(&a, b"one", 1);
        assert!(b.receive(3).unwrap().descriptor.is_some());
    }

    #[test]
    fn who_is_dismissed_hears_why_whether_he_has_said_something_or_not() {
        for words in [0, 1, 50] {
            let (a, b) = Socket::pair().unwrap();
            for _ in 0..words {
                send_with(&a, b"something", 3);
            }
            b.dismiss(b"no");
            assert_eq!(a.send(b"more", None).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(a.receive(16).unwrap().bytes, b"no", "after {words}");
            assert_eq!(a.receive(16).unwrap().bytes, b"");
        }
    }

    #[test]
    fn an_answer_is_received_though_the_other_side_ended_without_reading_all() {
        let (a, b) = Socket::pair().unwrap();
        a.send(b"not read", None).unwrap();
        b.send(b"answer", None).unwrap();
        drop(b);
        assert_eq!(a.receive(16).unwrap().bytes, b"answer");
        assert_eq!(a.receive(16).unwrap().bytes, b"");
        let (a, b) = Socket::pair().unwrap();
        a.send(b"not read", None).unwrap();
        drop(b);
        assert_eq!(a.receive(16).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn the_last_packet_is_received_before_the_end_whenever_it_comes() {
        // A race is lost about once in ten thousand rounds, so the long run is the one that tells.
        let is_long = std::env::var("TALLYBOARD_LONG").is_ok_and(|long| long == "1");
        for round in 0..if is_long { 100_000 } else { 2_000 } {
            let (a, b) = Socket::pair().unwrap();
            let go = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let a = a;
                    while !go.load(std::sync::atomic::Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    a.send(b"last", None).unwrap();
                });
                go.store(true, std::sync::atomic::Ordering::Release);
                let packet = loop {
                    match b.receive(16) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        packet => break packet.unwrap(),
                    }
                };
                assert_eq!(packet.bytes, b"last", "in round {round}");
            });
        }
    }

    #[test]
    fn a_listener_that_never_answers_is_left_at_the_deadline() {
        let name = format!("tallyboard-test-{}", std::process::id());
        let address = Address::Abstract(name);
        let _listener = Listener::bind(&address).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        let socket = Socket::connect(&address, deadline).unwrap();
        let error = socket.receive_until(16, deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(Listener::bind(&address).is_err());
    }
}
