//! The conversation that gets a worker its slot.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tallyboard_proto::control::{
    Attached, Hello, MAX_MESSAGE_BYTES, MessageError, Refused, Rejoin, Reply, Request, decode,
    encode,
};
use tallyboard_proto::layout::{
    FINGERPRINT, Geometry, GeometryError, LAYOUT_VERSION, Layout, PAGE_WORDS, slot_header,
};
use tallyboard_segment::mapping::{SlotMapping, pread};
use tallyboard_segment::pass::{Address, AddressError, Socket};
use tallyboard_segment::process;
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
    /// Nobody listens there.
    #[error(
        "no supervisor listens on {address}: {source}; start `tallyboard serve`, or correct TALLYBOARD"
    )]
    Connect {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor did not answer in time.
    #[error(
        "the supervisor on {address} did not answer in {} ms: {source}; see whether it runs, or raise TALLYBOARD_ATTACH_TIMEOUT_MS", timeout.as_millis()
    )]
    Answer {
        /// The address.
        address: Address,
        /// How long it was waited for.
        timeout: Duration,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor gave no exposition in time.
    #[error(
        "the supervisor on {address} gave no exposition in {} ms: {source}; see whether it runs or is stopped, and what its log says; what is counted meanwhile is not lost", waited.as_millis()
    )]
    Exposition {
        /// The address.
        address: Address,
        /// How long it was waited for.
        waited: Duration,
        /// What the system said.
        source: io::Error,
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
    /// The slot could not be mapped or made real.
    #[error("cannot map the slot: {0}; see whether memory is short")]
    Map(io::Error),
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
            Self::Connect { .. } | Self::Answer { .. } | Self::Confirm(_) => false,
            _ => true,
        }
    }

    /// Whether the conversation broke off, as it does when a supervisor dies in it.
    pub(crate) fn is_broken_off(&self) -> bool {
        match self {
            Self::Connect { source, .. } | Self::Answer { source, .. } | Self::Confirm(source) => {
                use io::ErrorKind::{BrokenPipe, ConnectionReset};
                matches!(source.kind(), BrokenPipe | ConnectionReset)
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

/// Asks the supervisor at `address` for a slot. `rejoin` says where the client's handles have
/// their cells already; without it the catalog's prefix is read as well. Gives nothing when the
/// slot is one of the arena `present`, in which the client has its slot.
pub(crate) fn ask(
    address: &Address,
    timeout: Duration,
    deadline: Instant,
    attach_id: u64,
    rejoin: Option<Rejoin>,
    present: Option<u64>,
) -> Result<Option<Offer>, AttachError> {
    let (granted, descriptor, socket) = converse(address, timeout, deadline, attach_id, rejoin)?;
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
    let object = File::from(descriptor);
    let start = layout.slot(slot);
    let mapping = SlotMapping::of_object(object.as_fd(), start, layout.slot_words)
        .map_err(AttachError::Map)?;
    mapping.open(0..slot_header::WORDS).map_err(AttachError::Map)?;
    let prefix = if rejoin.is_some() { 0 } else { prefix_words };
    let catalog = layout.catalog..layout.catalog + prefix;
    let prefix = pread(&object, catalog).map_err(AttachError::Map)?;
    Ok(Some(Offer { mapping, layout, granted, prefix, socket }))
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
    address: &Address,
    timeout: Duration,
    deadline: Instant,
    attach_id: u64,
    rejoin: Option<Rejoin>,
) -> Result<(Attached, std::os::fd::OwnedFd, Socket), AttachError> {
    let connect = |source| AttachError::Connect { address: address.clone(), source };
    let answer = |source| AttachError::Answer { address: address.clone(), timeout, source };
    let socket = Socket::connect(address, deadline).map_err(connect)?;
    let hello = Request::Hello(Hello {
        layout: LAYOUT_VERSION,
        fingerprint: FINGERPRINT,
        image: process::image(),
        attach_id,
        rejoin,
    });
    socket.send(&encode(&hello), None).map_err(answer)?;
    let packet = socket.receive_until(MAX_MESSAGE_BYTES, deadline).map_err(answer)?;
    if packet.bytes.is_empty() {
        return Err(answer(io::ErrorKind::ConnectionReset.into()));
    }
    match (decode(&packet.bytes)?, packet.descriptor) {
        (Reply::Attached(granted), Some(descriptor)) => Ok((granted, descriptor, socket)),
        (Reply::Refused(refused), _) => Err(refused.into()),
        _ => Err(answer(io::Error::other("expected a slot and a descriptor"))),
    }
}
