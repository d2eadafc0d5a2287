//! Lines of the text formats and of OpenMetrics 1.0.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::{FamilySamples, Type, Value};

use crate::families::{
    CREATED, exemplar, family, float, native, native_sample, timed, whole, with,
};
use crate::page;

/// What both formats make of a family, without the end.
fn check(family: FamilySamples, text: &str, openmetrics: &str) {
    let families = [family];
    assert_eq!(page(Format::Text004, &families), text);
    assert_eq!(page(Format::OpenMetrics100, &families), format!("{openmetrics}# EOF\n"));
}

#[test]
fn a_counter_has_its_suffix_in_openmetrics_and_stays_as_it_was_in_text() {
    let with_suffix = family(Type::Counter, "a", vec![whole("_total", &[], 1)]);
    let line = "a_total 1\n";
    let openmetrics = &format!("# TYPE a counter\n{line}");
    check(with_suffix, &format!("# TYPE a_total counter\n{line}"), openmetrics);
    let without = family(Type::Counter, "a", vec![whole("", &[], 1)]);
    check(without, "# TYPE a counter\na 1\n", openmetrics);
}

#[test]
fn text_has_neither_starts_nor_exemplars() {
    let counted = with(exemplar(&[("b", "c")], 2.5, Some(1500)), whole("_total", &[], 1));
    let created = float("_created", &[], CREATED);
    check(
        family(Type::Counter, "a", vec![counted, created]),
        "# TYPE a_total counter\na_total 1\n",
        "# TYPE a counter\na_total 1 # {b=\"c\"} 2.5 1.5\na_created 1520430000.123\n",
    );
}

#[test]
fn exemplars_stand_only_where_they_may() {
    let trace = || exemplar(&[("b", "c")], 2.5, None);
    let gauge = family(Type::Gauge, "a", vec![with(trace(), whole("", &[], 1))]);
    check(gauge, "# TYPE a gauge\na 1\n", "# TYPE a gauge\na 1\n");
    let count = family(Type::Summary, "a", vec![with(trace(), whole("_count", &[], 1))]);
    check(count, "# TYPE a summary\na_count 1\n", "# TYPE a summary\na_count 1\n");
    let bucket = |trace| {
        let bucket = with(trace, whole("_bucket", &[("le", "+Inf")], 1));
        family(Type::GaugeHistogram, "a", vec![bucket])
    };
    let text = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n";
    let openmetrics = "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1";
    check(bucket(trace()), text, &format!("{openmetrics} # {{b=\"c\"}} 2.5\n"));
    // 128 characters of labels are as many as there may be.
    let (most, long) = ("ä".repeat(127), "ä".repeat(128));
    let written = format!("{openmetrics} # {{b=\"{most}\"}} 1\n");
    check(bucket(exemplar(&[("b", &most)], 1.0, None)), text, &written);
    check(bucket(exemplar(&[("b", &long)], 1.0, None)), text, &format!("{openmetrics}\n"));
}

#[test]
fn moments_are_milliseconds_in_text_and_seconds_in_openmetrics() {
    check(
        family(Type::Gauge, "a", vec![timed(float("", &[], 0.5))]),
        "# TYPE a gauge\na 0.5 1520879607789\n",
        "# TYPE a gauge\na 0.5 1520879607.789\n",
    );
}

#[test]
fn a_unit_is_written_where_openmetrics_allows_it() {
    let of =
        |kind, name, unit: &str| FamilySamples { unit: unit.into(), ..family(kind, name, vec![]) };
    let text = "# TYPE a_b gauge\n";
    check(of(Type::Gauge, "a_b", "b"), text, "# TYPE a_b gauge\n# UNIT a_b b\n");
    check(of(Type::Gauge, "a_b", "c"), text, text);
    check(of(Type::Gauge, "a_b", "a_b"), text, text);
    check(of(Type::Info, "a_b", "b"), "# TYPE a_b_info gauge\n", "# TYPE a_b info\n");
    check(of(Type::StateSet, "a_b", "b"), text, "# TYPE a_b stateset\n");
}

#[test]
fn help_is_escaped_with_quotes_only_in_openmetrics() {
    let help = "a\\b\n\"c\"\r\t".to_owned();
    let family = FamilySamples { help, ..family(Type::Unknown, "a", vec![]) };
    check(
        family,
        "# HELP a a\\\\b\\n\"c\"\r\t\n# TYPE a untyped\n",
        "# HELP a a\\\\b\\n\\\"c\\\"\r\t\n# TYPE a unknown\n",
    );
}

#[test]
fn a_native_histogram_keeps_its_classic_buckets_or_gets_one() {
    let alone = native_sample(&[("b", "c")], Value::Whole(19), native());
    let buckets = ["7.0", "+Inf"].map(|le| whole("_bucket", &[("b", "c"), ("le", le)], 8));
    let lines = "a_bucket{b=\"c\",le=\"+Inf\"} 19\na_count{b=\"c\"} 19\na_sum{b=\"c\"} 120.5\n";
    let page = format!("# TYPE a histogram\n{lines}");
    check(family(Type::Histogram, "a", vec![alone.clone()]), &page, &page);
    let page =
        "# TYPE a histogram\na_bucket{b=\"c\",le=\"7.0\"} 8\na_bucket{b=\"c\",le=\"+Inf\"} 8\n";
    let both = [vec![alone.clone()], buckets.to_vec()].concat();
    check(family(Type::Histogram, "a", both), page, page);
    check(
        family(Type::GaugeHistogram, "a", vec![alone]),
        "# TYPE a histogram\na_bucket{b=\"c\",le=\"+Inf\"} 19\n# TYPE a_gcount gauge\n\
         a_gcount{b=\"c\"} 19\n# TYPE a_gsum gauge\na_gsum{b=\"c\"} 120.5\n",
        "# TYPE a gaugehistogram\na_bucket{b=\"c\",le=\"+Inf\"} 19\na_gcount{b=\"c\"} 19\n\
         a_gsum{b=\"c\"} 120.5\n",
    );
}

#[test]
fn bounds_are_written_as_one_number_is_in_openmetrics() {
    for (le, canonical) in [("1", "1.0"), ("1e6", "1e+06"), ("0.00001", "1e-05")] {
        let buckets = [le, "+Inf"].map(|le| whole("_bucket", &[("le", le)], 1));
        let page = |le| {
            let bucket = |le| format!("a_bucket{{le=\"{le}\"}} 1\n");
            format!("# TYPE a histogram\n{}{}", bucket(le), bucket("+Inf"))
        };
        check(family(Type::Histogram, "a", buckets.to_vec()), &page(le), &page(canonical));
    }
    // A label of that name is nothing special elsewhere.
    let gauge = family(Type::Gauge, "a", vec![whole("", &[("le", "1")], 1)]);
    check(gauge, "# TYPE a gauge\na{le=\"1\"} 1\n", "# TYPE a gauge\na{le=\"1\"} 1\n");
}
