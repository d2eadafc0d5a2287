//! A parent that preloads: handles are made and used before the fork, then used in the children.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::{Acquire, Release};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, GaugeMode, Histogram, Registry, Summary};
use tallyboard_proto::word::Words;
use tallyboard_segment::{memfd, process};
use tallyboard_supervisor::Builder;
use tallyboard_tests::start::child::until;

use crate::board::{fork, scrape, scrape_when_taken, spawn};
use crate::flags::flag;

const EACH: u64 = 1000;

pub(crate) fn run() -> Result<Value, String> {
    let children = flag("children", 8) as usize;
    let handle = spawn(64)?;
    let metrics = handle.metrics()[0];
    let text = |error: tallyboard::RegisterError| error.to_string();
    let requests = Counter::builder("preload_requests_total", "Requests.").labels(&["route"]);
    let requests = requests.family().map_err(text)?;
    let root = requests.with(&["/"]).map_err(|error| error.to_string())?;
    let seconds = Histogram::new("preload_seconds", "Seconds.").map_err(text)?;
    let bytes = Summary::new("preload_bytes", "Bytes.").map_err(text)?;
    let busy = tallyboard::Gauge::builder("preload_busy", "Busy.").mode(GaugeMode::LiveSum);
    let busy = busy.register().map_err(text)?;
    root.inc_by(10);
    seconds.observe(0.5);
    bytes.observe(2.0);
    busy.inc();
    // Word 0: go home. Then per child: slot + 1 when it has counted.
    let ledger = memfd::create(512).map_err(|error| error.to_string())?;
    ledger.make_real(0..512).map_err(|error| error.to_string())?;
    let work = |number: usize| {
        for _ in 0..EACH {
            root.inc();
            seconds.observe(0.5);
            bytes.observe(2.0);
        }
        busy.inc();
        let Ok(attachment) = Registry::shared().attach() else { return 3 };
        ledger.store(1 + number, attachment.slot + 1, Release);
        until(|| (ledger.load(0, Acquire) == 1).then_some(()));
        0
    };
    let pids = (0..children).map(|number| fork(|| work(number))).collect::<Result<Vec<_>, _>>()?;
    let slots: BTreeSet<u64> = (0..children)
        .map(|number| until(|| Some(ledger.load(1 + number, Acquire)).filter(|slot| *slot != 0)))
        .chain(Registry::shared().attachment().map(|mine| mine.slot + 1))
        .collect();
    let living = scrape(metrics)?;
    ledger.store(0, 1, Release);
    for pid in pids {
        waitpid(Pid::from_raw(pid as i32), None).map_err(|error| error.to_string())?;
    }
    let dead = scrape_when_taken(metrics, 1.0)?;
    let route = |page: &tallyboard_tests::read::page::Page| {
        page.value("preload_requests_total", &[("route", "/")])
    };
    handle.stop();
    Ok(json!({
        "requests_living": route(&living), "requests_dead": route(&dead),
        "seconds": dead.value("preload_seconds_count", &[]),
        "bytes": dead.value("preload_bytes_sum", &[]),
        "busy_living": living.value("preload_busy", &[]),
        "busy_dead": dead.value("preload_busy", &[]),
        "slots": slots.len(), "classes": living.value("tallyboard_layout_classes", &[]),
    }))
}

/// Forks many short-lived children beside a spawned keeper; the parent stays as it was.
pub(crate) fn forks() -> Result<Value, String> {
    let count = flag("count", 1000);
    let handle = spawn(256)?;
    let counter = Counter::new("forks_total", "Children.").map_err(|error| error.to_string())?;
    for _ in 0..count {
        let pid = fork(|| {
            counter.inc();
            i32::from(Registry::shared().attachment().is_none())
        })?;
        match waitpid(Pid::from_raw(pid as i32), None) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, 0)) => {}
            other => return Err(format!("expected a child that counted, found {other:?}")),
        }
    }
    let threads = process::threads().map_err(|error| error.to_string())?;
    let page = scrape_when_taken(handle.metrics()[0], 1.0)?;
    let counted = page.value("forks_total", &[]);
    let refusal = std::thread::scope(|scope| {
        let other = scope.spawn(std::thread::park);
        let refusal = Builder::new().spawn().err().map(|error| error.to_string());
        other.thread().unpark();
        refusal
    });
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count());
    handle.stop();
    Ok(json!({
        "count": count, "counted": counted, "threads": threads, "refusal": refusal,
        "descriptors": descriptors,
    }))
}
