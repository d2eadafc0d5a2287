//! Prometheus text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use crate::sample::{FamilySamples, Type, Value};

/// The content type of this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the `# HELP` and `# TYPE` lines of a family. A counter's name in this format has `_total`.
pub fn write_header(page: &mut Vec<u8>, kind: Type, name: &str, help: &str) {
    let suffix = if kind == Type::Counter { "_total" } else { "" };
    for part in ["# HELP ", name, suffix, " "] {
        page.extend_from_slice(part.as_bytes());
    }
    escape(page, help, false);
    for part in ["\n# TYPE ", name, suffix, " ", kind_name(kind), "\n"] {
        page.extend_from_slice(part.as_bytes());
    }
}

/// The name of a type in this format, which has fewer than OpenMetrics.
fn kind_name(kind: Type) -> &'static str {
    match kind {
        Type::Info | Type::StateSet => "gauge",
        Type::GaugeHistogram => "histogram",
        Type::Unknown => "untyped",
        _ => kind.name(),
    }
}

/// Writes the prefix of a line that is not worth keeping.
pub fn write_prefix<'a>(
    page: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    page.extend_from_slice(name.as_bytes());
    page.extend_from_slice(suffix.as_bytes());
    let mut separator = b'{';
    for (label, value) in labels {
        page.push(separator);
        page.extend_from_slice(label.as_bytes());
        page.extend_from_slice(b"=\"");
        escape(page, value, true);
        page.push(b'"');
        separator = b',';
    }
    page.extend_from_slice(if separator == b',' { b"} " } else { b" " });
}

/// Writes a family with its samples.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples) {
    write_header(page, family.kind, &family.name, &family.help);
    for sample in &family.samples {
        let labels = sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        write_prefix(page, &family.name, &sample.suffix, labels);
        match sample.value {
            Value::Whole(value) => write_whole(page, value),
            Value::Float(value) => write_float(page, value),
        }
        page.push(b'\n');
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
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        page.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        page.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// The text of a float, as in the label `le`.
#[must_use]
pub fn float_text(value: f64) -> String {
    let mut text = Vec::new();
    write_float(&mut text, value);
    // Prometheus' own clients write the bounds of buckets with a fraction.
    if value.is_finite() && value.fract() == 0.0 && value.abs() < 1e15 {
        text.extend_from_slice(b".0");
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn escape(page: &mut Vec<u8>, text: &str, quotes: bool) {
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
    use crate::sample::Sample;

    #[test]
    fn floats_are_written_as_prometheus_reads_them() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "0"),
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
    fn bucket_bounds_have_a_fraction_as_in_other_clients() {
        for (value, expect) in [(1.0, "1.0"), (0.005, "0.005"), (f64::INFINITY, "+Inf")] {
            assert_eq!(float_text(value), expect);
        }
    }

    #[test]
    fn a_family_is_written_with_its_text_escaped() {
        let family = FamilySamples {
            kind: Type::Counter,
            name: "requests".into(),
            help: "Back\\slash, \"quote\",\nnew line.".into(),
            unit: String::new(),
            samples: vec![Sample::new(
                "_total",
                vec![("path".into(), "a\\b\"c\nd".into()), ("é".into(), "ü".into())],
                Value::Whole(u64::MAX),
            )],
        };
        let mut page = Vec::new();
        write_family(&mut page, &family);
        let expect = "# HELP requests_total Back\\\\slash, \"quote\",\\nnew line.\n\
             # TYPE requests_total counter\n\
             requests_total{path=\"a\\\\b\\\"c\\nd\",é=\"ü\"} 18446744073709551615\n";
        assert_eq!(String::from_utf8(page).unwrap(), expect);
    }
}
