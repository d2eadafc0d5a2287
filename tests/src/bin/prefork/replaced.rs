//! Arenas that are replaced under living workers: keeper and supervisor are killed together, and
//! another supervisor starts with a new arena.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyboard::{Counter, Histogram, Registry};
use tallyboard_segment::process::threads;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::until;

use crate::board::{Board, fork, scrape, scrape_when_taken, taken};
use crate::ledger::{Ledger, What};
use crate::stage::{Stage, ended, killed, text};

/// Workers that live on; worker 0 has died before.
const LIVING: std::ops::RangeInclusive<usize> = 1..=4;
/// Word of the stage that ends all workers; those below are the workers' own.
const GO_HOME: usize = 100;
const ATTACHED: u64 = 1;
const MOVED: u64 = 2;
/// How often a worker begins a label set.
const SET_PAUSE: Duration = Duration::from_millis(50);

/// Workers begin a label set now and then, and so notice by themselves.
pub(crate) fn noticed() -> Result<Value, String> {
    let mut board = Board::open()?;
    let metrics = board.metrics();
    let (ledger, stage) = (Ledger::new(1 + LIVING.count())?, Stage::new()?);
    // One after another, so that each takes over another prefix.
    let bear = |worker| {
        let pid = fork(|| work(&ledger, &stage, worker))?;
        stage.wait_for(pid, worker, ATTACHED).map(|()| pid)
    };
    killed(bear(0)?)?;
    let pids = LIVING.map(bear).collect::<Result<Vec<_>, _>>()?;
    let before = scrape_when_taken(metrics, pids.len() as f64)?;
    let died_before = own(&before, 0);
    board.kill()?;
    let count_more = || {
        let goal = ledger.sums(1 + LIVING.count(), What::Own).0 + 100_000;
        until(|| (ledger.sums(1 + LIVING.count(), What::Own).0 > goal).then_some(()));
    };
    count_more();
    board.serve_again()?;
    for (worker, &pid) in LIVING.zip(&pids) {
        stage.wait_for(pid, worker, MOVED)?;
    }
    count_more();
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    pids.into_iter().try_for_each(ended)?;
    let page = scrape_when_taken(metrics, 0.0)?;
    LIVING.map(|worker| judge(&ledger, &page, worker)).collect::<Result<Vec<_>, _>>()?;
    let seconds = LIVING.map(|worker| ledger.bounds(worker, What::Observation).0).sum::<u64>();
    let mut decreases = page.decreases_since(&living);
    decreases.retain(|series| series.starts_with("replaced_"));
    board.stop();
    Ok(json!({
        "died_before": died_before, "of_the_dead": own(&page, 0),
        "taken": taken(&living), "attaches": page.sum("tallyboard_attaches_total"),
        "seconds_expected": seconds, "seconds": page.value("replaced_seconds_count", &[]),
        "sum": page.value("replaced_seconds_sum", &[]), "decreases": decreases,
        "sets": page.of("replaced_sets_total").count(),
        "dropped": page.sum("tallyboard_dropped_total"),
        "quarantines": page.sum("tallyboard_quarantines_total"),
    }))
}

fn own(page: &Page, worker: usize) -> f64 {
    page.value("replaced_own_total", &[("worker", &worker.to_string())]).unwrap_or(0.0)
}

/// A worker that ended by itself has acknowledged all that it intended, before and after.
fn judge(ledger: &Ledger, page: &Page, worker: usize) -> Result<(), String> {
    let number = worker.to_string();
    let sets = page.of("replaced_sets_total").filter(|(labels, _)| labels["worker"] == number);
    let sets = sets.map(|(_, counted)| counted).sum::<f64>();
    for (what, counted) in [(What::Own, own(page, worker)), (What::Shared, sets)] {
        let (acknowledged, intended) = ledger.bounds(worker, what);
        if acknowledged != intended || counted != intended as f64 {
            return Err(format!(
                "{what:?} of worker {worker}: counted {counted}, expected {acknowledged} of {intended}"
            ));
        }
    }
    Ok(())
}

fn work(ledger: &Ledger, stage: &Stage, worker: usize) -> i32 {
    let own = Counter::builder("replaced_own_total", "Counted by one worker.").labels(&["worker"]);
    let Ok(Ok(own)) = own.family().map(|own| own.with(&[worker.to_string()])) else { return 3 };
    let Ok(seconds) = Histogram::new("replaced_seconds", "Observed by all.") else { return 4 };
    let sets = Counter::builder("replaced_sets_total", "Label sets, each counted once.");
    let Ok(sets) = sets.labels(&["worker", "set"]).family() else { return 5 };
    let arena = || Registry::shared().attachment().map(|attachment| attachment.arena_id);
    let Some(first) = arena() else { return 6 };
    let (mut begun, mut begun_at) = (0, Instant::now());
    loop {
        for _ in 0..1000 {
            ledger.count(worker, What::Own, || own.inc());
            ledger.count(worker, What::Observation, || seconds.observe(0.5));
        }
        stage.say(worker, ATTACHED.max(stage.said(worker)));
        if begun_at.elapsed() >= SET_PAUSE {
            (begun, begun_at) = (begun + 1, Instant::now());
            let Ok(set) = sets.with(&[worker.to_string(), begun.to_string()]) else { return 7 };
            ledger.count(worker, What::Shared, || set.inc());
        }
        // The thread that moved it has found nothing more to move, and has ended.
        if arena() != Some(first) && threads().is_ok_and(|threads| threads == 1) {
            stage.say(worker, MOVED);
        }
        if stage.said(GO_HOME) == 1 {
            return 0;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How often each child counts with each handle of its parent.
const EACH: u64 = 1000;
/// How often the parent had counted with them before.
const BEFORE: u64 = 10;
/// How often a worker counts that knows nothing of the parent.
const FRESH: u64 = 7;

/// Words of the stage.
const EARLY: usize = 0;
const REPLACED: usize = 1;
const FRESH_COUNTED: usize = 2;
const CHILD_COUNTED: usize = 3;

/// A parent that preloaded in an arena that is gone forks children into the next.
pub(crate) fn heirs() -> Result<Value, String> {
    let mut board = Board::open()?;
    let metrics = board.metrics();
    let stage = Stage::new()?;
    // Both are forked before the parent has any handle.
    let early = fork(|| early(&stage))?;
    stage.wait_for(early, EARLY, 1)?;
    let fresh = fork(|| fresh(&stage))?;
    let handles = Handles::register()?;
    let old = Registry::shared().attach().map_err(text)?;
    handles.count(BEFORE);
    killed(early)?;
    board.kill()?;
    if crate::flags::text_flag("backing", "auto") == "posix" {
        board.discard();
    }
    board.serve_again()?;
    stage.say(REPLACED, 1);
    stage.wait_for(fresh, FRESH_COUNTED, 1)?;
    let child = |number: usize| {
        let pid = fork(|| handles.work(&stage, number))?;
        stage.wait_for(pid, CHILD_COUNTED + number, 1).map(|()| pid)
    };
    let first = child(0)?;
    let without_parent = shares(&scrape(metrics)?);
    let new = Registry::shared().attach().map_err(text)?;
    let threads = threads().map_err(text)?;
    handles.count(BEFORE);
    let second = child(1)?;
    let living = scrape(metrics)?;
    let slots: BTreeSet<u64> = [CHILD_COUNTED, CHILD_COUNTED + 1, FRESH_COUNTED]
        .map(|at| stage.said(at) - 1)
        .into_iter()
        .chain([new.slot])
        .collect();
    stage.say(GO_HOME, 1);
    [fresh, first, second].into_iter().try_for_each(ended)?;
    let dead = scrape_when_taken(metrics, 1.0)?;
    board.stop();
    Ok(json!({
        "is_replaced": new.arena_id != old.arena_id, "threads": threads,
        "without_parent": without_parent, "living": shares(&living), "dead": shares(&dead),
        "taken": taken(&living), "slots": slots.len(),
        "early": dead.sum("early_total"), "quarantines": dead.sum("tallyboard_quarantines_total"),
        "dropped": dead.sum("tallyboard_dropped_total"),
    }))
}

/// What is counted under each name that two of them know, and under those of the fresh worker.
fn shares(page: &Page) -> Value {
    let route = |route| page.value("heirs_requests_total", &[("route", route)]);
    json!({
        "root": route("/"), "new": route("/new"),
        "seconds": page.value("heirs_seconds_count", &[]),
        "sum": page.value("heirs_seconds_sum", &[]),
        "others": page.sum("fresh_total"), "other_seconds": page.value("fresh_seconds_count", &[]),
    })
}

struct Handles {
    requests: tallyboard::Family<Counter>,
    root: Counter,
    seconds: Histogram,
}

impl Handles {
    fn register() -> Result<Self, String> {
        let requests = Counter::builder("heirs_requests_total", "Requests.").labels(&["route"]);
        let requests = requests.family().map_err(text)?;
        let root = requests.with(&["/"]).map_err(text)?;
        let seconds = Histogram::new("heirs_seconds", "Seconds.").map_err(text)?;
        Ok(Self { requests, root, seconds })
    }

    fn count(&self, times: u64) {
        for _ in 0..times {
            self.root.inc();
            self.seconds.observe(0.5);
        }
    }

    fn work(&self, stage: &Stage, number: usize) -> i32 {
        self.count(EACH);
        let Ok(new) = self.requests.with(&["/new"]) else { return 3 };
        new.inc();
        say_slot_and_wait(stage, CHILD_COUNTED + number)
    }
}

fn say_slot_and_wait(stage: &Stage, at: usize) -> i32 {
    let Some(attachment) = Registry::shared().attachment() else { return 9 };
    stage.say(at, attachment.slot + 1);
    stage.wait(GO_HOME, 1);
    0
}

/// Fills the catalog of the first arena, so that the parent has a prefix.
fn early(stage: &Stage) -> i32 {
    let counter = Counter::builder("early_total", "Counted before.").labels(&["kind"]);
    let Ok(counter) = counter.family() else { return 3 };
    for kind in 0..5 {
        let Ok(counter) = counter.with(&[kind.to_string()]) else { return 4 };
        counter.inc();
    }
    say_slot_and_wait(stage, EARLY)
}

/// Attaches to the new arena first, with other families: there its cells have other places.
fn fresh(stage: &Stage) -> i32 {
    stage.wait(REPLACED, 1);
    let Ok(seconds) = Histogram::new("fresh_seconds", "Observed.") else { return 3 };
    let counter = Counter::builder("fresh_total", "Counted.").labels(&["kind"]).family();
    let Ok(Ok(other)) = counter.map(|counter| counter.with(&["other"])) else { return 4 };
    let Ok(handles) = Handles::register() else { return 5 };
    for _ in 0..FRESH {
        seconds.observe(0.5);
        other.inc();
        handles.root.inc();
    }
    say_slot_and_wait(stage, FRESH_COUNTED)
}

/// A process that found nobody asks again when it is told to, and at once.
pub(crate) fn asks() -> Result<Value, String> {
    let mut board = Board::open()?;
    let metrics = board.metrics();
    let stage = Stage::new()?;
    board.kill()?;
    let pid = fork(|| {
        let Ok(counter) = Counter::new("asks_total", "Counted.") else { return 3 };
        counter.inc_by(5);
        let errors = [(); 2].map(|()| Registry::shared().attach().err().map(text));
        let names_nobody = |error: &Option<String>| {
            error.as_deref().is_some_and(|error| error.contains("no supervisor listens on"))
        };
        if !errors.iter().all(names_nobody) {
            eprintln!("{errors:?}");
            return 4;
        }
        stage.say(EARLY, 1);
        stage.wait(REPLACED, 1);
        if let Err(error) = Registry::shared().attach() {
            eprintln!("{error}");
            return 5;
        }
        counter.inc_by(5);
        say_slot_and_wait(&stage, CHILD_COUNTED)
    })?;
    stage.wait_for(pid, EARLY, 1)?;
    board.serve_again()?;
    stage.say(REPLACED, 1);
    stage.wait_for(pid, CHILD_COUNTED, 1)?;
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    let dead = scrape_when_taken(metrics, 0.0)?;
    board.stop();
    Ok(json!({
        "living": living.value("asks_total", &[]), "dead": dead.value("asks_total", &[]),
        "taken": taken(&living), "attaches": dead.sum("tallyboard_attaches_total"),
    }))
}
