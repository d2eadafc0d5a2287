//! A real Prometheus: started beside a test, and asked what it has scraped.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tallyboard_segment::process::unix_ms;

use crate::read::http::get;
use crate::read::page::Labels;
use crate::start::child::{Running, free_address, until};
use crate::start::directory::Directory;

/// A running Prometheus with a database of its own. Dropping it ends both.
#[derive(Debug)]
pub struct Prometheus {
    running: Running,
    address: SocketAddr,
    targets: usize,
    _directory: Directory,
}

/// What it scrapes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Value of the label `job`.
    pub name: &'a str,
    /// Whom it scrapes.
    pub target: SocketAddr,
    /// Further lines of its configuration.
    pub settings: &'a [&'a str],
}

/// Series by name and labels, without those that say who was scraped.
pub type Series<T> = BTreeMap<(String, Labels), T>;

/// What there is of a job at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Numbers.
    pub numbers: Series<f64>,
    /// Native histograms.
    pub natives: Series<Native>,
}

/// A native histogram as Prometheus shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// How many observations there are.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The buckets that something is in, from the lowest.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Which of its bounds are in it.
    pub rule: Rule,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// How many observations are in it.
    pub count: f64,
}

/// Which bounds of a bucket are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The upper one.
    OpenLeft,
    /// The lower one.
    OpenRight,
    /// None.
    OpenBoth,
    /// Both.
    ClosedBoth,
}

impl Bucket {
    /// Whether a value is in it.
    #[must_use]
    pub fn has(&self, value: f64) -> bool {
        let is_inside = value > self.lower && value < self.upper;
        match self.rule {
            Rule::OpenBoth => is_inside,
            Rule::OpenLeft => is_inside || value == self.upper,
            Rule::OpenRight => is_inside || value == self.lower,
            Rule::ClosedBoth => is_inside || value == self.lower || value == self.upper,
        }
    }
}

/// How often targets are scraped.
const INTERVAL: &str = "500ms";
/// By how much Prometheus moves the time of a scrape so that it stores less, and a bit more.
const ADJUSTED_MS: u64 = 10;

impl Prometheus {
    /// Starts the program with these flags, and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started, or ends instead.
    #[must_use]
    pub fn start(program: &Path, flags: &[&str], jobs: &[Job<'_>]) -> Self {
        let found = Command::new(program).arg("--version").output();
        let why = "expected Prometheus, found no such program; tests/run gets it from Debian";
        assert!(found.is_ok(), "{program:?}: {why}");
        let directory = Directory::new("prometheus");
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration(jobs)).expect("the configuration is written");
        loop {
            let address = free_address();
            if let Some(running) = launch(program, flags, &directory, address) {
                return Self { running, address, targets: jobs.len(), _directory: directory };
            }
        }
    }

    /// The same at this address, without anything to scrape.
    ///
    /// # Panics
    /// As [`start`](Self::start), and when the address is taken.
    #[must_use]
    pub fn start_at(program: &Path, flags: &[&str], address: SocketAddr) -> Self {
        let directory = Directory::new("prometheus");
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration(&[])).expect("the configuration is written");
        let running = launch(program, flags, &directory, address).expect("the address is free");
        Self { running, address, targets: 0, _directory: directory }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its version, as it says itself.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn version(&self) -> String {
        text(&self.ask("/api/v1/status/buildinfo", &[])["version"]).to_owned()
    }

    /// What a query gives.
    ///
    /// # Panics
    /// When Prometheus does not understand it.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let data = self.ask("/api/v1/query", &[("query", query)]);
        data["result"].as_array().cloned().unwrap_or_default()
    }

    /// The value of a query that gives one number; `None` while there is none.
    ///
    /// # Panics
    /// As [`query`](Self::query).
    #[must_use]
    pub fn value(&self, query: &str) -> Option<f64> {
        self.query(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// What a selector gives.
    ///
    /// # Panics
    /// When that is not what Prometheus writes.
    #[must_use]
    pub fn samples(&self, selector: &str) -> Samples {
        let mut samples = Samples::default();
        for found in self.query(selector) {
            let key = key(&found["metric"]);
            if found["histogram"].is_array() {
                samples.natives.insert(key, native(&found["histogram"][1]));
            } else {
                samples.numbers.insert(key, number(&found["value"][1]));
            }
        }
        samples
    }

    /// Every native histogram of one series that is stored, from the oldest.
    ///
    /// # Panics
    /// As [`samples`](Self::samples).
    #[must_use]
    pub fn natives(&self, selector: &str) -> Vec<Native> {
        let all = self.query(&format!("{selector}[1h]"));
        let stored = all.first().and_then(|found| found["histograms"].as_array());
        stored.into_iter().flatten().map(|found| native(&found[1])).collect()
    }

    /// Labels and values of the exemplars of a selector.
    ///
    /// # Panics
    /// As [`query`](Self::query).
    #[must_use]
    pub fn exemplars(&self, selector: &str) -> Vec<(Labels, f64)> {
        let now = unix_ms() / 1000;
        let (start, end) = ((now - 3600).to_string(), (now + 60).to_string());
        let parameters = [("query", selector), ("start", &start), ("end", &end)];
        let series = self.ask("/api/v1/query_exemplars", &parameters);
        let series = series.as_array().into_iter().flatten();
        let exemplars = series.filter_map(|series| series["exemplars"].as_array()).flatten();
        exemplars.map(|found| (labels(&found["labels"]), number(&found["value"]))).collect()
    }

    /// Type, unit and help text of a family, as it was said in a job.
    ///
    /// # Panics
    /// As [`query`](Self::query).
    #[must_use]
    pub fn metadata(&self, job: &str, family: &str) -> Option<[String; 3]> {
        let target = format!("{{job=\"{job}\"}}");
        let parameters = [("match_target", target.as_str()), ("metric", family)];
        let found = self.ask("/api/v1/targets/metadata", &parameters);
        let found = found.as_array()?.first()?;
        Some(["type", "unit", "help"].map(|part| text(&found[part]).to_owned()))
    }

    /// Waits until every target was scraped, by a scrape that began after now.
    ///
    /// # Panics
    /// When it did not like what it scraped.
    pub fn scrape_all(&self) {
        let since = (unix_ms() + ADJUSTED_MS) as f64;
        until(|| {
            self.expect_no_errors();
            let scraped = self.query("timestamp(up) and (up == 1)");
            let scraped = scraped.iter().map(|at| number(&at["value"][1]) * 1000.0);
            (scraped.filter(|at| *at >= since).count() == self.targets).then_some(())
        });
    }

    fn expect_no_errors(&self) {
        let targets = self.ask("/api/v1/targets", &[("state", "active")]);
        for target in targets["activeTargets"].as_array().into_iter().flatten() {
            let error = text(&target["lastError"]);
            // A machine that is busy may take longer than an interval.
            let is_good = error.is_empty() || error.contains("deadline exceeded");
            assert!(is_good, "{}: {error}", target["labels"]);
        }
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters =
            parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let query = format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"));
        let answer = get(self.address, &query).expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let mut answer: Value =
            serde_json::from_str(&answer.body).expect("Prometheus answers with JSON");
        answer["data"].take()
    }
}

/// Starts the program, and waits until it answers; `None` when somebody else has taken the address
/// since it was free.
fn launch(
    program: &Path,
    flags: &[&str],
    directory: &Directory,
    address: SocketAddr,
) -> Option<Running> {
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
    command.arg(format!("--web.listen-address={address}")).args(flags);
    let mut running = Running::start(&mut command);
    let is_ready = until(|| {
        let is_ready = get(address, "/-/ready").is_ok_and(|answer| answer.status == 200);
        (is_ready || !running.is_running()).then_some(is_ready)
    });
    if is_ready {
        return Some(running);
    }
    let ended = running.end();
    assert!(ended.stderr.contains("address already in use"), "{program:?}: {ended:?}");
    None
}

fn configuration(jobs: &[Job<'_>]) -> String {
    let mut text = format!("global:\n  scrape_interval: {INTERVAL}\nscrape_configs:\n");
    for Job { name, target, settings } in jobs {
        text += &format!("  - job_name: {name}\n");
        text += &format!("    static_configs:\n      - targets: ['{target}']\n");
        text.extend(settings.iter().map(|line| format!("    {line}\n")));
    }
    text
}

/// A text with everything escaped that may mean something in a URL.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || byte == b'_' {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn key(metric: &Value) -> (String, Labels) {
    let mut labels = labels(metric);
    let name = labels.remove("__name__").unwrap_or_default();
    labels.retain(|name, _| name != "job" && name != "instance");
    (name, labels)
}

fn labels(found: &Value) -> Labels {
    let labels = found.as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.clone(), text(value).to_owned())).collect()
}

fn native(found: &Value) -> Native {
    let rule = |rule: &Value| match rule.as_u64() {
        Some(0) => Rule::OpenLeft,
        Some(1) => Rule::OpenRight,
        Some(2) => Rule::OpenBoth,
        Some(3) => Rule::ClosedBoth,
        _ => panic!("expected the rule of a bucket, found {rule}"),
    };
    let bucket = |bucket: &Value| Bucket {
        rule: rule(&bucket[0]),
        lower: number(&bucket[1]),
        upper: number(&bucket[2]),
        count: number(&bucket[3]),
    };
    let buckets = found["buckets"].as_array().into_iter().flatten().map(bucket).collect();
    Native { count: number(&found["count"]), sum: number(&found["sum"]), buckets }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Prometheus writes numbers as texts, those of exemplars too.
fn number(value: &Value) -> f64 {
    let number = value.as_str().and_then(|text| text.parse().ok()).or(value.as_f64());
    number.unwrap_or_else(|| panic!("expected a number, found {value}"))
}
