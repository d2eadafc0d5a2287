//! What is written: the same families in every format, byte by byte, and what is particular to one.

#![forbid(unsafe_code)]

mod clash;
mod families;
mod openmetrics2;
#[cfg(feature = "protobuf")]
mod protobuf;
mod round;
mod text;
mod values;
mod whole;

use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::sample::FamilySamples;

/// What a page has that usually has it not: when native histograms began.
const STARTS: Choices = Choices { created: true, native_starts: true, native_buckets: true };

/// A page as text.
fn page(format: Format, families: &[FamilySamples]) -> String {
    String::from_utf8(format.encode(families)).expect("every text format is UTF-8")
}

#[test]
fn a_page_of_everything_is_written_as_it_always_was() {
    let families = families::everything();
    for (format, golden) in [
        (Format::Text004, include_str!("golden/text.txt")),
        (Format::Text100, include_str!("golden/text.txt")),
        (Format::OpenMetrics001, include_str!("golden/openmetrics1.txt")),
        (Format::OpenMetrics100, include_str!("golden/openmetrics1.txt")),
        (Format::OpenMetrics200, include_str!("golden/openmetrics2.txt")),
    ] {
        let page = page(format, &families);
        assert!(page == golden, "{format:?} has changed:\n{page}");
    }
}

#[test]
fn an_empty_page_has_only_its_end() {
    for (format, expect) in [
        (Format::Text004, ""),
        (Format::Text100, ""),
        (Format::OpenMetrics001, "# EOF\n"),
        (Format::OpenMetrics100, "# EOF\n"),
        (Format::OpenMetrics200, "# EOF\n"),
    ] {
        assert_eq!(page(format, &[]), expect);
    }
}
