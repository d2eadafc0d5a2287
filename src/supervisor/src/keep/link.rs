//! The messages between a keeper and its supervisor: four words each, with a descriptor or without,
//! so that the keeper has nothing to parse.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tallyboard_segment::pass::Socket;

use crate::page::collector::Spent;

/// What a supervisor tells its keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToKeeper {
    /// A slot is about to be assigned; the worker's pidfd comes with it.
    Assigned { slot: u64, generation: u64, pid: u64 },
    /// The supervisor answers from now on.
    Ready,
    /// Processor time of the workers, for the next supervisor; in clock ticks.
    Spent(Spent),
    /// The loop that was asked turns.
    Alive,
}

/// What a keeper tells its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToSupervisor {
    /// Finish what is under way and end.
    Stop,
    /// A metrics socket that could not be had before; it comes with it.
    Listener { index: u64 },
    /// Say whether the loop turns.
    Ask,
}

const BYTES: usize = 32;

/// A message that can travel over a link.
pub(crate) trait Message: Sized {
    fn to_words(self) -> [u64; 4];
    fn from_words(words: [u64; 4]) -> Option<Self>;
}

impl Message for ToKeeper {
    fn to_words(self) -> [u64; 4] {
        match self {
            Self::Assigned { slot, generation, pid } => [1, slot, generation, pid],
            Self::Ready => [2, 0, 0, 0],
            Self::Spent(Spent { dead, total, is_exposed }) => {
                [3, dead, total, u64::from(is_exposed)]
            }
            Self::Alive => [4, 0, 0, 0],
        }
    }

    fn from_words(words: [u64; 4]) -> Option<Self> {
        match words {
            [1, slot, generation, pid] => Some(Self::Assigned { slot, generation, pid }),
            [2, 0, 0, 0] => Some(Self::Ready),
            [3, dead, total, is_exposed @ 0..=1] => {
                Some(Self::Spent(Spent { dead, total, is_exposed: is_exposed == 1 }))
            }
            [4, 0, 0, 0] => Some(Self::Alive),
            _ => None,
        }
    }
}

impl Message for ToSupervisor {
    fn to_words(self) -> [u64; 4] {
        match self {
            Self::Stop => [1, 0, 0, 0],
            Self::Listener { index } => [2, index, 0, 0],
            Self::Ask => [3, 0, 0, 0],
        }
    }

    fn from_words(words: [u64; 4]) -> Option<Self> {
        match words {
            [1, 0, 0, 0] => Some(Self::Stop),
            [2, index, 0, 0] => Some(Self::Listener { index }),
            [3, 0, 0, 0] => Some(Self::Ask),
            _ => None,
        }
    }
}

pub(crate) fn send<M: Message>(
    socket: &Socket,
    message: M,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let words = message.to_words();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    socket.send(&bytes, descriptor)
}

/// Receives one message; `None` when the other side has gone.
pub(crate) fn receive<M: Message>(socket: &Socket) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let packet = socket.receive(BYTES)?;
    if packet.bytes.is_empty() {
        return Ok(None);
    }
    let words = packet.bytes.as_chunks::<8>().0;
    let words: Option<[u64; 4]> =
        words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>().try_into().ok();
    let message = words.and_then(M::from_words);
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "an unknown link message");
    Ok(Some((message.ok_or_else(unknown)?, packet.descriptor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_link() {
        let (a, b) = Socket::pair().unwrap();
        let sent = [
            ToKeeper::Assigned { slot: 1, generation: 2, pid: 3 },
            ToKeeper::Ready,
            ToKeeper::Spent(Spent { dead: 4, total: u64::MAX, is_exposed: true }),
            ToKeeper::Spent(Spent::default()),
            ToKeeper::Alive,
        ];
        for message in sent {
            send(&a, message, None).unwrap();
        }
        for message in sent {
            assert_eq!(receive::<ToKeeper>(&b).unwrap().unwrap().0, message);
        }
        for sent in [ToSupervisor::Stop, ToSupervisor::Listener { index: 7 }, ToSupervisor::Ask] {
            send(&b, sent, None).unwrap();
            assert_eq!(receive::<ToSupervisor>(&a).unwrap().unwrap().0, sent);
        }
        a.send(b"short", None).unwrap();
        assert!(receive::<ToKeeper>(&b).is_err());
        drop(a);
        assert!(receive::<ToKeeper>(&b).unwrap().is_none());
    }
}
