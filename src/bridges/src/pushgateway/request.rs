//! What is sent to a gateway, for a handler of one's own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::error::HandlerError;
use crate::receiver::shown;

/// What a handler comes to.
pub(super) type Handled = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;
/// A handler.
pub(super) type Handler = dyn Fn(PushRequest) -> Handled + Send + Sync;

/// What is sent to a gateway, for a handler of one's own.
#[derive(Clone)]
pub struct PushRequest {
    /// `PUT`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The URL of the group, without credentials.
    pub url: String,
    /// Names in lower case, and values: those of the receiver, its credentials included, and those
    /// that say what the body is.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take. A handler that takes longer is dropped where it waits.
    pub timeout: Duration,
}

impl fmt::Debug for PushRequest {
    /// Without the query of the URL and the values of headers, some of which are secrets, and without
    /// the body.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        let mut out = out.debug_struct("PushRequest");
        out.field("method", &self.method).field("url", &shown(&self.url)).field("headers", &names);
        out.field("body_bytes", &self.body.len()).field("timeout", &self.timeout).finish()
    }
}
