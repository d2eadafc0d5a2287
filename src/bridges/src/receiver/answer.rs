//! What a receiver answered, and what came of it when it did not.

use std::time::Duration;

use thiserror::Error;

use crate::tls::TlsError;

/// What a receiver answered: with a status from 200 to 299.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }
}

/// What came of something that was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody is there.
    #[error("cannot connect to {receiver}: {why}; see whether it runs and is reachable")]
    Connect {
        /// The receiver.
        receiver: String,
        /// What the system said.
        why: String,
    },
    /// It and this side do not agree on TLS.
    #[error(
        "cannot speak TLS with {receiver}: {why}; see whether its certificate is trusted here and is one for this host, and whether it trusts the one shown"
    )]
    Handshake {
        /// The receiver.
        receiver: String,
        /// What TLS said.
        why: String,
    },
    /// It takes too long.
    #[error(
        "{receiver} gave no {what} within {limit:?}; see whether it is overloaded, or allow more time"
    )]
    Timeout {
        /// The receiver.
        receiver: String,
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// What it says is no HTTP, or it hung up.
    #[error(
        "{receiver} gave no HTTP answer: {why}; see whether the URL leads to the right port, and whether it wants TLS"
    )]
    Exchange {
        /// The receiver.
        receiver: String,
        /// What came instead.
        why: String,
    },
    /// It refused.
    #[error("{receiver} answered {status}: {said}")]
    Refused {
        /// The receiver.
        receiver: String,
        /// The status.
        status: u16,
        /// What it said, cut, in one line.
        said: String,
        /// How long it wants not to be asked.
        retry_after: Option<Duration>,
    },
    /// It took what was sent for something else.
    #[error("{receiver} did not take what was sent: {why}")]
    Misread {
        /// The receiver.
        receiver: String,
        /// What shows that.
        why: String,
    },
    /// The files for TLS are no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl SendError {
    /// Whether the same may be taken when it is sent again: nobody answered, or the receiver is
    /// overloaded or broken.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Timeout { .. }
            | Self::Exchange { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Misread { .. } | Self::Tls(_) => false,
        }
    }

    /// How long the receiver wants not to be asked, if it said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
