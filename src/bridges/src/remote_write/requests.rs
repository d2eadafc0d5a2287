//! Requests of either version, as they are filled with series.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Timestamp, Type};

use super::entries::{Entry, Pairs, Recorded};
use super::messages::{
    Exemplar1, Exemplar2, Histogram, Label, Metadata1, Metadata2, MetricType, Request1, Request2,
    Sample1, Sample2, Series1, Series2,
};
use super::version::Version;
use crate::export::{Batch, FULL_BYTES, MOST_SAMPLES};

/// Requests that are being filled.
#[derive(Debug)]
pub(super) struct Requests {
    open: Open,
    samples: usize,
    bytes: usize,
    full: Vec<Batch>,
}

#[derive(Debug)]
enum Open {
    One(Request1),
    Two(Request2, Symbols),
}

impl Open {
    fn new(version: Version) -> Self {
        match version {
            Version::V1 => Self::One(Request1::default()),
            Version::V2 => Self::Two(Request2::default(), Symbols::default()),
        }
    }
}

impl Requests {
    pub(super) fn new(version: Version) -> Self {
        Self { open: Open::new(version), samples: 0, bytes: 0, full: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        if self.samples == MOST_SAMPLES || self.bytes >= FULL_BYTES {
            self.close();
        }
        self.samples += 1;
        self.bytes += match &mut self.open {
            Open::One(request) => push1(request, entry),
            Open::Two(request, symbols) => {
                let before = symbols.bytes;
                let series = series2(symbols, entry);
                let length = series.encoded_len();
                request.series.push(series);
                length + symbols.bytes - before
            }
        };
    }

    fn close(&mut self) {
        let version = match &self.open {
            Open::One(_) => Version::V1,
            Open::Two(..) => Version::V2,
        };
        let samples = std::mem::take(&mut self.samples) as u64;
        self.bytes = 0;
        self.full.push(match std::mem::replace(&mut self.open, Open::new(version)) {
            Open::One(request) => batch_of(&request, samples),
            Open::Two(mut request, symbols) => {
                request.symbols = symbols.texts;
                batch_of(&request, samples)
            }
        });
    }

    pub(super) fn end(mut self) -> Vec<Batch> {
        if self.samples > 0 {
            self.close();
        }
        self.full
    }
}

/// A request as it goes over the wire.
pub(super) fn batch_of(request: &impl Message, samples: u64) -> Batch {
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
    // What cannot be compressed is longer than 4 GiB, and full far below.
    Batch { body: Bytes::from(body.unwrap_or_default()), samples, is_optional: false }
}

/// Adds a series to a request of 1.0; gives by how many bytes that has grown.
fn push1(request: &mut Request1, entry: &Entry<'_>) -> usize {
    let mut length = 0;
    if let Some(family) = entry.family {
        let name = described_name(family);
        if request.metadata.last().is_none_or(|last| last.metric_family_name != name) {
            let metadata = Metadata1 {
                r#type: type_of(family.kind).into(),
                metric_family_name: name,
                help: family.help.clone(),
                unit: family.unit.clone(),
            };
            length += metadata.encoded_len();
            request.metadata.push(metadata);
        }
    }
    let mut series = Series1 {
        labels: entry.labels.iter().map(|(name, value)| label(name, value)).collect(),
        exemplars: entry.exemplars.iter().map(|exemplar| exemplar1(exemplar)).collect(),
        ..Series1::default()
    };
    match &entry.value {
        Recorded::Number(value) => {
            series.samples.push(Sample1 { value: *value, timestamp: entry.at_ms });
        }
        Recorded::Native(histogram) => {
            series.histograms.push(Histogram { timestamp: entry.at_ms, ..(**histogram).clone() });
        }
    }
    length += series.encoded_len();
    request.series.push(series);
    length
}

/// The name of a family in the text format.
fn described_name(family: &FamilySamples) -> String {
    let has = |suffix: &str| family.samples.iter().any(|sample| sample.suffix == suffix);
    let suffix = match family.kind {
        Type::Counter if has("_total") => "_total",
        Type::Info => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name)
}

fn type_of(kind: Type) -> MetricType {
    match kind {
        Type::Counter => MetricType::Counter,
        Type::Gauge => MetricType::Gauge,
        Type::Histogram => MetricType::Histogram,
        Type::GaugeHistogram => MetricType::GaugeHistogram,
        Type::Summary => MetricType::Summary,
        Type::Info => MetricType::Info,
        Type::StateSet => MetricType::StateSet,
        Type::Unknown => MetricType::Unknown,
    }
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.to_owned(), value: value.to_owned() }
}

fn exemplar1(exemplar: &Exemplar) -> Exemplar1 {
    Exemplar1 {
        labels: exemplar.labels.iter().map(|(name, value)| label(name, value)).collect(),
        value: exemplar.value,
        timestamp: exemplar.timestamp.map_or(0, Timestamp::millis),
    }
}

fn series2(symbols: &mut Symbols, entry: &Entry<'_>) -> Series2 {
    let start_timestamp = entry.start_ms;
    let mut series = Series2 {
        labels_refs: symbols.pairs(&entry.labels),
        exemplars: entry.exemplars.iter().map(|exemplar| exemplar2(symbols, exemplar)).collect(),
        metadata: entry.family.map(|family| Metadata2 {
            r#type: type_of(family.kind).into(),
            help_ref: symbols.number(&family.help),
            unit_ref: symbols.number(&family.unit),
        }),
        // Receivers up to 2.0-rc.3 read it here, and later ones in the sample.
        created_timestamp: start_timestamp,
        ..Series2::default()
    };
    let timestamp = entry.at_ms;
    match &entry.value {
        Recorded::Number(value) => {
            series.samples.push(Sample2 { value: *value, timestamp, start_timestamp });
        }
        Recorded::Native(histogram) => {
            let histogram = (**histogram).clone();
            series.histograms.push(Histogram { timestamp, start_timestamp, ..histogram });
        }
    }
    series
}

fn exemplar2(symbols: &mut Symbols, exemplar: &Exemplar) -> Exemplar2 {
    let labels = exemplar.labels.iter().flat_map(|(name, value)| [name, value]);
    Exemplar2 {
        labels_refs: labels.map(|text| symbols.number(text)).collect(),
        value: exemplar.value,
        timestamp: exemplar.timestamp.map_or(0, Timestamp::millis),
    }
}

/// The texts of a request, each once, by number.
#[derive(Debug)]
struct Symbols {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    bytes: usize,
}

impl Default for Symbols {
    /// The first text is empty.
    fn default() -> Self {
        let mut symbols = Self { texts: Vec::new(), numbers: HashMap::new(), bytes: 0 };
        symbols.number("");
        symbols
    }
}

impl Symbols {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        self.bytes += text.len() + 4;
        number
    }

    fn pairs(&mut self, labels: &Pairs<'_>) -> Vec<u32> {
        let texts = labels.iter().flat_map(|(name, value)| [name, value]);
        texts.map(|text| self.number(text)).collect()
    }
}
