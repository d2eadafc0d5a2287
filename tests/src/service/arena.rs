//! A service whose workers count with every instrument, and what a reader must know of it then.
//!
//! The workers are the program `instruments`. What is expected is made from the numbers that they
//! were given, by addition and comparison alone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::series::{points, series_labels, start};
use tallyboard_supervisor::ask;

use crate::build::tallyboard;
use crate::read::http::{get, get_as};
use crate::read::page::{Labels, Page};
use crate::read::prometheus::{Bucket, Native, Prometheus, Samples, Series};
use crate::start::child::{Ended, HANG, Running, free_address, until};

/// For how many seconds a receiver is away: as `TALLYBOARD_OUTAGE` says, which is half a minute in
/// `tests/run`, or a few.
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn outage() -> u32 {
    let said = std::env::var("TALLYBOARD_OUTAGE").ok();
    said.map_or(4, |seconds| seconds.parse().expect("TALLYBOARD_OUTAGE is a number of seconds"))
}

/// Bounds of the classic buckets of all histograms that have any.
pub const BOUNDS: &[f64] = &[1.0, 10.0];
/// A text with all that has to be escaped somewhere.
pub const ODD: &str = "a \"b\" \\ c\nü {d}";
/// How many buckets the native histogram `work_wide` may have before they become wider.
pub const WIDEST: u16 = 8;

/// The native histograms: the first has classic buckets too, and the last observes what `offsets` says.
const NATIVES: [&str; 3] = ["work_native_seconds", "work_wide", "work_offset"];

/// A running arena with its workers. Dropping it ends all of them.
#[derive(Debug)]
pub struct Service {
    serving: Running,
    control: String,
    metrics: SocketAddr,
    program: &'static str,
    workers: Vec<Worker>,
    killed: usize,
}

#[derive(Debug)]
struct Worker {
    running: Running,
    numbers: Vec<f64>,
}

/// What a reader makes of native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Classic histograms.
    Classic,
    /// Native histograms, without the classic buckets that one of them has.
    Native,
    /// Native histograms, and beside them the classic ones of those that have any.
    Both,
    /// None.
    Neither,
}

impl Service {
    /// Starts an arena for workers of `program`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str, program: &'static str) -> Self {
        Self::start_with(name, program, &[], &[])
    }

    /// The same with further flags, and variables of the environment.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(
        name: &str,
        program: &'static str,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let control = format!("unix:@tallyboard/test/{name}");
        let metrics = free_address();
        let mut command = Command::new(tallyboard());
        command.args(["serve", "--backing", "memfd", "--name", &name, "--control", &control]);
        command.arg(format!("--web.listen-address={metrics}")).env_remove("TALLYBOARD");
        command.args(flags).envs(variables.iter().copied());
        let mut serving = Running::start(&mut command);
        let address = control.parse().expect("an address");
        until(|| {
            assert!(serving.is_running(), "expected a supervisor on {metrics}, found none");
            ask::describe(&address, Duration::from_secs(10)).ok()
        });
        until(|| get(metrics, "/-/ready").ok().filter(|answer| answer.status == 200));
        let (workers, killed) = (Vec::new(), 0);
        Self { serving, control, metrics, program, workers, killed }
    }

    /// The value of a metric of the supervisor's own with this label.
    ///
    /// # Panics
    /// When the page cannot be read, or has no such metric.
    #[must_use]
    pub fn own(&self, name: &str, label: (&str, &str)) -> f64 {
        self.page().value(name, &[label]).unwrap_or_else(|| panic!("expected {name}, found none"))
    }

    /// Waits until a receiver of this kind, which is not there, has missed as much as [`outage`] says
    /// of what the supervisor has, and scrapes all the while.
    ///
    /// # Panics
    /// When the page cannot be read, or something was sent or given up.
    pub fn until_missed(&self, target: &str) {
        let own = |name: &str| self.own(&format!("tallyboard_export_{name}"), ("target", target));
        let is_long = || own("lag_seconds") >= f64::from(outage());
        until(|| (is_long() && own("requests_failed_total") >= 3.0).then_some(()));
        assert!(own("queue_bytes") > 0.0);
        assert_eq!((own("samples_sent_total"), own("samples_failed_total")), (0.0, 0.0));
    }

    /// When the series of its families began whose names begin with `work_`, in milliseconds since
    /// 1970: by family and labels.
    ///
    /// # Panics
    /// When the page cannot be read.
    #[must_use]
    pub fn starts(&self) -> Series<i64> {
        let accept = "application/openmetrics-text;version=1.0.0";
        let page = get_as(self.metrics, "/metrics", accept).expect("the page is served");
        let families = parse(page.body.as_bytes(), Format::OpenMetrics100, &Options::default());
        let families = families.expect("the page reads");
        let families = families.iter().filter(|family| family.name.starts_with("work_"));
        let mut starts = Series::new();
        for family in families {
            for point in points(family) {
                let labels = series_labels(family.kind, &point[0].labels);
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let key = (family.name.clone(), labels.collect());
                starts.extend(start(point).map(|start| (key, start.millis())));
            }
        }
        starts
    }

    /// Kills the supervisor, and waits until there is another one.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_supervisor(&self) {
        let address = self.control.parse().expect("an address");
        let ask = || ask::describe(&address, HANG).ok().map(|found| found.supervisor_pid);
        let killed = ask().expect("a supervisor answers");
        kill(Pid::from_raw(killed as i32), Signal::SIGKILL).expect("the supervisor is killed");
        until(|| ask().filter(|pid| *pid != killed));
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it has ended already.
    #[must_use]
    pub fn stop(self) -> Ended {
        self.serving.signal(Signal::SIGTERM);
        self.serving.end()
    }

    /// The address that its workers are told of.
    #[must_use]
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Where its page is.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// Starts a worker, and waits until it has counted these numbers.
    pub fn work(&mut self, numbers: &[f64]) {
        let mut command = Command::new(self.program);
        command.args(numbers.iter().map(f64::to_string)).env("TALLYBOARD", &self.control);
        let mut running = Running::start(&mut command);
        running.line(|line| line.ends_with("has counted"));
        self.workers.push(Worker { running, numbers: numbers.to_vec() });
    }

    /// Pid of the oldest worker that lives.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn oldest(&self) -> i32 {
        self.workers[self.killed].running.pid()
    }

    /// Kills the oldest worker that lives, and waits until its slot is reclaimed.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill(&mut self) {
        // A supervisor counts from its own start on.
        let reclaims = || self.page().sum("tallyboard_reclaims_total");
        let before = reclaims();
        self.workers[self.killed].running.signal(Signal::SIGKILL);
        until(|| (reclaims() > before).then_some(()));
        self.killed += 1;
    }

    fn page(&self) -> Page {
        let page = get(self.metrics, "/metrics").expect("the page is served");
        Page::parse(&page.body).expect("the page reads")
    }

    /// Waits until what a reader knows, which `read` gets, is what was counted.
    ///
    /// # Panics
    /// As [`check`](Self::check).
    pub fn until_known(&self, shown: Shown, read: impl Fn() -> Samples) {
        until_good(|| self.check(read(), shown));
    }

    /// Kills the oldest worker that lives, and waits until Prometheus, which knew it a moment ago, knows
    /// that it has ended.
    ///
    /// # Panics
    /// As [`kill`](Self::kill), or when Prometheus does not answer.
    pub fn kill_until_stale(&mut self, prometheus: &Prometheus) {
        let threads = format!("tallyboard_worker_threads{{pid=\"{}\"}}", self.oldest());
        until(|| (!prometheus.query(&threads).is_empty()).then_some(()));
        self.kill();
        until(|| prometheus.query(&threads).is_empty().then_some(()));
        let written = prometheus.query(&format!("{threads}[1h]"));
        assert!(written[0]["values"].as_array().is_some_and(|all| !all.is_empty()), "{written:?}");
    }

    /// All numbers that were counted, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        self.workers.iter().flat_map(|worker| worker.numbers.iter().copied()).collect()
    }

    /// The same as `work_offset` observes them.
    #[must_use]
    pub fn offsets(&self) -> Vec<f64> {
        self.numbers().iter().flat_map(|number| [*number, 0.0, -number / 2.0]).collect()
    }

    /// The numbers that must be known of it now: every series whose name begins with `work_`.
    ///
    /// # Panics
    /// When nothing has been counted.
    #[must_use]
    pub fn expected(&self, shown: Shown) -> Series<f64> {
        let numbers = self.numbers();
        let (count, sum) = (numbers.len() as f64, numbers.iter().sum());
        let mut series = Series::new();
        let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
            let labels = labels.iter().map(|(name, value)| (String::from(*name), (*value).into()));
            series.insert((name.to_owned(), labels.collect()), value);
        };
        add("work_done_total", &[("by", ODD)], count);
        add("work_spent_seconds_total", &[], sum);
        add("work_level", &[], count);
        for Worker { running, numbers } in &self.workers {
            add("work_here", &[("pid", &running.pid().to_string())], numbers.len() as f64);
        }
        add("work_last", &[], *numbers.last().expect("something was counted"));
        add("work_size_count", &[], count);
        add("work_size_sum", &[], sum);
        add("work_build_info", &[("version", "1"), ("notes", ODD)], 1.0);
        add("work_state", &[("work_state", "busy")], 0.0);
        add("work_state", &[("work_state", "idle")], 1.0);
        let mut add_classic = |name: &str, numbers: &[f64], bounds: &[f64]| {
            for bound in bounds.iter().chain(&[f64::INFINITY]) {
                let below = numbers.iter().filter(|number| *number <= bound).count();
                let le = if bound.is_infinite() { "+Inf".into() } else { format!("{bound:?}") };
                add(&format!("{name}_bucket"), &[("le", &le)], below as f64);
            }
            add(&format!("{name}_count"), &[], numbers.len() as f64);
            add(&format!("{name}_sum"), &[], numbers.iter().sum());
        };
        add_classic("work_seconds", &numbers, BOUNDS);
        if matches!(shown, Shown::Classic | Shown::Both) {
            add_classic("work_native_seconds", &numbers, BOUNDS);
        }
        if shown == Shown::Classic {
            add_classic("work_wide", &numbers, &[]);
            add_classic("work_offset", &self.offsets(), &[]);
        }
        series
    }

    /// Holds what is known of it, with `shown` as native histograms are there, against what was
    /// counted.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, mut found: Samples, shown: Shown) -> Result<(), String> {
        // OpenMetrics has them, and so they are series like any other to Prometheus.
        found.numbers.retain(|(name, _), _| !name.ends_with("_created"));
        let wrong = differences(&self.expected(shown), &found.numbers);
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        let (numbers, offsets) = (self.numbers(), self.offsets());
        let natives: &[&[f64]] = match shown {
            Shown::Classic | Shown::Neither => &[],
            Shown::Native | Shown::Both => &[&numbers, &numbers, &offsets],
        };
        for (name, values) in NATIVES.iter().zip(natives) {
            let native = found.natives.remove(&((*name).to_owned(), Labels::new()));
            let native = native.ok_or_else(|| format!("expected {name}, found none"))?;
            is_of(&native, values).map_err(|error| format!("{name}: {error}"))?;
        }
        match found.natives.is_empty() {
            true => Ok(()),
            false => Err(format!("expected no others, found {:?}", found.natives)),
        }
    }
}

/// Waits until something is as it should be, and shows what is not yet: a watchdog leaves that to be
/// read.
pub fn until_good(mut check: impl FnMut() -> Result<(), String>) {
    let mut last = String::new();
    until(|| match check() {
        Ok(()) => Some(()),
        Err(error) => {
            if error != last {
                eprintln!("not yet: {error}");
            }
            last = error;
            None
        }
    });
}

/// What is not the same in two sets of series.
fn differences(expected: &Series<f64>, found: &Series<f64>) -> Vec<String> {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter(|key| expected.get(key) != found.get(key));
    let difference = |key: &(String, Labels)| {
        format!("{key:?}: expected {:?}, found {:?}", expected.get(key), found.get(key))
    };
    differing.map(difference).collect()
}

/// Has workers count and die, and holds what Prometheus knows of each job against what was counted,
/// each time and in the end: then no sample has ever gone down.
///
/// # Panics
/// When anything differs.
pub fn play(service: &mut Service, prometheus: &Prometheus, jobs: &[(&str, Shown)]) {
    let check = |service: &Service| {
        prometheus.scrape_all();
        for (job, shown) in jobs {
            let found = prometheus.samples(&format!("{{job=\"{job}\",__name__=~\"work_.+\"}}"));
            service.check(found, *shown).unwrap_or_else(|error| panic!("{job}: {error}"));
        }
    };
    service.work(&[0.5, 2.5]);
    check(service);
    service.work(&[40.0, 0.5, 7.0]);
    check(service);
    service.kill();
    check(service);
    // More buckets than there may be.
    service.work(&WIDE.map(|exponent| 2_f64.powi(exponent)));
    check(service);
    service.kill();
    service.kill();
    check(service);
    for (job, shown) in jobs {
        expect_no_resets(service, prometheus, job, *shown);
    }
}

/// Binary logarithms of what the last worker of a play counts: their sum is exact in any order.
const WIDE: [i32; 11] = [-20, -16, -12, -8, -4, 0, 4, 8, 12, 16, 1];

fn expect_no_resets(service: &Service, prometheus: &Prometheus, job: &str, shown: Shown) {
    let expected = service.expected(shown);
    let parts = ["_total", "_bucket", "_count", "_sum"];
    let names = expected.keys().map(|(name, _)| name.as_str());
    let names: BTreeSet<&str> =
        names.filter(|name| parts.iter().any(|part| name.ends_with(part))).collect();
    for name in names {
        let resets = prometheus.value(&format!("sum(resets({name}{{job=\"{job}\"}}[1h]))"));
        assert_eq!(resets, Some(0.0), "{job}: {name}");
    }
    if matches!(shown, Shown::Classic | Shown::Neither) {
        return;
    }
    for name in NATIVES {
        let stored = prometheus.natives(&format!("{name}{{job=\"{job}\"}}"));
        assert!(stored.len() >= 5, "{job}: {name} {stored:?}");
        assert!(stored.is_sorted_by_key(|native| native.count), "{job}: {name} {stored:?}");
    }
    let wide = prometheus.natives(&format!("work_wide{{job=\"{job}\"}}"));
    let schemas: Vec<Option<i32>> = wide.iter().map(schema).collect();
    // Wider buckets, in the same life of the series.
    assert!(schemas[0] == Some(3) && schemas.is_sorted_by(|a, b| a >= b), "{job}: {schemas:?}");
    assert!(schemas.last() < schemas.first(), "{job}: {schemas:?}");
}

/// Holds what the functions for native histograms say against what was counted.
///
/// # Panics
/// When anything differs.
pub fn expect_functions(service: &Service, prometheus: &Prometheus, job: &str) {
    let numbers = service.numbers();
    for name in ["work_native_seconds", "work_wide"] {
        let selector = format!("{name}{{job=\"{job}\"}}");
        let ask = |query: &str| prometheus.value(&query.replace("NAME", &selector));
        assert_eq!(ask("histogram_count(NAME)"), Some(numbers.len() as f64), "{name}");
        assert_eq!(ask("histogram_sum(NAME)"), Some(numbers.iter().sum()), "{name}");
        assert_eq!(ask("resets(NAME[1h])"), Some(0.0), "{name}");
        let natives = prometheus.natives(&selector);
        let buckets = &natives.last().expect("there is one").buckets;
        let mut sorted = numbers.clone();
        sorted.sort_by(f64::total_cmp);
        // Where a bucket ends, versions of Prometheus take this or the next one.
        for quantile in [0.2, 0.55, 0.9] {
            let found = ask(&format!("histogram_quantile({quantile}, NAME)"));
            let found = found.expect("there is a quantile");
            // It is somewhere in the bucket of the observation of that rank.
            let exact = sorted[(quantile * numbers.len() as f64).ceil() as usize - 1];
            let is_right = |bucket: &&Bucket| bucket.has(exact) && bucket.has(found);
            assert_eq!(
                buckets.iter().filter(is_right).count(),
                1,
                "{name}: {quantile} is {found}, not {exact}: {buckets:?}"
            );
        }
    }
}

/// Holds the exemplars that are known of a job against what was counted: the newest of the counter
/// and of each bucket of the classic histogram are there.
///
/// # Panics
/// When one is missing, or is of something that was not counted.
pub fn expect_exemplars(service: &Service, prometheus: &Prometheus, job: &str) {
    let all = (0.0, f64::INFINITY);
    expect_exemplar(service, prometheus, &format!("work_done_total{{job=\"{job}\"}}"), all);
    let mut lower = 0.0;
    for (upper, le) in [(1.0, "1.0"), (10.0, "10.0"), (f64::INFINITY, "+Inf")] {
        let selector = format!("work_seconds_bucket{{job=\"{job}\",le=\"{le}\"}}");
        expect_exemplar(service, prometheus, &selector, (lower, upper));
        lower = upper;
    }
}

/// The same for one series, of whose exemplars the newest one between two bounds must be there.
///
/// # Panics
/// As [`expect_exemplars`].
pub fn expect_exemplar(
    service: &Service,
    prometheus: &Prometheus,
    selector: &str,
    (lower, upper): (f64, f64),
) {
    let numbers = service.numbers();
    let newest = numbers.iter().rev().find(|number| **number > lower && **number <= upper);
    let newest = *newest.expect("something is between the bounds");
    let is_count = selector.starts_with("work_done_total");
    let of = |number: f64| {
        let labels = Labels::from([("trace_id".to_owned(), number.to_string())]);
        (labels, if is_count { 1.0 } else { number })
    };
    let found = prometheus.exemplars(selector);
    let is_counted = |exemplar: &(Labels, f64)| numbers.iter().any(|n| *exemplar == of(*n));
    let is_there = found.contains(&of(newest)) && found.iter().all(is_counted);
    assert!(is_there, "{selector}: expected {newest}, found {found:?}");
}

/// Whether a native histogram is one of these values: each bucket has as many as lie in it, and
/// each value lies in one.
///
/// # Errors
/// What differs.
pub fn is_of(native: &Native, values: &[f64]) -> Result<(), String> {
    let sum: f64 = values.iter().sum();
    let inside = |bucket: &Bucket| values.iter().filter(|value| bucket.has(**value)).count();
    let is_right = |bucket: &Bucket| bucket.count == inside(bucket) as f64;
    let in_buckets: f64 = native.buckets.iter().map(|bucket| bucket.count).sum();
    let is_all = [native.count, in_buckets].iter().all(|count| *count == values.len() as f64);
    match is_all && native.sum == sum && native.buckets.iter().all(is_right) {
        true => Ok(()),
        false => Err(format!("expected the sum {sum} of {values:?}, found {native:#?}")),
    }
}

/// The schema of a native histogram, by the width of its bucket above zero that begins furthest from
/// it; `None` if there is no such bucket.
#[must_use]
pub fn schema(native: &Native) -> Option<i32> {
    let last = native.buckets.iter().rev().find(|bucket| bucket.lower > 0.0)?;
    // The width of a bucket is 2^(2^-schema).
    Some(-(last.upper / last.lower).log2().log2().round() as i32)
}
