//! A request of 1.0 that was refused as a whole, sent again in parts: many a receiver stores nothing of
//! a request for one sample that it does not like.
//!
//! Rules. 1: a part that is refused is halved, and the largest part goes first, so that few requests
//! bring most of it; what is left when there were [`MOST_REQUESTS`] is given up. 2: the samples of one
//! series stay together and in order. 3: what may be taken later is not given up: it is one request
//! again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use super::messages::{Label, Metadata1, Request1, Series1};
use super::requests::batch_of;
use crate::export::{Batch, Parted};
use crate::receiver::{Answer, Receiver, SendError};

/// Requests that are made of one, with the first one.
pub const MOST_REQUESTS: u64 = 20;

/// The request that was refused, and what came of its parts.
struct Halves<'a> {
    receiver: &'a Receiver,
    headers: &'a [(&'a str, &'a str)],
    /// The samples of each series.
    series: Vec<Vec<Series1>>,
    metadata: Vec<Metadata1>,
    parts: BinaryHeap<Part>,
    /// Of each part that was halved, whether one half was taken: then it was the other one.
    has_taken: Vec<bool>,
    outcome: Parted,
}

/// Some of the series; the largest part and of those the first one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    length: usize,
    from: Reverse<usize>,
    /// Which part it is a half of, by number.
    of: usize,
}

impl Part {
    fn range(self) -> Range<usize> {
        self.from.0..self.from.0 + self.length
    }
}

/// Sends a request again in parts, which `refused` was the answer to. `None` when it is none of ours.
pub(super) async fn send(
    receiver: &Receiver,
    headers: &[(&str, &str)],
    body: &Bytes,
    refused: SendError,
) -> Option<Parted> {
    let body = snap::raw::Decoder::new().decompress_vec(body).ok()?;
    let request = Request1::decode(&body[..]).ok()?;
    let mut halves = Halves {
        receiver,
        headers,
        series: by_labels(request.series),
        metadata: request.metadata,
        parts: BinaryHeap::new(),
        has_taken: Vec::new(),
        outcome: Parted { requests: 1, requests_failed: 1, ..Parted::new(refused) },
    };
    let all = 0..halves.series.len();
    halves.refused(all);
    while let Some(part) = halves.parts.pop() {
        if let Some(error) = halves.send(part).await {
            halves.leave_for_later(part, error);
            break;
        }
    }
    Some(halves.outcome)
}

/// Series in their order, those with the same labels as one.
fn by_labels(all: Vec<Series1>) -> Vec<Vec<Series1>> {
    let mut places: HashMap<Vec<Label>, usize> = HashMap::new();
    let mut series: Vec<Vec<Series1>> = Vec::new();
    for one in all {
        let place = *places.entry(one.labels.clone()).or_insert(series.len());
        match series.get_mut(place) {
            Some(known) => known.push(one),
            None => series.push(vec![one]),
        }
    }
    series
}

impl Halves<'_> {
    /// Sends a part; gives the error after which it and all others may be taken later.
    async fn send(&mut self, part: Part) -> Option<SendError> {
        let range = part.range();
        if self.outcome.requests >= MOST_REQUESTS {
            self.give_up(range);
            return None;
        }
        // It is in this half that something is refused, which need not be asked.
        if self.has_taken[part.of] && part.length > 1 {
            self.refused(range);
            return None;
        }
        let batch = self.batch(range.clone());
        self.outcome.requests += 1;
        let answer = match self.receiver.ask("POST", self.headers, batch.body).await {
            Ok(answer) => answer,
            Err(error) => {
                self.outcome.requests_failed += 1;
                return Some(error);
            }
        };
        if (200..300).contains(&answer.status) {
            self.outcome.taken += batch.samples;
            self.has_taken[part.of] = true;
            return None;
        }
        self.outcome.requests_failed += 1;
        let error = self.receiver.refusal(&answer);
        if is_for_later(&answer) {
            return Some(error);
        }
        self.outcome.said = error;
        match answer.status {
            400 => self.refused(range),
            _ => self.give_up(range),
        }
        None
    }

    /// Halves what was refused; a single series is given up.
    fn refused(&mut self, range: Range<usize>) {
        if range.len() < 2 {
            return self.give_up(range);
        }
        let of = self.has_taken.len();
        self.has_taken.push(false);
        let middle = range.start + range.len().div_ceil(2);
        for half in [range.start..middle, middle..range.end] {
            self.parts.push(Part { length: half.len(), from: Reverse(half.start), of });
        }
    }

    fn give_up(&mut self, range: Range<usize>) {
        for series in &self.series[range] {
            let name = series[0].labels.iter().find(|label| label.name == "__name__");
            let name = name.map_or("", |label| &label.value).to_owned();
            *self.outcome.given_up.entry(name).or_default() += series.len() as u64;
        }
    }

    /// What is left is one request again, in the order that it had.
    fn leave_for_later(&mut self, part: Part, error: SendError) {
        let mut parts: Vec<Part> = self.parts.drain().chain([part]).collect();
        parts.sort_by_key(|part| part.range().start);
        let places: Vec<usize> = parts.into_iter().flat_map(Part::range).collect();
        self.outcome.rest = Some((self.batch(places), error));
    }

    /// These series, with what is said of their families.
    fn batch(&self, places: impl IntoIterator<Item = usize>) -> Batch {
        let series: Vec<Series1> =
            places.into_iter().flat_map(|place| self.series[place].clone()).collect();
        let names: HashSet<&str> = series.iter().flat_map(family_names).collect();
        let is_of = |metadata: &&Metadata1| names.contains(&*metadata.metric_family_name);
        let metadata = self.metadata.iter().filter(is_of).cloned().collect();
        let samples = series.len() as u64;
        batch_of(&Request1 { series, metadata }, samples)
    }
}

/// What the family of a series may be called.
fn family_names(series: &Series1) -> impl Iterator<Item = &str> {
    const SUFFIXES: [&str; 5] = ["_bucket", "_count", "_sum", "_gcount", "_gsum"];
    let name = series.labels.iter().find(|label| label.name == "__name__");
    let name = name.map_or("", |label| &*label.value);
    let bases = SUFFIXES.iter().filter_map(move |suffix| name.strip_suffix(suffix));
    std::iter::once(name).chain(bases)
}

fn is_for_later(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 500..)
}
