//! A service whose workers, the program `instruments`, count with every instrument. What a reader must
//! know of it then is in [`expected`](super::expected).

use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::series::{points, series_labels, start};
use tallyboard_supervisor::ask;

use crate::read::http::get_as;
use crate::read::prometheus::Series;
use crate::service::served::Served;
use crate::start::child::{Ended, HANG, Running, until};

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

/// A running arena with its workers. Dropping it ends all of them.
#[derive(Debug)]
pub struct Service {
    served: Served,
    control: String,
    program: &'static str,
    workers: Vec<Worker>,
    killed: usize,
}

#[derive(Debug)]
struct Worker {
    running: Running,
    numbers: Vec<f64>,
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
        let served = Served::start_of(&[], name, flags, variables);
        let control = served.control.to_string();
        Self { served, control, program, workers: Vec::new(), killed: 0 }
    }

    /// The value of a metric of the supervisor's own with this label.
    ///
    /// # Panics
    /// When the page cannot be read, or has no such metric.
    #[must_use]
    pub fn own(&self, name: &str, label: (&str, &str)) -> f64 {
        self.served
            .page()
            .value(name, &[label])
            .unwrap_or_else(|| panic!("expected {name}, found none"))
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
        let page = get_as(self.metrics(), "/metrics", accept).expect("the page is served");
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
        let ask =
            || ask::describe(&self.served.control, HANG).ok().map(|found| found.supervisor_pid);
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
        self.served.stop()
    }

    /// The address that its workers are told of.
    #[must_use]
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Where its page is.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.served.metrics
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
        let reclaims = || self.served.page().sum("tallyboard_reclaims_total");
        let before = reclaims();
        self.workers[self.killed].running.signal(Signal::SIGKILL);
        until(|| (reclaims() > before).then_some(()));
        self.killed += 1;
    }

    /// All numbers that were counted, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        self.workers.iter().flat_map(|worker| worker.numbers.iter().copied()).collect()
    }

    /// Each worker's pid, and the numbers that it has counted, from the oldest.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (i32, &[f64])> {
        self.workers.iter().map(|worker| (worker.running.pid(), &worker.numbers[..]))
    }
}
