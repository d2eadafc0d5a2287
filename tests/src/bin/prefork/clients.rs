//! Several clients in one process: each has a slot of its own, up to a limit.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use tallyboard::{AttachError, Counter, Refused, RefusedReason, Registry};

use crate::board::{fork, scrape, scrape_when_taken, spawn, taken};
use crate::stage::{Stage, ended, text};

/// The shared client and so many more.
const MORE: usize = 4;
const EACH: u64 = 10;
/// Words of the stage: a slot and 1 for each client, then these.
const DONE: usize = 20;
const WARNINGS: usize = 21;
const GO_HOME: usize = 22;

static WARNED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn run() -> Result<Value, String> {
    let handle = spawn(16)?;
    let metrics = handle.metrics()[0];
    let stage = Stage::new()?;
    let pid = fork(|| match work(&stage, handle.address()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            3
        }
    })?;
    stage.wait_for(pid, DONE, 1)?;
    let living = scrape(metrics)?;
    stage.say(GO_HOME, 1);
    ended(pid)?;
    let dead = scrape_when_taken(metrics, 0.0)?;
    handle.stop();
    let slots: Vec<u64> = (0..=MORE).map(|client| stage.said(client)).collect();
    let refused = living.value("tallyboard_attaches_refused_total", &[("reason", "process_limit")]);
    Ok(json!({
        "slots": slots, "taken": taken(&living), "refused": refused,
        "refused_all": living.sum("tallyboard_attaches_refused_total"),
        "living": living.value("clients_total", &[]), "dead": dead.value("clients_total", &[]),
        "dropped": dead.sum("tallyboard_dropped_total"), "warnings": stage.said(WARNINGS),
    }))
}

fn work(stage: &Stage, address: &str) -> Result<(), String> {
    let client = || {
        let client = Registry::builder().address(address).attach_timeout(Duration::from_secs(10));
        client.on_warning(|_| _ = WARNED.fetch_add(1, Relaxed)).build()
    };
    let clients = std::iter::once(Registry::shared()).chain((0..MORE).map(|_| client()));
    for (number, client) in clients.enumerate() {
        match client.attach() {
            Ok(attachment) => stage.say(number, attachment.slot + 1),
            Err(AttachError::Refused(Refused { reason: RefusedReason::ProcessLimit, .. })) => {}
            Err(error) => return Err(error.to_string()),
        }
        let counter = Counter::builder("clients_total", "Counted by all clients.");
        let counter = counter.registry(client).register().map_err(text)?;
        (0..EACH).for_each(|_| counter.inc());
    }
    stage.say(WARNINGS, WARNED.load(Relaxed));
    stage.say(DONE, 1);
    stage.wait(GO_HOME, 1);
    Ok(())
}
