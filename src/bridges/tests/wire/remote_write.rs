//! Remote write, 1.0 and 2.0.

use std::collections::BTreeMap;

use prost::Message;
use tallyboard_bridges::export::{Batch, Target};
use tallyboard_bridges::remote_write::Version;
use tallyboard_bridges::remote_write::messages::{
    BucketSpan, Count, MetricType, Request1, Request2, Series1, ZeroCount,
};
use tallyboard_bridges::{Receiver, RemoteWrite};
use tallyboard_exposition::sample::{FamilySamples, Value};

use super::{AT, check_golden, families};

/// 1520430000.123 s.
const START: i64 = 1_520_430_000_123;
/// The value of a series that has ended, as bits.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn write() -> RemoteWrite {
    RemoteWrite::new(Receiver::new("http://localhost/api/v1/write").expect("a URL"))
}

fn decompressed(batch: &Batch) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(&batch.body).expect("snappy")
}

fn requests1(write: &RemoteWrite, text: &str, at_ms: i64) -> Vec<Request1> {
    let batches = write.encode(&families(text), at_ms);
    let requests = read(&batches);
    for (request, batch) in requests.iter().zip(&batches) {
        assert_eq!(request.series.len() as u64, batch.samples);
    }
    requests
}

fn requests2(write: &RemoteWrite, text: &str, at_ms: i64) -> Vec<Request2> {
    let batches = write.encode(&families(text), at_ms);
    let request = |batch: &Batch| Request2::decode(&decompressed(batch)[..]).expect("a request");
    batches.iter().map(request).collect()
}

/// A series in the form of the text format.
fn name(series: &Series1) -> String {
    let labels: Vec<String> =
        series.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
    labels.join(",")
}

/// The numbers of all series, by their labels.
fn numbers(requests: &[Request1]) -> BTreeMap<String, f64> {
    let series = requests.iter().flat_map(|request| &request.series);
    let series = series.filter(|series| !series.samples.is_empty());
    series.map(|series| (name(series), series.samples[0].value)).collect()
}

const ALL: &str = "# TYPE ages gaugehistogram\nages {gcount:3,gsum:1.5,bucket:[1:2,+Inf:3]}\n\
    # TYPE build_info info\nbuild_info{version=\"1\"} 1\n\
    # TYPE level gauge\n# HELP level How high.\nlevel{z=\"1\",A=\"2\",a=\"\"} -1.5\n\
    # TYPE other unknown\nother 4\n\
    # TYPE sizes summary\nsizes {count:2,sum:0.75,quantile:[0.5:0.25]} st@1520430000.123\n\
    # TYPE sold_bytes_total counter\n# UNIT sold_bytes_total bytes\n\
    # HELP sold_bytes_total What was sold.\n\
    sold_bytes_total 7 st@1520430000.123 # {trace_id=\"x\"} 2 1520430001.5\n\
    # TYPE state stateset\nstate{state=\"on\"} 1\n\
    # TYPE took histogram\ntook{a=\"b\"} {count:9,sum:12.25,bucket:[0.5:3,+Inf:9]} \
    st@1520430000.123 # {trace_id=\"y\"} 0.3 1520430001.5\n";
const FEW: &str = "# TYPE level gauge\n# HELP level How high.\nlevel{a=\"b\"} -1.5\n\
    # TYPE sold_bytes_total counter\n# UNIT sold_bytes_total bytes\n\
    sold_bytes_total 7 st@1520430000.123 # {trace_id=\"x\"} 2 1520430001.5\n";
const NATIVE: &str = "# TYPE size histogram\nsize {count:19,sum:120.5,schema:3,\
    zero_threshold:0.001,zero_count:1,negative_spans:[1:1],negative_buckets:[4],\
    positive_spans:[-1:2,3:1],positive_buckets:[5,7,2]} st@1520430000.123 \
    # {a=\"b\"} 0.9 1520430001.5\n";

#[test]
fn both_versions_have_the_bytes_that_their_receivers_have_read() {
    for (version, names) in [
        (Version::V1, ["remote_write_1", "remote_write_1_native"]),
        (Version::V2, ["remote_write_2", "remote_write_2_native"]),
    ] {
        let write = write().version(version).native_histograms(true).external_label("host", "h");
        let batches = write.encode(&families(&format!("{FEW}{NATIVE}")), AT);
        let messages: Vec<_> = names.into_iter().zip(batches.iter().map(decompressed)).collect();
        assert_eq!((messages.len(), batches.len()), (2, 2));
        check_golden(&messages);
    }
}

#[test]
fn series_are_those_of_the_text_format_with_their_labels_by_name() {
    let requests = requests1(&write(), ALL, AT);
    let expect = [
        ("__name__=ages_bucket,le=+Inf", 3.0),
        ("__name__=ages_bucket,le=1.0", 2.0),
        ("__name__=ages_gcount", 3.0),
        ("__name__=ages_gsum", 1.5),
        ("__name__=build_info,version=1", 1.0),
        ("A=2,__name__=level,z=1", -1.5),
        ("__name__=other", 4.0),
        ("__name__=sizes,quantile=0.5", 0.25),
        ("__name__=sizes_count", 2.0),
        ("__name__=sizes_sum", 0.75),
        ("__name__=sold_bytes_total", 7.0),
        ("__name__=state,state=on", 1.0),
        ("__name__=took_bucket,a=b,le=+Inf", 9.0),
        ("__name__=took_bucket,a=b,le=0.5", 3.0),
        ("__name__=took_count,a=b", 9.0),
        ("__name__=took_sum,a=b", 12.25),
    ];
    let expect: BTreeMap<String, f64> =
        expect.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    assert_eq!(numbers(&requests), expect);
    let samples = requests[0].series.iter().flat_map(|series| &series.samples);
    assert!(samples.clone().all(|sample| sample.timestamp == AT));
    let find = |of: &str| requests[0].series.iter().find(|series| name(series) == of);
    let exemplar = |of: &str| find(of).expect("a series").exemplars.clone();
    let sold = exemplar("__name__=sold_bytes_total");
    assert_eq!((sold[0].value, sold[0].timestamp), (2.0, 1_520_430_001_500));
    assert_eq!((&*sold[0].labels[0].name, &*sold[0].labels[0].value), ("trace_id", "x"));
    assert_eq!(exemplar("__name__=took_bucket,a=b,le=0.5").len(), 1);
    assert_eq!(exemplar("__name__=took_bucket,a=b,le=+Inf").len(), 0);
}

#[test]
fn families_are_described_by_the_names_of_the_text_format() {
    let requests = requests1(&write(), ALL, AT);
    let metadata: Vec<(&str, i32)> =
        requests[0].metadata.iter().map(|m| (&*m.metric_family_name, m.r#type)).collect();
    let expect = [
        ("ages", MetricType::GaugeHistogram),
        ("build_info", MetricType::Info),
        ("level", MetricType::Gauge),
        ("other", MetricType::Unknown),
        ("sizes", MetricType::Summary),
        ("sold_bytes_total", MetricType::Counter),
        ("state", MetricType::StateSet),
        ("took", MetricType::Histogram),
    ];
    assert_eq!(metadata, expect.map(|(name, kind)| (name, kind.into())));
    let sold = &requests[0].metadata[5];
    assert_eq!((&*sold.help, &*sold.unit), ("What was sold.", "bytes"));
}

#[test]
fn labels_of_every_series_leave_those_of_their_own_alone() {
    let write = write().external_label("host", "h").external_label("a", "external");
    let text = "# TYPE x gauge\nx{a=\"own\"} 1\n# TYPE y gauge\ny{z=\"1\"} 1\n";
    let numbers = numbers(&requests1(&write, text, AT));
    let names: Vec<&str> = numbers.keys().map(String::as_str).collect();
    assert_eq!(names, ["__name__=x,a=own,host=h", "__name__=y,a=external,host=h,z=1"]);
}

#[test]
fn what_is_not_a_number_ends_no_series() {
    let mut gauge = families("# TYPE x gauge\nx NaN\n");
    gauge[0].samples[0].value = tallyboard_exposition::sample::Value::Float(f64::from_bits(STALE));
    let batch = write().encode(&gauge, AT).remove(0);
    let request = Request1::decode(&decompressed(&batch)[..]).expect("a request");
    let value = request.series[0].samples[0].value;
    assert!(value.is_nan() && value.to_bits() != STALE);
}

#[test]
fn no_two_samples_of_a_request_are_of_one_series_and_moment() {
    // An empty label is one that is not there.
    let text = "# TYPE x gauge\nx 1\nx{a=\"\"} 2\n";
    assert_eq!(numbers(&requests1(&write(), text, AT)), [("__name__=x".to_owned(), 1.0)].into());
}

#[test]
fn moments_of_a_series_rise() {
    let write = write();
    let times = |text: &str, at_ms: i64| -> Vec<i64> {
        let requests = requests1(&write, text, at_ms);
        let series = requests.iter().flat_map(|request| &request.series);
        series.flat_map(|series| &series.samples).map(|sample| sample.timestamp).collect()
    };
    let own = |seconds: i64| format!("# TYPE x gauge\nx 1 {seconds}\n");
    assert_eq!(times(&own(10), 20_000), [10_000]);
    // The receiver has it.
    assert_eq!(times(&own(10), 21_000), []);
    assert_eq!(times(&own(9), 22_000), []);
    assert_eq!(times(&own(11), 23_000), [11_000]);
    assert_eq!(times("# TYPE x gauge\nx 1\n", 24_000), [24_000]);
    // Its end is later than what was sent of it.
    assert_eq!(times("# TYPE y gauge\ny 1\n", 24_000), [24_000, 24_001]);
}

#[test]
fn a_series_that_is_gone_has_ended_once() {
    for version in [Version::V1, Version::V2] {
        let write = write().version(version).native_histograms(true).external_label("h", "i");
        let all = format!("# TYPE x gauge\nx{{a=\"b\"}} 1\n# TYPE y gauge\ny 1\n{NATIVE}");
        let rest = "# TYPE y gauge\ny 1\n";
        assert_eq!(write.encode(&families(&all), 1000).iter().map(|b| b.samples).sum::<u64>(), 3);
        let batches = write.encode(&families(rest), 2000);
        assert_eq!(batches.iter().map(|batch| batch.samples).collect::<Vec<_>>(), [2, 1]);
        if version == Version::V1 {
            let request = Request1::decode(&decompressed(&batches[0])[..]).expect("a request");
            let ended = &request.series[1];
            assert_eq!(name(ended), "__name__=x,a=b,h=i");
            assert_eq!(ended.samples[0].value.to_bits(), STALE);
            assert_eq!(ended.samples[0].timestamp, 2000);
            let request = Request1::decode(&decompressed(&batches[1])[..]).expect("a request");
            let ended = &request.series[0].histograms[0];
            assert_eq!((ended.sum.to_bits(), ended.timestamp), (STALE, 2000));
        }
        assert_eq!(write.encode(&families(rest), 3000).len(), 1);
        // It may come back.
        let back = write.encode(&families(&all), 4000);
        assert_eq!(back.iter().map(|batch| batch.samples).sum::<u64>(), 3);
    }
}

#[test]
fn exemplars_are_sent_once_and_the_newest_alone_at_first() {
    for version in [Version::V1, Version::V2] {
        let write = write().version(version).native_histograms(true);
        let exemplars = |at_ms: i64, seconds: &[i64]| -> usize {
            let exemplars: String =
                seconds.iter().map(|at| format!(" # {{n=\"{at}\"}} 0.9 {at}")).collect();
            let text = NATIVE.split(" # ").next().expect("a line");
            let batches = write.encode(&families(&format!("{text}{exemplars}\n")), at_ms);
            let body = decompressed(&batches[0]);
            match version {
                Version::V1 => {
                    Request1::decode(&body[..]).expect("a request").series[0].exemplars.len()
                }
                Version::V2 => {
                    Request2::decode(&body[..]).expect("a request").series[0].exemplars.len()
                }
            }
        };
        assert_eq!(exemplars(AT, &[10, 12, 11]), 1);
        assert_eq!(exemplars(AT + 1, &[10, 12, 11]), 0);
        assert_eq!(exemplars(AT + 2, &[14, 12, 13]), 2);
    }
}

/// The native histogram with this count and sum.
fn native(count: u64, sum: f64) -> Vec<FamilySamples> {
    let mut families = families(NATIVE);
    let sample = &mut families[0].samples[0];
    sample.value = Value::Whole(count);
    sample.native.as_mut().expect("a native histogram").sum = sum;
    families
}

fn read(batches: &[Batch]) -> Vec<Request1> {
    let request = |batch: &Batch| Request1::decode(&decompressed(batch)[..]).expect("a request");
    batches.iter().map(request).collect()
}

#[test]
fn a_native_histogram_has_spans_and_differences() {
    let requests = requests1(&write().native_histograms(true), NATIVE, AT);
    let histogram = &requests[0].series[0].histograms[0];
    assert_eq!(histogram.count, Some(Count::Whole(19)));
    assert_eq!(histogram.zero_count, Some(ZeroCount::Whole(1)));
    assert_eq!((histogram.schema, histogram.sum, histogram.reset_hint), (3, 120.5, 0));
    let spans = |spans: &[BucketSpan]| -> Vec<(i32, u32)> {
        spans.iter().map(|span| (span.offset, span.length)).collect()
    };
    assert_eq!(spans(&histogram.positive_spans), [(-1, 2), (3, 1)]);
    assert_eq!(spans(&histogram.negative_spans), [(1, 1)]);
    assert_eq!(histogram.positive_deltas, [5, 2, -5]);
    assert_eq!(histogram.negative_deltas, [4]);
    assert_eq!(histogram.timestamp, AT);
}

#[test]
fn a_native_histogram_that_would_be_refused_is_sent_as_count_and_sum() {
    let write = || write().native_histograms(true);
    let wrong = read(&write().encode(&native(20, 120.5), AT));
    let expect = [
        ("__name__=size_bucket,le=+Inf", 20.0),
        ("__name__=size_count", 20.0),
        ("__name__=size_sum", 120.5),
    ];
    let expect: BTreeMap<String, f64> = expect.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    assert_eq!(numbers(&wrong), expect);
    // What is not a number is counted, and in no bucket.
    let good = read(&write().encode(&native(20, f64::NAN), AT));
    assert_eq!(good[0].series[0].histograms[0].count, Some(Count::Whole(20)));
}

#[test]
fn with_native_histograms_switched_off_there_are_classic_ones() {
    let classic = NATIVE.replace("]} st@", "],bucket:[1:12,+Inf:19]} st@");
    for (text, expect) in [(NATIVE, 3), (classic.as_str(), 4)] {
        let requests = requests1(&write(), text, AT);
        assert_eq!(requests[0].series.len(), expect, "{requests:?}");
        assert!(requests[0].series.iter().all(|series| series.histograms.is_empty()));
    }
    // Switched on, a histogram that has both is sent as both, apart from each other.
    let requests = requests1(&write().native_histograms(true), &classic, AT);
    let series: Vec<usize> = requests.iter().map(|request| request.series.len()).collect();
    assert_eq!(series, [4, 1]);
}

#[test]
fn version_2_names_texts_by_number_and_says_when_series_began_in_both_places() {
    let write = write().version(Version::V2).native_histograms(true);
    let requests = requests2(&write, &format!("{ALL}{NATIVE}"), AT);
    let request = &requests[0];
    assert_eq!(request.symbols[0], "");
    let mut unique = request.symbols.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), request.symbols.len());
    let text = |at: u32| &*request.symbols[at as usize];
    let find = |name: &str| {
        let is_it = |labels: &[u32]| labels.chunks(2).any(|pair| text(pair[1]) == name);
        request.series.iter().find(|series| is_it(&series.labels_refs)).expect("a series")
    };
    for (name, start) in [("sold_bytes_total", START), ("took_count", START), ("level", 0)] {
        let series = find(name);
        assert_eq!(series.created_timestamp, start, "{name}");
        assert_eq!(series.samples[0].start_timestamp, start, "{name}");
        assert_eq!(series.samples[0].timestamp, AT, "{name}");
    }
    let metadata = find("sold_bytes_total").metadata.expect("metadata");
    assert_eq!((text(metadata.help_ref), text(metadata.unit_ref)), ("What was sold.", "bytes"));
    assert_eq!(
        find("took_bucket").metadata.expect("metadata").r#type,
        MetricType::Histogram as i32
    );
    let exemplar = &find("sold_bytes_total").exemplars[0];
    assert_eq!(
        exemplar.labels_refs.iter().map(|at| text(*at)).collect::<Vec<_>>(),
        ["trace_id", "x"]
    );
    let native = &requests[1].series[0];
    assert_eq!((native.created_timestamp, native.histograms[0].start_timestamp), (START, START));
    assert!(native.samples.is_empty());
    // A start that is not before its sample is none.
    let late = requests2(&write, "# TYPE a_total counter\na_total 1 10 st@10\n", AT);
    assert_eq!(late[0].series[0].created_timestamp, 0);
}

#[test]
fn requests_are_full_at_two_thousand_samples_or_a_mebibyte() {
    for version in [Version::V1, Version::V2] {
        let lines = |number: usize, value: &str| -> String {
            (0..number).map(|number| format!("a{{n=\"{number}{value}\"}} {number}\n")).collect()
        };
        let samples = |text: &str| -> Vec<u64> {
            let batches = write().version(version).encode(&families(text), AT);
            batches.iter().map(|batch| batch.samples).collect()
        };
        let text = format!("# TYPE a gauge\n{}# TYPE b gauge\nb 1\n", lines(4500, ""));
        assert_eq!(samples(&text), [2000, 2000, 501]);
        let text = format!("# TYPE a gauge\n{}", lines(300, &"x".repeat(10_000)));
        assert_eq!(samples(&text).len(), 3);
    }
}

#[test]
fn names_are_escaped_in_1_0_and_as_they_are_in_2_0() {
    let text = "# TYPE \"http.requests_total\" counter\n{\"http.requests_total\",\"http.route\"=\"/\"} 1\n\
                # TYPE http_requests_total counter\nhttp_requests_total{http_route=\"/\"} 2\n\
                # TYPE \"a b\" gauge\n{\"a b\"} 3\n# TYPE a_b gauge\na_b 4\n";
    let found = numbers(&requests1(&write(), text, AT));
    let expect = [("__name__=a_b", 4.0), ("__name__=http_requests_total,http_route=/", 3.0)];
    assert_eq!(found, expect.map(|(name, value)| (name.to_owned(), value)).into());
    let requests = requests2(&write().version(Version::V2), text, AT);
    let name = |series: &[u32]| -> Vec<&str> {
        series.iter().map(|at| &*requests[0].symbols[*at as usize]).collect()
    };
    let found: Vec<Vec<&str>> =
        requests[0].series.iter().map(|series| name(&series.labels_refs)).collect();
    let expect = [
        &["__name__", "http.requests_total", "http.route", "/"][..],
        &["__name__", "http_requests_total", "http_route", "/"],
        &["__name__", "a b"],
        &["__name__", "a_b"],
    ];
    assert_eq!(found, expect);
}
