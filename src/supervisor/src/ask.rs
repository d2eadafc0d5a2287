//! The control conversation from the other side: what a program asks a supervisor.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use tallyboard_exposition::format::Format;
use tallyboard_proto::control::{
    Description, MAX_MESSAGE_BYTES, MessageError, Refused, Reply, Request, SlotRow, decode,
    decode_rows, encode,
};
use tallyboard_segment::mapping::read_bytes;
use tallyboard_segment::pass::{Address, Packet, Socket};
use thiserror::Error;

/// A question without an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens there, or nobody answers.
    #[error(
        "expected a supervisor on {address}: {source}; see `tallyboard ls`, or name it with --control"
    )]
    Unanswered {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The answer cannot be understood.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The supervisor refused.
    #[error("the supervisor refused: {0}")]
    Refused(#[from] Refused),
}

/// The exposition of an arena, or of the families that `metrics` names, in the usual format.
///
/// # Errors
/// [`AskError`] when nobody answers within `timeout`, or not in a way that can be understood.
pub fn scrape(
    address: &Address,
    metrics: &[String],
    timeout: Duration,
) -> Result<Vec<u8>, AskError> {
    scrape_as(address, metrics, Format::default(), timeout)
}

/// The same in this format.
///
/// # Errors
/// As [`scrape`].
pub fn scrape_as(
    address: &Address,
    metrics: &[String],
    format: Format,
    timeout: Duration,
) -> Result<Vec<u8>, AskError> {
    scrape_accepting(address, metrics, format.content_type(), timeout)
}

/// The same in the format, and with the names, that fit a header `Accept`.
///
/// # Errors
/// As [`scrape`].
pub fn scrape_accepting(
    address: &Address,
    metrics: &[String],
    accept: &str,
    timeout: Duration,
) -> Result<Vec<u8>, AskError> {
    let (metrics, accept) = (metrics.to_vec(), accept.to_owned());
    body(address, &Request::Scrape { metrics, accept }, timeout)
}

/// The slots of an arena that are taken.
///
/// # Errors
/// As [`scrape`].
pub fn slots(address: &Address, timeout: Duration) -> Result<Vec<SlotRow>, AskError> {
    Ok(decode_rows(&body(address, &Request::Slots, timeout)?)?)
}

/// What arena is behind an address.
///
/// # Errors
/// As [`scrape`].
pub fn describe(address: &Address, timeout: Duration) -> Result<Description, AskError> {
    match ask(address, &Request::Describe, timeout)? {
        (Reply::Described(description), _) => Ok(description),
        (reply, _) => Err(other(address, reply)),
    }
}

fn body(address: &Address, request: &Request, timeout: Duration) -> Result<Vec<u8>, AskError> {
    let (bytes, packet) = match ask(address, request, timeout)? {
        (Reply::Body { bytes, .. }, packet) => (bytes, packet),
        (reply, _) => return Err(other(address, reply)),
    };
    let unanswered = |source| AskError::Unanswered { address: address.clone(), source };
    let missing = || unanswered(io::Error::other("the answer came without its descriptor"));
    let file = File::from(packet.descriptor.ok_or_else(missing)?);
    read_bytes(&file, bytes).map_err(unanswered)
}

fn ask(
    address: &Address,
    request: &Request,
    timeout: Duration,
) -> Result<(Reply, Packet), AskError> {
    let unanswered = |source| AskError::Unanswered { address: address.clone(), source };
    let deadline = Instant::now() + timeout;
    let socket = Socket::connect(address, deadline).map_err(unanswered)?;
    socket.send(&encode(request), None).map_err(unanswered)?;
    let packet = socket.receive_until(MAX_MESSAGE_BYTES, deadline).map_err(unanswered)?;
    if packet.bytes.is_empty() {
        return Err(unanswered(io::ErrorKind::ConnectionReset.into()));
    }
    match decode(&packet.bytes)? {
        Reply::Refused(refused) => Err(refused.into()),
        reply => Ok((reply, packet)),
    }
}

fn other(address: &Address, reply: Reply) -> AskError {
    let source = io::Error::other(format!("it answered something else: {reply:?}"));
    AskError::Unanswered { address: address.clone(), source }
}
