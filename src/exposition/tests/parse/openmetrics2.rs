//! OpenMetrics 2.0, which says in one line what 1.0 says in many.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::{Span, Type, Value};

use crate::{bad, good, lines};

const FORMAT: Format = Format::OpenMetrics200;

fn check(document: &str, expect: &[&str]) {
    let families = good(FORMAT, &format!("{document}# EOF\n"));
    assert_eq!(lines(&families), expect, "{document}");
}

fn all_bad(rows: &[(&str, &str)]) {
    for (document, expect) in rows {
        bad(FORMAT, &format!("{document}# EOF\n"), expect);
    }
}

#[test]
fn numbers_stand_as_they_do_in_version_1() {
    check("# TYPE a gauge\na 17.0 1.5\na 18 2\n", &["a{} 17.0 @1500", "a{} 18 @2000"]);
    check("a 42.23\n", &["a{} 42.23"]);
    check("# TYPE a counter\na 17\n", &["a{} 17"]);
    let total = "# TYPE a_total counter\na_total 17 5.5 st@4.25 # {b=\"c\"} 0.67 5\n";
    check(total, &["a_total{} 17 @5500", "a_created{} 4.25 @5500"]);
    check("# TYPE a_info info\na_info{b=\"c\"} 1\n", &["a_info{b=\"c\"} 1"]);
    check("{\"a.b\",\"c.d\"=\"e\"} 1\n", &["a.b{c.d=\"e\"} 1"]);
    let states = "# TYPE a stateset\na{a=\"x\",b=\"1\"} 1 1\na{a=\"x\",b=\"1\"} 0 2\na{a=\"y\",b=\"1\"} 0 1\n";
    check(
        states,
        &["a{a=\"x\",b=\"1\"} 1 @1000", "a{a=\"x\",b=\"1\"} 0 @2000", "a{a=\"y\",b=\"1\"} 0 @1000"],
    );
    check("# TYPE a gauge\n# UNIT a seconds\na 1\n", &["a{} 1"]);
}

#[test]
fn a_composite_value_becomes_the_samples_of_version_1() {
    check(
        "# TYPE a summary\na{b=\"c\"} {count:17,sum:2.5,quantile:[0.95:1.5,0.99:NaN]} st@3\n",
        &[
            "a{b=\"c\",quantile=\"0.95\"} 1.5",
            "a{b=\"c\",quantile=\"0.99\"} NaN",
            "a_count{b=\"c\"} 17",
            "a_sum{b=\"c\"} 2.5",
            "a_created{b=\"c\"} 3.0",
        ],
    );
    check(
        "# TYPE a histogram\na {count:17,sum:NaN,bucket:[-Inf:0,1e-05:5,1.0:10,+Inf:17]} 2\n",
        &[
            "a_bucket{le=\"-Inf\"} 0 @2000",
            "a_bucket{le=\"1e-05\"} 5 @2000",
            "a_bucket{le=\"1.0\"} 10 @2000",
            "a_bucket{le=\"+Inf\"} 17 @2000",
            "a_count{} 17 @2000",
            "a_sum{} NaN @2000",
        ],
    );
    check(
        "# TYPE a gaugehistogram\na {gcount:0.5,gsum:-2,bucket:[1:0.75,+Inf:0.5]}\n",
        &[
            "a_bucket{le=\"1.0\"} 0.75",
            "a_bucket{le=\"+Inf\"} 0.5",
            "a_gcount{} 0.5",
            "a_gsum{} -2.0",
        ],
    );
}

#[test]
fn a_number_beyond_what_a_float_holds_is_refused_wherever_it_stands() {
    all_bad(&[
        ("a 1e400\n", "1:3: expected a number that fits 64 bits"),
        ("a 1 1e400\n", "1:5: expected a timestamp"),
        ("a 1 st@9223372036854775808\n", "1:8: expected a start timestamp in seconds that fit"),
        ("# TYPE a_total counter\na_total 1 # {} 1e400 1\n", "2:16: expected the value of an"),
        ("# TYPE a histogram\na {count:1,sum:-1e400,bucket:[+Inf:1]}\n", "2:16: expected a number"),
        (
            "# TYPE a histogram\na {count:1,sum:1,bucket:[1e400:1,+Inf:1]}\n",
            "2:25: expected a list",
        ),
        (
            "# TYPE a histogram\na {count:0,sum:0,schema:0,zero_threshold:1e400,zero_count:0}\n",
            "2:42: expected a threshold that is not negative that fits 64 bits",
        ),
    ]);
}

#[test]
fn a_summary_has_any_sum_and_any_quantile() {
    for (sum, expect) in [("-1", "-1.0"), ("NaN", "NaN"), ("-Inf", "-inf"), ("-0", "-0.0")] {
        let document =
            format!("# TYPE a summary\na {{count:1,sum:{sum},quantile:[0.5:{sum}]}} st@2\n");
        let quantile = format!("a{{quantile=\"0.5\"}} {expect}");
        check(
            &document,
            &[&quantile, "a_count{} 1", &format!("a_sum{{}} {expect}"), "a_created{} 2.0"],
        );
    }
}

#[test]
fn native_buckets_have_spans_and_counts() {
    let document = "# TYPE a histogram\na{b=\"c\"} {count:61,sum:1.2e2,schema:7,zero_threshold:1e-4,\
        zero_count:2,negative_spans:[1:2],negative_buckets:[5,7],positive_spans:[-1:2,3:4],\
        positive_buckets:[5,7,10,9,8,8],bucket:[1.0:60,+Inf:61]} st@1 # {} 0.5 2 # {d=\"e\"} 7 3\n# EOF\n";
    let families = good(FORMAT, document);
    let expect = [
        "a{b=\"c\"} 61",
        "a_bucket{b=\"c\",le=\"1.0\"} 60",
        "a_bucket{b=\"c\",le=\"+Inf\"} 61",
        "a_count{b=\"c\"} 61",
        "a_sum{b=\"c\"} 120.0",
        "a_created{b=\"c\"} 1.0",
    ];
    assert_eq!(lines(&families), expect);
    let samples = &families[0].samples;
    let native = samples[0].native.as_ref().expect("a native histogram");
    assert_eq!((native.schema, native.zero_count), (7, Value::Whole(2)));
    let spans = [Span { offset: -1, length: 2 }, Span { offset: 3, length: 4 }];
    assert_eq!(native.positive.spans, spans);
    assert_eq!(native.exemplars.len(), 2);
    let values = samples.iter().map(|sample| sample.exemplar.as_ref().map(|e| e.value));
    assert_eq!(values.collect::<Vec<_>>(), [None, Some(0.5), Some(7.0), None, None, None]);
    let only =
        "# TYPE a histogram\na {count:0,sum:0,schema:3,zero_threshold:0,zero_count:0}\n# EOF\n";
    assert_eq!(lines(&good(FORMAT, only)), ["a{} 0"]);
    assert_eq!(families[0].kind, Type::Histogram);
}

#[test]
fn a_composite_value_is_complete_ordered_and_sound() {
    let histogram = |value: &str| format!("# TYPE a histogram\na {value}\n");
    for (value, expect) in [
        ("1", "2:3: expected a composite value for the type histogram"),
        ("{}", "2:4: expected a field of a composite value, found '}'"),
        ("{count:1,sum:1}", "2:3: expected the field \"schema\" or \"bucket\""),
        ("{count:1,bucket:[+Inf:1]}", "2:3: expected the field \"sum\""),
        ("{sum:1,count:1,bucket:[+Inf:1]}", "2:10: the field \"count\" stands behind a later one"),
        ("{gcount:1,gsum:1,bucket:[+Inf:1]}", "2:11: there is no field \"gcount\" here"),
        ("{count:1,sum:1,quantile:[]}", "2:27: there is no field \"quantile\" here"),
        ("{count:1,sum:1,bucket:[]}", "2:25: expected a last bucket"),
        ("{count:1,sum:1,bucket:[1:1]}", "2:25: expected a last bucket"),
        ("{count:1,sum:1,bucket:[+Inf:2]}", "2:25: expected the bucket \"+Inf\" to have"),
        ("{count:1,sum:1,bucket:[2:1,1:1,+Inf:1]}", "2:25: expected \"bucket\" in increasing"),
        ("{count:1,sum:1,bucket:[1:2,+Inf:1]}", "2:25: expected as much in a bucket"),
        ("{count:1,sum:1,bucket:[1:-1,+Inf:1]}", "2:25: expected counts that are not negative"),
        ("{count:1,sum:1,bucket:[1,+Inf:1]}", "2:25: expected a list \"number:value\""),
        ("{count:1,sum:1,bucket:[+Inf:1]", "2:33: expected a comma or a closing brace"),
        ("{count:1,sum:1,bucket:[+Inf:1]} # {} 1", "2:34: expected a timestamp on this exemplar"),
        ("{count:1, sum:1,bucket:[+Inf:1]}", "2:12: expected a field of a composite value"),
        (
            "{count:3,sum:1,schema:0,zero_threshold:0,zero_count:0,positive_spans:[0:1],positive_buckets:[2]}",
            "2:3: expected a count of 2",
        ),
        (
            "{count:2,sum:1,schema:0,zero_threshold:0,zero_count:0,positive_spans:[0:1]}",
            "2:3: expected the field \"positive_buckets\"",
        ),
        (
            "{count:2,sum:1,schema:0,zero_threshold:0,zero_count:0,positive_spans:[0:1,-1:1],positive_buckets:[1,1]}",
            "2:72: expected spans",
        ),
        (
            "{count:2,sum:1,schema:0,zero_threshold:0,zero_count:0,positive_spans:[0:4294967295],positive_buckets:[1,1]}",
            "2:104: expected 4294967295 buckets as in the spans, found 2",
        ),
        ("{count:0,sum:0,schema:9,zero_threshold:0,zero_count:0}", "2:25: expected a schema"),
        ("{count:0,sum:0,schema:0,zero_threshold:-1,zero_count:0}", "2:42: expected a threshold"),
    ] {
        all_bad(&[(&histogram(value), expect)]);
    }
    let summary = |value: &str| format!("# TYPE a summary\na {value}\n");
    for (value, expect) in [
        ("1", "2:3: expected a composite value for the type summary"),
        ("{count:1,sum:1}", "2:3: expected the field \"quantile\""),
        ("{count:0.5,sum:1,quantile:[]}", "2:3: expected a whole count"),
        ("{count:-1,sum:1,quantile:[]}", "2:3: expected a whole count"),
        ("{count:+Inf,sum:1,quantile:[]}", "2:3: expected a whole count"),
        ("{count:1,sum:1,quantile:[0.9:1,0.5:1]}", "2:27: expected \"quantile\" in increasing"),
        ("{count:1,sum:1,quantile:[1.5:1]}", "2:3: expected quantiles from 0 to 1"),
        ("{count:1,sum:1,quantile:[0.5:1e400]}", "2:27: expected a list \"number:value\""),
        ("{count:1,sum:1e400,quantile:[]}", "2:16: expected a number that fits 64 bits"),
    ] {
        all_bad(&[(&summary(value), expect)]);
    }
}

#[test]
fn each_type_has_its_values_and_starts() {
    all_bad(&[
        ("# TYPE a gauge\na {count:1,sum:1,bucket:[+Inf:1]}\n", "2:3: expected a number for the"),
        ("# TYPE a gauge\na 1 st@1\n", "2:1: only counters, histograms and summaries have a start"),
        ("# TYPE a gauge\na 1 # {} 1 1\n", "2:1: only counters, histograms and summaries have"),
        ("# TYPE a counter\na -1\n", "2:1: expected a number that is not negative"),
        ("# TYPE a counter\na 1 st@NaN\n", "2:8: expected a start timestamp"),
        ("# TYPE a counter\na 1 st@1 2\n", "2:10: expected '#' before an exemplar"),
        ("# TYPE a counter\na_total 1\n# TYPE a_total gauge\n", "3:1: expected metadata before"),
        ("# TYPE a info\na 1\n", "1:10: expected a name that ends with \"_info\""),
        ("# TYPE a_info info\na_info 2\n", "2:1: expected 1 as the value of an info"),
        ("# TYPE a stateset\na 1\n", "2:1: expected a label with the name of the stateset"),
        ("# TYPE a stateset\n# UNIT a s\n", "2:10: families of type info and stateset"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na 1\n", "5:1: the lines of the family \"a\""),
        ("# TYPE a gauge\na 1\na 1\n", "3:1: this series has a sample already"),
        ("# TYPE a gauge\na 1 2\na 1 1\n", "3:1: expected a timestamp that is not before"),
        ("a{b=\"c\", d=\"e\"} 1\n", "1:9: expected a label name, found ' '"),
        (
            "# TYPE a stateset\na{a=\"x\",b=\"1\"} 1\na{a=\"x\",b=\"2\"} 1\na{a=\"y\",b=\"1\"} 0\n",
            "4:1: the samples of a metric stand together",
        ),
        (
            "# TYPE a summary\na{quantile=\"1\"} {count:1,sum:1,quantile:[]}\n",
            "2:1: a summary has no label \"quantile\"",
        ),
        (
            "# TYPE a histogram\na{le=\"1\"} {count:1,sum:1,bucket:[+Inf:1]}\n",
            "2:1: a histogram with classic buckets has no label \"le\"",
        ),
    ]);
}
