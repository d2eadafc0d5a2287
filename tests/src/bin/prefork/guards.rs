//! Guards that are held while a process forks: each counts once, for the process that made it.

use std::cell::RefCell;

use serde_json::{Value, json};
use tallyboard::{Gauge, GaugeMode, InProgress, RegisterError, Summary, Timed, Timer};
use tallyboard_tests::read::page::Page;

use crate::board::{fork, scrape, scrape_when_taken, spawn};
use crate::stage::{Stage, ended, text};

/// Words of the stage.
const HELD: usize = 0;
const GO_HOME: usize = 1;

/// What is held. A fork copies it, and each process lets go of its copy.
type Guards = RefCell<Option<(Timer<Summary>, Timer<Gauge>, InProgress)>>;

struct Metrics {
    seconds: Summary,
    last: Gauge,
    busy: Gauge,
}

impl Metrics {
    fn new() -> Result<Self, RegisterError> {
        let gauge = |name| Gauge::builder(name, "Guarded.").mode(GaugeMode::Sum).register();
        Ok(Self {
            seconds: Summary::new("guards_seconds", "Timed.")?,
            last: gauge("guards_last_seconds")?,
            busy: gauge("guards_busy")?,
        })
    }

    fn hold(&self) -> Guards {
        let timers = (self.seconds.start_timer(), self.last.start_timer());
        RefCell::new(Some((timers.0, timers.1, self.busy.track_in_progress())))
    }
}

pub(crate) fn run() -> Result<Value, String> {
    let handle = spawn(16)?;
    let address = handle.metrics()[0];
    let metrics = Metrics::new().map_err(text)?;
    let stage = Stage::new()?;
    let guards = metrics.hold();
    let pid = fork(|| match child(&stage, &metrics, &guards) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            3
        }
    })?;
    stage.wait_for(pid, HELD, 1)?;
    let held = scrape(address)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    let left = scrape_when_taken(address, 1.0)?;
    drop(guards.take());
    let end = scrape(address)?;
    handle.stop();
    Ok(json!({ "held": found(&held), "left": found(&left), "end": found(&end) }))
}

/// Lets go of what its parent holds, and has a child that does the same with what this one holds.
fn child(stage: &Stage, metrics: &Metrics, parents: &Guards) -> Result<(), String> {
    drop(parents.take());
    let guards = metrics.hold();
    let grandchild = fork(|| {
        drop(guards.take());
        metrics.seconds.time(|| 0)
    })?;
    ended(grandchild)?;
    stage.say(HELD, 1);
    stage.wait(GO_HOME, 1);
    drop(guards.take());
    Ok(())
}

/// How many were timed, how many are in progress, and whether a last time was set.
fn found(page: &Page) -> Value {
    let value = |name| page.value(name, &[]);
    json!([
        value("guards_seconds_count"),
        value("guards_busy"),
        value("guards_last_seconds").is_some()
    ])
}
