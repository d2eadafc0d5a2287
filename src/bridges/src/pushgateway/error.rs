//! What came of something that was to be pushed.

use std::error::Error as StdError;
use std::time::Duration;

use thiserror::Error;

use crate::blocking::BlockingError;
use crate::receiver::{ReceiverError, SendError};

/// What a handler of one's own failed with.
pub type HandlerError = Box<dyn StdError + Send + Sync>;

/// What came of something that was to be pushed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PushError {
    /// The URL or a header cannot be used.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// The job has no name.
    #[error("expected the name of a job, found an empty text, which a gateway refuses; name it")]
    NoJob,
    /// A grouping key has a label that cannot be in one.
    #[error("expected a label of a grouping key, found {found:?}, {why}; use another name")]
    Grouping {
        /// The name of the label.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The gateway did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The handler failed.
    #[error("the handler that sends to {gateway} failed: {source}")]
    Handler {
        /// The gateway.
        gateway: String,
        /// With what.
        source: HandlerError,
    },
    /// It cannot be waited for here.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl PushError {
    /// How long the gateway wants not to be asked, if it said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Send(error) => error.retry_after(),
            _ => None,
        }
    }
}
