//! Whose slot is whose: the dead that nobody has reaped, the stopped, children of workers, programs
//! that a worker starts, and a worker that closes every descriptor.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, Gauge, GaugeMode, Registry};
use tallyboard_supervisor::{Handle, ask};
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::until;

use crate::board::{fork, scrape, scrape_when_taken, spawn, taken};
use crate::flags::flag;
use crate::ledger::{Ledger, What};
use crate::stage::{Stage, descriptors, ended, send, state_of, text};

const WAIT: Duration = Duration::from_secs(60);
/// Words of the stage.
const HALF: usize = 0;
const DONE: usize = 2;
const GO_HOME: usize = 3;
const OTHER_PID: usize = 4;
const SLOT: usize = 5;
const OTHER_SLOT: usize = 6;

/// A keeper, and this process attached to it with a counter.
fn open() -> Result<(Handle, SocketAddr, Counter), String> {
    let handle = spawn(16)?;
    let metrics = handle.metrics()[0];
    let counter = Counter::new("hands_total", "Counted by all.").map_err(text)?;
    Registry::shared().attach().map_err(text)?;
    Ok((handle, metrics, counter))
}

fn status(outcome: Result<(), String>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            3
        }
    }
}

fn counted(page: &Page) -> Option<f64> {
    page.value("hands_total", &[])
}

/// A worker that is dead and not reaped.
pub(crate) fn zombie() -> Result<Value, String> {
    let rounds = flag("rounds", 20);
    let (handle, metrics, counter) = open()?;
    let mut still = 0;
    for _ in 0..rounds {
        let pid = fork(|| {
            counter.inc_by(7);
            0
        })?;
        until(|| (state_of(pid) == Some('Z')).then_some(()));
        scrape_when_taken(metrics, 1.0)?;
        still += u64::from(state_of(pid) == Some('Z'));
        ended(pid)?;
    }
    let page = scrape(metrics)?;
    handle.stop();
    Ok(json!({
        "rounds": rounds, "zombies_when_reclaimed": still, "counted": counted(&page),
        "reclaims": page.sum("tallyboard_reclaims_total"),
    }))
}

/// A worker that is stopped while others live and die around it.
pub(crate) fn stopped() -> Result<Value, String> {
    let others = flag("others", 40);
    let (handle, metrics, counter) = open()?;
    let address = handle.address().parse().map_err(text)?;
    let ledger = Ledger::new(1)?;
    let pid = fork(|| {
        while !ledger.is_stopped() {
            (0..1000).for_each(|_| ledger.count(0, What::Own, || counter.inc()));
        }
        0
    })?;
    until(|| (ledger.bounds(0, What::Own).0 > 0).then_some(()));
    send(pid, Signal::SIGSTOP)?;
    match waitpid(Pid::from_raw(pid as i32), Some(WaitPidFlag::WUNTRACED)).map_err(text)? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
        other => return Err(format!("expected a stopped worker, found {other:?}")),
    }
    for _ in 0..others {
        ended(fork(|| {
            counter.inc();
            0
        })?)?;
    }
    // The stopped worker and this process are left.
    let page = scrape_when_taken(metrics, 2.0)?;
    let (acknowledged, intended) = ledger.bounds(0, What::Own);
    let found = counted(&page).unwrap_or(f64::NAN) - others as f64;
    if !(acknowledged as f64..=intended as f64).contains(&found) {
        return Err(format!("counted {found}, expected from {acknowledged} to {intended}"));
    }
    let rows = ask::slots(&address, WAIT).map_err(text)?;
    let row = rows.iter().find(|row| row.pid == u64::from(pid));
    let state = row.map(|row| row.state.clone());
    send(pid, Signal::SIGCONT)?;
    until(|| (ledger.bounds(0, What::Own).0 > intended + 10_000).then_some(()));
    ledger.stop();
    ended(pid)?;
    let end = scrape_when_taken(metrics, 1.0)?;
    handle.stop();
    let (acknowledged, _) = ledger.bounds(0, What::Own);
    Ok(json!({
        "state": state, "before": intended, "acknowledged": acknowledged, "others": others,
        "reclaims_meanwhile": page.sum("tallyboard_reclaims_total"), "counted": counted(&end),
        "reclaims": end.sum("tallyboard_reclaims_total"),
    }))
}

/// A worker that forks a child of its own, and both count at the same time.
pub(crate) fn grandchild() -> Result<Value, String> {
    let (each, other) = (flag("each", 20_000), flag("other", 30_000));
    let (handle, metrics, _) = open()?;
    let stage = Stage::new()?;
    let pid = fork(|| status(with_child(&stage, each, other)))?;
    stage.wait_for(pid, DONE, 1)?;
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    let dead = scrape_when_taken(metrics, 1.0)?;
    handle.stop();
    let own = |page: &Page, pid: u64| page.value("hands_own", &[("pid", &pid.to_string())]);
    let pids = [u64::from(pid), stage.said(OTHER_PID)];
    let shares = |page: &Page| pids.map(|pid| own(page, pid));
    Ok(json!({
        "slots": [stage.said(SLOT), stage.said(OTHER_SLOT)], "taken": taken(&living),
        "living": shares(&living), "dead": shares(&dead), "each": each, "other": other,
        "counted_living": counted(&living), "counted_dead": counted(&dead),
    }))
}

fn with_child(stage: &Stage, each: u64, other: u64) -> Result<(), String> {
    let counter = Counter::builder("hands_total", "Counted by all.");
    // Registered by the parent before it forked.
    let counter = counter.reuse().register().map_err(text)?;
    let own = Gauge::builder("hands_own", "Counted by one process.").mode(GaugeMode::All);
    let own = own.register().map_err(text)?;
    let count = |times: u64| {
        (0..times).for_each(|_| {
            counter.inc();
            own.inc();
        });
    };
    let slot = || Registry::shared().attach().map(|attachment| attachment.slot).map_err(text);
    stage.say(SLOT, slot()?);
    count(each / 2);
    let child = fork(|| {
        stage.say(OTHER_PID, u64::from(std::process::id()));
        count(other);
        let Ok(slot) = slot() else { return 3 };
        stage.say(OTHER_SLOT, slot);
        stage.say(HALF, 1);
        stage.wait(GO_HOME, 1);
        0
    })?;
    count(each - each / 2);
    stage.wait_for(child, HALF, 1)?;
    stage.say(DONE, 1);
    stage.wait(GO_HOME, 1);
    ended(child)
}

/// A worker that starts programs, which the library does with vfork.
pub(crate) fn commands() -> Result<Value, String> {
    let (count, each) = (flag("count", 100), flag("each", 100));
    let (handle, metrics, counter) = open()?;
    let stage = Stage::new()?;
    let pid = fork(|| {
        let slot = || Registry::shared().attachment().map(|attachment| attachment.slot);
        counter.inc();
        let before = slot();
        for _ in 0..count {
            let is_started = Command::new("true").status().is_ok_and(|status| status.success());
            if !is_started || slot() != before || before.is_none() {
                return 3;
            }
            (0..each).for_each(|_| counter.inc());
        }
        stage.say(DONE, 1);
        stage.wait(GO_HOME, 1);
        0
    })?;
    let mut most = 0.0_f64;
    while stage.said(DONE) == 0 {
        most = most.max(taken(&scrape(metrics)?));
        if matches!(state_of(pid), None | Some('Z')) {
            return Err("expected a worker that starts programs, found it dead".to_owned());
        }
    }
    let page = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    handle.stop();
    Ok(json!({
        "count": count, "each": each, "counted": counted(&page), "most_taken": most,
        "attaches": page.sum("tallyboard_attaches_total"),
        "dropped": page.sum("tallyboard_dropped_total"),
    }))
}

const EACH: u64 = 1000;
const SERIES: u64 = 2000;

/// A worker that closes all its descriptors and goes on.
pub(crate) fn daemon() -> Result<Value, String> {
    let (handle, metrics, counter) = open()?;
    let stage = Stage::new()?;
    let path = std::env::temp_dir().join(format!("prefork-daemon-{}", std::process::id()));
    let pid = fork(|| {
        counter.inc_by(EACH);
        // Standard error is closed too, so an error is told by the word it got to.
        match without_descriptors(&stage, &counter, &path) {
            Ok(()) => 0,
            Err(_) => 3,
        }
    })?;
    let done = stage.wait_for(pid, DONE, 1);
    let content = std::fs::read(&path);
    std::fs::remove_file(&path).ok();
    done.map_err(|error| format!("{error}, which came as far as {}", stage.said(HALF)))?;
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    let dead = scrape_when_taken(metrics, 1.0)?;
    handle.stop();
    let is_whole = content.is_ok_and(|content| content == lines(0..SERIES));
    Ok(json!({
        "closed": stage.said(OTHER_SLOT), "is_whole": is_whole, "taken": taken(&living),
        "living": counted(&living), "dead": counted(&dead), "each": EACH,
        "series": dead.of("hands_many_total").count(), "many": dead.sum("hands_many_total"),
        "dropped": dead.sum("tallyboard_dropped_total"),
    }))
}

fn lines(range: std::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(|number| format!("line {number}\n").into_bytes()).collect()
}

fn without_descriptors(stage: &Stage, counter: &Counter, path: &Path) -> Result<(), String> {
    let open = descriptors("self")?;
    // One of them was the directory itself, and is closed already.
    let closed = open.into_iter().filter(|&fd| nix::unistd::close(fd).is_ok()).count();
    stage.say(OTHER_SLOT, closed as u64);
    stage.say(HALF, 1);
    counter.inc_by(EACH);
    // These get the numbers that sockets and the arena may have had.
    let mut file = std::fs::File::create(path).map_err(text)?;
    let copies = (0..16).map(|_| file.try_clone()).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let many = Counter::builder("hands_many_total", "Many series.").labels(&["number"]);
    let many = many.family().map_err(text)?;
    stage.say(HALF, 2);
    for number in 0..SERIES {
        counter.inc();
        many.with(&[number.to_string()]).map_err(text)?.inc();
        file.write_all(&lines(number..number + 1)).map_err(text)?;
    }
    stage.say(HALF, 3);
    // A child attaches with descriptors of its own, and leaves these alone.
    let child = fork(|| {
        counter.inc_by(EACH);
        i32::from(Registry::shared().attachment().is_none())
    })?;
    ended(child)?;
    stage.say(HALF, 4);
    if descriptors("self")?.len() != copies.len() + 2 {
        return Err("expected the file, its copies and the directory".to_owned());
    }
    stage.say(DONE, 1);
    stage.wait(GO_HOME, 1);
    Ok(())
}
