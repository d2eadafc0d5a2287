//! OTLP and remote write into VictoriaMetrics: what it knows is what was counted.
//!
//! The environment variable `TALLYBOARD_VICTORIA_METRICS` is the path of the program, which
//! `tests/victoria-metrics` gets; without it these tests fail, because nothing was tested.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Labels;
use tallyboard_tests::read::prometheus::{Samples, Series};
use tallyboard_tests::service::arena::{Service, outage};
use tallyboard_tests::service::expected::{Shown, until_good};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const VARIABLE: &str = "TALLYBOARD_VICTORIA_METRICS";
/// Labels that say who has sent a series, by OTLP and by remote write.
const SENDER: &[&str] =
    &["job", "instance", "service.name", "service.instance.id", "scope.name", "scope.version"];

/// A running VictoriaMetrics with a database of its own. Dropping it ends both.
struct VictoriaMetrics {
    address: SocketAddr,
    _running: Running,
    _directory: Directory,
}

impl VictoriaMetrics {
    fn start_at(address: SocketAddr) -> Self {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program = program.unwrap_or_else(|| {
            panic!("expected {VARIABLE}, found none: set it to what tests/victoria-metrics prints")
        });
        let directory = Directory::new("victoria-metrics");
        let mut command = Command::new(program);
        command.arg(format!("-storageDataPath={}", directory.path().join("data").display()));
        command.arg(format!("-httpListenAddr={address}"));
        command.args(["-search.latencyOffset=0s", "-retentionPeriod=100y", "-loggerLevel=WARN"]);
        let mut running = Running::start(&mut command);
        until(|| {
            assert!(running.is_running(), "expected VictoriaMetrics on {address}");
            get(address, "/health").ok().filter(|answer| answer.status == 200)
        });
        Self { address, _running: running, _directory: directory }
    }

    /// Names, labels and values of all series that are called `work_`.
    fn series(&self) -> Vec<(String, Labels, Vec<Option<f64>>)> {
        get(self.address, "/internal/force_flush").expect("it writes what it has");
        let path = "/api/v1/export?match[]=%7B__name__%3D~%22work_.%2B%22%7D";
        let answer = get(self.address, path).expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let series = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("it answers with JSON");
            let labels = line["metric"].as_object().expect("labels").iter();
            let labels = labels.map(|(name, value)| (name.clone(), text(value)));
            let mut labels: Labels = labels.collect();
            let name = labels.remove("__name__").expect("a name");
            labels.retain(|name, _| !SENDER.contains(&name.as_str()));
            let values = line["values"].as_array().expect("values").iter().map(Value::as_f64);
            (name, labels, values.collect())
        };
        answer.body.lines().map(series).collect()
    }

    /// The newest values, but for those of series that have ended.
    fn numbers(&self) -> Series<f64> {
        let mut numbers = Series::new();
        for (name, labels, values) in self.series() {
            if let Some(value) = values.last().copied().flatten() {
                let before = numbers.insert((name.clone(), labels), value);
                assert_eq!(before, None, "two series are called {name}");
            }
        }
        numbers
    }

    /// Holds that nothing that only rises has ever gone down.
    fn expect_no_decrease(&self) {
        let parts = ["_total", "_bucket", "_count", "_sum"];
        for (name, labels, values) in self.series() {
            let is_monotone = parts.iter().any(|part| name.ends_with(part));
            // A sum of what is on both sides of zero may fall.
            if is_monotone && name != "work_offset_sum" {
                assert!(values.is_sorted(), "{name} {labels:?}: {values:?}");
            }
        }
    }

    /// What it knows of a family, as a text.
    fn metadata(&self, family: &str) -> String {
        let path = format!("/api/v1/metadata?metric={family}");
        get(self.address, &path).expect("it answers").body
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Has workers count and die, and their supervisor be killed, and checks each time.
fn play(service: &mut Service, check: impl Fn(&Service)) {
    service.work(&[0.5, 2.5]);
    check(service);
    service.work(&[40.0, 0.5, 7.0]);
    check(service);
    service.kill();
    check(service);
    service.kill_supervisor();
    service.work(&[3.0]);
    check(service);
}

#[test]
fn what_is_written_is_what_was_counted() {
    let _watchdog = Watchdog::new("what_is_written_is_what_was_counted");
    let target = ("target", "remote_write");
    let address = free_address();
    let url = format!("--remote-write.url=http://{address}/api/v1/write");
    let flags = [
        &*url,
        "--remote-write.interval=2s",
        "--remote-write.external-label=job=service,instance=here",
    ];
    let mut service = Service::start_with("victoria-write", INSTRUMENTS, &flags, &[]);
    service.work(&[1.5]);
    service.until_missed("remote_write");
    let victoria = VictoriaMetrics::start_at(address);
    play(&mut service, |service| {
        service.until_known(Shown::Classic, || Samples {
            numbers: victoria.numbers(),
            ..Samples::default()
        });
    });
    victoria.expect_no_decrease();
    // One each two seconds when it was not there, unless it took longer between some.
    let series = victoria.series();
    let done = series.iter().find(|(name, ..)| name == "work_done_total").expect("a series");
    let missed = done.2.iter().filter(|value| **value == Some(1.0)).count();
    assert!(missed >= outage() as usize / 3, "{missed} of {done:?}");
    assert_eq!(service.own("tallyboard_export_samples_dropped_total", target), 0.0);
    let metadata = victoria.metadata("work_spent_seconds_total");
    assert!(metadata.contains("counter") && metadata.contains("Time spent."), "{metadata}");
}

/// Bounds as numbers, for each writes them in its own way.
fn with_plain_bounds(numbers: Series<f64>) -> Series<f64> {
    let plain = |((name, mut labels), value): ((String, Labels), f64)| {
        if let Some(le) = labels.get_mut("le") {
            *le = le.parse::<f64>().expect("a bound").to_string();
        }
        ((name, labels), value)
    };
    numbers.into_iter().map(plain).collect()
}

/// Whether what was sent by OTLP is what was counted: a native histogram is known by its count, its
/// sum, and buckets in which all of it is.
fn is_known(service: &Service, mut found: Series<f64>) -> Result<(), String> {
    let is_range = |labels: &Labels| labels.contains_key("vmrange");
    let mut in_ranges = Series::new();
    found.retain(|(name, labels), value| {
        if is_range(labels) {
            *in_ranges.entry((name.clone(), Labels::new())).or_insert(0.0) += *value;
        }
        !is_range(labels)
    });
    let (numbers, offsets) = (service.numbers(), service.offsets());
    let mut expected = with_plain_bounds(service.expected(Shown::Neither));
    let mut ranges = Series::new();
    for (name, values) in
        [("work_native_seconds", &numbers), ("work_wide", &numbers), ("work_offset", &offsets)]
    {
        let mut add = |suffix: &str, value: f64| {
            expected.insert((format!("{name}{suffix}"), Labels::new()), value);
        };
        add("_count", values.len() as f64);
        add("_sum", values.iter().sum());
        ranges.insert((format!("{name}_bucket"), Labels::new()), values.len() as f64);
    }
    let found = (with_plain_bounds(found), in_ranges);
    match found == (expected.clone(), ranges.clone()) {
        true => Ok(()),
        false => Err(format!("expected {expected:?} {ranges:?}, found {found:?}")),
    }
}

#[test]
fn what_is_exported_by_otlp_is_what_was_counted() {
    let _watchdog = Watchdog::new("what_is_exported_by_otlp_is_what_was_counted");
    let address = free_address();
    let endpoint = format!("--otlp.endpoint=http://{address}/opentelemetry");
    let flags = [&*endpoint, "--otlp.interval=250ms", "--otlp.compression=gzip"];
    let mut service = Service::start_with("victoria-otlp", INSTRUMENTS, &flags, &[]);
    service.until_missed("otlp");
    let victoria = VictoriaMetrics::start_at(address);
    play(&mut service, |service| {
        until_good(|| is_known(service, victoria.numbers()));
    });
    victoria.expect_no_decrease();
    let metadata = victoria.metadata("work_spent_seconds_total");
    assert!(metadata.contains("counter") && metadata.contains("Time spent."), "{metadata}");
}
