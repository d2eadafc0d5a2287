//! Many lives one after another, each with a slot: nothing may grow with their number.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, Registry};
use tallyboard_supervisor::ask;

use crate::board::{fork, scrape, scrape_when_taken, spawn, taken};
use crate::flags::{flag, text_flag};
use crate::stage::{descriptors, ended, text};

/// After so many lives every slot has been used, and what is kept by slot is there.
const SETTLED: u64 = 500;
/// Something may be under way when it is looked at: the least of so many looks counts.
const LOOKS: usize = 20;

/// Workers attach, count once and die, one after another.
pub(crate) fn lives() -> Result<Value, String> {
    let count = flag("count", 5000);
    let handle = spawn(64)?;
    let address = handle.address().parse().map_err(text)?;
    let counter = Counter::new("lives_total", "Lives.").map_err(text)?;
    Registry::shared().attach().map_err(text)?;
    let described = ask::describe(&address, Duration::from_secs(60)).map_err(text)?;
    let look = || look(handle.metrics()[0], described.supervisor_pid, described.keeper_pid);
    let mut settled = Value::Null;
    for life in 1..=count {
        let pid = fork(|| {
            counter.inc();
            i32::from(Registry::shared().attachment().is_none())
        })?;
        ended(pid)?;
        if life == SETTLED {
            settled = look()?;
        }
    }
    let end = look()?;
    let page = scrape_when_taken(handle.metrics()[0], 1.0)?;
    handle.stop();
    Ok(json!({
        "count": count, "counted": page.value("lives_total", &[]), "settled": settled, "end": end,
        "reclaims": page.sum("tallyboard_reclaims_total"),
        "refused": page.sum("tallyboard_attaches_refused_total"),
    }))
}

/// What supervisor and keeper take when only this process is attached.
fn look(metrics: SocketAddr, supervisor: u32, keeper: u32) -> Result<Value, String> {
    let mut least = [u64::MAX; 5];
    for _ in 0..LOOKS {
        let page = scrape_when_taken(metrics, 1.0)?;
        let maps = std::fs::read_to_string(format!("/proc/{supervisor}/maps")).map_err(text)?;
        let now = [
            descriptors(&supervisor.to_string())?.len() as u64,
            descriptors(&keeper.to_string())?.len() as u64,
            maps.lines().count() as u64,
            resident_kib(supervisor)?,
            page.sum("tallyboard_scrape_cells") as u64,
        ];
        least = std::array::from_fn(|at| least[at].min(now[at]));
    }
    let [descriptors, keeper_descriptors, mappings, resident, cells] = least;
    Ok(json!({
        "descriptors": descriptors, "keeper_descriptors": keeper_descriptors,
        "mappings": mappings, "resident_kib": resident, "scrape_cells": cells,
    }))
}

fn resident_kib(pid: u32) -> Result<u64, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(text)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| format!("expected a line VmRSS, found {status}"))
}

/// One process executes itself in place again and again.
pub(crate) fn images() -> Result<Value, String> {
    let (count, each) = (flag("count", 100), flag("each", 100));
    let handle = spawn(4)?;
    let metrics = handle.metrics()[0];
    Registry::shared().attach().map_err(text)?;
    let child = fork(|| {
        let error = next_image(handle.address(), std::process::id(), count, each);
        eprintln!("{error}");
        3
    })?;
    let (mut most, mut looks) = (0.0_f64, 0);
    let status = loop {
        most = most.max(taken(&scrape(metrics)?));
        looks += 1;
        match waitpid(Pid::from_raw(child as i32), Some(WaitPidFlag::WNOHANG)).map_err(text)? {
            WaitStatus::StillAlive => {}
            status => break status,
        }
    };
    if !matches!(status, WaitStatus::Exited(_, 0)) {
        return Err(format!("expected an image that ended well, found {status:?}"));
    }
    let page = scrape_when_taken(metrics, 1.0)?;
    handle.stop();
    Ok(json!({
        "count": count, "each": each, "counted": page.value("images_total", &[]),
        "most_taken": most, "looks": looks,
        "attaches": page.sum("tallyboard_attaches_total"),
        "reclaims": page.sum("tallyboard_reclaims_total"),
        "exits": page.sum("tallyboard_worker_exits_total"),
        "refused": page.sum("tallyboard_attaches_refused_total"),
    }))
}

/// The life of one image: it counts, and becomes the next.
pub(crate) fn image() -> Result<Value, String> {
    let (left, each, pid) = (flag("left", 0), flag("each", 0), flag("pid", 0));
    if u64::from(std::process::id()) != pid {
        return Err(format!("expected pid {pid}, found {}", std::process::id()));
    }
    Registry::shared().attach().map_err(text)?;
    let counter = Counter::new("images_total", "Counted by all images.").map_err(text)?;
    (0..each).for_each(|_| counter.inc());
    if left == 1 {
        return Ok(json!({ "pid": pid }));
    }
    Err(next_image(&text_flag("address", ""), std::process::id(), left - 1, each))
}

/// Becomes an image of this program; comes back only with an error.
fn next_image(address: &str, pid: u32, left: u64, each: u64) -> String {
    let mut program = match std::env::current_exe() {
        Ok(program) => Command::new(program),
        Err(error) => return text(error),
    };
    let numbers = [("left", left), ("each", each), ("pid", pid.into())];
    program.arg("image").args(["--address", address]);
    program.args(numbers.iter().flat_map(|(name, n)| [format!("--{name}"), n.to_string()]));
    program.env("TALLYBOARD", address).env("TALLYBOARD_ATTACH_TIMEOUT_MS", "10000");
    text(program.exec())
}
