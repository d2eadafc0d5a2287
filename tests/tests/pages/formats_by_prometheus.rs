//! Every format that Prometheus 2 reads, of an arena whose workers are killed: what it knows then is
//! what they have counted. `formats_by_prometheus_3.rs` is the same for version 3.

#![forbid(unsafe_code)]

use std::path::Path;

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_tests::read::prometheus::{Job, Prometheus};
use tallyboard_tests::receive::between::{Proxy, serve_families};
use tallyboard_tests::service::any_name::known;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::expected::{ODD, Shown};
use tallyboard_tests::service::play::{expect_exemplar, expect_exemplars, expect_functions, play};
use tallyboard_tests::start::child::Watchdog;

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const NAMES: &str = env!("CARGO_BIN_EXE_names");

const OPENMETRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const PROTOBUF: &str = "application/vnd.google.protobuf; \
    proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn start(features: &str, jobs: &[Job<'_>]) -> Prometheus {
    let flag = format!("--enable-feature={features}");
    let prometheus = Prometheus::start(Path::new("prometheus"), &[&flag], jobs);
    let version = prometheus.version();
    assert!(version.starts_with("2."), "expected Prometheus 2, found {version}");
    prometheus
}

/// What was answered to all who came by; it is the same for all of them.
fn answered(proxy: &Proxy) -> String {
    let seen = proxy.seen();
    let first = seen.first().expect("somebody came by").clone();
    assert!(seen.iter().all(|seen| *seen == first), "{seen:?}");
    first.content_type
}

/// A family whose names have letters that not every reader knows.
fn named() -> FamilySamples {
    let mut family = FamilySamples::new(Type::Gauge, "temp\u{e9}rature.", "Outside.");
    let labels = vec![("z\u{f6}ne".to_owned(), "a.b".to_owned())];
    family.samples.push(Sample::new("", labels, Value::Float(21.5)));
    family
}

#[test]
fn openmetrics_is_the_default_and_text_says_the_same() {
    let _watchdog = Watchdog::new("openmetrics_is_the_default_and_text_says_the_same");
    let mut service = Service::start("openmetrics", INSTRUMENTS);
    let asked = Proxy::new(service.metrics(), None);
    let text = Proxy::new(service.metrics(), Some("text/plain;version=0.0.4"));
    let jobs = [
        Job { name: "direct", target: service.metrics(), settings: &[] },
        Job { name: "asked", target: asked.address(), settings: &[] },
        Job { name: "text", target: text.address(), settings: &[] },
    ];
    let named = serve_families(vec![named()]);
    let names = Job { name: "names", target: named.address(), settings: &[] };
    let prometheus = start("exemplar-storage", &[&jobs[..], &[names]].concat());
    play(&mut service, &prometheus, &jobs.map(|job| (job.name, Shown::Classic)));
    assert_eq!(answered(&asked), OPENMETRICS);
    assert_eq!(answered(&text), "text/plain; version=0.0.4; charset=utf-8");
    for job in ["direct", "asked"] {
        expect_exemplars(&service, &prometheus, job);
        // OpenMetrics alone says when something was created.
        let created = format!("count(work_done_created{{job=\"{job}\"}} > 1e9)");
        assert_eq!(prometheus.value(&created), Some(1.0));
    }
    assert_eq!(prometheus.exemplars("{job=\"text\"}"), []);
    for (job, done, unit) in [("asked", "work_done", "seconds"), ("text", "work_done_total", "")] {
        let described = prometheus.metadata(job, "work_seconds");
        assert_eq!(described, Some(["histogram", unit, "Time that it took."].map(Into::into)));
        assert_eq!(prometheus.metadata(job, done), Some(["counter", "", ODD].map(Into::into)));
    }
    // This version knows no such names, and does not ask for them.
    assert_eq!(prometheus.value("temp_rature_{z_ne=\"a.b\"}"), Some(21.5));
}

#[test]
fn created_times_are_series_unless_they_are_left_out() {
    let _watchdog = Watchdog::new("created_times_are_series_unless_they_are_left_out");
    let mut with = Service::start("created", INSTRUMENTS);
    let off = ["--created-samples=off"];
    let mut without = Service::start_with("not-created", INSTRUMENTS, &off, &[]);
    let jobs = [
        Job { name: "with", target: with.metrics(), settings: &[] },
        Job { name: "without", target: without.metrics(), settings: &[] },
    ];
    let prometheus = start("exemplar-storage", &jobs);
    for service in [&mut with, &mut without] {
        service.work(&[0.5, 2.5]);
    }
    prometheus.scrape_all();
    for (job, service, expect) in [("with", with, Some(7.0)), ("without", without, None)] {
        let created = format!("count({{job=\"{job}\",__name__=~\"work_.+_created\"}})");
        assert_eq!(prometheus.value(&created), expect, "{job}");
        // Everything else is the same.
        let found = prometheus.samples(&format!("{{job=\"{job}\",__name__=~\"work_.+\"}}"));
        service.check(found, Shown::Classic).unwrap_or_else(|error| panic!("{job}: {error}"));
    }
}

#[test]
fn native_histograms_come_by_protocol_buffers() {
    let _watchdog = Watchdog::new("native_histograms_come_by_protocol_buffers");
    let mut service = Service::start("native", INSTRUMENTS);
    let asked = Proxy::new(service.metrics(), None);
    let jobs = [
        Job { name: "direct", target: service.metrics(), settings: &[] },
        Job { name: "asked", target: asked.address(), settings: &[] },
    ];
    let prometheus = start("exemplar-storage,native-histograms", &jobs);
    play(&mut service, &prometheus, &jobs.map(|job| (job.name, Shown::Native)));
    assert_eq!(answered(&asked), PROTOBUF);
    for job in ["direct", "asked"] {
        expect_functions(&service, &prometheus, job);
        expect_exemplars(&service, &prometheus, job);
        // Of a native histogram, this version takes the first one.
        let native = format!("work_native_seconds{{job=\"{job}\"}}");
        expect_exemplar(&service, &prometheus, &native, (0.0, 1.0));
    }
}

#[test]
fn names_of_every_sort_arrive_escaped() {
    let _watchdog = Watchdog::new("names_of_every_sort_arrive_escaped");
    let mut service = Service::start("names", NAMES);
    service.work(&[0.5, 2.5]);
    service.work(&[40.0]);
    service.kill();
    let text = Proxy::new(service.metrics(), Some("text/plain;version=0.0.4"));
    let protobuf = Proxy::new(service.metrics(), Some(PROTOBUF));
    let jobs = [
        Job { name: "openmetrics", target: service.metrics(), settings: &[] },
        Job { name: "text", target: text.address(), settings: &[] },
        Job { name: "protobuf", target: protobuf.address(), settings: &[] },
    ];
    let prometheus = start("exemplar-storage", &jobs);
    prometheus.scrape_all();
    for job in jobs {
        assert_eq!(prometheus.value(&format!("up{{job=\"{}\"}}", job.name)), Some(1.0));
        let workers = "__name__!~\"up|scrape_.*|tallyboard_.*|process_.*|.*_created\"";
        let found = prometheus.samples(&format!("{{job=\"{}\",{workers}}}", job.name));
        assert_eq!(found.numbers, known(&service.numbers(), Escaping::Underscores), "{}", job.name);
    }
}
