//! What is read, and what is refused with which words: tables after the specifications, and bytes
//! that nobody wrote.

#![forbid(unsafe_code)]

mod hostile;
mod lint;
mod openmetrics;
mod openmetrics2;
#[cfg(feature = "protobuf")]
mod protobuf;
mod specification;
mod text;

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Limits, Options, parse, parse_any};
use tallyboard_exposition::sample::{FamilySamples, Value};

/// What a document says, or the error.
fn read(format: Format, document: &str) -> Result<Vec<FamilySamples>, String> {
    let families = parse(document.as_bytes(), format, &Options::default());
    families.map_err(|error| error.to_string())
}

fn good(format: Format, document: &str) -> Vec<FamilySamples> {
    match read(format, document) {
        Ok(families) => families,
        Err(error) => panic!("{document:?} is refused: {error}"),
    }
}

/// Checks that a document is refused, with an error that begins with `expect`.
fn bad(format: Format, document: &str, expect: &str) {
    match read(format, document) {
        Ok(_) => panic!("{document:?} is read, expected {expect:?}"),
        Err(error) => assert!(error.starts_with(expect), "{document:?}: {error}"),
    }
}

/// Samples as `name{label="value"} number @millis`, to compare.
fn lines(families: &[FamilySamples]) -> Vec<String> {
    let of = |family: &FamilySamples| -> Vec<String> {
        let line = |sample: &tallyboard_exposition::sample::Sample| {
            let labels: Vec<String> =
                sample.labels().map(|(name, value)| format!("{name}={value:?}")).collect();
            let value = match sample.value {
                Value::Whole(value) => value.to_string(),
                Value::Float(value) => format!("{value:?}"),
            };
            let moment = sample.timestamp.map(|at| format!(" @{}", at.millis()));
            let name = format!("{}{}", family.name, sample.suffix);
            format!("{name}{{{}}} {value}{}", labels.join(","), moment.unwrap_or_default())
        };
        family.samples.iter().map(line).collect()
    };
    families.iter().flat_map(of).collect()
}

#[test]
fn a_document_of_unknown_format_is_read_as_what_it_looks_like() {
    for (document, expect) in [
        ("", Format::Text004),
        ("a 1\n", Format::Text004),
        ("a 1\n# EOF \n", Format::Text004),
        ("# EOF", Format::OpenMetrics100),
        ("a 1\n# EOF\n", Format::OpenMetrics100),
        ("# TYPE a counter\na_total 1 st@5\n# EOF\n", Format::OpenMetrics200),
        ("# TYPE a summary\na {count:1,sum:2,quantile:[]}\n# EOF\n", Format::OpenMetrics200),
        ("# TYPE a summary\na {count:x\n# EOF\n", Format::OpenMetrics200),
        ("a x\n# EOF\n", Format::OpenMetrics100),
        // Right in version 2 alone, or called as it is there.
        ("# TYPE a counter\na 1\n# EOF\n", Format::OpenMetrics200),
        ("# TYPE a_total counter\na_total 1\n# EOF\n", Format::OpenMetrics200),
        ("# TYPE a_total counter\n# EOF\n", Format::OpenMetrics200),
        ("# TYPE a_info info\n# EOF\n", Format::OpenMetrics200),
        // Right in both.
        ("# TYPE a counter\na_total 1\n# EOF\n", Format::OpenMetrics100),
        ("# TYPE a_total counter\na_total_total 1\n# EOF\n", Format::OpenMetrics100),
        // Wrong in both.
        ("# TYPE a counter\na -1\n# EOF\n", Format::OpenMetrics100),
        // Wrong in version 1, and right in version 2 without being meant.
        ("# TYPE a counter\na_total -1\n# EOF\n", Format::OpenMetrics100),
        ("# TYPE a summary\na_sum NaN\n# EOF\n", Format::OpenMetrics100),
        ("# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF\n", Format::OpenMetrics100),
        ("# TYPE a info\na_info 2\n# EOF\n", Format::OpenMetrics100),
    ] {
        let (format, _) = parse_any(document.as_bytes(), &Options::default());
        assert_eq!(format, expect, "{document:?}");
    }
}

#[test]
fn a_document_beyond_a_limit_is_refused() {
    let limits = Limits { bytes: 40, line_bytes: 20, labels: 1, samples: 2 };
    let check = |format, document: &str, expect: &str| {
        let options = Options { limits, ..Options::default() };
        match parse(document.as_bytes(), format, &options) {
            Ok(_) => assert_eq!(expect, "", "{document:?}"),
            Err(error) => assert_eq!(error.to_string(), expect, "{document:?}"),
        }
    };
    for format in [Format::Text004, Format::OpenMetrics100, Format::OpenMetrics200] {
        let end = if format == Format::Text004 { "" } else { "# EOF\n" };
        let labels = "expected at most 1 labels";
        check(format, &format!("a{{b=\"c\"}} 1\n{end}"), "");
        let two = format!("a{{b=\"\",c=\"\"}} 1\n{end}");
        check(format, &two, &format!("1:3: {labels}"));
        let long = format!("a{{b=\"{}\"}} 1\n{end}", "c".repeat(20));
        check(format, &long, "1:1: expected a line of at most 20 bytes, found 29");
        let document = "a 1\n".repeat(11);
        check(format, &document, "1:1: expected a document of at most 40 bytes, found 44");
    }
    check(Format::Text004, "a 1\nb 1\n", "");
    check(Format::Text004, "a 1\nb 1\nc 1\n", "3:1: too many samples");
    check(Format::OpenMetrics100, "a 1\nb 1\nc 1\n# EOF\n", "3:1: too many samples");
    check(Format::OpenMetrics200, "a 1\nb 1\nc 1\n# EOF\n", "2:1: too many samples");
}

#[test]
fn a_byte_that_is_no_text_is_named_with_its_place() {
    for format in [Format::Text004, Format::OpenMetrics100, Format::OpenMetrics200] {
        let error = parse(b"a 1\n\xc3\xa9\xff 1\n", format, &Options::default());
        let error = error.expect_err("no UTF-8").to_string();
        assert_eq!(error, "2:2: expected UTF-8, found the byte 0xff");
    }
}
