//! `tallyboard check` beside the `promtool check metrics` of Prometheus 3, whose rules it follows: on
//! what all versions agree on, and on what is judged otherwise since client_golang 1.20.
//!
//! Debian has this version in a later suite only. The environment variable `TALLYBOARD_PROMTOOL_3` is
//! the path of the program, which `tests/promtool-3` gets; without it these tests fail, because nothing
//! was tested.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use tallyboard_tests::read::linter::{DOCUMENTS, compare};

const VARIABLE: &str = "TALLYBOARD_PROMTOOL_3";

/// What version 2.42 judges otherwise.
const LATER: &[&str] = &[
    // Names of types in the names of other types, or of none.
    "# HELP queue_gauge_size h\nqueue_gauge_size 3\n",
    "# HELP queue_gauge_size h\n# TYPE queue_gauge_size untyped\nqueue_gauge_size 3\n",
    "# HELP a_summary_b h\n# TYPE a_summary_b gauge\na_summary_b 1\n",
    "# HELP a_gauge_total h\n# TYPE a_gauge_total counter\na_gauge_total 1\n",
    "# HELP histogram_a h\n# TYPE histogram_a counter\nhistogram_a 1\n",
    // And in those of their own.
    "# HELP a_histogram h\n# TYPE a_histogram histogram\na_histogram_bucket{le=\"+Inf\"} 1\n\
     a_histogram_sum 1\na_histogram_count 1\n",
    "# HELP a_counter_total h\n# TYPE a_counter_total counter\na_counter_total 1\n",
    "# HELP a_timestamp_seconds h\n# TYPE a_timestamp_seconds summary\na_timestamp_seconds_sum 1\n",
    // Samples that are there twice, and types that are new.
    "# HELP a h\n# TYPE a gauge\na 1\na 2\n",
    "# HELP a h\n# TYPE a counter\na{b=\"1\"} 1\na{b=\"2\"} 1\n",
    "# HELP a h\n# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\n",
];

fn promtool() -> PathBuf {
    std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_else(|| {
        panic!("expected {VARIABLE}, found none: set it to what tests/promtool-3 prints")
    })
}

#[test]
fn a_document_has_the_verdict_that_promtool_3_gives_it() {
    let seen = compare(&promtool(), DOCUMENTS);
    assert!(seen[0] > 5 && seen[1] > 20 && seen[3] > 10, "{seen:?}");
}

#[test]
fn the_rules_are_those_of_promlint_since_2024() {
    let seen = compare(&promtool(), LATER);
    assert!(seen[0] >= 4 && seen[3] >= 4, "{seen:?}");
}
