//! The gateway, and what it says that it has.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tallyboard_bridges::Pushgateway;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::{Labels, Page};
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::start::child::{Running, free_address, until};

/// Names and labels, and values as texts, because NaN is not equal to itself.
pub type Samples = BTreeMap<(String, Labels), String>;

/// A gateway that keeps nothing on disk.
pub struct Gateway {
    pub address: SocketAddr,
    _running: Running,
}

impl Gateway {
    pub fn start() -> Self {
        Self::on(free_address()).expect("nobody takes its port")
    }

    /// One on this address; `None` when somebody has it already.
    pub fn on(address: SocketAddr) -> Option<Self> {
        let mut running = start(address, &[]);
        let is_ready = until(|| {
            let ready = get(address, "/-/ready").is_ok_and(|answer| answer.status == 200);
            (ready || !running.is_running()).then_some(ready)
        });
        is_ready.then_some(Self { address, _running: running })
    }

    /// The group of a job in it.
    pub fn group(&self, job: &str) -> Pushgateway {
        Pushgateway::new(&self.address.to_string(), job).expect("a group")
    }

    /// The samples that were pushed for a job, without what the gateway puts on them, and without
    /// its own.
    pub fn pushed(&self, job: &str) -> Samples {
        let answer = get(self.address, "/metrics").expect("the gateway serves");
        let page = Page::parse(&answer.body).expect("the gateway's page reads");
        let of_job = |labels: &Labels| labels.get("job").is_some_and(|own| own == job);
        let pushed = page.samples().filter(|(name, labels, _)| {
            let is_own = ["push_time_seconds", "push_failure_time_seconds"].contains(name);
            of_job(labels) && !is_own
        });
        pushed.map(|(name, labels, value)| sample(name, labels, value)).collect()
    }

    /// The groups as the gateway's interface for programs has them.
    pub fn groups(&self) -> Vec<Value> {
        let answer = get(self.address, "/api/v1/metrics").expect("the gateway answers");
        let answer: Value = serde_json::from_str(&answer.body).expect("it answers with JSON");
        answer["data"].as_array().expect("a list of groups").clone()
    }
}

/// A gateway with these flags besides.
pub fn start(address: SocketAddr, more: &[&str]) -> Running {
    let mut command = Command::new(program("prometheus-pushgateway", "prometheus-pushgateway"));
    command.arg(format!("--web.listen-address={address}"));
    command.args(["--persistence.file=", "--log.level=error"]).args(more);
    Running::start(&mut command)
}

/// A sample as it was pushed. The gateway writes bounds in its own way, and adds an empty instance.
pub fn sample(name: &str, labels: &Labels, value: f64) -> ((String, Labels), String) {
    let mut labels = labels.clone();
    labels.remove("job");
    if labels.get("instance").is_some_and(String::is_empty) {
        labels.remove("instance");
    }
    for bound in ["le", "quantile"] {
        if let Some(text) = labels.get_mut(bound) {
            *text = format!("{:?}", text.parse::<f64>().expect("a bound is a number"));
        }
    }
    ((name.to_owned(), labels), format!("{value:?}"))
}

/// A page of one gauge.
pub fn gauge(name: &str, value: u32) -> Vec<tallyboard::sample::FamilySamples> {
    use tallyboard::sample::{FamilySamples, Sample, Type, Value};
    let mut family = FamilySamples::new(Type::Gauge, name, "A gauge.");
    family.samples.push(Sample::new("", Vec::new(), Value::Whole(u64::from(value))));
    vec![family]
}

/// What [`gauge`] is in [`Samples`].
pub fn gauges(of: &[(&str, u32)]) -> Samples {
    let one = |(name, value): &(&str, u32)| sample(name, &Labels::new(), f64::from(*value));
    of.iter().map(one).collect()
}

/// Runs the program to its end; gives its exit status and all that it said.
pub fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let ended = tallyboard_tests::start::program::run(arguments);
    (ended.status.code(), ended.stdout + &ended.stderr)
}
