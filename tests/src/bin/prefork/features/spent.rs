//! What the service shows of its processes: it does not fall when a worker or the supervisor dies.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use tallyboard::{Counter, Registry};
use tallyboard_tests::start::child::until;

use super::shown::{ACCEPTED, Shown};
use crate::board::{Board, fork, restart, scrape_when_taken};
use crate::flags::text_flag;
use crate::stage::{Stage, killed};

const WORKERS: usize = 3;
/// How long each worker spends processor time, in milliseconds.
const SPEND_MS: u128 = 200;
/// What is shown once, while there are workers.
const OF_SERVICE: [&str; 6] = [
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];
/// What is shown for each worker.
const OF_WORKERS: [&str; 6] = [
    "tallyboard_worker_cpu_seconds",
    "tallyboard_worker_open_fds",
    "tallyboard_worker_resident_memory_bytes",
    "tallyboard_worker_start_time_seconds",
    "tallyboard_worker_threads",
    "tallyboard_worker_virtual_memory_bytes",
];

pub(crate) fn run() -> Result<Value, String> {
    let program = text_flag("program", "tallyboard");
    let board = Board::serve(&program, &[], Registry::builder())?;
    let found = spend(&board);
    board.stop();
    found
}

fn spend(board: &Board) -> Result<Value, String> {
    let (metrics, stage) = (board.metrics(), Stage::new()?);
    let pids = (0..WORKERS).map(|worker| fork(|| work(&stage, worker)));
    let pids = pids.collect::<Result<Vec<_>, _>>()?;
    (0..WORKERS).try_for_each(|worker| stage.wait_for(pids[worker], worker, 1))?;
    let mut spent = vec![spent_by(metrics, WORKERS)?];
    killed(pids[0])?;
    scrape_when_taken(metrics, (WORKERS - 1) as f64)?;
    spent.push(spent_by(metrics, WORKERS - 1)?);
    restart(&board.address())?;
    spent.push(spent_by(metrics, WORKERS - 1)?);
    pids[1..].iter().try_for_each(|&pid| killed(pid))?;
    scrape_when_taken(metrics, 0.0)?;
    spent.push(spent_by(metrics, 0)?);
    restart(&board.address())?;
    spent.push(spent_by(metrics, 0)?);
    Ok(json!({ "spent": spent, "workers": WORKERS, "spent_by_each": SPEND_MS as f64 / 1000.0 }))
}

fn work(stage: &Stage, worker: usize) -> i32 {
    let Ok(counter) = Counter::new("spent_rounds_total", "Rounds of each.") else { return 3 };
    let (began, mut number) = (Instant::now(), 0_u64);
    while began.elapsed().as_millis() < SPEND_MS {
        (0..10_000).for_each(|_| number = black_box(number.wrapping_mul(31) + 1));
        counter.inc();
    }
    stage.say(worker, 1);
    loop {
        std::thread::park();
    }
}

/// Processor time of the service, when the page shows so many workers, each with all there is to say
/// of it.
fn spent_by(metrics: SocketAddr, workers: usize) -> Result<f64, String> {
    let (accept, format) = ACCEPTED[0];
    until(|| {
        let page = match Shown::get(metrics, accept, format) {
            Ok(page) => page,
            Err(error) => return Some(Err(error)),
        };
        let shown = |name: &str| -> Vec<f64> {
            let named = page.families.iter().filter(|family| family.name == name);
            let samples = named.flat_map(|family| &family.samples);
            let values = samples.filter(|sample| sample.suffix != "_created");
            values.map(|sample| sample.value.as_f64()).collect()
        };
        let each = OF_WORKERS.iter().all(|name| shown(name).len() == workers);
        let service = OF_SERVICE.iter().all(|name| shown(name).len() == workers.min(1));
        let spent = shown("process_cpu_seconds");
        (each && service && spent.len() == 1).then(|| Ok(spent[0]))
    })
}
