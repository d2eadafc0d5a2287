//! Remote write 2.0 into Prometheus 3: numbers, native histograms, exemplars and start times are
//! those of the service.
//!
//! The environment variable `TALLYBOARD_PROMETHEUS_3` is the path of the program, which
//! `tests/prometheus-3` gets; without it these tests fail, because nothing was tested.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use tallyboard_exposition::escaping::Escaping;
use tallyboard_tests::read::page::Labels;
use tallyboard_tests::read::prometheus::Prometheus;
use tallyboard_tests::service::any_name::known;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::expected::{ODD, Shown, until_good};
use tallyboard_tests::service::play::expect_exemplars;
use tallyboard_tests::start::child::Watchdog;

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const NAMES: &str = env!("CARGO_BIN_EXE_names");
const VARIABLE: &str = "TALLYBOARD_PROMETHEUS_3";
const TARGET: (&str, &str) = ("target", "remote_write");

fn prometheus() -> Prometheus {
    let program = std::env::var_os(VARIABLE).map(PathBuf::from);
    let program = program.unwrap_or_else(|| {
        panic!("expected {VARIABLE}, found none: set it to what tests/prometheus-3 prints")
    });
    let features = "--enable-feature=exemplar-storage,native-histograms,metadata-wal-records,\
        created-timestamp-zero-ingestion";
    let prometheus =
        Prometheus::start(&program, &["--web.enable-remote-write-receiver", features], &[]);
    let version = prometheus.version();
    assert!(version.starts_with("3."), "expected Prometheus 3, found {version}");
    prometheus
}

#[test]
fn prometheus_3_knows_what_was_counted_and_since_when() {
    let _watchdog = Watchdog::new("prometheus_3_knows_what_was_counted_and_since_when");
    let prometheus = prometheus();
    let url = format!("--remote-write.url=http://{}/api/v1/write", prometheus.address());
    let flags = [
        &*url,
        "--remote-write.version=2.0",
        "--remote-write.native-histograms=on",
        "--remote-write.interval=250ms",
        "--remote-write.external-label=job=service,instance=here",
    ];
    let mut service = Service::start_with("write-2", INSTRUMENTS, &flags, &[]);
    let selector = "{job=\"service\",__name__=~\"work_.+\"}";
    let check = |service: &Service| {
        service.until_known(Shown::Both, || prometheus.samples(selector));
    };
    service.work(&[0.5, 2.5]);
    check(&service);
    service.work(&[40.0, 0.5, 7.0]);
    check(&service);
    expect_exemplars(&service, &prometheus, "service");
    // What a worker was has ended with it, though it was written a moment ago.
    service.kill_until_stale(&prometheus);
    check(&service);
    service.kill_supervisor();
    service.work(&[3.0]);
    check(&service);
    expect_exemplars(&service, &prometheus, "service");

    // A counter is written as 0 when it began, which is what a start means to Prometheus.
    let starts = service.starts();
    let of = |labels: &[(&str, &str)]| -> Labels {
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    for (family, labels, name) in [
        ("work_done", of(&[("by", ODD)]), "work_done_total"),
        ("work_spent_seconds", of(&[]), "work_spent_seconds_total"),
        ("work_seconds", of(&[]), "work_seconds_count"),
        ("work_size", of(&[]), "work_size_count"),
    ] {
        let start = starts.get(&(family.to_owned(), labels)).copied();
        let stored = prometheus.query(&format!("{name}[1h]"));
        assert_eq!(stored.len(), 1, "{name}");
        let first = &stored[0]["values"][0];
        let at = first[0].as_f64().map(|seconds| (seconds * 1000.0).round() as i64);
        assert_eq!((first[1].as_str(), at), (Some("0"), start), "{name}");
        assert_eq!(prometheus.value(&format!("resets({name}[1h])")), Some(0.0), "{name}");
    }
    let natives = prometheus.natives("work_offset");
    assert!(natives[0].count == 0.0 && natives.is_sorted_by_key(|native| native.count));
    assert_eq!(service.own("tallyboard_export_samples_failed_total", TARGET), 0.0);
    let log = service.stop().stderr;
    assert!(!log.contains("left out") && !log.contains("encoding in another form"), "{log}");
}

#[test]
fn names_of_every_sort_are_written_as_they_are() {
    let _watchdog = Watchdog::new("names_of_every_sort_are_written_as_they_are");
    let prometheus = prometheus();
    let url = format!("--remote-write.url=http://{}/api/v1/write", prometheus.address());
    let flags = [
        &*url,
        "--remote-write.version=2.0",
        "--remote-write.interval=250ms",
        "--remote-write.external-label=job=service",
    ];
    let mut service = Service::start_with("write-2-names", NAMES, &flags, &[]);
    service.work(&[0.5, 2.5]);
    service.work(&[40.0]);
    service.kill();
    let selector = "{job=\"service\",__name__!~\"tallyboard_.*|process_.*\"}";
    until_good(|| {
        let found = prometheus.samples(selector).numbers;
        let expect = known(&service.numbers(), Escaping::AllowUtf8);
        if found == expect { Ok(()) } else { Err(format!("{found:?}, expected {expect:?}")) }
    });
    assert_eq!(service.own("tallyboard_export_samples_failed_total", TARGET), 0.0);
}
