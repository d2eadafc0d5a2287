//! The control conversation from the other side: what a program asks a supervisor.

use std::fs::File;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use tallyboard_exposition::format::Format;
use tallyboard_proto::control::{
    Description, MessageError, Refused, Reply, Request, SlotRow, decode, decode_rows, encode,
};
use tallyboard_segment::mapping::read_bytes;
use tallyboard_segment::pass::{Address, Packet};
use tallyboard_segment::reach::{self, ReachError};
use tallyboard_segment::trust::Trust;
use thiserror::Error;

/// A question without an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody answers there, or nobody who is believed.
    #[error("{0} (see `tallyboard ls`, or name it with --control)")]
    Reach(#[from] ReachError),
    /// The answer is another one than was asked for.
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
    scrape_accepting(address, metrics, Format::default().content_type(), timeout)
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
    describe_to(asker(), address, timeout)
}

/// The same when whoever answers is believed: an address that was found, and named by nobody, may be
/// somebody else's.
///
/// # Errors
/// As [`scrape`].
pub fn describe_to(
    trust: Trust,
    address: &Address,
    timeout: Duration,
) -> Result<Description, AskError> {
    match ask(trust, address, &Request::Describe, timeout)? {
        (Reply::Described(description), _) => Ok(description),
        (reply, _) => Err(other(address, "a description", &reply)),
    }
}

fn body(address: &Address, request: &Request, timeout: Duration) -> Result<Vec<u8>, AskError> {
    let expected = "a body and its descriptor";
    let (bytes, packet) = match ask(asker(), address, request, timeout)? {
        (Reply::Body { bytes, .. }, packet) => (bytes, packet),
        (reply, _) => return Err(other(address, expected, &reply)),
    };
    let unexpected = |found: String| {
        let address = address.clone();
        AskError::Unexpected { address, expected, found }
    };
    let descriptor = packet.descriptor.ok_or_else(|| unexpected("no descriptor".to_owned()))?;
    read_bytes(&File::from(descriptor), bytes).map_err(|error| unexpected(error.to_string()))
}

fn ask(
    trust: Trust,
    address: &Address,
    request: &Request,
    timeout: Duration,
) -> Result<(Reply, Packet), AskError> {
    let answer = reach::ask(address, trust, &encode(request), timeout, Instant::now() + timeout)?;
    match decode(&answer.packet.bytes)? {
        Reply::Refused(refused) => Err(refused.into()),
        reply => Ok((reply, answer.packet)),
    }
}

/// Whom somebody believes who asks at an address that he was given: root may ask anybody.
fn asker() -> Trust {
    if geteuid().is_root() {
        return Trust::everybody();
    }
    Trust::of_environment()
}

fn other(address: &Address, expected: &'static str, reply: &Reply) -> AskError {
    AskError::Unexpected { address: address.clone(), expected, found: format!("{reply:?}") }
}
