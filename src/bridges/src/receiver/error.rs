//! What is no receiver.

use thiserror::Error;

/// What is no receiver.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// The URL cannot be used.
    #[error("expected a URL like http://HOST:PORT/PATH, found {found}: {why}; correct it")]
    Url {
        /// The URL, without credentials and query.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be a header.
    #[error("expected a header NAME with a value of visible ASCII, found {found}; correct it")]
    Header {
        /// Its name, if that is one: what is none may be a secret.
        found: String,
    },
}
