//! OpenMetrics 1.0 text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), which has not
//! changed since its version 0.0.1.

use std::borrow::Cow;

use crate::sample::{Exemplar, FamilySamples, Sample, Timestamp, Type, Value};
use crate::series::{inner_label, points};
use crate::text::{classic_samples, escape, float_text, write_float, write_label, write_name};
use crate::text::{write_prefix, write_value, write_whole};

/// The last line of a page.
pub const END: &[u8] = b"# EOF\n";

/// The labels of an exemplar have at most so many characters.
const EXEMPLAR_CHARACTERS: usize = 128;

/// Writes the `# HELP`, `# TYPE` and `# UNIT` lines of a family. An empty help text is left out,
/// and so is a unit that the name does not end in or that the type cannot have.
pub fn write_header(page: &mut Vec<u8>, kind: Type, name: &str, unit: &str, help: &str) {
    if !help.is_empty() {
        write_help(page, name, help);
    }
    write_metadata(page, "TYPE", (name, ""), kind.name());
    let is_suffix = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    if !unit.is_empty() && is_suffix && may_have_unit(kind) {
        write_metadata(page, "UNIT", (name, ""), unit);
    }
}

fn write_help(page: &mut Vec<u8>, name: &str, help: &str) {
    page.extend_from_slice(b"# HELP ");
    write_name(page, name, "");
    page.push(b' ');
    escape(page, help, true);
    page.push(b'\n');
}

pub(crate) fn write_metadata(
    page: &mut Vec<u8>,
    what: &str,
    (name, suffix): (&str, &str),
    text: &str,
) {
    for part in ["# ", what, " "] {
        page.extend_from_slice(part.as_bytes());
    }
    write_name(page, name, suffix);
    page.push(b' ');
    page.extend_from_slice(text.as_bytes());
    page.push(b'\n');
}

pub(crate) fn may_have_unit(kind: Type) -> bool {
    !matches!(kind, Type::Info | Type::StateSet)
}

/// Writes a family with its samples. A native histogram without classic buckets has the one that
/// holds everything.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples) {
    write_header(page, family.kind, &family.name, &family.unit, &family.help);
    for point in points(family) {
        let samples = classic_samples(family.kind, point);
        let is_bad = |sample: &&Sample| sample.suffix == "_sum" && !may_be_sum(sample.value);
        let has_bad_sum = samples.iter().any(|sample| is_bad(&sample));
        let goes_with_sum = |sample: &&Sample| match (family.kind, &*sample.suffix) {
            (Type::Summary, suffix) => suffix == "_sum",
            (Type::Histogram, suffix) => matches!(suffix, "_sum" | "_count"),
            _ => false,
        };
        for sample in samples.iter().filter(|sample| !(has_bad_sum && goes_with_sum(sample))) {
            write_sample(page, family, sample);
        }
    }
}

/// Whether a histogram or summary of this format may have this sum. One that may not is left out, and
/// with it the count of a histogram, which has both or none.
#[must_use]
pub fn may_be_sum(sum: Value) -> bool {
    sum.as_f64() >= 0.0
}

fn write_sample(page: &mut Vec<u8>, family: &FamilySamples, sample: &Sample) {
    let suffix = match (family.kind, &*sample.suffix) {
        (Type::Counter, "") => "_total",
        (Type::Info, "") => "_info",
        (_, suffix) => suffix,
    };
    let inner = inner_label(family.kind);
    let labels: Vec<(&str, Cow<'_, str>)> = sample
        .labels()
        .map(|(name, value)| match Some(name) == inner {
            true => (name, canonical(value)),
            false => (name, Cow::Borrowed(value)),
        })
        .collect();
    let labels = labels.iter().map(|(name, value)| (*name, &**value));
    write_prefix(page, &family.name, suffix, labels);
    write_value(page, sample.value);
    if let Some(timestamp) = sample.timestamp {
        page.push(b' ');
        write_timestamp(page, timestamp);
    }
    if let Some(exemplar) = &sample.exemplar
        && may_have_exemplar(family.kind, suffix)
        && is_short(exemplar)
    {
        write_exemplar(page, exemplar);
    }
    page.push(b'\n');
}

/// A bound or quantile as OpenMetrics writes it, so that the same one is always the same label.
fn canonical(text: &str) -> Cow<'_, str> {
    match text.parse::<f64>() {
        Ok(bound) => Cow::Owned(float_text(bound)),
        Err(_) => Cow::Borrowed(text),
    }
}

fn may_have_exemplar(kind: Type, suffix: &str) -> bool {
    match kind {
        Type::Counter => suffix == "_total",
        Type::Histogram | Type::GaugeHistogram => suffix == "_bucket",
        _ => false,
    }
}

fn is_short(exemplar: &Exemplar) -> bool {
    let labels = exemplar.labels.iter();
    let length = labels.map(|(name, value)| name.chars().count() + value.chars().count());
    length.sum::<usize>() <= EXEMPLAR_CHARACTERS
}

/// Writes an exemplar behind a sample.
pub fn write_exemplar(page: &mut Vec<u8>, exemplar: &Exemplar) {
    page.extend_from_slice(b" # {");
    for (at, (name, value)) in exemplar.labels.iter().enumerate() {
        if at > 0 {
            page.push(b',');
        }
        write_label(page, name, value);
    }
    page.extend_from_slice(b"} ");
    write_float(page, exemplar.value);
    if let Some(timestamp) = exemplar.timestamp {
        page.push(b' ');
        write_timestamp(page, timestamp);
    }
}

/// Writes a moment as seconds since 1970 with what is behind them.
pub fn write_timestamp(page: &mut Vec<u8>, timestamp: Timestamp) {
    let Timestamp { mut seconds, mut nanos } = timestamp;
    if seconds < 0 {
        page.push(b'-');
        // Rounded down, so that what is behind the seconds counts forward.
        if nanos > 0 {
            (seconds, nanos) = (seconds + 1, 1_000_000_000 - nanos);
        }
    }
    write_whole(page, seconds.unsigned_abs());
    if nanos > 0 {
        let digits = format!(".{nanos:09}");
        page.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_to_the_nanosecond() {
        for (seconds, nanos, expect) in [
            (0, 0, "0"),
            (1_520_879_607, 789_000_000, "1520879607.789"),
            (1, 1, "1.000000001"),
            (-1, 0, "-1"),
            (-1, 500_000_000, "-0.5"),
            (-2, 999_999_999, "-1.000000001"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MAX, 100_000_000, "9223372036854775807.1"),
        ] {
            let mut page = Vec::new();
            write_timestamp(&mut page, Timestamp { seconds, nanos });
            assert_eq!(String::from_utf8(page).unwrap(), expect);
        }
    }
}
