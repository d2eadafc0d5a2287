//! Families in text 0.0.4, for those who take nothing else: a Pushgateway and the node exporter.
//!
//! Both refuse a whole page for one timestamp, because a moment that stands still is no sign that
//! somebody is alive; they have a moment of their own for all of it. So timestamps are removed, and
//! of a series that has several the newest is written. What text 0.0.4 has no word for becomes what
//! it has one for: infos and statesets are gauges, names are escaped unless the receiver knows them as
//! they are, and created times and exemplars are left out.

use std::borrow::Cow;
use std::collections::HashMap;

use tallyboard_exposition::clash::settled;
use tallyboard_exposition::escaping::{Escaped, Escaping, Outcome};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type};
use tracing::warn;

/// The content type of a page.
pub(crate) use tallyboard_exposition::text::CONTENT_TYPE;

/// A page of these families, with names as the scheme has them.
pub(crate) fn page(families: &[FamilySamples], escaping: Escaping) -> Vec<u8> {
    let families = without_timestamps(families);
    let escaped = escaped(escaping, &families);
    let settled = settled(Format::Text004, &escaped.families);
    if !settled.left_out.is_empty() {
        let names = settled.left_out.iter().map(|name| escaped.origin(name));
        let families = names.collect::<Vec<_>>().join(", ");
        warn!(families, "left out what has the name of something else; rename it");
    }
    Format::Text004.encode(&settled.families)
}

/// Families with names as the scheme has them. What is left out because it has become like something
/// else is said.
pub(crate) fn escaped(escaping: Escaping, families: &[FamilySamples]) -> Escaped<'_> {
    /// How many families are named.
    const MOST_NAMED: usize = 20;
    let escaped = escaping.apply(families);
    let left_out = || escaped.collisions.iter().filter(|of| of.outcome == Outcome::LeftOut);
    if left_out().next().is_some() {
        let names = left_out().map(|of| &*of.family).take(MOST_NAMED);
        let (families, series) = (names.collect::<Vec<_>>().join(", "), escaped.left_out());
        warn!(
            families,
            series, "left out what has the name of something else once it is escaped; rename it"
        );
    }
    escaped
}

/// The families with the newest of each series, as if it were of now.
fn without_timestamps(families: &[FamilySamples]) -> Cow<'_, [FamilySamples]> {
    let has_timestamp =
        |family: &FamilySamples| family.samples.iter().any(|sample| sample.timestamp.is_some());
    if !families.iter().any(has_timestamp) {
        return Cow::Borrowed(families);
    }
    families.iter().map(newest).collect()
}

fn newest(family: &FamilySamples) -> FamilySamples {
    // When a series began is not written, and may stand beside each of its points.
    let samples = || family.samples.iter().filter(|sample| sample.suffix != "_created");
    let mut newest = HashMap::new();
    for sample in samples() {
        let of_series = newest.entry(series(family.kind, sample)).or_insert_with(|| moment(sample));
        *of_series = moment(sample).max(*of_series);
    }
    let is_newest = |sample: &&Sample| newest[&series(family.kind, sample)] == moment(sample);
    let samples = samples().filter(is_newest);
    let samples = samples.map(|sample| Sample { timestamp: None, ..sample.clone() }).collect();
    let (name, unit, help) = (family.name.clone(), family.unit.clone(), family.help.clone());
    FamilySamples { kind: family.kind, name, unit, help, samples }
}

/// The moment of a sample; one that has none is of now.
fn moment(sample: &Sample) -> (i64, u32) {
    sample.timestamp.map_or((i64::MAX, u32::MAX), |moment| (moment.seconds, moment.nanos))
}

/// What tells the series of a sample from others: its labels, in order, without those that tell it
/// from the other samples of its series.
fn series(kind: Type, sample: &Sample) -> Vec<(&str, &str)> {
    let inner = match kind {
        Type::Histogram | Type::GaugeHistogram => "le",
        Type::Summary => "quantile",
        _ => "",
    };
    let mut labels: Vec<(&str, &str)> =
        sample.labels().filter(|(name, _)| *name != inner).collect();
    labels.sort_unstable();
    labels
}

#[cfg(test)]
mod tests {
    use tallyboard_exposition::parse::{Options, parse_any};

    use super::*;

    fn check(document: &str, expect: &str) {
        let families = parse_any(document.as_bytes(), &Options::default()).1;
        let families = families.unwrap_or_else(|error| panic!("{document}: {error}"));
        let page = String::from_utf8(page(&families, Escaping::Underscores)).expect("a text");
        assert_eq!(page, expect, "{document}");
    }

    #[test]
    fn a_page_has_no_timestamps_and_the_newest_of_each_series() {
        for (document, expect) in [
            ("", ""),
            ("a 1\n", "# TYPE a untyped\na 1\n"),
            ("# TYPE a gauge\na 1 1000\n", "# TYPE a gauge\na 1\n"),
            (
                "# TYPE a gauge\na{b=\"1\"} 1 1000\na{b=\"2\"} 2 500\n# EOF\n",
                "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 2\n",
            ),
            ("# TYPE a gauge\na 1 1\na 3 3\na 4 4\n# EOF\n", "# TYPE a gauge\na 4\n"),
            (
                "# TYPE a counter\na_total 1 1\na_created 1 1\na_total 2 2\na_created 1 2\n# EOF\n",
                "# TYPE a_total counter\na_total 2\n",
            ),
            (
                "# TYPE a summary\na{quantile=\"0.5\"} 1 1\na_count 1 1\na{quantile=\"0.5\"} 2 2\n\
                 a_count 2 2\n# EOF\n",
                "# TYPE a summary\na{quantile=\"0.5\"} 2\na_count 2\n",
            ),
        ] {
            check(document, expect);
        }
    }

    #[test]
    fn a_newer_point_leaves_nothing_of_an_older_one() {
        check(
            "# TYPE a histogram\na_bucket{le=\"1.0\"} 1 1\na_bucket{le=\"2.0\"} 1 1\n\
             a_bucket{le=\"+Inf\"} 1 1\na_bucket{le=\"1.0\"} 2 2\na_bucket{le=\"+Inf\"} 2 2\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 2\n",
        );
    }

    #[test]
    fn what_the_format_has_no_word_for_becomes_what_it_has_one_for() {
        for (document, expect) in [
            (
                "# TYPE a info\na_info{b=\"c\"} 1\n# EOF\n",
                "# TYPE a_info gauge\na_info{b=\"c\"} 1\n",
            ),
            ("# TYPE a stateset\na{a=\"on\"} 1\n# EOF\n", "# TYPE a gauge\na{a=\"on\"} 1\n"),
            (
                "# TYPE a counter\na_total 1 # {t=\"1\"} 1\na_created 5\n# EOF\n",
                "# TYPE a_total counter\na_total 1\n",
            ),
            ("{\"a.b\",\"c.d\"=\"e\"} 1\n", "# TYPE a_b untyped\na_b{c_d=\"e\"} 1\n"),
            ("{\"a.b\"} 1\na_b 2\n", "# TYPE a_b untyped\na_b 2\n"),
            (
                "# TYPE \"a.b\" counter\n{\"a.b_total\"} 1\n# TYPE a_b counter\na_b_total 2\n# EOF\n",
                "# TYPE a_b_total counter\na_b_total 3\n",
            ),
            (
                "# TYPE a gauge\n# TYPE a_total counter\n",
                "# TYPE a gauge\n# TYPE a_total counter\n",
            ),
            (
                "# TYPE a_sum gauge\na_sum 1\n# TYPE a summary\na {count:1,sum:2,quantile:[]}\n# EOF\n",
                "# TYPE a_sum gauge\na_sum 1\n",
            ),
        ] {
            check(document, expect);
        }
    }
}
