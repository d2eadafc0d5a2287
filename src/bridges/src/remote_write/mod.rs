//! Remote write, 1.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec/>) and 2.0
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>).
//!
//! Rules. 1: the samples of a series are sent in order, each later than the one before it. 2: a series
//! that a snapshot has no more gets a stale marker; one that is there until the end gets none, so that
//! its last value is seen for as long as one that was scraped last would be. 3: native histograms have
//! requests of their own: what refuses them refuses nothing else.
//!
//! A receiver that has not read 2.0 may answer as if it had: only its headers say what was written.
//! Where they are missing, 1.0 is spoken from then on, and the log says so. A request of 1.0 that is
//! refused as a whole is sent again in parts.
//!
//! | module | owns |
//! |---|---|
//! | [`messages`] | what goes over the wire |
//! | `entries` | families as series |
//! | [`halves`] | the parts of a request that was refused |
//! | `known` | which series were sent, and which have ended |
//! | `requests` | series as requests of either version |
//! | `version` | which version is spoken |

mod entries;
pub mod halves;
mod known;
pub mod messages;
mod requests;
mod version;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::sample::FamilySamples;

use self::entries::{Entry, Rules};
use self::known::Known;
use self::requests::Requests;
pub use self::version::{Version, VersionError};
use crate::export::{Batch, Outcome, Target};
use crate::page::escaped;
use crate::receiver::{Answer, Receiver, SendError};

/// A receiver of remote write, and how it is written to.
#[derive(Debug)]
pub struct RemoteWrite {
    receiver: Receiver,
    /// Whether 2.0 is spoken, rather than 1.0. One thread alone reads and changes it.
    is_v2: AtomicBool,
    external: Vec<(String, String)>,
    native: bool,
    known: Mutex<Known>,
}

impl RemoteWrite {
    /// Writes to a receiver whose URL has the whole path, in 1.0 and without native histograms.
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            is_v2: AtomicBool::new(false),
            external: Vec::new(),
            native: false,
            known: Mutex::default(),
        }
    }

    /// Speaks this version. A receiver that turns out not to read 2.0 gets 1.0.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        self.is_v2.store(version == Version::V2, Relaxed);
        self
    }

    fn spoken(&self) -> Version {
        if self.is_v2.load(Relaxed) { Version::V2 } else { Version::V1 }
    }

    /// Puts a label on every series that has none of this name.
    #[must_use]
    pub fn external_label(mut self, name: &str, value: &str) -> Self {
        self.external.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends native histograms as such. Otherwise their classic buckets are sent, or count and sum
    /// where there are none.
    #[must_use]
    pub fn native_histograms(mut self, are_sent: bool) -> Self {
        self.native = are_sent;
        self
    }

    fn answered(&self, batch: &Batch, answer: &Answer) -> Outcome {
        let written = written(answer);
        let is_success = (200..300).contains(&answer.status);
        match (self.spoken(), answer.status) {
            (Version::V2, 415) => self.fall_back(self.receiver.refusal(answer)),
            (Version::V2, _) if is_success && written.is_none() => {
                let why = "it does not say how much it has written, as a receiver of 2.0 does";
                let receiver = self.receiver.to_string();
                self.fall_back(SendError::Misread { receiver, why: why.to_owned() })
            }
            // The rest of a request is written all the same.
            (Version::V2, 400) if written.is_some() => self.taken(batch, answer, written),
            (Version::V1, _) if is_success && is_page(answer) => {
                let why =
                    format!("it answered with a page: {:?}", self.receiver.said(&answer.body));
                let receiver = self.receiver.to_string();
                Outcome::Never(SendError::Misread { receiver, why })
            }
            _ if is_success => self.taken(batch, answer, written),
            // A Prometheus that has native histograms switched off answers them with 500.
            (_, 500) if batch.is_optional => Outcome::Doubtful(self.receiver.refusal(answer)),
            (_, 429 | 500..) => Outcome::Later(self.receiver.refusal(answer)),
            _ => Outcome::Never(self.receiver.refusal(answer)),
        }
    }

    fn taken(&self, batch: &Batch, answer: &Answer, written: Option<u64>) -> Outcome {
        let left_out = written.map_or(0, |written| batch.samples.saturating_sub(written));
        let said =
            Some(self.receiver.said(&answer.body)).filter(|_| left_out > 0 || answer.status >= 400);
        Outcome::Taken { left_out, said }
    }

    fn fall_back(&self, error: SendError) -> Outcome {
        self.is_v2.store(false, Relaxed);
        Outcome::Anew(error)
    }
}

impl Target for RemoteWrite {
    const KIND: &'static str = "remote_write";
    const MOST_SNAPSHOTS: usize = 40;

    fn encode(&self, families: &[FamilySamples], at_ms: i64) -> Vec<Batch> {
        let version = self.spoken();
        // The specification of 1.0 has no other names, and receivers may refuse a request for one, though
        // Prometheus does not; 2.0 has any.
        let escaping = match version {
            Version::V1 => Escaping::Underscores,
            Version::V2 => Escaping::AllowUtf8,
        };
        let escaped = escaped(escaping, families);
        let families = &*escaped.families;
        let (mut numbers, mut natives) = (Requests::new(version), Requests::new(version));
        let mut push = |entry: &Entry<'_>| match entry.value.is_native() {
            true => natives.push(entry),
            false => numbers.push(entry),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = Rules { external: &self.external, native: self.native, at_ms };
        rules.each_entry(families, |mut entry| {
            if known.admit(&mut entry) {
                push(&entry);
            }
        });
        known.end_snapshot(at_ms, &mut push);
        let mut all = numbers.end();
        let natives = natives.end();
        all.extend(natives.into_iter().map(|batch| Batch { is_optional: true, ..batch }));
        all
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let version = self.spoken();
        let headers = version.headers();
        match self.receiver.ask("POST", &headers, batch.body.clone()).await {
            Ok(answer) if version == Version::V1 && answer.status == 400 => {
                let refused = self.receiver.refusal(&answer);
                let parted = halves::send(&self.receiver, &headers, &batch.body, refused).await;
                parted.map_or_else(
                    || self.answered(batch, &answer),
                    |parted| Outcome::Parted(Box::new(parted)),
                )
            }
            Ok(answer) => self.answered(batch, &answer),
            Err(error @ SendError::Tls(_)) => Outcome::Never(error),
            Err(error) => Outcome::Later(error),
        }
    }
}

/// How many samples and histograms a receiver says that it has written, if it reads 2.0.
fn written(answer: &Answer) -> Option<u64> {
    let header = |of: &str| {
        let header = answer.header(&format!("x-prometheus-remote-write-{of}-written"))?;
        header.trim().parse::<u64>().ok()
    };
    let [samples, histograms, exemplars] = ["samples", "histograms", "exemplars"].map(header);
    let is_said = samples.or(histograms).or(exemplars).is_some();
    is_said.then(|| samples.unwrap_or(0).saturating_add(histograms.unwrap_or(0)))
}

/// Whether something answers as a server for people does.
fn is_page(answer: &Answer) -> bool {
    let is_html = answer.header("content-type").is_some_and(|found| found.starts_with("text/html"));
    is_html && !answer.body.is_empty()
}
