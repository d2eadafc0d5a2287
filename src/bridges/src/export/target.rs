//! Where snapshots are from, what they become, and what comes of it when that is sent.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tallyboard_exposition::sample::FamilySamples;

use crate::receiver::SendError;

/// Most samples of a request.
pub const MOST_SAMPLES: usize = 2000;
/// Bytes of a request, as they are before they are compressed, from which on it is full.
pub const FULL_BYTES: usize = 1 << 20;

/// Where snapshots are from.
pub trait Source {
    /// The next snapshot; `None` when there will be none any more.
    fn snapshot(&mut self) -> impl Future<Output = Option<Arc<Vec<FamilySamples>>>>;
}

/// What snapshots become, and where that goes.
pub trait Target {
    /// What it is called in logs and metrics.
    const KIND: &'static str;
    /// How many snapshots wait at most; an older one makes room for a newer one.
    const MOST_SNAPSHOTS: usize;

    /// What is sent of a snapshot that was taken so many milliseconds after the start of 1970, as one
    /// request after the other.
    fn encode(&self, families: &[FamilySamples], at_ms: i64) -> Vec<Batch>;

    /// Sends one of these requests.
    fn send(&self, batch: &Batch) -> impl Future<Output = Outcome>;
}

/// What is sent in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The body as it goes over the wire.
    pub body: Bytes,
    /// How many samples are in it.
    pub samples: u64,
    /// Whether the receiver may be one that reads all the others and never such a one.
    pub is_optional: bool,
}

/// What came of a request.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// The receiver took it.
    Taken {
        /// How many samples it left out.
        left_out: u64,
        /// What it said of them, or warned of.
        said: Option<String>,
    },
    /// It was refused, and then sent in parts.
    Parted(Box<Parted>),
    /// It may be taken later.
    Later(SendError),
    /// It may be taken later, or never; after a few times it is given up.
    Doubtful(SendError),
    /// It will never be taken.
    Never(SendError),
    /// The receiver wants it in another form, in which the target encodes from now on.
    Anew(SendError),
}

/// What came of a request that was sent in parts.
#[derive(Debug)]
pub struct Parted {
    /// How many samples the receiver took.
    pub taken: u64,
    /// How many it did not take, by the name of their series.
    pub given_up: BTreeMap<String, u64>,
    /// How many requests were made, with the first one.
    pub requests: u64,
    /// How many of them were not answered or refused.
    pub requests_failed: u64,
    /// What it said of the last that it refused.
    pub said: SendError,
    /// What may be taken later.
    pub rest: Option<(Batch, SendError)>,
}

impl Parted {
    /// Of a request of which nothing was sent again yet.
    #[must_use]
    pub fn new(said: SendError) -> Self {
        let (taken, given_up, requests, requests_failed) = (0, BTreeMap::new(), 0, 0);
        Self { taken, given_up, requests, requests_failed, said, rest: None }
    }
}
