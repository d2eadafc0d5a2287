//! `parse` and `check`: whether a document is an exposition, what it says, and whether it is a good
//! one.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::lint::lint;
use tallyboard_exposition::parse::{self, Options};
use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, NativeBuckets, NativeHistogram, Sample, Timestamp,
};
use tallyboard_exposition::text::float_text;

use crate::fetch;
use crate::look::show::write;

/// Exit status when the document cannot be read, as when the command line is none.
const UNREADABLE: u8 = 2;
/// Exit status when the document is an exposition of bad taste, as promtool has it.
const LINT: u8 = 3;

/// Flags of `parse`.
#[derive(Args, Clone, Debug)]
pub struct ParseFlags {
    /// What the document is written in.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: FormatFlag,
    /// Write what it says as a JSON object instead of a summary.
    #[arg(long)]
    pub json: bool,
    /// The document; - for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: String,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckFlags {
    /// The document: a file, - for standard input, or where a server has it (http://).
    #[arg(value_name = "FILE|URL", default_value = "-")]
    pub source: String,
}

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatFlag {
    /// What it looks like.
    Auto,
    /// Prometheus text 0.0.4.
    Text,
    /// Prometheus text 1.0.0.
    #[value(name = "text-1.0")]
    TextV1,
    /// OpenMetrics 1.0.0 or 0.0.1.
    Openmetrics,
    /// OpenMetrics 2.0.0.
    #[value(name = "openmetrics-2.0")]
    Openmetrics2,
    /// Prometheus' protocol buffers, each behind its length.
    Protobuf,
}

impl FormatFlag {
    /// The format; `None` for the one that there is.
    pub(crate) fn format(self) -> Option<Format> {
        match self {
            Self::Auto => None,
            Self::Text => Some(Format::Text004),
            Self::TextV1 => Some(Format::Text100),
            Self::Openmetrics => Some(Format::OpenMetrics100),
            Self::Openmetrics2 => Some(Format::OpenMetrics200),
            Self::Protobuf => Some(Format::Protobuf),
        }
    }

    fn name(format: Format) -> String {
        let flags = Self::value_variants().iter();
        let flag = flags.copied().find(|flag| flag.format() == Some(format));
        let value = flag.and_then(|flag| flag.to_possible_value());
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Reads a document and says what is in it, or where it is wrong.
///
/// # Errors
/// When standard output cannot be written.
pub fn parse(flags: &ParseFlags) -> Result<ExitCode> {
    let Some(bytes) = document(&flags.file) else { return Ok(UNREADABLE.into()) };
    let options = Options::default();
    let (format, families) = match flags.format.format() {
        Some(format) => (format, parse::parse(&bytes, format, &options)),
        None => parse::parse_any(&bytes, &options),
    };
    let families = match families {
        Ok(families) => families,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let name = FormatFlag::name(format);
    if flags.json {
        let families: Vec<Value> = families.iter().map(family_object).collect();
        let object = json!({ "format": name, "families": families });
        return write(format!("{object:#}\n").as_bytes());
    }
    let samples: usize = families.iter().map(|family| family.samples.len()).sum();
    let line = format!("{name}: {} families, {samples} samples\n", families.len());
    write(line.as_bytes())
}

/// Reads a document as strictly as Prometheus does and says what is bad taste in it.
///
/// # Errors
/// As [`parse()`].
pub fn check(flags: &CheckFlags) -> Result<ExitCode> {
    let Some(bytes) = document(&flags.source) else { return Ok(UNREADABLE.into()) };
    let options = Options { exact: true, ..Options::default() };
    let families = match parse::parse_any(&bytes, &options).1 {
        Ok(families) => families,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let problems = lint(&families);
    for problem in &problems {
        eprintln!("{} {}", problem.metric, problem.text);
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { LINT.into() })
}

/// The bytes of a document, unless it cannot be read, which is said.
fn document(source: &str) -> Option<Vec<u8>> {
    let bytes = fetch::read(source);
    bytes.inspect_err(|error| eprintln!("tallyboard: {error:#}")).ok()
}

fn family_object(family: &FamilySamples) -> Value {
    let samples = family.samples.iter();
    let samples: Vec<Value> = samples.map(|sample| sample_object(&family.name, sample)).collect();
    json!({
        "name": family.name,
        "type": family.kind.name(),
        "unit": family.unit,
        "help": family.help,
        "samples": samples,
    })
}

/// A sample. Numbers are texts, as in Prometheus' own JSON, which has no NaN and no infinity.
fn sample_object(family: &str, sample: &Sample) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), format!("{family}{}", sample.suffix).into());
    object.insert("labels".into(), labels_object(&sample.labels));
    object.insert("value".into(), value_text(sample.value).into());
    if let Some(timestamp) = sample.timestamp {
        object.insert("timestamp".into(), seconds_text(timestamp).into());
    }
    if let Some(exemplar) = &sample.exemplar {
        object.insert("exemplar".into(), exemplar_object(exemplar));
    }
    if let Some(native) = &sample.native {
        object.insert("histogram".into(), native_object(native));
    }
    object.into()
}

fn native_object(native: &NativeHistogram) -> Value {
    let exemplars: Vec<Value> = native.exemplars.iter().map(exemplar_object).collect();
    json!({
        "schema": native.schema,
        "zero_threshold": number_text(native.zero_threshold),
        "zero_count": value_text(native.zero_count),
        "sum": number_text(native.sum),
        "positive": buckets_object(&native.positive),
        "negative": buckets_object(&native.negative),
        "exemplars": exemplars,
    })
}

fn buckets_object(buckets: &NativeBuckets) -> Value {
    let spans = buckets.spans.iter().map(|span| json!([span.offset, span.length]));
    let counts = buckets.counts.iter().map(|count| value_text(*count));
    json!({ "spans": spans.collect::<Vec<_>>(), "counts": counts.collect::<Vec<_>>() })
}

fn exemplar_object(exemplar: &Exemplar) -> Value {
    let mut object = Map::new();
    object.insert("labels".into(), labels_object(&exemplar.labels));
    object.insert("value".into(), number_text(exemplar.value).into());
    if let Some(timestamp) = exemplar.timestamp {
        object.insert("timestamp".into(), seconds_text(timestamp).into());
    }
    object.into()
}

fn labels_object(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect()
}

fn value_text(value: tallyboard_exposition::sample::Value) -> String {
    match value {
        tallyboard_exposition::sample::Value::Whole(value) => value.to_string(),
        tallyboard_exposition::sample::Value::Float(value) => number_text(value),
    }
}

fn number_text(value: f64) -> String {
    let text = float_text(value);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Seconds with nanoseconds, which round down: -0.5 is half a second behind -1.
fn seconds_text(timestamp: Timestamp) -> String {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_and_is_found_by_it() {
        for format in Format::EVERY.iter().filter(|format| **format != Format::OpenMetrics001) {
            let name = FormatFlag::name(*format);
            let flag = FormatFlag::from_str(&name, false).expect("a flag of this name");
            assert_eq!(flag.format(), Some(*format), "{name}");
        }
    }

    #[test]
    fn moments_are_written_with_nanoseconds() {
        for (seconds, nanos, expect) in [
            (0, 0, "0.000000000"),
            (1, 5, "1.000000005"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 750_000_000, "-1.250000000"),
        ] {
            assert_eq!(seconds_text(Timestamp { seconds, nanos }), expect);
        }
    }
}
