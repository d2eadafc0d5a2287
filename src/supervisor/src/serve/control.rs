//! The control socket: one task per connection, which reads requests, finds out from the kernel who
//! is asking, and writes answers. It decides nothing but who is let in at all (`door.rs`): strangers are
//! dismissed before anything is read of what they sent, and who says nothing is not waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tallyboard_proto::control::{
    MAX_MESSAGE_BYTES, MessageError, Refused, RefusedReason, Reply, Request, decode, encode,
};
use tallyboard_segment::pass::{Listener, Socket};
use tallyboard_segment::pidfd::{Peer, Pidfd, peer};
use tallyboard_segment::reach::{NoDescriptor, is_out_of_descriptors};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::board::attach::Caller;
use crate::board::figures::Ended;
use crate::serve::door::{Door, unidentified};
use crate::serve::events::{Event, Events};
use crate::serve::identity::start_time;
use crate::serve::places::{Place, Places};
use crate::serve::reactor::both;

/// How long the next word of somebody is waited for, or that he reads an answer.
const SILENCE: Duration = Duration::from_secs(10);

/// Accepts connections for as long as the supervisor runs.
pub(crate) async fn accept(
    listener: AsyncFd<Listener>,
    door: Door,
    places: Rc<Places>,
    events: Events,
) {
    for connection in 0_u64.. {
        let Some(socket) = next(&listener).await else { return };
        let found = peer(socket.as_fd());
        let uid = found.as_ref().ok().map(|peer| peer.uid);
        let (peer, admitted_as) = match door.admit(found, socket.as_fd()) {
            Ok(admitted) => admitted,
            Err(refused) => {
                let reason = refused.reason;
                tracing::warn!(uid, reason = reason.name(), "refused a connection: {refused}");
                socket.dismiss(&encode(&Reply::Refused(refused)));
                let _ = events.send(Event::Refused(reason)).await;
                continue;
            }
        };
        let socket = match both(socket) {
            Ok(socket) => Rc::new(socket),
            Err(error) => {
                tracing::error!(%error, "cannot wait for what is said on a control connection");
                continue;
            }
        };
        let (place, was_taken) = places.take(connection, &socket).await;
        if was_taken {
            tracing::warn!(
                "all conversations on the control socket are taken: the one that has said nothing for longest gave up its place; look for processes that connect and say nothing"
            );
        }
        let visitor = Visitor { connection, peer, admitted_as };
        spawn_local(converse(socket, place, visitor, events.clone()));
    }
}

/// Somebody who was let in.
#[derive(Clone, Copy)]
struct Visitor {
    connection: u64,
    /// As he connected, which stays.
    peer: Peer,
    admitted_as: u32,
}

async fn next(listener: &AsyncFd<Listener>) -> Option<Socket> {
    loop {
        let mut ready = listener.readable().await.ok()?;
        match ready.try_io(|listener| listener.get_ref().accept()) {
            Ok(Ok(socket)) => return Some(socket),
            Ok(Err(error)) if is_out_of_descriptors(&error) => {
                tracing::error!("cannot accept on the control socket: {}", NoDescriptor(&error));
            }
            // Who has gone meanwhile is no fault of the socket's.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Ok(Err(error)) => tracing::error!(%error, "cannot accept on the control socket"),
            Err(_would_block) => continue,
        }
        // Without a descriptor to spare, trying again at once would only spin.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn converse(socket: Rc<AsyncFd<Socket>>, place: Place, visitor: Visitor, events: Events) {
    let ended = tokio::select! {
        ended = answer_all(&socket, &place, visitor, &events) => ended,
        () = place.sent_away() => Ok(Some(Ended::Displaced)),
    };
    drop((socket, place));
    match ended {
        Ok(None) => {}
        Ok(Some(ended)) => {
            tracing::debug!(reason = ended.name(), "ended a control connection");
            let _ = events.send(Event::Ended(ended)).await;
        }
        Err(error) => tracing::debug!(%error, "a control connection broke"),
    }
    let _ = events.send(Event::HungUp { connection: visitor.connection }).await;
}

async fn answer_all(
    socket: &AsyncFd<Socket>,
    place: &Place,
    visitor: Visitor,
    events: &Events,
) -> io::Result<Option<Ended>> {
    let connection = visitor.connection;
    loop {
        place.waits();
        let Ok(packet) = tokio::time::timeout(SILENCE, receive(socket)).await else {
            return Ok(Some(Ended::Silent));
        };
        let packet = match packet {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let refused =
                    Refused { reason: RefusedReason::Protocol, detail: error.to_string() };
                return turn_away(socket, place, refused, events).await;
            }
            packet => packet?,
        };
        if packet.is_empty() {
            return Ok(None);
        }
        place.heard();
        let (answer, answered) = oneshot::channel();
        let event = match decode::<Request>(&packet) {
            Ok(Request::Hello(hello)) => match identify(socket.get_ref().as_fd(), visitor) {
                Ok((caller, pidfd)) => Event::Attach { connection, caller, pidfd, hello, answer },
                Err(error) => return turn_away(socket, place, unidentified(&error), events).await,
            },
            Ok(request) => Event::Asked { connection, request, answer },
            Err(error) => return turn_away(socket, place, not_understood(&error), events).await,
        };
        if events.send(event).await.is_err() {
            return Ok(None);
        }
        if let Ok(Some((reply, descriptor))) = answered.await
            && let Some(ended) = send(socket, place, &reply, descriptor).await?
        {
            return Ok(Some(ended));
        }
    }
}

/// Refuses before anybody was asked about it.
async fn turn_away(
    socket: &AsyncFd<Socket>,
    place: &Place,
    refused: Refused,
    events: &Events,
) -> io::Result<Option<Ended>> {
    tracing::warn!(reason = refused.reason.name(), "refused a request: {refused}");
    let _ = events.send(Event::Refused(refused.reason)).await;
    send(socket, place, &Reply::Refused(refused), None).await
}

/// Who is asking, as the kernel says.
fn identify(socket: BorrowedFd<'_>, visitor: Visitor) -> io::Result<(Caller, Pidfd)> {
    let Visitor { peer, admitted_as, .. } = visitor;
    let pidfd = Pidfd::of_peer(socket)?;
    let caller = Caller {
        pid: peer.pid,
        uid: peer.uid,
        admitted_as,
        pidfs_inode: pidfd.inode(),
        start_time: start_time(peer.pid),
    };
    Ok((caller, pidfd))
}

fn not_understood(error: &MessageError) -> Refused {
    Refused { reason: RefusedReason::Protocol, detail: error.to_string() }
}

async fn receive(socket: &AsyncFd<Socket>) -> io::Result<Vec<u8>> {
    loop {
        let mut ready = socket.readable().await?;
        // No request has a descriptor.
        let receive = |socket: &AsyncFd<Socket>| socket.get_ref().receive_bytes(MAX_MESSAGE_BYTES);
        if let Ok(packet) = ready.try_io(receive) {
            return packet;
        }
    }
}

/// Sends an answer; says whether the other side has not read the ones before for too long.
async fn send(
    socket: &AsyncFd<Socket>,
    place: &Place,
    reply: &Reply,
    descriptor: Option<Arc<OwnedFd>>,
) -> io::Result<Option<Ended>> {
    let packet = encode(reply);
    place.waits();
    let sent = tokio::time::timeout(SILENCE, async {
        loop {
            let mut ready = socket.writable().await?;
            let descriptor = descriptor.as_deref().map(AsFd::as_fd);
            if let Ok(sent) = ready.try_io(|socket| socket.get_ref().send(&packet, descriptor)) {
                return sent;
            }
        }
    });
    match sent.await {
        Ok(sent) => sent.map(|()| None),
        Err(_late) => Ok(Some(Ended::Silent)),
    }
}
