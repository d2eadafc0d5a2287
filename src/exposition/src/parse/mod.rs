//! Text and protobuf, read into families and samples.
//!
//! 1. A document is good as a whole or not at all: the first thing that is wrong is the error, with
//!    its line, its column and what was expected there.
//! 2. Nothing panics, whatever the bytes; the work is linear in their number; what a document makes
//!    the parser allocate is bounded by [`Limits`].
//! 3. Where the documents of a format contradict each other: the test data of OpenMetrics, then
//!    the parser of Prometheus' client for Python, for OpenMetrics; Prometheus' Go library
//!    `expfmt` for the text format.
//!
//! What text 0.0.4 allows here and `expfmt`, as `promtool` uses it, does not (blanks at the end of a
//! line, a comma behind an opening brace, a backslash that escapes nothing, names that only version
//! 1.0.0 has) can be refused with [`Options::exact`].
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `error`, `options` | where and what is wrong; what is asked of a document |
//! | `cursor` | where the reader is |
//! | `number`, `labels`, `groups` | parts of lines, and which lines belong together |
//! | `text` | text 0.0.4 and 1.0.0 |
//! | `openmetrics_lines`, `composite` | lines of OpenMetrics, and the samples of 2.0 that hold several numbers |
//! | `openmetrics`, `openmetrics2` | OpenMetrics 1.0 and 2.0 |
//! | `protobuf` | protocol buffers |

mod composite;
mod cursor;
mod error;
mod groups;
mod labels;
mod number;
mod openmetrics;
mod openmetrics2;
mod openmetrics_lines;
mod options;
#[cfg(feature = "protobuf")]
mod protobuf;
mod text;

pub use error::ParseError;
pub use options::{Limits, Options};

use std::collections::HashSet;

use crate::clash::openmetrics_suffixes;
use crate::format::Format;
use crate::sample::{FamilySamples, Type};
use cursor::Lines;

/// Reads a document.
///
/// # Errors
/// When it is not what `format` says, or larger than the limits: the first place where that shows.
pub fn parse(
    bytes: &[u8],
    format: Format,
    options: &Options,
) -> Result<Vec<FamilySamples>, ParseError> {
    if bytes.len() > options.limits.bytes {
        let most = options.limits.bytes;
        let message = format!("expected a document of at most {most} bytes, found {}", bytes.len());
        return Err(ParseError { line: 1, column: 1, message });
    }
    let lines = || Lines::new(bytes, options.limits.line_bytes);
    match format {
        Format::Text004 | Format::Text100 => text::parse(lines()?, format, options),
        Format::OpenMetrics001 | Format::OpenMetrics100 => openmetrics::parse(lines()?, options),
        Format::OpenMetrics200 => openmetrics2::parse(lines()?, options),
        #[cfg(feature = "protobuf")]
        Format::Protobuf => protobuf::parse(bytes, options),
    }
}

/// Reads a document of unknown format: OpenMetrics when its last line says so, protocol buffers
/// when it begins like a message, text otherwise. Of OpenMetrics it is 1.0 if it can be, else 2.0; what
/// is neither is refused as 1.0, unless it has what only 2.0 has: start timestamps or composite values.
///
/// # Errors
/// As [`parse`].
pub fn parse_any(
    bytes: &[u8],
    options: &Options,
) -> (Format, Result<Vec<FamilySamples>, ParseError>) {
    let read = |format| (format, parse(bytes, format, options));
    #[cfg(feature = "protobuf")]
    if protobuf::is_likely(bytes) {
        return read(Format::Protobuf);
    }
    if !ends_with_eof(bytes) {
        return read(Format::Text004);
    }
    let first = read(Format::OpenMetrics100);
    if first.1.as_ref().is_ok_and(|families| !families.iter().any(is_called_as_its_samples)) {
        return first;
    }
    let second = read(Format::OpenMetrics200);
    // What is wrong in version 1 may be right in version 2 without being meant.
    let is_meant = |families: &Vec<FamilySamples>| !has_samples_of_version_1(families);
    match second.1.as_ref().is_ok_and(is_meant) || looks_like_version_2(bytes) {
        true => second,
        false => first,
    }
}

fn ends_with_eof(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes == b"# EOF" || bytes.ends_with(b"\n# EOF")
}

/// Whether a family that has no samples is called as only version 2 calls it.
fn is_called_as_its_samples(family: &FamilySamples) -> bool {
    let suffix = match family.kind {
        Type::Counter => "_total",
        Type::Info => "_info",
        _ => return false,
    };
    family.samples.is_empty() && family.name.ends_with(suffix)
}

/// Whether a family without samples, as version 2 sees it, has some in version 1: under names that are
/// its own with something behind them.
fn has_samples_of_version_1(families: &[FamilySamples]) -> bool {
    let is_untyped = |family: &&FamilySamples| family.kind == Type::Unknown;
    let untyped: HashSet<&str> =
        families.iter().filter(is_untyped).map(|family| &*family.name).collect();
    let has_some = |family: &FamilySamples| {
        let suffixes = openmetrics_suffixes(family.kind).iter();
        let mut others = suffixes.filter(|suffix| !suffix.is_empty());
        others.any(|suffix| untyped.contains(&*format!("{}{suffix}", family.name)))
    };
    families.iter().filter(|family| family.samples.is_empty()).any(has_some)
}

/// Only version 2 has start timestamps and composite values of absolute numbers.
fn looks_like_version_2(bytes: &[u8]) -> bool {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    has(b" st@") || (has(b" {count:") && !has(b"_deltas:")) || has(b" {gcount:")
}
