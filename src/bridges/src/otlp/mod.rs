//! OTLP over HTTP with protocol buffers (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! | module | owns |
//! |---|---|
//! | [`messages`] | what goes over the wire |
//! | `points` | families as metrics with their points |
//! | `exponential` | native histograms as those of OTLP |
//! | `counts` | counts as whole numbers |
//! | `units` | units as OTLP writes them |
//! | [`environment`] | the variables that OpenTelemetry has specified |

mod counts;
pub mod environment;
mod exponential;
pub mod messages;
mod points;
mod units;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use tallyboard_exposition::sample::{FamilySamples, Type};

use self::messages::{
    CUMULATIVE, Data, ExponentialHistogram, Gauge, Histogram, KeyValue, Metric, Request, Resource,
    ResourceMetrics, Response, Scope, ScopeMetrics, Status, Sum, Summary,
};
use self::points::{Point, Starts, attribute, each_point};
use crate::export::{Batch, FULL_BYTES, MOST_SAMPLES, Outcome, Target};
use crate::receiver::{Answer, Receiver, SendError};

/// What is sent, and what is answered.
const CONTENT_TYPE: &str = "application/x-protobuf";

/// An OTLP receiver, and what is said to it of those whose metrics it gets.
///
/// Every sum is cumulative since its start, so where a snapshot is not taken the next one has all
/// that it had: of the snapshots that wait, the newest is enough.
#[derive(Debug)]
pub struct Otlp {
    receiver: Receiver,
    attributes: Vec<(String, String)>,
    is_compressed: bool,
    starts: Mutex<Starts>,
}

impl Otlp {
    /// Sends to a receiver whose URL has the whole path; see
    /// [`Environment::receiver`](environment::Environment::receiver).
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self { receiver, attributes: Vec::new(), is_compressed: false, starts: Mutex::default() }
    }

    /// Says this of the resource, which is what is measured. The first value of a name counts.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        if self.attributes.iter().all(|(known, _)| known != name) {
            self.attributes.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Compresses what it sends, with gzip.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.is_compressed = true;
        self
    }

    /// What is known of the resource: what was said here, and the labels of `target_info`.
    fn resource(&self, families: &[FamilySamples]) -> Resource {
        let targets = families.iter().filter(|family| is_target(family));
        let labels = targets.flat_map(|family| &family.samples).flat_map(|sample| sample.labels());
        let own = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut attributes: Vec<KeyValue> = Vec::new();
        for (name, value) in own.chain(labels) {
            if !value.is_empty() && attributes.iter().all(|known| known.key != name) {
                attributes.push(attribute(name, value));
            }
        }
        Resource { attributes }
    }

    fn answered(&self, answer: &Answer) -> Outcome {
        let said = || self.receiver.said(&answer.body);
        let is_message = is_of(answer, CONTENT_TYPE);
        if !(200..300).contains(&answer.status) {
            return self.refused(answer, is_message);
        }
        let response = match Response::decode(&answer.body[..]) {
            _ if answer.body.is_empty() || is_of(answer, "application/json") => Response::default(),
            Ok(response) if is_message => response,
            _ => {
                let why = format!("it answered {} with {:?}", answer.status, said());
                let receiver = self.receiver.to_string();
                return Outcome::Never(SendError::Misread { receiver, why });
            }
        };
        let partial = response.partial_success.unwrap_or_default();
        let said = Some(self.receiver.said(partial.error_message.as_bytes()));
        let left_out = u64::try_from(partial.rejected_data_points).unwrap_or(0);
        Outcome::Taken { left_out, said: said.filter(|said| !said.is_empty() || left_out > 0) }
    }

    /// Only what the specification says may be sent again is; a receiver that is broken stays so.
    fn refused(&self, answer: &Answer, is_message: bool) -> Outcome {
        let status = Status::decode(&answer.body[..]).ok().filter(|_| is_message);
        let error = match status {
            Some(status) => {
                let body = status.message.into_bytes();
                self.receiver.refusal(&Answer { body, ..answer.clone() })
            }
            None => self.receiver.refusal(answer),
        };
        match answer.status {
            429 | 502 | 503 | 504 => Outcome::Later(error),
            _ => Outcome::Never(error),
        }
    }
}

impl Target for Otlp {
    const KIND: &'static str = "otlp";
    const MOST_SNAPSHOTS: usize = 1;

    fn encode(&self, families: &[FamilySamples], at_ms: i64) -> Vec<Batch> {
        let resource = self.resource(families);
        let mut batches = Batches::new(resource, self.is_compressed);
        let at = u64::try_from(at_ms).unwrap_or(0).saturating_mul(1_000_000);
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        for family in families.iter().filter(|family| !is_target(family)) {
            each_point(family, at, &mut starts, |head, point| batches.push(head, point));
        }
        starts.end_snapshot();
        batches.end()
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let mut headers = vec![("content-type", CONTENT_TYPE)];
        headers.extend(self.is_compressed.then_some(("content-encoding", "gzip")));
        match self.receiver.ask("POST", &headers, batch.body.clone()).await {
            Ok(answer) => self.answered(&answer),
            Err(error @ SendError::Tls(_)) => Outcome::Never(error),
            Err(error) => Outcome::Later(error),
        }
    }
}

/// Whether a family says what is measured, which OTLP says once for all metrics.
fn is_target(family: &FamilySamples) -> bool {
    match family.kind {
        Type::Info => family.name == "target",
        _ => family.name == "target_info",
    }
}

fn is_of(answer: &Answer, content_type: &str) -> bool {
    let found = answer.header("content-type").and_then(|found| found.split(';').next());
    found.is_some_and(|found| found.trim().eq_ignore_ascii_case(content_type))
}

/// Requests that are being filled.
struct Batches {
    resource: Resource,
    is_compressed: bool,
    metrics: Vec<Metric>,
    points: usize,
    bytes: usize,
    full: Vec<Batch>,
}

impl Batches {
    fn new(resource: Resource, is_compressed: bool) -> Self {
        Self { resource, is_compressed, metrics: Vec::new(), points: 0, bytes: 0, full: Vec::new() }
    }

    fn push(&mut self, head: &Metric, point: Point) {
        if self.points == MOST_SAMPLES || self.bytes >= FULL_BYTES {
            self.close();
        }
        self.points += 1;
        self.bytes += match &point {
            Point::Gauge(point) | Point::Sum(point, _) => point.encoded_len(),
            Point::Histogram(point) => point.encoded_len(),
            Point::Exponential(point) => point.encoded_len(),
            Point::Summary(point) => point.encoded_len(),
        };
        let last = self.metrics.last_mut().filter(|last| last.name == head.name);
        let Some(point) = add(last.and_then(|last| last.data.as_mut()), point) else { return };
        self.bytes += head.encoded_len();
        self.metrics.push(Metric { data: Some(data(point)), ..head.clone() });
    }

    fn close(&mut self) {
        if self.points == 0 {
            return;
        }
        let scope =
            Scope { name: "tallyboard".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let metrics = std::mem::take(&mut self.metrics);
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics }];
        let resource = Some(self.resource.clone());
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics }];
        let body = Request { resource_metrics }.encode_to_vec();
        let body = if self.is_compressed { compressed(&body) } else { body };
        let samples = self.points as u64;
        self.full.push(Batch { body: Bytes::from(body), samples, is_optional: false });
        (self.points, self.bytes) = (0, 0);
    }

    fn end(mut self) -> Vec<Batch> {
        self.close();
        self.full
    }
}

/// Adds a point to those of its kind, or gives it back.
fn add(data: Option<&mut Data>, point: Point) -> Option<Point> {
    match (data, point) {
        (Some(Data::Gauge(gauge)), Point::Gauge(point)) => gauge.data_points.push(point),
        (Some(Data::Sum(sum)), Point::Sum(point, is_monotonic))
            if sum.is_monotonic == is_monotonic =>
        {
            sum.data_points.push(point);
        }
        (Some(Data::Histogram(all)), Point::Histogram(point)) => all.data_points.push(point),
        (Some(Data::ExponentialHistogram(all)), Point::Exponential(point)) => {
            all.data_points.push(point);
        }
        (Some(Data::Summary(summary)), Point::Summary(point)) => summary.data_points.push(point),
        (_, point) => return Some(point),
    }
    None
}

/// A point as the first of its metric.
fn data(point: Point) -> Data {
    let aggregation_temporality = CUMULATIVE;
    match point {
        Point::Gauge(point) => Data::Gauge(Gauge { data_points: vec![point] }),
        Point::Sum(point, is_monotonic) => {
            Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic })
        }
        Point::Histogram(point) => {
            Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality })
        }
        Point::Exponential(point) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality,
        }),
        Point::Summary(point) => Data::Summary(Summary { data_points: vec![point] }),
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let coded = || -> io::Result<Vec<u8>> {
        let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
        coder.write_all(body)?;
        coder.finish()
    };
    // A vector takes everything that is written to it.
    coded().unwrap_or_default()
}
