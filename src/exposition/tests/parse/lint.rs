//! What is bad taste, in the words of Prometheus' linter.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::lint::lint;

use crate::good;

fn check(format: Format, document: &str, expect: &[&str]) {
    let problems = lint(&good(format, document));
    let found: Vec<String> =
        problems.iter().map(|problem| format!("{} {}", problem.metric, problem.text)).collect();
    assert_eq!(found, expect, "{document}");
}

/// Checks one family with help.
fn one(kind: &str, name: &str, sample: &str, expect: &[&str]) {
    let document = format!("# HELP {name} h\n# TYPE {name} {kind}\n{sample}\n");
    check(Format::Text004, &document, expect);
}

#[test]
fn good_taste_has_no_problems() {
    one("counter", "a_seconds_total", "a_seconds_total 1", &[]);
    one("gauge", "a_timestamp_seconds", "a_timestamp_seconds 1", &[]);
    one("histogram", "a", "a_bucket{le=\"1\"} 1", &[]);
    one("summary", "a", "a{quantile=\"0.5\"} 1", &[]);
    // The name of another type is nobody's business, nor is any name of what has no type.
    one("gauge", "a_Summary_x", "a_Summary_x 1", &[]);
    one("counter", "a_gauge_total", "a_gauge_total 1", &[]);
    one("untyped", "queue_gauge_size", "queue_gauge_size 3", &[]);
    one("histogram", "a_timestamp_seconds", "a_timestamp_seconds_bucket{le=\"1\"} 1", &[]);
    one("untyped", "a_sum", "a_sum{le=\"1\",quantile=\"2\"} 1", &[]);
    one("gauge", "thermometers_accounts", "thermometers_accounts 1", &[]);
    check(Format::Text004, "# TYPE counter_ms counter\n", &[]);
    check(Format::OpenMetrics100, "# HELP a h\n# TYPE a counter\na_total 1\n# EOF\n", &[]);
    check(Format::OpenMetrics100, "# HELP a h\n# TYPE a info\na_info 1\n# EOF\n", &[]);
}

#[test]
fn each_rule_has_its_words() {
    check(Format::Text004, "a 1\n", &["a no help text"]);
    for (kind, name, text) in [
        ("counter", "a", "counter metrics should have \"_total\" suffix"),
        ("gauge", "a_total", "non-counter metrics should not have \"_total\" suffix"),
        ("gauge", "a_bucket", "non-histogram metrics should not have \"_bucket\" suffix"),
        ("gaugehistogram", "a_bucket", "non-histogram metrics should not have \"_bucket\" suffix"),
        (
            "gaugehistogram",
            "a_count",
            "non-histogram and non-summary metrics should not have \"_count\" suffix",
        ),
        (
            "gauge",
            "a_count",
            "non-histogram and non-summary metrics should not have \"_count\" suffix",
        ),
        ("gauge", "a_sum", "non-histogram and non-summary metrics should not have \"_sum\" suffix"),
        ("gauge", "a_milliseconds", "use base unit \"seconds\" instead of \"milliseconds\""),
        ("gauge", "a_hours_x", "use base unit \"seconds\" instead of \"hours\""),
        ("gauge", "a_kilobytes", "use base unit \"bytes\" instead of \"kilobytes\""),
        ("gauge", "a_gauge", "metric name should not include type 'gauge'"),
        ("gauge", "a_Gauge_x", "metric name should not include type 'gauge'"),
        ("histogram", "histogram_histogram", "metric name should not include type 'histogram'"),
        (
            "gaugehistogram",
            "a_gauge_histogram",
            "metric name should not include type 'gauge_histogram'",
        ),
        ("gauge", "a:b", "metric names should not contain ':'"),
        ("gauge", "aB", "metric names should be written in 'snake_case' not 'camelCase'"),
        ("gauge", "a_ms", "metric names should not contain abbreviated units"),
        ("gauge", "a_MB_x", "metric names should not contain abbreviated units"),
    ] {
        let sample = if kind.ends_with("histogram") {
            format!("{name}_count 1")
        } else {
            format!("{name} 1")
        };
        one(kind, name, &sample, &[&format!("{name} {text}")]);
    }
    for (sample, text) in [
        ("a{le=\"1\"} 1", "non-histogram metrics should not have \"le\" label"),
        ("a{quantile=\"1\"} 1", "non-summary metrics should not have \"quantile\" label"),
        ("a{bC=\"1\"} 1", "label names should be written in 'snake_case' not 'camelCase'"),
        ("a 1\na 2", "metric not unique"),
    ] {
        one("gauge", "a", sample, &[&format!("a {text}")]);
    }
}

#[test]
fn names_that_are_the_scrapers_own_are_bad_taste() {
    use tallyboard_exposition::synthetic::NAMES;

    for name in NAMES {
        let expect = format!(
            "{name} samples called {name:?} replace those that Prometheus adds to each target"
        );
        one("gauge", name, &format!("{name} 1"), &[&expect]);
        // As a label of its own does not tell it apart where somebody asks for all of them.
        one("gauge", name, &format!("{name}{{a=\"b\"}} 1"), &[&expect]);
        one("summary", name, &format!("{name}_sum 1"), &[]);
    }
    check(Format::OpenMetrics100, "# HELP up h\n# TYPE up counter\nup_total 1\n# EOF\n", &[]);
}

#[test]
fn problems_are_sorted_and_said_once() {
    check(
        Format::Text004,
        "b{cD=\"1\"} 1\nb{cD=\"2\"} 1\na 1\n",
        &[
            "a no help text",
            "b label names should be written in 'snake_case' not 'camelCase'",
            "b no help text",
        ],
    );
}
