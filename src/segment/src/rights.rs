//! Receiving with descriptors: whatever the kernel puts into this process is owned before anything
//! else is looked at, so that no packet, however it is made, leaves one open.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use nix::errno::Errno;

/// What one call has received.
#[derive(Debug)]
pub(crate) struct Received {
    /// How many bytes.
    pub(crate) len: usize,
    /// Whether the packet was longer than the buffer.
    pub(crate) is_cut: bool,
    /// Every descriptor that came.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether there were more descriptors than room for them, or than this process may open.
    pub(crate) lacks_descriptors: bool,
}

/// Room for messages beside a packet: words, because their headers are aligned as these are.
type Room = [u64; 8];

/// Receives one packet into `buffer`. Descriptors that come with it are taken only when they are
/// wanted: else the kernel gives them no place in this process at all.
///
/// # Errors
/// What `recvmsg` says.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    wants_descriptors: bool,
) -> io::Result<Received> {
    let mut room: Room = [0; 8];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all bytes 0 is a header of no message.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    if wants_descriptors {
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Room>() as _;
    } else {
        header.msg_control = null_mut();
    }
    // SAFETY: buffer and room have the lengths that the header says, and outlive the call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let len = Errno::result(len)? as usize;
    Ok(Received {
        len,
        is_cut: header.msg_flags & libc::MSG_TRUNC != 0,
        descriptors: own(&header),
        lacks_descriptors: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// Takes ownership of all descriptors beside a packet, whether what is said of them was cut off or
/// not.
fn own(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut owned = Vec::new();
    // SAFETY: the kernel has filled the room that the header points to, and said how far.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: the call that gave the pointer found a whole header there.
        let found = unsafe { next.read() };
        // SAFETY: the data begins behind a header, where the next call finds it.
        let data = unsafe { libc::CMSG_DATA(next) }.cast::<i32>();
        // SAFETY: only counts bytes.
        let before = unsafe { libc::CMSG_LEN(0) } as usize;
        let count = (found.cmsg_len as usize).saturating_sub(before) / size_of::<i32>();
        if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            owned.extend((0..count).map(|at| {
                // SAFETY: the message has as many descriptors as its length says.
                let place = unsafe { data.add(at) };
                // SAFETY: as above; nothing is said of alignment.
                let fd = unsafe { place.read_unaligned() };
                // SAFETY: the kernel made the descriptor for this call; nothing else owns it.
                unsafe { OwnedFd::from_raw_fd(fd) }
            }));
        }
        // SAFETY: as for the first one.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    owned
}
