//! Processes by descriptor. A pidfd names one process for as long as it is open, whatever becomes
//! of its number, and is readable when that process is dead.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::fstat;

/// A process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

/// Who is at the other end of a Unix socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its pid as this process sees it; 0 when it is in a namespace that this one cannot see.
    pub pid: u32,
    /// Its effective uid when it connected.
    pub uid: u32,
    /// Its effective gid when it connected.
    pub gid: u32,
}

impl Pidfd {
    /// Opens the process `pid`.
    ///
    /// # Errors
    /// What `pidfd_open` says: ESRCH when there is none.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: the call takes two integers and gives a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = Errno::result(fd)? as i32;
        // SAFETY: the descriptor was made above and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The process that called `connect` on the other end of `socket`: by SO_PEERPIDFD (Linux
    /// 6.5), else by its pid, in which case a later message of that peer proves that it lived on.
    ///
    /// # Errors
    /// What the kernel says; `NotFound` when it names no process.
    pub fn of_peer(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let mut fd: i32 = -1;
        let mut len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the option writes one integer, for which there is room.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERPIDFD,
                (&raw mut fd).cast(),
                &mut len,
            )
        };
        if got == 0 && fd >= 0 {
            // SAFETY: the kernel made the descriptor for this call.
            return Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        match peer(socket)?.pid {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the kernel names no pid")),
            pid => Self::open(pid),
        }
    }

    /// A pidfd that was passed over a socket.
    #[must_use]
    pub fn from_passed(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Number of this process, unique since boot where pidfs has inodes (Linux 6.9), else 0.
    #[must_use]
    pub fn inode(&self) -> u64 {
        // Before 6.9 all pidfds share the inode of one anonymous file, whose device is not pidfs.
        const ANONYMOUS_INODES_SHARED_BELOW: u64 = 1 << 11;
        let inode = fstat(&self.0).map_or(0, |stat| stat.st_ino);
        if inode < ANONYMOUS_INODES_SHARED_BELOW { 0 } else { inode }
    }

    /// Whether the process is dead: ended, reaped or not.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1))
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// What `pidfd_send_signal` says: ESRCH when it is dead.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: no pointers but a null one, which means no siginfo.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        Errno::result(sent)?;
        Ok(())
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Pid, uid and gid of the other end of a Unix socket.
///
/// # Errors
/// What `getsockopt` says.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Peer {
        pid: u32::try_from(credentials.pid()).unwrap_or(0),
        uid: credentials.uid(),
        gid: credentials.gid(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_until_it_ends_and_is_dead_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = Pidfd::open(child.id()).unwrap();
        assert!(!pidfd.is_dead());
        let again = Pidfd::open(child.id()).unwrap();
        assert_eq!(pidfd.inode(), again.inode());
        pidfd.signal(libc::SIGKILL).unwrap();
        let mut polled = [nix::poll::PollFd::new(pidfd.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut polled, nix::poll::PollTimeout::NONE).unwrap();
        assert!(pidfd.is_dead());
        child.wait().unwrap();
        assert!(pidfd.signal(libc::SIGKILL).is_err());
    }
}
