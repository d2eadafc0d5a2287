//! Families that share a name in a format: what a reader would refuse is not written.

use tallyboard_exposition::clash::settled;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse, parse_any};
use tallyboard_exposition::sample::{FamilySamples, Sample, Type};

use crate::families::{family, float, whole};
use crate::page;

const NAMES: [&str; 9] =
    ["a", "a_total", "a_info", "a_sum", "a_count", "a_bucket", "a_gcount", "a_gsum", "a_created"];

/// The samples of one series of a type, of a family of this name.
fn samples(kind: Type, name: &str) -> Vec<Sample> {
    match kind {
        Type::Counter => vec![whole("_total", &[], 1)],
        Type::Gauge | Type::Unknown => vec![whole("", &[], 1)],
        Type::Info => vec![whole("_info", &[], 1)],
        Type::StateSet => vec![whole("", &[(name, "on")], 1)],
        Type::Summary => vec![whole("_count", &[], 1), float("_sum", &[], 1.5)],
        Type::Histogram => vec![
            whole("_bucket", &[("le", "+Inf")], 1),
            whole("_count", &[], 1),
            float("_sum", &[], 1.5),
        ],
        Type::GaugeHistogram => vec![
            whole("_bucket", &[("le", "+Inf")], 1),
            whole("_gcount", &[], 1),
            float("_gsum", &[], 1.5),
        ],
    }
}

fn every_family() -> Vec<FamilySamples> {
    let of_kind = |kind: &Type| {
        let of_name = |name: &&str| {
            let full = family(*kind, name, samples(*kind, name));
            [full, family(*kind, name, Vec::new())]
        };
        NAMES.iter().flat_map(of_name).collect::<Vec<_>>()
    };
    Type::EVERY.iter().flat_map(of_kind).collect()
}

#[test]
fn of_two_families_that_share_a_name_one_is_written_and_the_page_is_read() {
    let all = every_family();
    for first in &all {
        for second in &all {
            let families = [first.clone(), second.clone()];
            for format in Format::EVERY {
                let page = format.encode(&families);
                let text = String::from_utf8_lossy(&page);
                let found = parse(&page, *format, &Options::default());
                let found = found.unwrap_or_else(|error| panic!("{format:?}: {error}:\n{text}"));
                let samples = |families: &[FamilySamples]| -> usize {
                    families.iter().map(|family| family.samples.len()).sum()
                };
                let most = samples(&families[..1]).max(samples(&families[1..]));
                assert!(samples(&found) >= most.min(1), "{format:?}: nothing is left:\n{text}");
            }
        }
    }
}

#[test]
fn a_family_without_samples_makes_room_for_one_that_has_some() {
    let with = |kind, name: &str| family(kind, name, samples(kind, name));
    let without = |kind, name: &str| family(kind, name, Vec::new());
    let check = |format, families: &[FamilySamples], expect: &[&str]| {
        assert_eq!(settled(format, families).left_out, expect, "{format:?} {families:?}");
    };
    let (text, one, two) = (Format::Text004, Format::OpenMetrics100, Format::OpenMetrics200);
    let gauge_and_counter = [without(Type::Gauge, "a"), with(Type::Counter, "a")];
    check(one, &gauge_and_counter, &["a"]);
    check(text, &gauge_and_counter, &[]);
    check(two, &gauge_and_counter, &[]);
    check(one, &[with(Type::Gauge, "a"), with(Type::Counter, "a")], &["a"]);
    check(text, &[without(Type::Gauge, "a_sum"), with(Type::Summary, "a")], &["a_sum"]);
    check(text, &[with(Type::Gauge, "a_sum"), with(Type::Summary, "a")], &["a"]);
    check(one, &[with(Type::Gauge, "a_sum"), without(Type::Summary, "a")], &["a"]);
    check(two, &[with(Type::Gauge, "a_sum"), with(Type::Summary, "a")], &[]);
    check(text, &[with(Type::GaugeHistogram, "a"), with(Type::Gauge, "a_gsum")], &["a_gsum"]);
    check(text, &[with(Type::Info, "a"), with(Type::Gauge, "a_info")], &["a_info"]);
    let unrelated = [with(Type::Gauge, "a"), with(Type::Gauge, "b"), without(Type::Gauge, "c")];
    Format::EVERY.iter().for_each(|format| check(*format, &unrelated, &[]));
}

#[test]
fn what_is_read_of_names_without_samples_is_written_so_that_it_is_read() {
    let document = "# TYPE till gauge\n# TYPE till_total counter\n";
    let families = parse_any(document.as_bytes(), &Options::default()).1.expect("it is read");
    assert_eq!(page(Format::Text004, &families), document);
    let one = page(Format::OpenMetrics100, &families);
    assert_eq!(one, "# TYPE till gauge\n# EOF\n");
    let two = page(Format::OpenMetrics200, &families);
    assert_eq!(two, "# TYPE till gauge\n# TYPE till_total counter\n# EOF\n");
}
