//! The conversation that gets a worker its slot.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{
    Attached, Hello, MessageError, Refused, Rejoin, Reply, Request, decode, encode,
};
use tallyboard_proto::layout::{
    DropReason, Geometry, GeometryError, LAYOUT_VERSION, Layout, PAGE_WORDS, slot_header,
};
use tallyboard_segment::mapping::{SlotMapping, Unmapped, pread};
use tallyboard_segment::pass::{Address, AddressError, Socket};
use tallyboard_segment::process;
use tallyboard_segment::reach::{self, Answer, ReachError};
use tallyboard_segment::trust::{Trust, Unsound};
use thiserror::Error;

/// A worker that gets no slot. It counts privately, and nothing of the application fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No address was configured.
    #[error(
        "expected the control address of a supervisor in TALLYBOARD, found none; start the application with `tallyboard exec -- COMMAND`, or set TALLYBOARD=unix:/path"
    )]
    NoAddress,
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nobody answers there, or nobody who is believed.
    #[error(transparent)]
    Reach(ReachError),
    /// Nobody answered in the time that attaching may take.
    #[error("{0}, or raise TALLYBOARD_ATTACH_TIMEOUT_MS")]
    Late(ReachError),
    /// The supervisor answered something else.
    #[error(
        "expected {expected} of the supervisor on {address}, found {found}; use the same release on both sides"
    )]
    Unexpected {
        /// The address.
        address: Address,
        /// What was asked for.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// The supervisor gave no exposition in time.
    #[error(
        "the supervisor on {address} gave no exposition in {} ms; see whether it runs or is stopped, and what its log says; what is counted meanwhile is not lost", waited.as_millis()
    )]
    Exposition {
        /// The address.
        address: Address,
        /// How long it was waited for.
        waited: Duration,
        /// What it was waited for.
        source: ReachError,
    },
    /// The supervisor answered something that cannot be understood.
    #[error("the supervisor's answer: {0}")]
    Message(#[from] MessageError),
    /// The supervisor refused.
    #[error("the supervisor refused: {0}")]
    Refused(#[from] Refused),
    /// The slot that was granted cannot be.
    #[error(
        "the supervisor granted an arena that cannot be: {0}; use the same release on both sides"
    )]
    Geometry(#[from] GeometryError),
    /// What came with the slot is not mapped.
    #[error("the arena that was granted cannot be used: {0}")]
    Object(#[from] Unsound),
    /// The slot could not be mapped or made real.
    #[error("{}", Unmapped(.0))]
    Map(io::Error),
    /// What this process has counted has no room in the slot.
    #[error(
        "the arena has no room for the series of this process ({}); start the supervisor with a larger --max-series", .0.name()
    )]
    NoRoom(DropReason),
    /// The system has no random number to name this process with.
    #[error("the system gives no random number: {0}; allow getrandom in the seccomp profile")]
    Random(io::Error),
    /// The supervisor went away before the slot was taken.
    #[error("the supervisor went away before the slot was taken: {0}; see whether it runs")]
    Confirm(io::Error),
    /// The catalog's prefix does not parse.
    #[error("the catalog of the arena does not parse: {0}; use the same release on both sides")]
    Catalog(#[from] tallyboard_proto::log::LogError),
}

impl AttachError {
    /// Whether asking again cannot help.
    pub(crate) fn is_final(&self) -> bool {
        use tallyboard_proto::control::RefusedReason::{Layout, ProcessLimit, Protocol, Uid};
        match self {
            Self::Refused(refused) => {
                matches!(refused.reason, Layout | ProcessLimit | Protocol | Uid)
            }
            Self::Reach(_) | Self::Late(_) | Self::Confirm(_) => false,
            _ => true,
        }
    }

    /// Whether the conversation broke off, as it does when a supervisor dies in it.
    pub(crate) fn is_broken_off(&self) -> bool {
        match self {
            Self::Reach(error) => error.is_broken_off(),
            Self::Confirm(error) => {
                use io::ErrorKind::{BrokenPipe, ConnectionReset};
                matches!(error.kind(), BrokenPipe | ConnectionReset)
            }
            _ => false,
        }
    }
}

/// A slot that was granted and mapped, and is not confirmed yet.
pub(crate) struct Offer {
    pub(crate) mapping: SlotMapping,
    pub(crate) layout: Layout,
    pub(crate) granted: Attached,
    /// Words of the catalog up to the prefix, when they were asked for.
    pub(crate) prefix: Vec<u64>,
    socket: Socket,
}

/// Where and how a supervisor is asked.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) address: &'a Address,
    pub(crate) trust: Trust,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
}

/// Asks the supervisor for a slot. `rejoin` says where the client's handles have their cells
/// already; without it the catalog's prefix is read as well. Gives nothing when the slot is one of
/// the arena `present`, in which the client has its slot.
pub(crate) fn ask(
    way: Way<'_>,
    attach_id: u64,
    rejoin: Option<Rejoin>,
    present: Option<u64>,
) -> Result<Option<Offer>, AttachError> {
    let (granted, descriptor, answer) = converse(way, attach_id, rejoin)?;
    // Hanging up without Confirm leaves a slot that was taken before as it is.
    if present == Some(granted.arena_id) {
        return Ok(None);
    }
    let layout = Layout::new(Geometry::from_words(granted.geometry)?);
    let slot = usize::try_from(granted.slot).unwrap_or(usize::MAX);
    let prefix_words = usize::try_from(granted.prefix).unwrap_or(usize::MAX);
    let out = |name, found, max| GeometryError::OutOfRange { name, min: 0, max, found };
    if slot >= layout.geometry.slots {
        return Err(out("slot", granted.slot, layout.geometry.slots - 1).into());
    }
    if prefix_words > layout.geometry.log_words {
        return Err(out("prefix", granted.prefix, layout.geometry.log_words).into());
    }
    if layout.geometry.unit < PAGE_WORDS {
        return Err(out("unit", layout.geometry.unit as u64, PAGE_WORDS).into());
    }
    // The descriptor could map all slots: it is closed as soon as this one is mapped.
    let object = File::from(descriptor);
    way.trust.check_object(object.as_fd(), layout.arena_words(), answer.uid)?;
    let start = layout.slot(slot);
    let mapped = |words| SlotMapping::of_object(object.as_fd(), start, words);
    // Where a limit leaves no room for lanes, threads count without.
    let mapping = mapped(layout.slot_words)
        .or_else(|_| mapped(layout.slot_words_without_lanes()))
        .map_err(AttachError::Map)?
        .with_lanes(&layout);
    mapping.open(0..slot_header::WORDS).map_err(AttachError::Map)?;
    let prefix = if rejoin.is_some() { 0 } else { prefix_words };
    let catalog = layout.catalog..layout.catalog + prefix;
    let prefix = pread(&object, catalog).map_err(AttachError::Map)?;
    Ok(Some(Offer { mapping, layout, granted, prefix, socket: answer.socket }))
}

impl Offer {
    /// Takes the slot. After this, and not before, the worker may store into it.
    pub(crate) fn confirm(self) -> Result<(SlotMapping, Layout, Attached), AttachError> {
        // A supervisor that has gone in between has freed the slot: then this send fails.
        self.socket.send(&encode(&Request::Confirm), None).map_err(AttachError::Confirm)?;
        Ok((self.mapping, self.layout, self.granted))
    }
}

fn converse(
    way: Way<'_>,
    attach_id: u64,
    rejoin: Option<Rejoin>,
) -> Result<(Attached, OwnedFd, Answer), AttachError> {
    let hello = Request::Hello(Hello {
        layout: LAYOUT_VERSION,
        fingerprint: FINGERPRINT,
        image: process::image(),
        attach_id,
        rejoin,
    });
    let answer = reach::ask(way.address, way.trust, &encode(&hello), way.timeout, way.deadline);
    let mut answer = answer.map_err(|error| match error.is_late() {
        true => AttachError::Late(error),
        false => AttachError::Reach(error),
    })?;
    match (decode(&answer.packet.bytes)?, answer.packet.descriptor.take()) {
        (Reply::Attached(granted), Some(descriptor)) => Ok((granted, descriptor, answer)),
        (reply, _) => Err(unexpected(way.address, "a slot and its descriptor", reply)),
    }
}

/// The error that an answer is another one than was asked for, or a refusal.
pub(crate) fn unexpected(address: &Address, expected: &'static str, reply: Reply) -> AttachError {
    let (address, found) = match reply {
        Reply::Refused(refused) => return refused.into(),
        Reply::Attached(_) => (address.clone(), "a slot without one"),
        Reply::Body { .. } => (address.clone(), "a body"),
        Reply::Described(_) => (address.clone(), "a description"),
    };
    AttachError::Unexpected { address, expected, found: found.to_owned() }
}
