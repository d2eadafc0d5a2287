//! OpenMetrics 1.0, section by section.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::{Timestamp, Type, Value};

use crate::{bad, good, lines};

const FORMAT: Format = Format::OpenMetrics100;

/// Documents without their last line, which are read.
fn all_good(documents: &[&str]) {
    for document in documents {
        good(FORMAT, &format!("{document}# EOF\n"));
    }
}

/// Documents without their last line, which are refused, each with the beginning of its error.
fn all_bad(rows: &[(&str, &str)]) {
    for (document, expect) in rows {
        bad(FORMAT, &format!("{document}# EOF\n"), expect);
    }
}

#[test]
fn a_document_has_one_end() {
    for document in ["# EOF", "# EOF\n", "a 1\n# EOF"] {
        good(FORMAT, document);
    }
    for (document, expect) in [
        ("", "1:1: expected \"# EOF\""),
        ("a 1", "2:1: expected \"# EOF\""),
        ("a 1\n", "2:1: expected \"# EOF\""),
        ("\n# EOF\n", "1:1: expected metadata, a sample or"),
        ("a 1\n\n# EOF\n", "2:1: expected metadata, a sample or"),
        ("# EOF\n\n", "2:1: expected nothing behind"),
        ("# EOF\na 1\n", "2:1: expected nothing behind"),
        ("# EOF ", "1:1: expected \"# HELP\""),
        ("# EOFa", "1:1: expected \"# HELP\""),
        (" # EOF\n", "1:1: expected a metric name"),
        ("#EOF\n", "1:1: expected \"# HELP\""),
        ("# eof\n", "1:1: expected \"# HELP\""),
        ("#", "1:1: expected \"# HELP\""),
    ] {
        bad(FORMAT, document, expect);
    }
}

#[test]
fn a_line_of_metadata_has_one_space_between_its_words() {
    all_good(&[
        "# HELP a \n",
        "# HELP a b\n",
        "# HELP a  b \n",
        "# HELP a \\ \\n \\\\ \\\" \\x \\\n",
        "# HELP a b\0c\n",
        "# UNIT a \n",
        "# UNIT a_s s\n",
        "# UNIT a_s s\n# HELP a_s h\n# TYPE a_s gauge\n",
        "# TYPE a:b gauge\n",
        "# TYPE \"a.b\" gauge\n# HELP \"a.b\" c\n",
        "# TYPE \"a\\\\b\\n\\\"\" gauge\n",
    ]);
    all_bad(&[
        ("# HELP\n", "1:1: expected \"# HELP\""),
        ("# HELP \n", "1:8: expected a metric name, found the end of the line"),
        ("# HELP a\n", "1:9: expected a space behind the metric name"),
        ("# HELP a\t\n", "1:9: expected a space behind the metric name, found '\\t'"),
        ("#  HELP a b\n", "1:1: expected \"# HELP\""),
        ("#\tHELP a b\n", "1:1: expected \"# HELP\""),
        ("# HELP  a b\n", "1:8: expected a metric name, found ' '"),
        ("# help a b\n", "1:1: expected \"# HELP\""),
        ("# FOO a b\n", "1:1: expected \"# HELP\""),
        ("# a comment\n", "1:1: expected \"# HELP\""),
        ("# HELP 1a b\n", "1:8: expected a metric name, found '1'"),
        ("# HELP a.b c\n", "1:9: expected a space behind the metric name, found '.'"),
        ("# HELP \"\" c\n", "1:8: expected a metric name"),
        ("# HELP \"a c\n", "1:12: expected a closing quote"),
        ("# TYPE a\n", "1:9: expected a space behind the metric name"),
        ("# TYPE a \n", "1:10: expected a type (counter, gauge,"),
        ("# TYPE a tally\n", "1:10: expected a type (counter, gauge,"),
        ("# TYPE a untyped\n", "1:10: expected a type (counter, gauge,"),
        ("# TYPE a Gauge\n", "1:10: expected a type (counter, gauge,"),
        ("# TYPE a gauge \n", "1:10: expected a type (counter, gauge,"),
        ("# TYPE a  gauge\n", "1:10: expected a type (counter, gauge,"),
        ("# UNIT a\n", "1:9: expected a space behind the metric name"),
        ("# UNIT a s\n", "1:10: expected a unit that \"a\" ends with"),
        ("# UNIT as s\n", "1:11: expected a unit that \"as\" ends with"),
        ("# UNIT s s\n", "1:10: expected a unit that \"s\" ends with"),
        ("# UNIT a_s s \n", "1:12: expected a unit that \"a_s\" ends with"),
    ]);
}

#[test]
fn a_family_has_each_kind_of_metadata_once_and_before_its_samples() {
    all_bad(&[
        ("# HELP a \n# HELP a \n", "2:10: the family \"a\" has such a line already"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "2:10: the family \"a\" has such a line already"),
        ("# UNIT a_s s\n# UNIT a_s s\n", "2:12: the family \"a_s\" has such a line already"),
        ("# HELP a b\na 1\n# TYPE a gauge\n", "3:1: expected metadata before the samples"),
        ("# TYPE a gauge\na 1\n# HELP a b\n", "3:1: expected metadata before the samples"),
        ("a 1\n# TYPE a gauge\n", "2:1: expected metadata before the samples"),
        ("# TYPE a_s info\n# UNIT a_s s\n", "2:12: families of type info and stateset"),
        ("# UNIT a_s s\n# TYPE a_s stateset\n", "2:12: families of type info and stateset"),
    ]);
}

#[test]
fn no_two_families_share_a_name() {
    all_good(&["# TYPE a gauge\n# TYPE a_total gauge\n", "a 1\na_total 1\na_count 1\n"]);
    all_bad(&[
        ("# TYPE a gauge\n# TYPE b gauge\n# HELP a c\n", "3:1: the name \"a\""),
        ("# TYPE a_created gauge\n# TYPE a counter\n", "2:1: the name \"a_created\""),
        ("# TYPE a counter\n# TYPE a_total gauge\n", "2:1: the name \"a_total\""),
        ("# TYPE a counter\na 1\n", "2:1: the name \"a\""),
        ("# TYPE a info\na 1\n", "2:1: the name \"a\""),
        ("a 1\nb 1\na 1\n", "3:1: the name \"a\""),
        ("# TYPE a summary\n# TYPE a_sum gauge\n", "2:1: the name \"a_sum\""),
        ("# TYPE a gaugehistogram\n# TYPE a_gsum gauge\n", "2:1: the name \"a_gsum\""),
    ]);
}

#[test]
fn labels_have_no_blanks_and_no_comma_too_many() {
    all_good(&[
        "a{} 1\n",
        "a{b=\"\"} 1\n",
        "a{b=\"c\",d=\"{e} # = , \\\" \\\\ \\n \\z\"} 1\n",
        "a{b=\"\0\"} 1\n",
        "a{_b=\"c\"} 1\n",
        "{\"a.b\"} 1\n",
        "{\"a.b\",\"c d\"=\"e\",f=\"g\"} 1\n",
        "{f=\"g\",\"a.b\"} 1\n",
        "{\"a\"} 1\n",
        // Prometheus' client for Python writes this.
        "{\"a.b\", \"c\"=\"d\"} 1\n",
    ]);
    all_bad(&[
        ("a{b=1} 1\n", "1:5: expected a quoted label value, found '1'"),
        ("a{b='1'} 1\n", "1:5: expected a quoted label value, found '\\''"),
        ("a{b=} 1\n", "1:5: expected a quoted label value, found '}'"),
        ("a{b=\"1} 1\n", "1:10: expected a closing quote, found the end of the line"),
        ("a{b=\"} 1\n", "1:9: expected a closing quote"),
        ("a{b} 1\n", "1:4: expected '=' behind a label name, found '}'"),
        ("a{b\"c\"} 1\n", "1:4: expected '=' behind a label name, found '\"'"),
        ("a{b=\"1\"c=\"2\"} 1\n", "1:8: expected a comma or a closing brace, found 'c'"),
        ("a{b=\"1\",,c=\"2\"} 1\n", "1:9: expected a label name, found ','"),
        ("a{,b=\"1\"} 1\n", "1:3: expected a label name, found ','"),
        ("a{,} 1\n", "1:3: expected a label name, found ','"),
        ("a{b=\"1\",} 1\n", "1:9: expected a label name, found '}'"),
        ("a{ b=\"1\"} 1\n", "1:3: expected a label name, found ' '"),
        ("a{b =\"1\"} 1\n", "1:4: expected '=' behind a label name, found ' '"),
        ("a{b= \"1\"} 1\n", "1:5: expected a quoted label value, found ' '"),
        ("a{b=\"1\" } 1\n", "1:8: expected a comma or a closing brace, found ' '"),
        ("a {b=\"1\"} 1\n", "1:3: expected a number: only a histogram's own name"),
        ("a{1=\"1\"} 1\n", "1:3: expected a label name, found '1'"),
        ("a{b:c=\"1\"} 1\n", "1:4: expected '=' behind a label name, found ':'"),
        ("a{=\"1\"} 1\n", "1:3: expected a label name, found '='"),
        ("a{\"\"=\"1\"} 1\n", "1:3: expected a label name"),
        ("a{b=\"1\",b=\"2\"} 1\n", "1:3: the label \"b\" stands here twice"),
        ("a{b=\"1\",\"b\"=\"2\"} 1\n", "1:3: the label \"b\" stands here twice"),
        ("a{__name__=\"b\"} 1\n", "1:3: the label name \"__name__\" is reserved"),
        ("a{__b=\"c\"} 1\n", "1:3: the label name \"__b\" is reserved"),
        ("a{b\0=\"c\"} 1\n", "1:4: expected '=' behind a label name"),
        ("a{b=\"1\"}1\n", "1:9: expected a space before the value, found '1'"),
        ("a{\"b\"} 1\n", "1:1: the name of the metric stands here twice"),
        ("{\"a\",\"b\"} 1\n", "1:6: the name of the metric stands here twice"),
        ("{b=\"c\"} 1\n", "1:1: expected a metric name"),
        ("{} 1\n", "1:1: expected a metric name"),
        ("{a} 1\n", "1:3: expected '=' behind a label name"),
        ("{\"\"} 1\n", "1:2: expected a label name"),
    ]);
    let many: Vec<String> = (0..40).map(|label| format!("l{label}=\"\"")).collect();
    let twice = format!("a{{{},l7=\"\"}} 1\n", many.join(","));
    all_good(&[&format!("a{{{}}} 1\n", many.join(","))]);
    all_bad(&[(&twice, "1:3: the label \"l7\" stands here twice")]);
}

#[test]
fn a_value_is_a_number_behind_one_space() {
    all_good(&["a NaN\n", "a nan\n", "a +Inf\n", "a -inf\n", "a Infinity\n", "a 1e-3\n", "a .5\n"]);
    all_bad(&[
        ("a\n", "1:2: expected a space before the value, found the end of the line"),
        ("a \n", "1:3: expected a number, found the end of the line"),
        ("a b\n", "1:3: expected a number, found \"b\""),
        ("a  1\n", "1:3: expected a number, found ' '"),
        ("a\t1\n", "1:2: expected a space before the value, found '\\t'"),
        ("a 1\t\n", "1:4: expected a space before an exemplar, found '\\t'"),
        ("a 1 \n", "1:5: expected a timestamp in seconds, found the end of the line"),
        ("a 1_2\n", "1:3: expected a number, found \"1_2\""),
        ("a 0x1\n", "1:3: expected a number, found \"0x1\""),
        ("a 0x1p-3\n", "1:3: expected a number"),
        ("a 0b1\n", "1:3: expected a number"),
        ("a 0O1\n", "1:3: expected a number"),
        ("a 1,5\n", "1:3: expected a number"),
        ("a +NaN\n", "1:3: expected a number"),
        ("1a 1\n", "1:1: expected a metric name, found '1'"),
        (" a 1\n", "1:1: expected a metric name, found ' '"),
        ("a.b 1\n", "1:2: expected a space before the value, found '.'"),
        ("a-b 1\n", "1:2: expected a space before the value, found '-'"),
        ("ä 1\n", "1:1: expected a metric name, found 'ä'"),
    ]);
    let families = good(FORMAT, "a 18446744073709551615\nb 0001.50\n# EOF\n");
    assert_eq!(families[0].samples[0].value, Value::Whole(u64::MAX));
    assert_eq!(families[1].samples[0].value, Value::Float(1.5));
}

#[test]
fn a_number_beyond_what_a_float_holds_is_refused_wherever_it_stands() {
    let bucket = |le, value| {
        format!("# TYPE a histogram\na_bucket{{le=\"{le}\"}} {value}\na_bucket{{le=\"+Inf\"}} 1\n")
    };
    let exemplar = |value| format!("# TYPE a counter\na_total 1 # {{}} {value}\n");
    let beyond = ["1e400", "-1e400", "+1e309", "1.8e308", &"9".repeat(400)];
    for number in beyond {
        all_bad(&[
            (&format!("a {number}\n"), "1:3: expected a number that fits 64 bits, found"),
            (&bucket("1.0", number), "2:20: expected a number that fits 64 bits"),
            (&bucket(number, "1"), "2:1: expected a number in \"le\""),
            (&exemplar(number), "2:16: expected the value of an exemplar that fits 64 bits"),
        ]);
    }
    all_good(&["a 1.7976931348623157e308\n", "a 1e-400\n", "a Inf\n"]);
}

#[test]
fn a_timestamp_is_a_finite_number_of_seconds() {
    let document = "a{b=\"1\"} 1 000\na{b=\"2\"} 1 0.0000000019\na{b=\"3\"} 1 1.5e3\n\
        a{b=\"4\"} 1 -0.25\na{b=\"5\"} 1 9223372036854775807.5\n# EOF\n";
    let expect = [(0, 0), (0, 1), (1500, 0), (-1, 750_000_000), (i64::MAX, 500_000_000)];
    let families = good(FORMAT, document);
    for (sample, (seconds, nanos)) in families[0].samples.iter().zip(expect) {
        assert_eq!(sample.timestamp, Some(Timestamp { seconds, nanos }), "{sample:?}");
    }
    all_bad(&[
        ("a 1 z\n", "1:5: expected a timestamp in seconds, found \"z\""),
        ("a 1 1z\n", "1:5: expected a timestamp in seconds"),
        ("a 1 1_2\n", "1:5: expected a timestamp in seconds"),
        ("a 1 1.1.1\n", "1:5: expected a timestamp in seconds"),
        ("a 1 NaN\n", "1:5: expected a timestamp in seconds"),
        ("a 1 Inf\n", "1:5: expected a timestamp in seconds"),
        ("a 1 -Inf\n", "1:5: expected a timestamp in seconds"),
        ("a 1 0x1p-3\n", "1:5: expected a timestamp in seconds"),
        ("a 1 9223372036854775808\n", "1:5: expected a timestamp in seconds that fit 64 bits"),
        ("a 1 -1e19\n", "1:5: expected a timestamp in seconds that fit 64 bits"),
        ("a 1 1e400\n", "1:5: expected a timestamp in seconds that fits 64 bits"),
        ("a 1 1 \n", "1:7: expected '#' before an exemplar, found the end of the line"),
        ("a 1 1 1\n", "1:7: expected '#' before an exemplar, found '1'"),
        ("a 1 st@5\n", "1:5: expected '#' before an exemplar, found 's'"),
    ]);
}

#[test]
fn counters_and_buckets_have_exemplars_of_at_most_128_characters() {
    let long = |characters: usize| format!("a_total 1 # {{b=\"{}\"}} 1\n", "é".repeat(characters));
    let counter = |line: &str| format!("# TYPE a counter\n{line}");
    all_good(&[
        &counter("a_total 1 # {} 0.5\n"),
        &counter("a_total{} 1 2 # {b=\"c # d\"} 0.5 1.5\n"),
        &counter(&long(127)),
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {b=\"c\"} 4 123\n",
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1 # {b=\"c\"} -4\n",
    ]);
    for (line, expect) in [
        ("a_total 1 #\n", "2:12: expected a space before the labels of an exemplar"),
        ("a_total 1# {} 1\n", "2:9: expected a number, found \"1#\""),
        ("a_total 1 #{} 1\n", "2:12: expected a space before the labels of an exemplar"),
        ("a_total 1 # {}1\n", "2:15: expected a space before the value of an exemplar"),
        ("a_total 1 # {} 1 \n", "2:18: expected the timestamp of an exemplar"),
        ("a_total 1 # {} 1 1 \n", "2:19: expected the end of the line"),
        ("a_total 1 # {} 1 1 # {} 1\n", "2:19: expected the end of the line"),
        ("a_total 1 # {b=\"c\"}\n", "2:20: expected a space before the value of an exemplar"),
        ("a_total 1 # {b}\n", "2:15: expected '=' behind a label name"),
        ("a_total 1 # {\"b\"} 1\n", "2:13: expected a label value, found only a name"),
        ("a_total 1 # b=\"c\"} 1\n", "2:13: expected the labels of an exemplar"),
        ("a_total 1 # {} 0x1p-3\n", "2:16: expected the value of an exemplar"),
        ("a_total 1 # {} 1 NaN\n", "2:18: expected the timestamp of an exemplar"),
        ("a_created 1 # {} 1\n", "2:1: only counters and buckets have exemplars"),
        (&long(128), "2:1: expected at most 128 characters"),
    ] {
        all_bad(&[(&counter(line), expect)]);
    }
    let only = "2:1: only counters and buckets have exemplars";
    all_bad(&[
        ("# TYPE a gauge\na 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a info\na_info 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a stateset\na{a=\"b\"} 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a_bucket gauge\na_bucket 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a summary\na_count 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a histogram\na_sum 1 # {b=\"c\"} 1\n", only),
        ("# TYPE a unknown\na 1 # {b=\"c\"} 1\n", only),
    ]);
}

#[test]
fn each_type_has_its_values_and_labels() {
    all_bad(&[
        ("# TYPE a counter\na_total NaN\n", "2:1: expected a number, found NaN"),
        ("# TYPE a counter\na_total -1\n", "2:1: expected a number that is not negative"),
        ("# TYPE a summary\na_sum NaN\n", "2:1: expected a number, found NaN"),
        ("# TYPE a summary\na_sum -1\n", "2:1: expected a number that is not negative"),
        ("# TYPE a summary\na_count 0.5\n", "2:1: expected a whole number"),
        ("# TYPE a summary\na_count NaN\n", "2:1: expected a whole number"),
        ("# TYPE a summary\na_count -1\n", "2:1: expected a number that is not negative"),
        ("# TYPE a summary\na 1\n", "2:1: expected a label \"quantile\""),
        ("# TYPE a summary\na{quantile=\"1.01\"} 1\n", "2:1: expected a number from 0 to 1"),
        ("# TYPE a summary\na{quantile=\"-1\"} 1\n", "2:1: expected a number from 0 to 1"),
        ("# TYPE a summary\na{quantile=\"NaN\"} 1\n", "2:1: expected a number from 0 to 1"),
        ("# TYPE a summary\na{quantile=\"b\"} 1\n", "2:1: expected a number from 0 to 1"),
        ("# TYPE a summary\na{quantile=\"1\"} -1\n", "2:1: expected a quantile that is not"),
        ("# TYPE a info\na_info 2\n", "2:1: expected 1 as the value of an info"),
        ("# TYPE a stateset\na 1\n", "2:1: expected a label with the name of the stateset"),
        ("# TYPE a stateset\na{a=\"b\"} 2\n", "2:1: expected 0 or 1 as the value of a state"),
        ("# TYPE a stateset\na{a=\"b\"} 0.5\n", "2:1: expected 0 or 1 as the value of a state"),
        ("# TYPE a histogram\na_bucket 1\n", "2:1: expected a label \"le\""),
        ("# TYPE a histogram\na_bucket{le=\"b\"} 1\n", "2:1: expected a number in \"le\""),
        ("# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n", "2:1: expected a number in \"le\""),
        ("# TYPE a histogram\na_bucket{le=\"+INF\"} 1\n", "2:1: expected a number in \"le\""),
        ("# TYPE a histogram\na_bucket{le=\"Inf\"} 1\n", "2:1: expected a number in \"le\""),
        ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 0.5\n", "2:1: expected a whole number"),
        ("# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} -1\n", "2:1: expected a number that"),
        ("# TYPE a gaugehistogram\na_gsum NaN\n", "2:1: expected a number, found NaN"),
    ]);
    all_good(&[
        "# TYPE a counter\na_total 0\na_created NaN\n",
        "# TYPE a summary\na{quantile=\"0.5\"} NaN\na_count 1.0\na_sum +Inf\n",
        "# TYPE a info\na_info{b=\"c\"} 1.0\n",
        "# TYPE a stateset\na{a=\"b\"} 0\na{a=\"c\"} 1.0\n",
    ]);
}

#[test]
fn the_parts_of_a_histogram_agree() {
    let histogram = |lines: &str| format!("# TYPE a histogram\n{lines}");
    let gauges = |lines: &str| format!("# TYPE a gaugehistogram\n{lines}");
    for lines in [
        "",
        "a_bucket{le=\"+Inf\"} 0\n",
        "a_count 3\na_sum 2\na_bucket{le=\"1.1e-4\"} 1\na_bucket{le=\"+Inf\"} 3\na_created 1\n",
        "a_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 3\n",
    ] {
        all_good(&[&histogram(lines)]);
    }
    all_good(&[
        &gauges("a_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 3\na_gcount 3\na_gsum -5\n"),
        &histogram("a_bucket{b=\"1\",le=\"+Inf\"} 3\na_bucket{b=\"2\",le=\"+Inf\"} 1\n"),
        &histogram("a_bucket{le=\"+Inf\"} 3 1\na_bucket{le=\"+Inf\"} 4 2\n"),
    ]);
    for (lines, expect) in [
        ("a_sum 1\n", "2:1: expected a last bucket"),
        ("a_created 1\n", "2:1: expected a last bucket"),
        ("a_bucket{le=\"1\"} 0\n", "2:1: expected a last bucket"),
        ("a_bucket{le=\"+Inf\"} 0\na_sum 0\n", "3:1: expected a count beside the sum"),
        ("a_bucket{le=\"+Inf\"} 0\na_count 0\n", "3:1: expected a sum beside the count"),
        ("a_bucket{le=\"+Inf\"} 0\na_count 1\na_sum 0\n", "4:1: expected the count of this"),
        ("a_bucket{le=\"2\"} 0\na_bucket{le=\"1\"} 0\n", "3:1: expected buckets in increasing"),
        ("a_bucket{le=\"1\"} 0\na_bucket{le=\"1.0\"} 0\n", "3:1: expected buckets in increasing"),
        ("a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n", "3:1: expected as much in a bucket"),
        (
            "a_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 0\na_sum 0\na_count 0\n",
            "5:1: a histogram with negative bounds",
        ),
        (
            "a_bucket{b=\"1\",le=\"1\"} 0\na_bucket{b=\"2\",le=\"+Inf\"} 0\n",
            "2:1: expected a last bucket",
        ),
    ] {
        all_bad(&[(&histogram(lines), expect)]);
    }
    all_bad(&[
        (&gauges("a_bucket{le=\"+Inf\"} 1\na_gsum -1\na_gcount 1\n"), "4:1: a histogram without"),
        (&gauges("a_bucket{le=\"+Inf\"} 0\na_gsum 0\n"), "3:1: expected a count beside the sum"),
    ]);
}

#[test]
fn the_samples_of_a_metric_stand_together_in_order_of_time() {
    all_good(&[
        "# TYPE a gauge\na{b=\"1\",c=\"2\"} 1 1\na{c=\"2\",b=\"1\"} 1 2\n",
        "# TYPE a summary\na_count{b=\"1\"} 0 1\na_sum{b=\"1\"} 0 1\na_count{b=\"1\"} 0 2\n",
        "# TYPE a info\na_info{b=\"1\"} 1 2\na_info{b=\"2\"} 1 1\n",
    ]);
    let together = "4:1: the samples of a metric stand together";
    let order = "3:1: expected a timestamp that is not before the last";
    let either = "3:1: either all samples of a metric have a timestamp";
    all_bad(&[
        ("# TYPE a gauge\na{b=\"1\"} 0\na{b=\"2\"} 0\na{b=\"1\"} 1\n", together),
        ("# TYPE a summary\na_sum{b=\"1\"} 0\na_sum{b=\"2\"} 0\na_count{b=\"1\"} 0\n", together),
        ("# TYPE a stateset\na{a=\"x\",b=\"1\"} 0\na{a=\"x\"} 0\na{a=\"y\",b=\"1\"} 0\n", together),
        ("# TYPE a gauge\na 0 1\na 0 0\n", order),
        ("# TYPE a gauge\na 0 -1\na 0 -1.1\n", order),
        ("# TYPE a gauge\na 0 1.1\na 0 1\n", order),
        ("# TYPE a gauge\na 0\na 0 0\n", either),
        ("# TYPE a gauge\na 0 0\na 0\n", either),
        ("# TYPE a gauge\na 0\na 0\n", "3:1: this series has a sample already"),
    ]);
    let document = "# TYPE a gauge\na 1 0.0000000000\na 2 0.0000000001\na 3 0.000000001\n# EOF\n";
    assert_eq!(lines(&good(FORMAT, document)), ["a{} 1 @0", "a{} 3 @0"]);
}

#[test]
fn a_native_histogram_is_read_as_the_client_for_python_writes_it() {
    let value = "{count:24,sum:100,schema:0,zero_threshold:0.001,zero_count:4,\
        positive_spans:[0:2,1:2],negative_spans:[0:1],positive_deltas:[2,1,-3,3],negative_deltas:[2]}";
    let document = format!(
        "# TYPE a histogram\na{{b=\"c\"}} {value}\na_bucket{{b=\"c\",le=\"+Inf\"}} 24\n# EOF\n"
    );
    let families = good(FORMAT, &document);
    assert_eq!(families[0].kind, Type::Histogram);
    assert_eq!(lines(&families), ["a{b=\"c\"} 24", "a_bucket{b=\"c\",le=\"+Inf\"} 24"]);
    let native = families[0].samples[0].native.as_ref().expect("a native histogram");
    let whole =
        |counts: &[u64]| counts.iter().map(|count| Value::Whole(*count)).collect::<Vec<_>>();
    assert_eq!(native.positive.counts, whole(&[2, 3, 0, 3]));
    assert_eq!(native.negative.counts, whole(&[2]));
    for (part, other, expect) in [
        ("a{b=\"c\"} ", "a_count ", "2:9: expected a number: only a histogram's own name"),
        ("# TYPE a histogram", "# TYPE a gauge", "2:10: expected a number: only a histogram's"),
        ("[2,1,-3,3]", "[2,1,-3]", "2:133: expected 4 buckets as in the spans, found 3"),
        ("[2,1,-3,3]", "[2,1,-4,3]", "2:133: expected counts of buckets"),
        ("count:24,", "", "2:10: expected the field \"count\""),
        ("count:24,", "count:24.5,", "2:17: expected a whole number, found \"24.5\""),
        ("zero_count:4", "zero_count:-4", "2:69: expected a whole number, found \"-4\""),
        ("count:24,", "count:24,count:24,", "2:20: the field \"count\" stands here twice"),
        ("schema:0", "schema:9", "2:35: expected a schema from -4 to 8, found \"9\""),
        ("sum:100,", "sum:100, ", "2:28: expected a field of a composite value, found ' '"),
    ] {
        bad(FORMAT, &document.replacen(part, other, 1), expect);
    }
}
