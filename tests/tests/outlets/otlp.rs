//! OTLP into a real collector, which prints all that it was sent.
//!
//! The environment variable `TALLYBOARD_ROTEL` is the path of the program, which `tests/rotel` gets;
//! without it these tests fail, because nothing was tested.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Labels;
use tallyboard_tests::read::prometheus::{Bucket, Native, Rule, Samples, Series};
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::expected::{ODD, Shown};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const VARIABLE: &str = "TALLYBOARD_ROTEL";
/// What stands for the label value that has a line end in it.
const PLAIN: &str = "odd";

/// A running collector. Dropping it ends it.
struct Rotel {
    running: Running,
    address: SocketAddr,
}

impl Rotel {
    fn start() -> Self {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program = program.unwrap_or_else(|| {
            panic!("expected {VARIABLE}, found none: set it to what tests/rotel prints")
        });
        let (address, grpc) = (free_address(), free_address());
        let mut command = Command::new(program);
        command.args(["start", "--otlp-http-endpoint", &address.to_string()]);
        command.args(["--otlp-grpc-endpoint", &grpc.to_string()]);
        command.args(["--debug-log", "metrics", "--debug-log-verbosity", "detailed"]);
        command.args(["--exporter", "blackhole", "--log-format", "json"]);
        let mut running = Running::start(&mut command);
        until(|| {
            assert!(running.is_running(), "expected rotel on {address}");
            get(address, "/").ok()
        });
        Self { running, address }
    }

    /// The next request that it prints.
    fn next(&mut self) -> Dump {
        let mut lines = Vec::new();
        loop {
            let line = self.running.line(|_| true);
            if line == "ResourceMetrics #0" && !lines.is_empty() {
                return Dump::read(&lines.join("\n").replace(ODD, PLAIN));
            }
            lines.push(line);
        }
    }
}

/// A request as it was printed.
#[derive(Debug, Default)]
struct Dump {
    samples: Samples,
    /// When each series began, in nanoseconds since 1970, by metric and labels.
    starts: Series<u64>,
    /// The exemplars of each, as their labels and values.
    exemplars: Series<Vec<(Labels, f64)>>,
    resource: Labels,
    /// Names of metrics whose sums only rise.
    monotonic: Vec<String>,
}

impl Dump {
    fn read(text: &str) -> Self {
        let mut dump = Self::default();
        let mut metrics = text.split("\nMetric #");
        let head = metrics.next().unwrap_or_default();
        dump.resource = head.lines().filter_map(attribute).collect();
        for metric in metrics {
            let field = |name: &str| field(metric, name).unwrap_or_default();
            let (name, kind) = (field("     -> Name: "), field("     -> DataType: "));
            if metric.contains("     -> IsMonotonic: true") {
                dump.monotonic.push(name.to_owned());
            }
            for point in metric.split("DataPoints #").skip(1) {
                dump.point(name, kind, point);
            }
        }
        dump
    }

    fn point(&mut self, name: &str, kind: &str, point: &str) {
        let (point, exemplars) = point.split_once("\nExemplars:").unwrap_or((point, ""));
        let labels: Labels = point.lines().filter_map(attribute).collect();
        let key = (name.to_owned(), labels.clone());
        let number = |name: &str| field(point, name).and_then(|text| text.parse::<f64>().ok());
        let start = field(point, "StartTimestamp: ").and_then(|text| text.parse().ok());
        self.starts.insert(key.clone(), start.expect("a start"));
        let exemplars = exemplars.split("\nExemplar #").skip(1).map(|exemplar| {
            let value = field(exemplar, "     -> Value: ").expect("a value");
            let labels = exemplar.lines().filter_map(|line| attribute(line.strip_prefix("     ")?));
            (labels.collect(), value.parse().expect("a number"))
        });
        self.exemplars.insert(key.clone(), exemplars.collect());
        let mut add = |suffix: &str, more: Option<(&str, f64)>, value: f64| {
            let mut labels = labels.clone();
            labels.extend(more.map(|(label, bound)| (label.to_owned(), bound_text(bound))));
            self.samples.numbers.insert((format!("{name}{suffix}"), labels), value);
        };
        match kind {
            "Gauge" | "Sum" => add("", None, number("Value: ").expect("a value")),
            "Summary" | "Histogram" => {
                add("_count", None, number("Count: ").expect("a count"));
                add("_sum", None, number("Sum: ").expect("a sum"));
                let bounds = numbered(point, "ExplicitBounds #", ": ").chain([f64::INFINITY]);
                let mut below = 0.0;
                for (bound, count) in bounds.zip(numbered(point, "Buckets #", ", Count: ")) {
                    below += count;
                    add("_bucket", Some(("le", bound)), below);
                }
            }
            "ExponentialHistogram" => {
                let native = Native {
                    count: number("Count: ").expect("a count"),
                    sum: number("Sum: ").expect("a sum"),
                    buckets: point.lines().filter_map(bucket).collect(),
                };
                self.samples.natives.insert(key, native);
            }
            _ => panic!("expected a kind of metric, found {kind}"),
        }
    }
}

/// What stands behind the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// `     -> NAME: Str(VALUE)`
fn attribute(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("     -> ")?.split_once(": Str(")?;
    Some((name.to_owned(), value.strip_suffix(')')?.to_owned()))
}

/// The numbers of lines that have a number before them as well.
fn numbered<'a>(
    text: &'a str,
    name: &'static str,
    between: &'static str,
) -> impl Iterator<Item = f64> + 'a {
    let lines = text.lines().filter_map(move |line| line.strip_prefix(name)?.split_once(between));
    lines.map(|(_, number)| number.parse().expect("a number"))
}

/// `Bucket (LOWER, UPPER], Count: COUNT`
fn bucket(line: &str) -> Option<Bucket> {
    let (bounds, count) = line.strip_prefix("Bucket ")?.split_once(", Count: ")?;
    let rule = match (bounds.starts_with('('), bounds.ends_with(']')) {
        (true, true) => Rule::OpenLeft,
        (false, false) => Rule::OpenRight,
        (false, true) => Rule::ClosedBoth,
        (true, false) => Rule::OpenBoth,
    };
    let (lower, upper) = bounds[1..bounds.len() - 1].split_once(", ")?;
    let number = |text: &str| text.parse().expect("a number");
    Some(Bucket { rule, lower: number(lower), upper: number(upper), count: number(count) })
}

/// A bound as the text format has it.
fn bound_text(bound: f64) -> String {
    if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") }
}

/// The same with the label value that has a line end in it.
fn odd(samples: &Samples) -> Samples {
    let numbers = samples.numbers.iter().map(|((name, labels), value)| {
        let odd = |value: &String| if value == PLAIN { ODD.to_owned() } else { value.clone() };
        let labels = labels.iter().map(|(name, value)| (name.clone(), odd(value)));
        ((name.clone(), labels.collect()), *value)
    });
    let mut numbers: Series<f64> = numbers.collect();
    numbers.retain(|(name, _), _| name.starts_with("work_"));
    Samples { numbers, natives: samples.natives.clone() }
}

#[test]
fn a_collector_prints_what_was_counted_and_since_when() {
    let _watchdog = Watchdog::new("a_collector_prints_what_was_counted_and_since_when");
    let mut rotel = Rotel::start();
    let endpoint = format!("--otlp.endpoint=http://{}", rotel.address);
    let flags =
        [&*endpoint, "--otlp.interval=250ms", "--otlp.resource-attribute=service.name=shop"];
    let mut service = Service::start_with("otlp", INSTRUMENTS, &flags, &[]);
    let mut check = |service: &Service| loop {
        let dump = rotel.next();
        match service.check(odd(&dump.samples), Shown::Native) {
            Ok(()) => return dump,
            Err(error) => eprintln!("not yet: {error}"),
        }
    };
    service.work(&[0.5, 2.5]);
    check(&service);
    service.work(&[40.0, 0.5, 7.0]);
    check(&service);
    service.kill();
    check(&service);
    let starts = service.starts();
    service.kill_supervisor();
    service.work(&[3.0]);
    let dump = check(&service);

    assert_eq!(dump.resource.get("service.name").map(String::as_str), Some("shop"));
    // Every start is that of the series, whoever has died since.
    let mut held = 0;
    for ((family, labels), start) in &starts {
        let labels = labels.iter().map(|(name, value)| {
            (name.clone(), if value == ODD { PLAIN.to_owned() } else { value.clone() })
        });
        let labels: Labels = labels.collect();
        let of = |suffix: &str| dump.starts.get(&(format!("{family}{suffix}"), labels.clone()));
        let found = of("_total").or_else(|| of("")).copied();
        assert_eq!(found, Some(*start as u64 * 1_000_000), "{family}");
        held += 1;
    }
    assert!(held >= 7, "{starts:?}");
    let monotonic: Vec<&str> = dump.monotonic.iter().map(String::as_str).collect();
    assert!(
        monotonic.contains(&"work_done_total") && monotonic.contains(&"work_spent_seconds_total")
    );
    assert!(!monotonic.contains(&"work_build_info") && !monotonic.contains(&"work_level"));
    let exemplars =
        &dump.exemplars[&("work_done_total".into(), [("by".into(), PLAIN.into())].into())];
    assert_eq!(exemplars, &[([("trace_id".into(), "3".into())].into(), 1.0)]);
}
