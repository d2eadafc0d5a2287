//! Every format that Prometheus 3 reads, of arenas whose workers are killed, also under names of every
//! sort, and of families that are served without an arena.
//!
//! Debian has this version in a later suite only. The environment variable `TALLYBOARD_PROMETHEUS_3`
//! is the path of the program, which `tests/prometheus-3` gets; without it these tests fail, because
//! nothing was tested.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{
    FamilySamples, NativeBuckets, NativeHistogram, Sample, Span, Type, Value,
};
use tallyboard_tests::read::http::get_bytes;
use tallyboard_tests::read::prometheus::{Job, Prometheus, Samples, Series};
use tallyboard_tests::receive::between::{Proxy, serve_families};
use tallyboard_tests::service::any_name::known as known_names;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::expected::{ODD, Shown};
use tallyboard_tests::service::play::{expect_exemplar, expect_exemplars, expect_functions, play};
use tallyboard_tests::start::child::Watchdog;

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const ANY_NAMES: &str = env!("CARGO_BIN_EXE_names");
const VARIABLE: &str = "TALLYBOARD_PROMETHEUS_3";

const OPENMETRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const OPENMETRICS_UNDERSCORES: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const OPENMETRICS_DOTS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots";
const OPENMETRICS_VALUES: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values";
const OPENMETRICS_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const TEXT: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const TEXT_0: &str = "text/plain; version=0.0.4; charset=utf-8";
const PROTOBUF: &str = "application/vnd.google.protobuf; \
    proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn start(features: &str, jobs: &[Job<'_>]) -> Prometheus {
    let program = std::env::var_os(VARIABLE).map(PathBuf::from);
    let program = program.unwrap_or_else(|| {
        panic!("expected {VARIABLE}, found none: set it to what tests/prometheus-3 prints")
    });
    let flag = format!("--enable-feature={features}");
    let prometheus = Prometheus::start(&program, &[&flag], jobs);
    let version = prometheus.version();
    assert!(version.starts_with("3."), "expected Prometheus 3, found {version}");
    prometheus
}

/// A job, how it is configured, and what it must get then.
#[derive(Clone, Copy)]
struct Row {
    job: &'static str,
    settings: &'static [&'static str],
    content_type: &'static str,
}

const fn row(
    job: &'static str,
    settings: &'static [&'static str],
    content_type: &'static str,
) -> Row {
    Row { job, settings, content_type }
}

/// What stands between each job and the one target of all.
struct Between<'a> {
    rows: &'a [Row],
    proxies: Vec<Proxy>,
}

impl<'a> Between<'a> {
    fn new(rows: &'a [Row], target: SocketAddr) -> Self {
        Self { rows, proxies: rows.iter().map(|_| Proxy::new(target, None)).collect() }
    }

    fn jobs(&self) -> Vec<Job<'a>> {
        let rows = self.rows.iter().zip(&self.proxies);
        let job = |(row, proxy): (&Row, &Proxy)| Job {
            name: row.job,
            target: proxy.address(),
            settings: row.settings,
        };
        rows.map(job).collect()
    }

    /// Holds every content type that came by against what the rows say.
    fn expect_content_types(&self) {
        for (row, proxy) in self.rows.iter().zip(&self.proxies) {
            let seen = proxy.seen();
            let is_so = seen.iter().all(|seen| seen.content_type == row.content_type);
            assert!(!seen.is_empty() && is_so, "{}: {seen:?}", row.job);
        }
    }
}

#[test]
fn each_format_says_what_was_counted() {
    let _watchdog = Watchdog::new("each_format_says_what_was_counted");
    let mut service = Service::start("each-format", INSTRUMENTS);
    let rows = [
        row("default", &[], OPENMETRICS),
        row("openmetrics-1", &["scrape_protocols: [OpenMetricsText1.0.0]"], OPENMETRICS),
        row("openmetrics-0", &["scrape_protocols: [OpenMetricsText0.0.1]"], OPENMETRICS_0),
        row("text-1", &["scrape_protocols: [PrometheusText1.0.0]"], TEXT),
        row("text-0", &["scrape_protocols: [PrometheusText0.0.4]"], TEXT_0),
        row("protobuf", &["scrape_protocols: [PrometheusProto]"], PROTOBUF),
    ];
    let between = Between::new(&rows, service.metrics());
    let prometheus = start("exemplar-storage", &between.jobs());
    // Where a reader of protocol buffers wants no native histograms, this version passes over all
    // that such a histogram has.
    let shown = |row: Row| match row.content_type {
        PROTOBUF => (row.job, Shown::Neither),
        _ => (row.job, Shown::Classic),
    };
    play(&mut service, &prometheus, &rows.map(shown));
    between.expect_content_types();
    for row in rows {
        let has_exemplars = row.content_type != TEXT && row.content_type != TEXT_0;
        if has_exemplars {
            expect_exemplars(&service, &prometheus, row.job);
        } else {
            assert_eq!(prometheus.exemplars(&format!("{{job=\"{}\"}}", row.job)), []);
        }
        let described = prometheus.metadata(row.job, "work_seconds");
        let unit = if has_exemplars { "seconds" } else { "" };
        assert_eq!(described, Some(["histogram", unit, "Time that it took."].map(Into::into)));
        let is_short = row.content_type.starts_with("application/openmetrics-text");
        let name = if is_short { "work_done" } else { "work_done_total" };
        assert_eq!(prometheus.metadata(row.job, name), Some(["counter", "", ODD].map(Into::into)));
    }
}

#[test]
fn native_histograms_come_by_protocol_buffers_and_classic_ones_beside_them() {
    let _watchdog = Watchdog::new("native_histograms_come_by_protocol_buffers");
    let mut service = Service::start("native-3", INSTRUMENTS);
    let rows = [
        row("native", &[], PROTOBUF),
        row("beside", &["always_scrape_classic_histograms: true"], PROTOBUF),
        row("classic", &["scrape_protocols: [OpenMetricsText1.0.0]"], OPENMETRICS),
    ];
    let between = Between::new(&rows, service.metrics());
    // With the last of these, this version ends when a native histogram says that it began long ago.
    let features = "exemplar-storage,native-histograms,created-timestamp-zero-ingestion";
    let old = serve_families(vec![old()]);
    let old = Job { name: "old", target: old.address(), settings: &[] };
    let mut prometheus = start(features, &[&between.jobs()[..], &[old]].concat());
    let shown = [("native", Shown::Native), ("beside", Shown::Both), ("classic", Shown::Classic)];
    play(&mut service, &prometheus, &shown);
    between.expect_content_types();
    for job in ["native", "beside"] {
        expect_functions(&service, &prometheus, job);
        expect_exemplars(&service, &prometheus, job);
        let native = format!("work_native_seconds{{job=\"{job}\"}}");
        expect_exemplar(&service, &prometheus, &native, (0.0, f64::INFINITY));
        // Counters said when they began, and so they began at 0.
        let least = format!("min_over_time(work_done_total{{job=\"{job}\"}}[1h])");
        assert_eq!(prometheus.value(&least), Some(0.0));
    }
    expect_no_starts(service.metrics());
    let old = prometheus.natives("old");
    assert!(!old.is_empty() && old.iter().all(|old| old.count == 3.0 && old.sum == 4.5), "{old:?}");
    assert!(prometheus.is_running());
}

#[test]
fn a_reader_of_protocol_buffers_without_native_histograms_gets_classic_ones_where_that_is_said() {
    let _watchdog = Watchdog::new("a_reader_of_protocol_buffers_without_native_histograms");
    let off = ["--protobuf.native-histograms=off"];
    let mut service = Service::start_with("classic-3", INSTRUMENTS, &off, &[]);
    let rows = [row("protobuf", &["scrape_protocols: [PrometheusProto]"], PROTOBUF)];
    let between = Between::new(&rows, service.metrics());
    let prometheus = start("exemplar-storage", &between.jobs());
    play(&mut service, &prometheus, &[("protobuf", Shown::Classic)]);
    between.expect_content_types();
    expect_exemplars(&service, &prometheus, "protobuf");
}

/// No native histogram of a page says when it began, which counters and classic ones do.
fn expect_no_starts(metrics: SocketAddr) {
    let page = get_bytes(metrics, "/metrics", PROTOBUF).expect("a page");
    let families = parse(&page.body, Format::Protobuf, &Options::default()).expect("a good page");
    let has = |name: &str, suffix: &str| {
        let family = families.iter().find(|family| family.name == name);
        let family = family.unwrap_or_else(|| panic!("expected {name}, found {families:?}"));
        family.samples.iter().any(|sample| sample.suffix == suffix)
    };
    for name in ["work_native_seconds", "work_wide", "work_offset"] {
        assert!(has(name, "") && !has(name, "_created"), "{name}");
    }
    assert!(has("work_seconds", "_created") && has("work_done", "_created"));
}

/// A native histogram that began long ago.
fn old() -> FamilySamples {
    let mut family = FamilySamples::new(Type::Histogram, "old", "Began long ago.");
    let spans = vec![Span { offset: 1, length: 1 }];
    let positive = NativeBuckets { spans, counts: vec![Value::Whole(3)] };
    let native = NativeHistogram { sum: 4.5, positive, ..NativeHistogram::default() };
    let sample = Sample::new("", vec![], Value::Whole(3));
    family.samples.push(Sample { native: Some(Box::new(native)), ..sample });
    family.samples.push(Sample::new("_created", vec![], Value::Whole(1_520_430_000)));
    family
}

/// Names in UTF-8, and what they are with underscores, dots and values.
const NAMES: &[[&str; 4]] = &[
    [
        "http.server.requests_total",
        "http_server_requests_total",
        "http_dot_server_dot_requests__total",
        "U__http_2e_server_2e_requests__total",
    ],
    ["temp\u{e9}rature", "temp_rature", "temp__rature", "U__temp_e9_rature"],
    ["http.time_bucket", "http_time_bucket", "http_dot_time_bucket", "U__http_2e_time_bucket"],
    ["http.time_count", "http_time_count", "http_dot_time_count", "U__http_2e_time_count"],
    ["http.time_sum", "http_time_sum", "http_dot_time_sum", "U__http_2e_time_sum"],
    ["\u{82b1}.info_info", "__info_info", "___dot_info__info", "U___82b1__2e_info__info"],
    ["a b", "a_b", "a__b", "U__a_20_b"],
    ["plain:name", "plain:name", "plain:name", "plain:name"],
];

/// The same for labels.
const LABELS: &[[&str; 4]] = &[
    ["http.route", "http_route", "http_dot_route", "U__http_2e_route"],
    ["a b", "a_b", "a__b", "U__a_20_b"],
    ["le", "le", "le", "le"],
    ["plain_name", "plain_name", "plain_name", "plain_name"],
];

/// Families with these names; `a b` is a set of states, and `http.time` is a histogram.
fn families() -> Vec<FamilySamples> {
    let sample = |suffix, labels: &[(&str, &str)], value| {
        let labels = labels.iter().map(|(name, value)| (String::from(*name), (*value).into()));
        Sample::new(suffix, labels.collect(), value)
    };
    let route = ("http.route", "/\u{fc}\"");
    let family = |kind, name, samples| {
        let samples: Vec<Sample> = samples;
        FamilySamples { samples, ..FamilySamples::new(kind, name, "Of any name: \u{fc}.") }
    };
    vec![
        family(
            Type::StateSet,
            "a b",
            vec![
                sample("", &[("a b", "on")], Value::Whole(1)),
                sample("", &[("a b", "off")], Value::Whole(0)),
            ],
        ),
        family(
            Type::Counter,
            "http.server.requests",
            vec![sample("_total", &[route], Value::Whole(7))],
        ),
        family(
            Type::Histogram,
            "http.time",
            vec![
                sample("_bucket", &[route, ("le", "1.0")], Value::Whole(2)),
                sample("_bucket", &[route, ("le", "+Inf")], Value::Whole(3)),
                sample("_count", &[route], Value::Whole(3)),
                sample("_sum", &[route], Value::Float(4.5)),
            ],
        ),
        family(
            Type::Gauge,
            "plain:name",
            vec![sample("", &[("plain_name", "x")], Value::Whole(4))],
        ),
        family(Type::Gauge, "temp\u{e9}rature", vec![sample("", &[], Value::Float(21.5))]),
        family(Type::Info, "\u{82b1}.info", vec![sample("_info", &[route], Value::Whole(1))]),
    ]
}

/// What Prometheus must know of them, with the names of a column of the tables.
fn known(column: usize) -> Series<f64> {
    let name_in = |table: &[[&str; 4]], name: &str| {
        let row = table.iter().find(|row| row[0] == name);
        row.unwrap_or_else(|| panic!("expected {name} in the table"))[column].to_owned()
    };
    let mut known = Series::new();
    for family in families() {
        for sample in &family.samples {
            let name = name_in(NAMES, &format!("{}{}", family.name, sample.suffix));
            let labels = sample.labels();
            let labels = labels.map(|(name, value)| (name_in(LABELS, name), value.to_owned()));
            known.insert((name, labels.collect()), sample.value.as_f64());
        }
    }
    known
}

/// The ways to ask for names, and what comes then.
fn name_rows() -> [Row; 8] {
    [
        row("openmetrics", &[], OPENMETRICS),
        row("text", &["scrape_protocols: [PrometheusText1.0.0]"], TEXT),
        // These cannot say which names they are for, so they are for everybody.
        row("old-openmetrics", &["scrape_protocols: [OpenMetricsText0.0.1]"], OPENMETRICS_0),
        row("old-text", &["scrape_protocols: [PrometheusText0.0.4]"], TEXT_0),
        row("protobuf", &["scrape_protocols: [PrometheusProto]"], PROTOBUF),
        row("underscores", &["metric_name_escaping_scheme: underscores"], OPENMETRICS_UNDERSCORES),
        row("dots", &["metric_name_escaping_scheme: dots"], OPENMETRICS_DOTS),
        row("values", &["metric_name_escaping_scheme: values"], OPENMETRICS_VALUES),
    ]
}

/// How names are written for a job of these.
fn scheme(job: &str) -> Escaping {
    match job {
        "openmetrics" | "text" => Escaping::AllowUtf8,
        "dots" => Escaping::Dots,
        "values" => Escaping::Values,
        _ => Escaping::Underscores,
    }
}

#[test]
fn names_of_a_service_arrive_as_they_are_or_escaped_whoever_dies() {
    let _watchdog = Watchdog::new("names_of_a_service_arrive_as_they_are_or_escaped_whoever_dies");
    let mut service = Service::start("names", ANY_NAMES);
    service.work(&[0.5, 2.5]);
    service.work(&[40.0]);
    service.kill();
    let rows = name_rows();
    let between = Between::new(&rows, service.metrics());
    let prometheus = start("exemplar-storage", &between.jobs());
    prometheus.scrape_all();
    between.expect_content_types();
    for row in rows {
        let workers = "__name__!~\"up|scrape_.*|tallyboard_.*|process_.*|.*_created\"";
        let Samples { numbers, .. } =
            prometheus.samples(&format!("{{job=\"{}\",{workers}}}", row.job));
        assert_eq!(numbers, known_names(&service.numbers(), scheme(row.job)), "{}", row.job);
    }
    let asked = "{\"1 \\\"x\\\"\\\\{,_total\",job=\"text\"}";
    assert_eq!(prometheus.value(asked), Some(3.0));
}

#[test]
fn names_in_utf_8_arrive_as_they_are_or_escaped() {
    let _watchdog = Watchdog::new("names_in_utf_8_arrive_as_they_are_or_escaped");
    let rows = name_rows();
    let target = serve_families(families());
    let between = Between::new(&rows, target.address());
    let prometheus = start("exemplar-storage", &between.jobs());
    prometheus.scrape_all();
    between.expect_content_types();
    for row in rows {
        let column = Escaping::EVERY.iter().position(|of| *of == scheme(row.job));
        let column = column.expect("a scheme");
        let selector = format!("{{job=\"{}\",__name__!~\"up|scrape_.*\"}}", row.job);
        let Samples { numbers, .. } = prometheus.samples(&selector);
        assert_eq!(numbers, known(column), "{}", row.job);
    }
    let asked = r#"{"http.server.requests_total","http.route"="/ü\"",job="text"}"#;
    assert_eq!(prometheus.value(asked), Some(7.0));
    let described = prometheus.metadata("text", "temp\u{e9}rature");
    assert_eq!(described, Some(["gauge", "", "Of any name: \u{fc}."].map(Into::into)));
}
