//! OpenMetrics 1.0 text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), which has not
//! changed since its version 0.0.1.

use std::borrow::Cow;

use crate::format::Choices;
use crate::rules::{self, MOST_EXEMPLAR_CHARACTERS, Seen};
use crate::sample::{Exemplar, FamilySamples, Sample, Timestamp, Type, Value};
use crate::series::{inner_label, points};
use crate::text::{classic_samples, escape, float_text, write_float, write_label, write_name};
use crate::text::{write_prefix, write_value, write_whole};

/// The last line of a page.
pub const END: &[u8] = b"# EOF\n";

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
/// holds everything. Gives how many samples were written: what this format has no place for is left
/// out, with what cannot stand without it.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples, choices: &Choices) -> usize {
    write_header(page, family.kind, &family.name, &family.unit, &family.help);
    let mut written = 0;
    for point in points(family) {
        let samples = fitting(family, classic_samples(family.kind, point));
        let is_wanted = |sample: &&Sample| choices.created || sample.suffix != "_created";
        for sample in samples.iter().filter(is_wanted) {
            write_sample(page, family, sample);
            written += 1;
        }
    }
    written
}

/// The samples of a series at one moment that this format has a place for.
fn fitting<'a>(family: &FamilySamples, samples: Cow<'a, [Sample]>) -> Cow<'a, [Sample]> {
    let fits = |sample: &Sample| {
        rules::sample(family.kind, &family.name, suffix_of(family.kind, sample), sample)
    };
    let all_fit = || samples.iter().all(|sample| fits(sample).is_ok());
    match family.kind {
        Type::Histogram | Type::GaugeHistogram => histogram(samples, fits),
        _ if all_fit() => samples,
        // When it began is nothing without what it has counted.
        Type::Counter => Cow::Borrowed(&[]),
        _ => samples.iter().filter(|sample| fits(sample).is_ok()).cloned().collect(),
    }
}

/// The samples of a histogram that have a place here. A sum that is negative or not a number has none,
/// nor has any that stands beside negative bounds; and without a sum there is no count.
fn histogram(
    mut samples: Cow<'_, [Sample]>,
    fits: impl Fn(&Sample) -> Result<f64, &'static str>,
) -> Cow<'_, [Sample]> {
    let is_sound = |samples: &[Sample]| {
        let mut seen = Seen::default();
        let take =
            |sample: &Sample| seen.take(&sample.suffix, fits(sample)?, sample.value.as_f64());
        samples.iter().try_for_each(take).and_then(|()| seen.finish()).is_ok()
    };
    if is_sound(&samples) {
        return samples;
    }
    let of = |suffixes: [&str; 2], sample: &Sample| suffixes.contains(&&*sample.suffix);
    let is_whole = |sample: &&Sample| fits(sample) == Ok(f64::INFINITY);
    let count = samples.iter().find(|sample| of(["_count", "_gcount"], sample)).cloned();
    if let Some(count) = count.filter(|_| !samples.iter().any(|sample| is_whole(&sample))) {
        // The bucket that holds everything holds as many as were counted.
        let mut bucket = Sample { suffix: "_bucket".into(), exemplar: None, ..count };
        bucket.labels.push(("le".into(), "+Inf".into()));
        let behind = samples.iter().rposition(|sample| sample.suffix == "_bucket");
        samples.to_mut().insert(behind.map_or(0, |behind| behind + 1), bucket);
        if is_sound(&samples) {
            return samples;
        }
    }
    let is_total =
        |sample: &Sample| of(["_count", "_gcount"], sample) || of(["_sum", "_gsum"], sample);
    samples.to_mut().retain(|sample| !is_total(sample));
    if is_sound(&samples) { samples } else { Cow::Borrowed(&[]) }
}

/// What the name of a sample has behind that of its family.
fn suffix_of(kind: Type, sample: &Sample) -> &str {
    match (kind, &*sample.suffix) {
        (Type::Counter, "") => "_total",
        (Type::Info, "") => "_info",
        (_, suffix) => suffix,
    }
}

/// Whether a counter, or the sum of a histogram or summary, may have this value in this format.
#[must_use]
pub fn may_count(value: Value) -> bool {
    value.as_f64() >= 0.0
}

fn write_sample(page: &mut Vec<u8>, family: &FamilySamples, sample: &Sample) {
    let suffix = suffix_of(family.kind, sample);
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

/// Whether an exemplar has no more characters than this format allows.
#[must_use]
pub fn is_short(exemplar: &Exemplar) -> bool {
    let labels = exemplar.labels.iter();
    let length = labels.map(|(name, value)| name.chars().count() + value.chars().count());
    length.sum::<usize>() <= MOST_EXEMPLAR_CHARACTERS
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
