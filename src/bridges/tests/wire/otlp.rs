//! OTLP.

use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;
use tallyboard_bridges::export::Target;
use tallyboard_bridges::otlp::messages::{
    Data, HistogramDataPoint, KeyValue, Metric, Number, NumberDataPoint, Request, ResourceMetrics,
};
use tallyboard_bridges::{Otlp, Receiver};

use super::{AT, check_golden, families};

const AT_NANOS: u64 = AT as u64 * 1_000_000;
/// 1520430000.123 s.
const START_NANOS: u64 = 1_520_430_000_123_000_000;

fn otlp() -> Otlp {
    Otlp::new(Receiver::new("http://localhost/v1/metrics").expect("a URL"))
}

fn resources(otlp: &Otlp, text: &str, at_ms: i64) -> Vec<ResourceMetrics> {
    let batches = otlp.encode(&families(text), at_ms);
    let request = |body: &[u8]| Request::decode(body).expect("a request");
    let requests = batches.iter().map(|batch| request(&batch.body));
    requests.flat_map(|request| request.resource_metrics).collect()
}

fn metrics_of(otlp: &Otlp, text: &str, at_ms: i64) -> Vec<Metric> {
    let scopes = resources(otlp, text, at_ms).into_iter().flat_map(|all| all.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn metric(text: &str) -> Metric {
    let mut metrics = metrics_of(&otlp(), text, AT);
    assert_eq!(metrics.len(), 1, "{metrics:?}");
    metrics.remove(0)
}

fn pairs(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
    attributes.iter().map(pair).collect()
}

fn pair(attribute: &KeyValue) -> (&str, &str) {
    let value = attribute.value.as_ref().and_then(|value| value.string_value.as_deref());
    (&attribute.key, value.expect("a text"))
}

fn numbers(data: &Data) -> &[NumberDataPoint] {
    match data {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        other => panic!("expected numbers, found {other:?}"),
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value.expect("a number") {
        Number::AsDouble(number) => number,
        Number::AsInt(number) => number as f64,
    }
}

const COUNTER: &str = "# TYPE sold_bytes_total counter\n# UNIT sold_bytes_total bytes\n\
    # HELP sold_bytes_total What was sold.\n\
    sold_bytes_total{kind=\"tea\"} 9007199254740993 st@1520430000.123 # {trace_id=\
    \"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7\",by=\"me\"} 2 1520430001.5\n";
const GAUGE: &str = "# TYPE level gauge\n# HELP level How high.\nlevel{a=\"b\"} -1.5\nlevel 7\n";
const HISTOGRAM: &str = "# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n\
    took_seconds{a=\"b\"} {count:9,sum:12.25,bucket:[0.5:3,1:8,+Inf:9]} st@1520430000.123 \
    # {trace_id=\"short\"} 0.67 1520430001.5\n";
const NATIVE: &str = "# TYPE size histogram\nsize {count:19,sum:120.5,schema:3,\
    zero_threshold:0.001,zero_count:1,negative_spans:[1:1],negative_buckets:[4],\
    positive_spans:[-1:2,3:1],positive_buckets:[5,7,2]} st@1520430000.123 \
    # {a=\"b\"} 0.9 1520430001.5\n";
const SUMMARY: &str = "# TYPE sizes summary\n\
    sizes{a=\"b\"} {count:2,sum:0.75,quantile:[0.5:0.25,1:0.5]} st@1520430000.123\n";
const INFO: &str = "# TYPE build_info info\nbuild_info{version=\"1\"} 1\n";
const STATES: &str = "# TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n";

#[test]
fn every_kind_has_the_bytes_that_another_decoder_has_read() {
    let kinds = [
        ("otlp_counter", COUNTER),
        ("otlp_gauge", GAUGE),
        ("otlp_histogram", HISTOGRAM),
        ("otlp_exponential_histogram", NATIVE),
        ("otlp_summary", SUMMARY),
        ("otlp_info", INFO),
        ("otlp_stateset", STATES),
    ];
    check_golden(&kinds.map(|(name, text)| (name, metric(text).encode_to_vec())));
}

#[test]
fn a_counter_is_a_sum_since_its_start_with_its_exemplars() {
    let metric = metric(COUNTER);
    assert_eq!((&*metric.name, &*metric.unit), ("sold_bytes_total", "By"));
    assert_eq!(metric.description, "What was sold.");
    assert_eq!(pairs(&metric.metadata), [("prometheus.type", "counter")]);
    let Some(Data::Sum(sum)) = metric.data else { panic!("expected a sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let point = &sum.data_points[0];
    // 2^53 + 1, which is no float.
    assert_eq!(point.value, Some(Number::AsInt(9_007_199_254_740_993)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (START_NANOS, AT_NANOS));
    assert_eq!(pairs(&point.attributes), [("kind", "tea")]);
    let exemplar = &point.exemplars[0];
    assert_eq!((exemplar.trace_id.len(), exemplar.span_id.len()), (16, 8));
    assert_eq!((exemplar.trace_id[0], exemplar.span_id[7]), (0x4b, 0xb7));
    assert_eq!(pairs(&exemplar.filtered_attributes), [("by", "me")]);
    assert_eq!(
        (exemplar.as_double, exemplar.time_unix_nano),
        (Some(2.0), 1_520_430_001_500_000_000)
    );
}

#[test]
fn whole_numbers_that_are_too_large_are_floats() {
    let value = |text: &str| {
        let text = format!("# TYPE a_total counter\na_total {text}\n");
        numbers(&metric(&text).data.expect("a sum"))[0].value
    };
    assert_eq!(value("9223372036854775807"), Some(Number::AsInt(i64::MAX)));
    assert_eq!(value("9223372036854775808"), Some(Number::AsDouble(2_f64.powi(63))));
    assert_eq!(value("0.5"), Some(Number::AsDouble(0.5)));
}

#[test]
fn what_has_no_start_counts_since_it_was_seen_first_or_seen_to_fall() {
    let otlp = otlp();
    let starts = |text: &str, at_ms: i64| -> Vec<u64> {
        let text = format!("# TYPE a_total counter\n{text}");
        let metrics = metrics_of(&otlp, &text, at_ms);
        let points =
            metrics.iter().flat_map(|metric| numbers(metric.data.as_ref().expect("a sum")));
        points.map(|point| point.start_time_unix_nano / 1_000_000).collect()
    };
    assert_eq!(starts("a_total 3\n", 1000), [1000]);
    assert_eq!(starts("a_total 3\na_total{b=\"c\"} 1\n", 2000), [1000, 2000]);
    assert_eq!(starts("a_total 4\na_total{b=\"c\"} 1\n", 3000), [1000, 2000]);
    assert_eq!(starts("a_total 1\n", 4000), [4000]);
    // A series that was gone begins anew.
    assert_eq!(starts("a_total 1\na_total{b=\"c\"} 1\n", 5000), [4000, 5000]);
    // A start that is not there yet is none.
    assert_eq!(starts("a_total{d=\"e\"} 1 st@6\n", 7000), [6000]);
    assert_eq!(starts("a_total{d=\"e\"} 1 st@9\n", 8000), [8000]);
    let gauge = metric(GAUGE).data.expect("a gauge");
    assert!(numbers(&gauge).iter().all(|point| point.start_time_unix_nano == 0));
}

#[test]
fn a_classic_histogram_has_bounds_and_what_is_in_each_bucket_alone() {
    let metric = metric(HISTOGRAM);
    assert_eq!((&*metric.name, &*metric.unit), ("took_seconds", "s"));
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("expected a histogram") };
    let point: &HistogramDataPoint = &histogram.data_points[0];
    assert_eq!((point.count, point.sum), (9, Some(12.25)));
    assert_eq!(point.explicit_bounds, [0.5, 1.0]);
    assert_eq!(point.bucket_counts, [3, 5, 1]);
    assert_eq!((point.start_time_unix_nano, histogram.aggregation_temporality), (START_NANOS, 2));
    assert_eq!(pairs(&point.attributes), [("a", "b")]);
    // What is no id stays a label.
    assert_eq!(pairs(&point.exemplars[0].filtered_attributes), [("trace_id", "short")]);
    assert!(point.exemplars[0].trace_id.is_empty());
}

#[test]
fn what_is_no_histogram_is_no_point() {
    let histogram = |text: &str| {
        let text = format!("# TYPE a histogram\n{text}\n");
        metrics_of(&otlp(), &text, AT).len()
    };
    assert_eq!(histogram("a {count:3,sum:1,bucket:[1:2,+Inf:3]}"), 1);
    assert_eq!(histogram("a {count:2.5,sum:1,bucket:[1:2,+Inf:2.5]}"), 0);
}

#[test]
fn a_native_histogram_is_an_exponential_one_without_gaps() {
    let metric = metric(NATIVE);
    let Some(Data::ExponentialHistogram(all)) = metric.data else { panic!("expected another") };
    let point = &all.data_points[0];
    assert_eq!((point.count, point.sum, point.scale), (19, Some(120.5), 3));
    assert_eq!((point.zero_count, point.zero_threshold), (1, 0.001));
    let side = |side: &Option<tallyboard_bridges::otlp::messages::Buckets>| {
        let side = side.clone().expect("buckets");
        (side.offset, side.bucket_counts)
    };
    assert_eq!(side(&point.positive), (-2, vec![5, 7, 0, 0, 0, 2]));
    assert_eq!(side(&point.negative), (0, vec![4]));
    assert_eq!((point.start_time_unix_nano, all.aggregation_temporality), (START_NANOS, 2));
    assert_eq!(point.exemplars[0].as_double, Some(0.9));
}

#[test]
fn a_summary_has_its_quantiles_and_is_none_without_a_count() {
    let Some(Data::Summary(summary)) = metric(SUMMARY).data else { panic!("expected a summary") };
    let point = &summary.data_points[0];
    assert_eq!((point.count, point.sum, point.start_time_unix_nano), (2, 0.75, START_NANOS));
    let quantiles: Vec<_> = point.quantile_values.iter().map(|q| (q.quantile, q.value)).collect();
    assert_eq!(quantiles, [(0.5, 0.25), (1.0, 0.5)]);
    let mut bare = families(SUMMARY);
    bare[0].samples.retain(|sample| sample.suffix != "_count");
    assert_eq!(otlp().encode(&bare, AT), []);
}

#[test]
fn infos_and_states_are_sums_that_do_not_only_rise() {
    let check = |text: &str, name: &str, kind: &str, expect: &[(&str, f64)]| {
        let metric = metric(text);
        assert_eq!(metric.name, name);
        assert_eq!(pairs(&metric.metadata), [("prometheus.type", kind)]);
        let data = metric.data.expect("a sum");
        let Data::Sum(sum) = &data else { panic!("expected a sum") };
        assert!(!sum.is_monotonic && sum.aggregation_temporality == 2);
        let points = numbers(&data).iter();
        let points: Vec<_> = points.map(|p| (pairs(&p.attributes)[0].1, number(p))).collect();
        assert_eq!(points, expect);
    };
    check(INFO, "build_info", "info", &[("1", 1.0)]);
    check(STATES, "state", "stateset", &[("on", 1.0), ("off", 0.0)]);
}

#[test]
fn a_histogram_of_what_is_there_now_is_gauges_and_so_is_what_nobody_said() {
    let text = "# TYPE ages gaugehistogram\nages {gcount:3,gsum:1.5,bucket:[1:2,+Inf:3]}\n\
        # TYPE other unknown\nother 4\n";
    let metrics = metrics_of(&otlp(), text, AT);
    let names: Vec<&str> = metrics.iter().map(|metric| &*metric.name).collect();
    assert_eq!(names, ["ages_bucket", "ages_gcount", "ages_gsum", "other"]);
    for metric in &metrics {
        assert!(matches!(metric.data, Some(Data::Gauge(_))), "{metric:?}");
    }
    assert_eq!(numbers(metrics[0].data.as_ref().expect("a gauge")).len(), 2);
}

#[test]
fn what_is_measured_is_said_once_and_what_was_said_here_counts() {
    let text = "# TYPE target_info info\ntarget_info{service_version=\"2\",zone=\"a\"} 1\n\
        # TYPE a gauge\na{b=\"\",c=\"d\"} 1\n";
    let otlp = otlp().attribute("service.name", "shop").attribute("service.name", "other");
    let otlp = otlp.attribute("zone", "b").attribute("none", "");
    let resources = resources(&otlp, text, AT);
    let resource = resources[0].resource.as_ref().expect("a resource");
    let expect = [("service.name", "shop"), ("zone", "b"), ("service_version", "2")];
    assert_eq!(pairs(&resource.attributes), expect);
    let scope = &resources[0].scope_metrics[0];
    assert_eq!(scope.scope.as_ref().expect("a scope").name, "tallyboard");
    assert_eq!(scope.metrics.len(), 1);
    let point = &numbers(scope.metrics[0].data.as_ref().expect("a gauge"))[0];
    // A label that is empty is one that is not there.
    assert_eq!(pairs(&point.attributes), [("c", "d")]);
}

#[test]
fn a_moment_of_its_own_is_kept() {
    let metric = metric("# TYPE a gauge\na 1 1520430001.5\n");
    let point = &numbers(metric.data.as_ref().expect("a gauge"))[0];
    assert_eq!(point.time_unix_nano, 1_520_430_001_500_000_000);
}

#[test]
fn requests_are_full_at_two_thousand_points_or_a_mebibyte() {
    let lines = |number: usize, value: &str| -> String {
        (0..number).map(|number| format!("a{{n=\"{number}{value}\"}} {number}\n")).collect()
    };
    let text = format!("# TYPE a gauge\n{}# TYPE b gauge\nb 1\n", lines(4500, ""));
    let batches = otlp().encode(&families(&text), AT);
    let samples: Vec<u64> = batches.iter().map(|batch| batch.samples).collect();
    assert_eq!(samples, [2000, 2000, 501]);
    let all = metrics_of(&otlp(), &text, AT);
    let points = all.iter().flat_map(|metric| numbers(metric.data.as_ref().expect("a gauge")));
    let found: Vec<f64> = points.map(number).collect();
    let expect: Vec<f64> = (0..4500).map(f64::from).chain([1.0]).collect();
    assert_eq!(found, expect);
    let text = format!("# TYPE a gauge\n{}", lines(300, &"x".repeat(10_000)));
    let batches = otlp().encode(&families(&text), AT);
    assert_eq!(batches.len(), 3);
    assert!(batches.iter().all(|batch| batch.body.len() < (1 << 20) + 20_000));
}

#[test]
fn gzip_holds_the_same_request() {
    let plain = otlp().encode(&families(COUNTER), AT).remove(0);
    let coded = otlp().gzip().encode(&families(COUNTER), AT).remove(0);
    let mut decoded = Vec::new();
    GzDecoder::new(&coded.body[..]).read_to_end(&mut decoded).expect("gzip");
    assert_eq!(decoded, plain.body);
}

#[test]
fn names_are_as_they_are() {
    let text = "# TYPE \"http.requests_total\" counter\n{\"http.requests_total\",\"http.route\"=\"/\"} 1\n\
                # TYPE http_requests_total counter\nhttp_requests_total{http_route=\"/\"} 2\n\
                # TYPE \"temp\u{e9}\\nrature\" gauge\n{\"temp\u{e9}\\nrature\"} 3\n";
    let found = metrics_of(&otlp(), text, AT);
    let found = found.iter().map(|metric| {
        let points = numbers(metric.data.as_ref().expect("points"));
        (&*metric.name, pairs(&points[0].attributes), number(&points[0]))
    });
    let expect = [
        ("http.requests_total", vec![("http.route", "/")], 1.0),
        ("http_requests_total", vec![("http_route", "/")], 2.0),
        ("temp\u{e9}\nrature", vec![], 3.0),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expect);
}
