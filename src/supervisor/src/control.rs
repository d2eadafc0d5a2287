//! The control socket: one task per connection, which reads requests, finds out from the kernel who
//! is asking, and writes answers. It decides nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::unistd::geteuid;
use tallyboard_proto::control::{
    MAX_MESSAGE_BYTES, MessageError, Refused, RefusedReason, Reply, Request, decode, encode,
};
use tallyboard_segment::pass::{Listener, Socket};
use tallyboard_segment::pidfd::{Peer, Pidfd, peer};
use tallyboard_segment::stat::descends;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::core::{Caller, refuse};
use crate::process::start_time;
use crate::reactor::both;
use crate::supervise::{Event, Events};

/// Accepts connections for as long as the supervisor runs.
pub(crate) async fn accept(listener: AsyncFd<Listener>, own: Option<Own>, events: Events) {
    for connection in 0_u64.. {
        let socket = loop {
            let Ok(mut ready) = listener.readable().await else { return };
            match ready.try_io(|listener| listener.get_ref().accept()) {
                Ok(Ok(socket)) => break socket,
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot accept on the control socket");
                    // Without a descriptor to spare, trying again at once would only spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                Err(_would_block) => {}
            }
        };
        spawn_local(converse(socket, connection, own, events.clone()));
    }
}

async fn converse(socket: Socket, connection: u64, own: Option<Own>, events: Events) {
    if let Err(error) = answer_all(socket, connection, own, &events).await {
        tracing::debug!(%error, "a control connection broke");
    }
    let _ = events.send(Event::HungUp { connection }).await;
}

async fn answer_all(
    socket: Socket,
    connection: u64,
    own: Option<Own>,
    events: &Events,
) -> io::Result<()> {
    let socket = both(socket)?;
    loop {
        let packet = receive(&socket).await?;
        if packet.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let event = match decode::<Request>(&packet) {
            Ok(Request::Hello(hello)) => match identify(socket.get_ref().as_fd(), own) {
                Ok((caller, pidfd)) => Event::Attach { connection, caller, pidfd, hello, answer },
                Err(error) => {
                    let refused = unidentified(&error);
                    let _ = events.send(Event::Refused(refused.reason)).await;
                    return send(&socket, &Reply::Refused(refused), None).await;
                }
            },
            Ok(request) => {
                let socket = socket.get_ref().as_fd();
                let uid = admitted_as(&peer(socket)?, own, || Pidfd::of_peer(socket));
                Event::Asked { connection, uid, request, answer }
            }
            Err(error) => {
                let refused = not_understood(&error);
                let _ = events.send(Event::Refused(refused.reason)).await;
                return send(&socket, &Reply::Refused(refused), None).await;
            }
        };
        if events.send(event).await.is_err() {
            return Ok(());
        }
        if let Ok(Some((reply, descriptor))) = answered.await {
            send(&socket, &reply, descriptor.as_ref().map(AsFd::as_fd)).await?;
        }
    }
}

/// Whose processes are let in whatever uid they have become: those that this one has started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    /// The keeper.
    pub(crate) pid: u32,
}

/// The uid that a process is let in as: that of this one, when it is of its own application.
fn admitted_as(peer: &Peer, own: Option<Own>, pidfd: impl FnOnce() -> io::Result<Pidfd>) -> u32 {
    let uid = geteuid().as_raw();
    // A pid that was read while its process lived is that process's.
    let is_own = |own: Own| {
        peer.pid != 0 && pidfd().is_ok_and(|pidfd| descends(peer.pid, own.pid) && !pidfd.is_dead())
    };
    if peer.uid != uid && own.is_some_and(is_own) { uid } else { peer.uid }
}

/// Who is asking, as the kernel says.
fn identify(socket: BorrowedFd<'_>, own: Option<Own>) -> io::Result<(Caller, Pidfd)> {
    let peer = peer(socket)?;
    let pidfd = Pidfd::of_peer(socket)?;
    let caller = Caller {
        pid: peer.pid,
        uid: peer.uid,
        admitted_as: admitted_as(&peer, own, || Pidfd::of_peer(socket)),
        pidfs_inode: pidfd.inode(),
        start_time: start_time(peer.pid),
    };
    Ok((caller, pidfd))
}

fn unidentified(error: &io::Error) -> Refused {
    refuse(
        RefusedReason::Identity,
        format!(
            "the kernel does not say which process is asking: {error}; Linux 6.5 does, or share the pid namespace of worker and supervisor"
        ),
    )
}

fn not_understood(error: &MessageError) -> Refused {
    refuse(RefusedReason::Protocol, error.to_string())
}

async fn receive(socket: &AsyncFd<Socket>) -> io::Result<Vec<u8>> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(packet) = ready.try_io(|socket| socket.get_ref().receive(MAX_MESSAGE_BYTES)) {
            return Ok(packet?.bytes);
        }
    }
}

async fn send(
    socket: &AsyncFd<Socket>,
    reply: &Reply,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let packet = encode(reply);
    loop {
        let mut ready = socket.writable().await?;
        if let Ok(sent) = ready.try_io(|socket| socket.get_ref().send(&packet, descriptor)) {
            return sent;
        }
    }
}
