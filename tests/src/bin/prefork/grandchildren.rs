//! The application under `tallyboard exec`: it forks workers, kills each, and measures how long the
//! supervisor takes to give the slot back.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, Registry};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::child::until;

use crate::board::fork;
use crate::flag;

pub(crate) fn run() -> Result<Value, String> {
    let rounds = flag("rounds", 100);
    let text = std::env::var("TALLYBOARD").map_err(|_| "expected TALLYBOARD, found none")?;
    let address: Address = text.parse().map_err(|e| format!("{e}"))?;
    let taken = || {
        let described = ask::describe(&address, Duration::from_secs(10));
        described.map(|found| found.taken).map_err(|error| error.to_string())
    };
    let counter = Counter::new("killed_total", "Workers.").map_err(|error| error.to_string())?;
    Registry::shared().attach().map_err(|error| error.to_string())?;
    let mut micros = Vec::new();
    for _ in 0..rounds {
        let pid = fork(|| {
            counter.inc();
            std::thread::park();
            0
        })?;
        until(|| (taken() == Ok(2)).then_some(()));
        // The slot is taken a moment before the count is made.
        let counted = || {
            let page = ask::scrape(&address, &["killed_total".into()], Duration::from_secs(10));
            page.ok().map(|page| String::from_utf8_lossy(&page).into_owned())
        };
        let expected = format!("killed_total {}", micros.len() + 1);
        until(|| counted().filter(|page| page.lines().any(|line| line == expected)));
        let pid = Pid::from_raw(pid as i32);
        let start = Instant::now();
        kill(pid, Signal::SIGKILL).map_err(|error| error.to_string())?;
        while taken()? != 1 {}
        micros.push(start.elapsed().as_micros() as u64);
        waitpid(pid, None).map_err(|error| error.to_string())?;
    }
    micros.sort_unstable();
    let median = micros.get(micros.len() / 2).copied();
    Ok(json!({ "rounds": rounds, "median_us": median, "worst_us": micros.last() }))
}
