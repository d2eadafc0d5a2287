//! Prometheus text 0.0.4 and 1.0.0.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::Type;

use crate::{bad, good, lines};

const FORMATS: [Format; 2] = [Format::Text004, Format::Text100];

fn all_good(documents: &[&str]) {
    for document in documents {
        for format in FORMATS {
            good(format, document);
        }
    }
}

fn all_bad(rows: &[(&str, &str)]) {
    for (document, expect) in rows {
        for format in FORMATS {
            bad(format, document, expect);
        }
    }
}

#[test]
fn blanks_stand_wherever_words_may_part() {
    all_good(&[
        "",
        "\n\n",
        "  \t",
        "a 1\n\t",
        "a\t1\n",
        "a  1  \t2\n",
        "  a{b=\"c\"}1\n",
        "a\t { \tb\t=\t\"c\" , } \t1\n",
        "a{b=\"c\",} 1\n",
        "{\"a.b\",c=\"d\"} 1\n",
        "{ \"a.b\" , \"c.d\" = \"e\" }1 2\n",
        "{c=\"d\", \"a.b\"} 1\n",
        "{\"a\"} 1\n",
        // The format ignores blanks at the end of a line.
        "a 1 \n",
        "a 1 2  \n",
        "# TYPE a gauge\t\na 1\n",
    ]);
}

#[test]
fn a_comment_may_say_anything_unless_it_is_metadata() {
    all_good(&[
        "#\n",
        "# \n",
        "# a comment, with \\ and \\n\n",
        "#a\n",
        "# HELP\n",
        "# HELP \n",
        "# HELP a\n",
        "# HELP a \n# HELP a b\n",
        "# HELPa b\n",
        "# TYPE a\n",
        "# TYPE a \n# TYPE a gauge\n",
        "#TYPE a summARY\n",
        " #\tTYPE  a\tgauge\n",
        "# TYPE a gauge_histogram\n",
        "# HELP \"a.b c\" d\n# TYPE \"a.b c\" gauge\n{\"a.b c\"} 1\n",
        "# HELP a b\0c\na{b=\"\0\"} 1\n",
    ]);
    all_bad(&[
        ("# TYPE a tally\n", "1:10: expected a type"),
        ("# TYPE a info\n", "1:10: expected a type"),
        ("# TYPE a gauge b\n", "1:10: expected a type"),
        ("# TYPE a-b gauge\n", "1:9: expected a blank behind the metric name, found '-'"),
        ("# TYPE # gauge\n", "1:8: expected a metric name, found '#'"),
        ("# HELP \"a b\n", "1:12: expected a closing quote"),
        ("# HELP \"a\\t\" b\n", "1:10: expected \\\\, \\\" or \\n, found '\\\\'"),
        ("# HELP a b\n# HELP a c\n", "2:10: the family \"a\" has a line HELP already"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "2:10: the family \"a\" has a line TYPE or samples"),
        ("a 1\n# TYPE a gauge\n", "2:10: the family \"a\" has a line TYPE or samples already"),
        ("# a", "1:4: expected a line feed, found the end of the document"),
    ]);
}

#[test]
fn a_sample_has_a_name_a_value_and_milliseconds() {
    all_good(&["a +Inf -5\n", "a nan\n", "a 1e-3 0\n", "a 01 +5\n", "a 1\na 1\na 1\n"]);
    all_bad(&[
        ("a 1", "1:4: expected a line feed, found the end of the document"),
        ("a 1\nb 2", "2:4: expected a line feed, found the end of the document"),
        ("a\n", "1:2: expected a number, found the end of the line"),
        ("a b\n", "1:3: expected a number, found \"b\""),
        ("a 1_2\n", "1:3: expected a number, found \"1_2\""),
        ("a 0x1p-3\n", "1:3: expected a number"),
        ("a 1e999\n", "1:3: expected a number that fits 64 bits, found \"1e999\""),
        ("a 1 z\n", "1:5: expected a timestamp in whole milliseconds, found \"z\""),
        ("a 1 2.5\n", "1:5: expected a timestamp in whole milliseconds, found \"2.5\""),
        ("a 1 1_2\n", "1:5: expected a timestamp in whole milliseconds"),
        ("a 1 2 3\n", "1:7: expected the end of the line, found '3'"),
        ("a 1 2\0\n", "1:5: expected a timestamp in whole milliseconds"),
        ("a 1 # {} 1\n", "1:5: expected a timestamp in whole milliseconds, found \"#\""),
        ("1a 1\n", "1:1: expected a metric name, found '1'"),
        ("@a 1\n", "1:1: expected a metric name, found '@'"),
        ("{} 1\n", "1:1: expected a metric name, found '{'"),
        ("{b=\"c\"} 1\n", "1:1: expected a metric name, found '{'"),
        ("{\"a\",\"b\"} 1\n", "1:6: the name of the metric stands here twice"),
        ("a{\"b\"} 1\n", "1:1: the name of the metric stands here twice"),
        ("{\"a\".b=\"c\"} 1\n", "1:5: expected '=' behind a label name, found '.'"),
        ("{\"a\\x\"} 1\n", "1:4: expected \\\\, \\\" or \\n"),
    ]);
}

#[test]
fn labels_have_names_and_quoted_values() {
    all_bad(&[
        ("a{b='c'} 1\n", "1:5: expected a quoted label value, found '\\''"),
        ("a{b=c} 1\n", "1:5: expected a quoted label value, found 'c'"),
        ("a{b=\n", "1:5: expected a quoted label value, found the end of the line"),
        ("a{b=\"c\n\"} 1\n", "1:7: expected a closing quote, found the end of the line"),
        ("a{b=\"c\"+} 1\n", "1:8: expected a comma or a closing brace, found '+'"),
        ("a{b=\"c\",,} 1\n", "1:9: expected a label name, found ','"),
        ("a{b+=\"c\"} 1\n", "1:4: expected '=' behind a label name, found '+'"),
        ("a{@=\"c\"} 1\n", "1:3: expected a label name, found '@'"),
        ("a{=\"c\"} 1\n", "1:3: expected a label name, found '='"),
        ("a{b:c=\"d\"} 1\n", "1:4: expected '=' behind a label name, found ':'"),
        ("a{__name__=\"b\"} 1\n", "1:3: the label name \"__name__\" is reserved"),
        ("a{b=\"c\",b=\"c\"} 1\n", "1:3: the label \"b\" stands here twice"),
        ("# TYPE a summary\na{quantile=\"b\"} 1\n", "2:1: expected a number in the label"),
        ("# TYPE a histogram\na_bucket{le=\"0x1p-3\"} 1\n", "2:1: expected a number in the label"),
    ]);
    all_good(&["a{__b=\"c\"} 1\n", "a{le=\"b\",quantile=\"c\"} 1\n"]);
}

#[test]
fn escape_sequences_are_replaced_and_others_kept() {
    let document = "# HELP a \\\\ \\n \\\" \\x \\\na{b=\"\\\\ \\n \\\" \\x\"} 1\n";
    let families = good(Format::Text004, document);
    assert_eq!(families[0].help, "\\ \n \\\" \\x \\");
    assert_eq!(families[0].samples[0].labels[0].1, "\\ \n \" \\x");
}

#[test]
fn samples_find_their_family_wherever_they_stand() {
    let document = "# TYPE s summary\ns{quantile=\"0.5\"} 1\nother 2\ns_sum 3\n# TYPE h histogram\n\
        s_count 4\nh_bucket{le=\"+Inf\"} 5\nh_count 5\nh_sum 1.5\ns_bucket 6\nother_sum 7\n\
        # TYPE c_total counter\nc_total 8 5\n# TYPE c counter\nc 9\n";
    let families = good(Format::Text004, document);
    let heads: Vec<(&str, Type)> =
        families.iter().map(|family| (family.name.as_str(), family.kind)).collect();
    let expect = [
        ("s", Type::Summary),
        ("other", Type::Unknown),
        ("h", Type::Histogram),
        ("s_bucket", Type::Unknown),
        ("other_sum", Type::Unknown),
        ("c", Type::Counter),
        ("c", Type::Counter),
    ];
    assert_eq!(heads, expect);
    let of_summary = ["s{quantile=\"0.5\"} 1", "s_sum{} 3", "s_count{} 4"];
    assert_eq!(lines(&families[..1]), of_summary);
    assert_eq!(lines(&families[5..]), ["c_total{} 8 @5", "c{} 9"]);
}

#[test]
fn nothing_counts_below_zero_in_a_histogram() {
    let histogram = |line: &str| format!("# TYPE h histogram\n{line}\n");
    for line in ["h_count -1", "h_count -0.5", "h_bucket{le=\"1\"} -1"] {
        let expect = "expected a count that is not negative";
        let column = line.len();
        let at = line.rfind(' ').map_or(column, |space| space + 2);
        all_bad(&[(&histogram(line), &format!("2:{at}: {expect}"))]);
    }
    all_good(&[
        &histogram("h_sum -1"),
        &histogram("h_count 2.5"),
        &histogram("h_bucket{le=\"1\"} 0.5"),
    ]);
}

#[test]
fn what_only_the_go_library_refuses_is_refused_on_demand() {
    for document in [
        "a 1 \n",
        "a 1 2 \n",
        "a{,} 1\n",
        "a{,b=\"c\"} 1\n",
        "a{b=\"\\x\"} 1\n",
        "# HELP a \\x\n",
        "# TYPE a gauge \n",
    ] {
        good(Format::Text004, document);
        let expect = exact(Format::Text004, document);
        assert!(expect.is_err(), "{document:?}");
        assert_eq!(exact(Format::Text100, document), expect);
    }
}

/// Whether a document is read by the rules of the Go library, or its error.
fn exact(format: Format, document: &str) -> Result<(), String> {
    let options = Options { exact: true, ..Options::default() };
    let families = parse(document.as_bytes(), format, &options);
    families.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_name_that_needs_quotes_is_for_version_1_on_demand() {
    let metric = |name| format!("expected a metric name of [a-zA-Z0-9_:], found {name:?}");
    let label = |name| format!("expected a label name of [a-zA-Z0-9_], found {name:?}");
    for (document, expect) in [
        ("{\"a.b\"} 1\n", format!("1:2: {}", metric("a.b"))),
        ("{c=\"d\",\"a b\"} 1\n", format!("1:8: {}", metric("a b"))),
        ("# TYPE \"9a\" gauge\n", format!("1:8: {}", metric("9a"))),
        ("# HELP \"ä\" b\n", format!("1:8: {}", metric("ä"))),
        ("a{\"b.c\"=\"d\"} 1\n", format!("1:3: {}", label("b.c"))),
        ("a{e=\"f\",\"b:c\"=\"d\"} 1\n", format!("1:9: {}", label("b:c"))),
    ] {
        all_good(&[document]);
        assert_eq!(exact(Format::Text004, document), Err(expect), "{document:?}");
        assert_eq!(exact(Format::Text100, document), Ok(()), "{document:?}");
    }
    for document in ["{\"a:b\",\"c\"=\"d.e\"} 1\n", "# TYPE \"a\" gauge\n"] {
        assert_eq!(exact(Format::Text004, document), Ok(()), "{document:?}");
    }
}

#[test]
fn a_quote_may_be_escaped_in_a_help_text() {
    let document = "# HELP a \\\"b\\\"\na 1\n";
    // The format has no such sequence, so that it is two characters.
    assert_eq!(good(Format::Text004, document)[0].help, "\\\"b\\\"");
    let options = Options { exact: true, ..Options::default() };
    let families = parse(document.as_bytes(), Format::Text004, &options);
    assert_eq!(families.expect("the Go library reads it")[0].help, "\"b\"");
}
