//! Remote write 1.0 to receivers that refuse a request for some of its samples: the others are taken,
//! in few requests, and what is not is counted by metric.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use prost::Message;
use tallyboard_bridges::export::{Batch, Outcome, Parted, Target};
use tallyboard_bridges::remote_write::Version;
use tallyboard_bridges::remote_write::halves::MOST_REQUESTS;
use tallyboard_bridges::remote_write::messages::{Request1, Series1};
use tallyboard_bridges::{Receiver, RemoteWrite, blocking};
use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type, Value};
use tallyboard_tests::receive::stand_in::{Request, Says, StandIn};

const AT: i64 = 1_600_000_000_000;
const TAKEN: Says = Says::Answer(204, "", b"");
const REFUSED: Says = Says::Answer(400, "", b"out of order sample");
const LATER: Says = Says::Answer(503, "", b"overloaded");

/// So many gauges with a sample each, numbered from 0.
fn gauges(count: usize) -> Vec<FamilySamples> {
    let gauge = |number: usize| {
        let mut family = FamilySamples::new(Type::Gauge, &format!("g{number:04}"), "A gauge.");
        family.samples.push(Sample::new("", Vec::new(), Value::Whole(number as u64)));
        family
    };
    (0..count).map(gauge).collect()
}

fn decoded(request: &Request) -> Request1 {
    let body = snap::raw::Decoder::new().decompress_vec(&request.body).expect("snappy");
    Request1::decode(&body[..]).expect("a request")
}

fn name(series: &Series1) -> String {
    let label = series.labels.iter().find(|label| label.name == "__name__");
    label.expect("a name").value.clone()
}

fn names(request: &Request) -> BTreeSet<String> {
    decoded(request).series.iter().map(name).collect()
}

/// A receiver that takes nothing of a request that has one of these.
fn refusing(bad: &'static [&'static str]) -> StandIn {
    StandIn::start(move |_, request| {
        let names = names(request);
        if bad.iter().any(|bad| names.contains(*bad)) { REFUSED } else { TAKEN }
    })
}

fn target(receiver: &StandIn) -> RemoteWrite {
    let url = format!("http://{}/write", receiver.address());
    RemoteWrite::new(Receiver::new(&url).expect("a URL"))
}

fn send(target: &RemoteWrite, batch: &Batch) -> Outcome {
    blocking::run(target.send(batch)).expect("there is a runtime")
}

fn parted(outcome: Outcome) -> Parted {
    match outcome {
        Outcome::Parted(parted) => *parted,
        other => panic!("expected parts, found {other:?}"),
    }
}

/// What the receiver has taken, each once.
fn taken(receiver: &StandIn, bad: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for request in receiver.seen() {
        let names = names(&request);
        if !bad.iter().any(|bad| names.contains(*bad)) {
            for name in names {
                assert!(all.insert(name.clone()), "{name} came twice");
            }
        }
    }
    all
}

#[test]
fn one_bad_sample_of_many_is_found_wherever_it_stands() {
    for bad in [&["g0000"][..], &["g1999"], &["g0999"], &["g1000"], &["g1234"]] {
        let bad: &'static [&'static str] = bad.to_vec().leak();
        let receiver = refusing(bad);
        let target = target(&receiver);
        let batches = target.encode(&gauges(2000), AT);
        let found = parted(send(&target, &batches[0]));
        let requests = receiver.seen().len() as u64;
        assert_eq!((batches.len(), found.requests), (1, requests));
        assert!(requests <= MOST_REQUESTS, "{requests}");
        let given_up: u64 = found.given_up.values().sum();
        assert_eq!(found.given_up.get(bad[0]), Some(&1), "{:?}", found.given_up);
        // So few requests find it, or nearly.
        assert!(given_up <= 4, "{:?}", found.given_up);
        assert_eq!(found.taken + given_up, 2000);
        assert_eq!(taken(&receiver, bad).len() as u64, found.taken);
        assert!(found.rest.is_none() && found.said.to_string().contains("out of order sample"));
    }
}

#[test]
fn of_few_samples_none_is_given_up_that_was_not_refused_alone() {
    for bad in [&["g0003"][..], &["g0000", "g0007"], &["g0001", "g0002", "g0006"]] {
        let bad: &'static [&'static str] = bad.to_vec().leak();
        let receiver = refusing(bad);
        let target = target(&receiver);
        let found = parted(send(&target, &target.encode(&gauges(8), AT)[0]));
        let given_up: Vec<&str> = found.given_up.keys().map(String::as_str).collect();
        assert_eq!(given_up, bad);
        assert_eq!(found.taken, 8 - bad.len() as u64);
        assert_eq!(taken(&receiver, bad).len() as u64, found.taken);
        // Each that was given up was asked for by itself.
        for bad in bad {
            let alone = |request: &Request| names(request).into_iter().eq([(*bad).to_owned()]);
            assert!(receiver.seen().iter().any(alone), "{bad}");
        }
    }
}

#[test]
fn a_receiver_that_refuses_everything_is_asked_twenty_times() {
    let receiver = StandIn::start(|_, _| REFUSED);
    let target = target(&receiver);
    let found = parted(send(&target, &target.encode(&gauges(500), AT)[0]));
    assert_eq!(receiver.seen().len() as u64, MOST_REQUESTS);
    assert_eq!((found.requests, found.requests_failed), (MOST_REQUESTS, MOST_REQUESTS));
    assert_eq!((found.taken, found.given_up.len()), (0, 500));
    // One sample is asked for once.
    let receiver = StandIn::start(|_, _| REFUSED);
    let target = self::target(&receiver);
    let found = parted(send(&target, &target.encode(&gauges(1), AT)[0]));
    assert_eq!((receiver.seen().len(), found.requests), (1, 1));
    assert_eq!(found.given_up.get("g0000"), Some(&1));
}

#[test]
fn what_may_be_taken_later_is_one_request_again() {
    let receiver = StandIn::start(|number, request| {
        let has = |name: &str| names(request).contains(name);
        match number {
            3.. => LATER,
            _ if has("g0009") => REFUSED,
            _ => TAKEN,
        }
    });
    let target = target(&receiver);
    let found = parted(send(&target, &target.encode(&gauges(16), AT)[0]));
    let (rest, error) = found.rest.expect("something is left");
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!((found.requests, found.requests_failed), (4, 3));
    assert_eq!((found.taken + rest.samples, found.given_up.len()), (16, 0));
    let request = receiver.seen().remove(0);
    let body = snap::raw::Decoder::new().decompress_vec(&rest.body).expect("snappy");
    let left: Vec<String> =
        Request1::decode(&body[..]).expect("a request").series.iter().map(name).collect();
    assert!(left.is_sorted() && left.contains(&"g0009".to_owned()), "{left:?}");
    assert!(left.iter().all(|name| names(&request).contains(name)));
}

#[test]
fn the_samples_of_a_series_stay_together_and_metadata_comes_with_its_series() {
    let mut families = gauges(7);
    let mut histogram = FamilySamples::new(Type::Histogram, "took", "Time.");
    for seconds in [1_000, 2_000] {
        let timestamp = Some(Timestamp { seconds, nanos: 0 });
        for (suffix, le) in [("_bucket", Some("1.0")), ("_bucket", Some("+Inf")), ("_count", None)]
        {
            let labels = le.map(|le| ("le".to_owned(), le.to_owned())).into_iter().collect();
            let sample = Sample::new(suffix, labels, Value::Whole(1));
            histogram.samples.push(Sample { timestamp, ..sample });
        }
    }
    families.push(histogram);
    let receiver = refusing(&["g0002"]);
    let target = target(&receiver);
    let found = parted(send(&target, &target.encode(&families, AT)[0]));
    assert_eq!(found.taken, 6 + 6);
    for request in receiver.seen() {
        let request = decoded(&request);
        let moments = |of: &Series1| -> Vec<i64> {
            let same = request.series.iter().filter(|series| series.labels == of.labels);
            same.flat_map(|series| &series.samples).map(|sample| sample.timestamp).collect()
        };
        for series in &request.series {
            let is_timed = name(series).starts_with("took");
            let expect = if is_timed { vec![1_000_000, 2_000_000] } else { vec![AT] };
            assert_eq!(moments(series), expect, "{series:?}");
        }
        let families: BTreeSet<String> = request
            .series
            .iter()
            .map(|series| {
                name(series).trim_end_matches("_bucket").trim_end_matches("_count").into()
            })
            .collect();
        let said: BTreeSet<String> =
            request.metadata.iter().map(|of| of.metric_family_name.clone()).collect();
        assert_eq!(said, families);
    }
}

#[test]
fn version_2_is_not_sent_in_parts() {
    // A receiver of 2.0 stores the rest itself, and says so.
    let headers = "X-Prometheus-Remote-Write-Samples-Written: 3\r\n";
    let receiver = StandIn::start(move |_, _| Says::Answer(400, headers, b"one is bad"));
    let target = target(&receiver).version(Version::V2);
    match send(&target, &target.encode(&gauges(4), AT)[0]) {
        Outcome::Taken { left_out, .. } => assert_eq!(left_out, 1),
        other => panic!("expected that it was taken, found {other:?}"),
    }
    assert_eq!(receiver.seen().len(), 1);
}
