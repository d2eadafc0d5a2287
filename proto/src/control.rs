//! The conversation over the control socket.
//!
//! A message is one packet of a `SOCK_SEQPACKET` Unix socket: the protocol version in four
//! little-endian bytes, then the message in bincode 2 (little-endian, fixed-size integers). Each
//! side checks the version before it reads on, so two programs that cannot understand each other
//! can say so. A message is at most [`MAX_MESSAGE_BYTES`] long; what may be longer travels as a
//! descriptor beside [`Reply::Body`].
//!
//! ```text
//! worker                         supervisor
//!   | Hello ----------------------> |  identity from the kernel; slot Free -> Assigned
//!   | <--------- Attached, descriptor
//!   |  maps its slot, makes the cells of the prefix real
//!   | Confirm --------------------> |  slot Assigned -> Live
//!   |  stores
//! ```

use bincode::{Decode, Encode, config};
use thiserror::Error;

use crate::layout::Geometry;

/// Version of the conversation.
pub const PROTOCOL_VERSION: u32 = 3;
/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 16;
/// Most slots that one process may have: one per client in it, and programs executed in turn.
pub const MAX_SLOTS_PER_PROCESS: usize = 4;

/// What a client asks.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub enum Request {
    /// Asks for a slot.
    Hello(Hello),
    /// Takes the slot that was offered; sent before the first store into it.
    Confirm,
    /// Asks for the exposition, of all families or of the named ones.
    Scrape {
        /// Names of families or of their samples; none for all.
        metrics: Vec<String>,
        /// Which formats it is wanted in, as a header `Accept` says it; empty for the usual one.
        accept: String,
    },
    /// Asks for the slot table.
    Slots,
    /// Asks what arena this is.
    Describe,
}

/// A worker's request for a slot.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub struct Hello {
    /// Layout version of the worker.
    pub layout: u64,
    /// Layout fingerprint of the worker.
    pub fingerprint: u64,
    /// Hash naming this execution of the program.
    pub image: u64,
    /// Random number of this client in this process.
    pub attach_id: u64,
    /// What the client has had before, when its handles already have cells.
    pub rejoin: Option<Rejoin>,
}

/// Where the handles of a client have their cells.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub struct Rejoin {
    /// The arena they were made for.
    pub arena_id: u64,
    /// The prefix they were made on, in words of its catalog.
    pub prefix: u64,
}

/// What the supervisor answers.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub enum Reply {
    /// A slot; the arena's descriptor comes with it.
    Attached(Attached),
    /// No.
    Refused(Refused),
    /// What was asked for is in the descriptor that comes with it.
    Body {
        /// How many bytes it has.
        bytes: u64,
        /// What they are; empty when only one thing can be meant.
        content_type: String,
    },
    /// What arena this is.
    Described(Description),
}

/// A slot for a worker.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub struct Attached {
    /// The slot.
    pub slot: u64,
    /// Its generation.
    pub generation: u64,
    /// The arena.
    pub arena_id: u64,
    /// Words of the catalog that the slot takes over.
    pub prefix: u64,
    /// How many label sets a family may have.
    pub label_limit: u64,
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0, for stamps.
    pub unix_offset_ns: u64,
    /// The arena's geometry, see [`Geometry::to_words`].
    pub geometry: [u64; Geometry::WORDS],
}

/// Why a worker gets no slot.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// Another layout version or fingerprint.
    Layout,
    /// Its uid is not one that the arena is for.
    Uid,
    /// All slots are taken.
    SlotsFull,
    /// The process has as many slots as one process may have.
    ProcessLimit,
    /// The system has no memory for another slot.
    Memory,
    /// The supervisor could not learn from the kernel who is asking.
    Identity,
    /// The message was not understood.
    Protocol,
    /// The supervisor is not ready or is stopping.
    Unready,
}

impl RefusedReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Layout,
        Self::Uid,
        Self::SlotsFull,
        Self::ProcessLimit,
        Self::Memory,
        Self::Identity,
        Self::Protocol,
        Self::Unready,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Uid => "uid",
            Self::SlotsFull => "slots_full",
            Self::ProcessLimit => "process_limit",
            Self::Memory => "memory",
            Self::Identity => "identity",
            Self::Protocol => "protocol",
            Self::Unready => "unready",
        }
    }
}

/// A refusal: why, and what to do.
#[derive(Clone, Debug, Encode, Decode, Error, PartialEq, Eq)]
#[error("{detail}")]
pub struct Refused {
    /// Why, for programs.
    pub reason: RefusedReason,
    /// Why, for people: expected, found and what to do.
    pub detail: String,
}

/// An arena, in a few words.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its backing, `posix` or `memfd`.
    pub backing: String,
    /// Its arena id.
    pub arena_id: u64,
    /// Pid of its keeper.
    pub keeper_pid: u32,
    /// Pid of its supervisor.
    pub supervisor_pid: u32,
    /// How many slots it has.
    pub slots: u64,
    /// How many of them are taken.
    pub taken: u64,
    /// How many series its catalog has.
    pub series: u64,
    /// Where its metrics are served, as URLs.
    pub metrics: Vec<String>,
}

/// A row of the answer to [`Request::Slots`].
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub struct SlotRow {
    /// The slot.
    pub slot: u64,
    /// Its generation.
    pub generation: u64,
    /// Name of its state.
    pub state: String,
    /// Pid as the supervisor sees it; 0 when it cannot.
    pub pid: u64,
    /// Uid.
    pub uid: u64,
    /// When it was assigned, in milliseconds of Unix time.
    pub attached_at_ms: u64,
    /// Series of its own, behind its prefix.
    pub series: u64,
    /// Cells, those of the prefix included.
    pub cells: u64,
    /// What it could not count, all reasons together.
    pub dropped: u64,
    /// Whether it is quarantined.
    pub quarantined: bool,
}

/// A message that cannot be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// The other side speaks another version.
    #[error(
        "expected control protocol {PROTOCOL_VERSION}, found {found}; use the same release of Tallyboard on both sides"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// The bytes are no message.
    #[error("expected a control message, found {found} bytes that are none: {why}")]
    Damaged {
        /// How many bytes came.
        found: usize,
        /// What the decoder said.
        why: String,
    },
}

fn format() -> impl config::Config {
    config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<MAX_MESSAGE_BYTES>()
}

/// Encodes a message as one packet.
///
/// # Panics
/// Never: the types above have no encoding that can fail.
#[must_use]
pub fn encode<M: Encode>(message: &M) -> Vec<u8> {
    let mut packet = PROTOCOL_VERSION.to_le_bytes().to_vec();
    packet.extend(body(message));
    packet
}

/// Decodes a packet.
///
/// # Errors
/// [`MessageError`] for another version, or for bytes that are not exactly one message.
pub fn decode<M: Decode<()>>(packet: &[u8]) -> Result<M, MessageError> {
    let damaged = |why: &str| MessageError::Damaged { found: packet.len(), why: why.to_owned() };
    let (version, rest) = packet.split_first_chunk::<4>().ok_or_else(|| damaged("too short"))?;
    let found = u32::from_le_bytes(*version);
    if found != PROTOCOL_VERSION {
        return Err(MessageError::Version { found });
    }
    let (message, length) =
        bincode::decode_from_slice(rest, format()).map_err(|error| damaged(&error.to_string()))?;
    if length == rest.len() { Ok(message) } else { Err(damaged("bytes follow the message")) }
}

fn body<M: Encode>(message: &M) -> Vec<u8> {
    bincode::encode_to_vec(message, format()).expect("these messages always encode")
}

/// Encodes the slot table for a descriptor: its length in four bytes, then each row with its
/// length in four bytes before it.
#[must_use]
pub fn encode_rows(rows: &[SlotRow]) -> Vec<u8> {
    let mut bytes = (rows.len() as u32).to_le_bytes().to_vec();
    for row in rows.iter().map(encode) {
        bytes.extend((row.len() as u32).to_le_bytes());
        bytes.extend(row);
    }
    bytes
}

/// Decodes what [`encode_rows`] encoded.
///
/// # Errors
/// [`MessageError`] when the bytes are no slot table.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<SlotRow>, MessageError> {
    let damaged = || MessageError::Damaged { found: bytes.len(), why: "no slot table".to_owned() };
    let (count, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let mut rows = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (row, tail) =
            tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        rows.push(decode(row)?);
        rest = tail;
    }
    if rest.is_empty() { Ok(rows) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_these_bytes() {
        let hello = Request::Hello(Hello {
            layout: 1,
            fingerprint: 0x0102_0304_0506_0708,
            image: 3,
            attach_id: 4,
            rejoin: Some(Rejoin { arena_id: 5, prefix: 6 }),
        });
        let words = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let mut golden = vec![3, 0, 0, 0, 0, 0, 0, 0];
        golden.extend(words(&[1, 0x0102_0304_0506_0708, 3, 4]));
        golden.push(1);
        golden.extend(words(&[5, 6]));
        assert_eq!(encode(&hello), golden);
        assert_eq!(decode(&golden), Ok(hello));
        assert_eq!(encode(&Request::Confirm), [3, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(encode(&Request::Slots), [3, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(encode(&Request::Describe), [3, 0, 0, 0, 4, 0, 0, 0]);
        let attached = Reply::Attached(Attached {
            slot: 1,
            generation: 2,
            arena_id: 3,
            prefix: 4,
            label_limit: 5,
            unix_offset_ns: 6,
            geometry: [7, 8, 9, 10, 11, 12, 13],
        });
        let mut golden = vec![3, 0, 0, 0, 0, 0, 0, 0];
        golden.extend(words(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]));
        assert_eq!(encode(&attached), golden);
        let refused = Reply::Refused(Refused { reason: RefusedReason::Uid, detail: "no".into() });
        let mut golden = vec![3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        golden.extend(words(&[2]));
        golden.extend(b"no");
        assert_eq!(encode(&refused), golden);
    }

    #[test]
    fn hostile_packets_are_errors_and_allocate_nothing_large() {
        assert_eq!(decode::<Request>(&[1, 0, 0, 0]), Err(MessageError::Version { found: 1 }));
        // A scrape of 2^63 names, and one name of 2^40 bytes.
        let mut names = vec![3, 0, 0, 0, 2, 0, 0, 0];
        names.extend((1_u64 << 63).to_le_bytes());
        assert!(decode::<Request>(&names).is_err());
        let mut name = vec![3, 0, 0, 0, 2, 0, 0, 0];
        name.extend(1_u64.to_le_bytes());
        name.extend((1_u64 << 40).to_le_bytes());
        assert!(decode::<Request>(&name).is_err());
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let packet: Vec<u8> = (0..seed % 64)
                .map(|at| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if at < 4 { u8::from(at == 0) } else { (seed >> 56) as u8 % 8 }
                })
                .collect();
            let _ = decode::<Request>(&packet);
            let _ = decode::<Reply>(&packet);
            let _ = decode_rows(&packet);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
    }

    #[test]
    fn a_slot_table_survives_the_round_trip() {
        let row = SlotRow {
            slot: 1,
            generation: 2,
            state: "live".into(),
            pid: 3,
            uid: 4,
            attached_at_ms: 5,
            series: 6,
            cells: 7,
            dropped: 8,
            quarantined: true,
        };
        let rows = vec![row; 3];
        let bytes = encode_rows(&rows);
        assert_eq!(decode_rows(&bytes), Ok(rows));
        assert!(decode_rows(&bytes[..bytes.len() - 1]).is_err());
    }
}
