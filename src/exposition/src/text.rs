//! Prometheus text formats 0.0.4 and 1.0.0
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! They differ in which names are allowed, and a name that needs quotes gets them in both: which
//! names stand in a page is decided by escaping, before it is written.

use std::borrow::Cow;

use crate::clash::own_suffix;
use crate::escaping::{is_legacy_label, is_legacy_name};
use crate::format::Format;
use crate::number;
use crate::rules::label;
use crate::sample::{FamilySamples, Sample, Timestamp, Type, Value};
use crate::series::{is_classic, points};

/// The content type of format 0.0.4.
pub const CONTENT_TYPE: &str = Format::Text004.content_type();

/// Samples of OpenMetrics that a histogram of this format does not have, in their order.
const GAUGES_OF_HISTOGRAMS: [&str; 2] = ["_gcount", "_gsum"];

/// Writes the `# HELP` and `# TYPE` lines of a family; an empty help text is left out. What a counter and an info are called here
/// ends as their samples do.
pub fn write_header(page: &mut Vec<u8>, kind: Type, name: &str, help: &str) {
    let suffix = match kind {
        Type::Counter => "_total",
        Type::Info => "_info",
        _ => "",
    };
    write_header_of(page, kind_name(kind), (name, suffix), help);
}

fn write_header_of(page: &mut Vec<u8>, kind: &str, (name, suffix): (&str, &str), help: &str) {
    if !help.is_empty() {
        page.extend_from_slice(b"# HELP ");
        write_name(page, name, suffix);
        page.push(b' ');
        escape(page, help, false);
        page.push(b'\n');
    }
    page.extend_from_slice(b"# TYPE ");
    write_name(page, name, suffix);
    for part in [" ", kind, "\n"] {
        page.extend_from_slice(part.as_bytes());
    }
}

/// The name of a type in this format, which has fewer than OpenMetrics.
#[must_use]
pub fn kind_name(kind: Type) -> &'static str {
    match kind {
        Type::Info | Type::StateSet => "gauge",
        Type::GaugeHistogram => "histogram",
        Type::Unknown => "untyped",
        _ => kind.name(),
    }
}

/// Writes a family with its samples, without what only OpenMetrics has: `_created` and exemplars.
/// The count and sum of a gauge histogram are gauges behind it, and a native histogram without
/// classic buckets has the one that holds everything.
///
/// Gives how many samples were written: one that this format has no place for is left out.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples) -> usize {
    let name = (family.name.as_str(), own_suffix(family));
    write_header_of(page, kind_name(family.kind), name, &family.help);
    let is_apart = |sample: &Sample| {
        let of_gauges = family.kind == Type::GaugeHistogram;
        of_gauges && GAUGES_OF_HISTOGRAMS.contains(&&*sample.suffix)
    };
    let points = points(family).into_iter().map(|point| classic_samples(family.kind, point));
    let points: Vec<Cow<'_, [Sample]>> = points.collect();
    let samples = || points.iter().flat_map(|samples| samples.iter());
    let mut written = 0;
    let mut write = |page: &mut Vec<u8>, sample: &Sample| {
        write_sample(page, &family.name, &sample.suffix, sample);
        written += 1;
    };
    let is_plain = |sample: &&Sample| {
        sample.suffix != "_created" && !is_apart(sample) && fits(family.kind, sample)
    };
    samples().filter(is_plain).for_each(|sample| write(page, sample));
    for suffix in GAUGES_OF_HISTOGRAMS {
        let is_of = |sample: &&Sample| is_apart(sample) && sample.suffix == suffix;
        let mut apart = samples().filter(|s| is_of(s) && has_millis(s)).peekable();
        if apart.peek().is_some() {
            write_header_of(page, "gauge", (&family.name, suffix), &family.help);
            apart.for_each(|sample| write(page, sample));
        }
    }
    written
}

/// Whether this format has a place for a sample: not for a count of a histogram that is negative, a
/// bound that is no number, and a moment whose milliseconds do not fit.
fn fits(kind: Type, sample: &Sample) -> bool {
    let special = match kind {
        Type::Summary => label(&sample.labels, "quantile"),
        Type::Histogram | Type::GaugeHistogram => label(&sample.labels, "le"),
        _ => None,
    };
    let is_histogram = matches!(kind, Type::Histogram | Type::GaugeHistogram);
    let counts = sample.suffix == "_count" || sample.suffix == "_bucket";
    let is_negative = is_histogram && counts && sample.value.as_f64() < 0.0;
    let is_number = special.is_none_or(|text| number::float(text).is_some());
    is_number && !is_negative && has_millis(sample)
}

fn has_millis(sample: &Sample) -> bool {
    sample.timestamp.is_none_or(Timestamp::has_millis)
}

fn write_sample(page: &mut Vec<u8>, name: &str, suffix: &str, sample: &Sample) {
    write_prefix(page, name, suffix, sample.labels());
    write_value(page, sample.value);
    if let Some(timestamp) = sample.timestamp {
        page.push(b' ');
        page.extend_from_slice(itoa::Buffer::new().format(timestamp.millis()).as_bytes());
    }
    page.push(b'\n');
}

/// The samples of a point where there are no native histograms: the classic ones, or what says the
/// same with one bucket.
pub(crate) fn classic_samples(kind: Type, point: &[Sample]) -> Cow<'_, [Sample]> {
    let Some((at, sample, native)) = point
        .iter()
        .enumerate()
        .find_map(|(at, sample)| Some((at, sample, sample.native.as_deref()?)))
    else {
        return Cow::Borrowed(point);
    };
    if point.iter().any(is_classic) {
        return point.iter().filter(|sample| sample.native.is_none()).cloned().collect();
    }
    let is_gauge = kind == Type::GaugeHistogram;
    let [count, sum] = if is_gauge { GAUGES_OF_HISTOGRAMS } else { ["_count", "_sum"] };
    let of = |suffix: &'static str, value| Sample {
        timestamp: sample.timestamp,
        ..Sample::new(suffix, sample.labels.clone(), value)
    };
    let mut bucket = of("_bucket", sample.value);
    bucket.labels.push(("le".into(), "+Inf".into()));
    let mut samples = vec![bucket, of(count, sample.value), of(sum, Value::Float(native.sum))];
    let others = point.iter().enumerate().filter(|(other, _)| *other != at);
    samples.extend(others.map(|(_, sample)| sample.clone()));
    Cow::Owned(samples)
}

/// Makes a family one of the classic types: without native histograms.
pub fn without_native(family: &mut FamilySamples) {
    if family.samples.iter().any(|sample| sample.native.is_some()) {
        let points = points(family).into_iter().map(|point| classic_samples(family.kind, point));
        family.samples = points.flat_map(Cow::into_owned).collect();
    }
}

/// Writes the prefix of a line that is not worth keeping.
pub fn write_prefix<'a>(
    page: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let is_legacy = is_legacy_name(name);
    if !is_legacy {
        page.push(b'{');
    }
    write_name(page, name, suffix);
    let mut separator = if is_legacy { b'{' } else { b',' };
    for (label, value) in labels {
        page.push(separator);
        write_label(page, label, value);
        separator = b',';
    }
    page.extend_from_slice(if separator == b',' { b"} " } else { b" " });
}

/// Writes a name, in quotes where it needs them.
pub(crate) fn write_name(page: &mut Vec<u8>, name: &str, suffix: &str) {
    if is_legacy_name(name) {
        page.extend_from_slice(name.as_bytes());
        page.extend_from_slice(suffix.as_bytes());
    } else {
        page.push(b'"');
        escape(page, name, true);
        escape(page, suffix, true);
        page.push(b'"');
    }
}

/// Writes a label, its name in quotes where it needs them.
pub(crate) fn write_label(page: &mut Vec<u8>, label: &str, value: &str) {
    if is_legacy_label(label) {
        page.extend_from_slice(label.as_bytes());
    } else {
        page.push(b'"');
        escape(page, label, true);
        page.push(b'"');
    }
    page.extend_from_slice(b"=\"");
    escape(page, value, true);
    page.push(b'"');
}

/// Writes a value.
#[inline]
pub fn write_value(page: &mut Vec<u8>, value: Value) {
    match value {
        Value::Whole(value) => write_whole(page, value),
        Value::Float(value) => write_float(page, value),
    }
}

/// Writes a whole number.
#[inline]
pub fn write_whole(page: &mut Vec<u8>, value: u64) {
    page.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a float: the shortest text that reads back as the same number, integers without a
/// fraction, and `NaN`, `+Inf`, `-Inf`.
#[inline]
pub fn write_float(page: &mut Vec<u8>, value: f64) {
    /// Up to here every integer is a float, and has the same digits.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        page.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        page.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value == 0.0 && value.is_sign_negative() {
        page.extend_from_slice(b"-0");
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        page.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        page.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// The text of a float as OpenMetrics wants it in the labels `le` and `quantile`: with a fraction,
/// and with an exponent of two digits from a million up and below a ten-thousandth.
#[must_use]
pub fn float_text(value: f64) -> String {
    if !value.is_finite() {
        let mut text = Vec::new();
        write_float(&mut text, value);
        return String::from_utf8_lossy(&text).into_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-4..1e6).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let sign = if exponent.starts_with('-') { '-' } else { '+' };
    format!("{mantissa}e{sign}{:0>2}", exponent.trim_start_matches('-'))
}

/// Writes text with backslashes and line feeds escaped, and quotes where they would end it.
pub(crate) fn escape(page: &mut Vec<u8>, text: &str, quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => page.extend_from_slice(b"\\\\"),
            b'\n' => page.extend_from_slice(b"\\n"),
            b'"' if quotes => page.extend_from_slice(b"\\\""),
            _ => page.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_prometheus_reads_them() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1e6, "1000000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut page = Vec::new();
            write_float(&mut page, value);
            assert_eq!(String::from_utf8(page).unwrap(), expect);
        }
        for value in [1e300, 1.5e-9, 9_007_199_254_740_993.0, f64::MIN_POSITIVE, 2.0_f64.powi(70)] {
            let mut page = Vec::new();
            write_float(&mut page, value);
            assert_eq!(String::from_utf8(page).unwrap().parse(), Ok(value));
        }
    }

    #[test]
    fn bucket_bounds_are_written_as_in_other_clients() {
        for (value, expect) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.000_05, "5e-05"),
            (1e-10, "1e-10"),
            (100_000.0, "100000.0"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (1.1e23, "1.1e+23"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float_text(value), expect);
        }
    }

    #[test]
    fn lines_have_quotes_where_names_need_them() {
        for (name, suffix, labels, expect) in [
            ("a", "", &[][..], "a "),
            ("a:b", "_c", &[], "a:b_c "),
            ("a", "", &[("b", "c"), ("d", "")], "a{b=\"c\",d=\"\"} "),
            ("a", "", &[("b.c", "d")], "a{\"b.c\"=\"d\"} "),
            ("a", "", &[("b:c", "d")], "a{\"b:c\"=\"d\"} "),
            ("a.b", "_total", &[], "{\"a.b_total\"} "),
            ("a\"\\\n", "", &[("b", "\"\\\n")], "{\"a\\\"\\\\\\n\",b=\"\\\"\\\\\\n\"} "),
            ("9", "", &[("9", "9")], "{\"9\",\"9\"=\"9\"} "),
            ("ä", "", &[], "{\"ä\"} "),
        ] {
            let mut page = Vec::new();
            write_prefix(&mut page, name, suffix, labels.iter().copied());
            assert_eq!(String::from_utf8(page).unwrap(), expect);
        }
    }
}
