//! A supervisor that starts late: workers count from the first moment, and what they have counted
//! is moved into their slots when somebody answers.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, GaugeMode, Histogram, NativeHistogram, Registry};
use tallyboard_segment::pass::Address;
use tallyboard_tests::start::child::{free_address, until};

use crate::board::{fork, scrape, scrape_when_taken, taken};
use crate::flags::{flag, text_flag};
use crate::ledger::{Ledger, What};

const WORKERS: usize = 8;
/// Workers that die before anybody answers: what they counted dies with them.
const DOOMED: usize = 2;

pub(crate) fn run() -> Result<Value, String> {
    let before = Duration::from_millis(flag("before-ms", 2000));
    let address = Address::Abstract(format!("tallyboard/test/late-{}", std::process::id()));
    let registry = Registry::builder().address(&address.to_string()).on_warning(|_| {});
    registry.install().map_err(|error| error.to_string())?;
    let ledger = Ledger::new(WORKERS)?;
    let pids = (0..WORKERS).map(|worker| fork(|| work(&ledger, worker)));
    let pids = pids.collect::<Result<Vec<_>, _>>()?;
    // The time that they count by themselves is what is tested, not what is waited for.
    std::thread::sleep(before);
    pids[..DOOMED].iter().try_for_each(|&pid| end(pid))?;
    let metrics = free_address();
    let mut server = Command::new(text_flag("program", "tallyboard"))
        .args(["serve", "--log.level", "error", "--backing", "memfd"])
        .args(["--name", &format!("late-{}", std::process::id())])
        .args(["--control", &address.to_string()])
        .args(["--web.listen-address", &metrics.to_string()])
        .spawn()
        .map_err(|error| error.to_string())?;
    until(|| scrape(metrics).ok());
    let alive = (WORKERS - DOOMED) as f64;
    until(|| scrape(metrics).ok().filter(|page| taken(page) == alive));
    let attached = (DOOMED..WORKERS).collect::<Vec<_>>();
    until(|| attached.iter().all(|&worker| ledger.is_attached(worker)).then_some(()));
    // Some more through the slots, and time for the pumps to run dry.
    let goal = ledger.sums(WORKERS, What::Own).0 + 100_000;
    until(|| (ledger.sums(WORKERS, What::Own).0 > goal).then_some(()));
    pids[DOOMED..].iter().try_for_each(|&pid| end(pid))?;
    let page = scrape_when_taken(metrics, 0.0)?;
    let mut own = 0.0;
    for &worker in &attached {
        let number = worker.to_string();
        let counted = page.value("late_own_total", &[("worker", &number)]).unwrap_or(0.0);
        let (acknowledged, intended) = ledger.bounds(worker, What::Own);
        if !(acknowledged as f64..=intended as f64).contains(&counted) {
            return Err(format!(
                "worker {worker}: counted {counted}, expected from {acknowledged} to {intended}"
            ));
        }
        own += counted;
    }
    let lost: u64 = (0..DOOMED).map(|worker| ledger.bounds(worker, What::Own).0).sum();
    let found = json!({
        "own": own, "observations": page.value("late_seconds_count", &[]),
        "sizes": page.value("late_sizes_count", &[]),
        "sum": page.value("late_seconds_sum", &[]), "highest": page.value("late_highest", &[]),
        "killed_before": DOOMED, "died_with_them": lost,
    });
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM).map_err(|e| e.to_string())?;
    server.wait().map_err(|error| error.to_string())?;
    Ok(found)
}

fn end(pid: u32) -> Result<(), String> {
    let pid = Pid::from_raw(pid as i32);
    kill(pid, Signal::SIGKILL).map_err(|error| error.to_string())?;
    waitpid(pid, None).map(drop).map_err(|error| error.to_string())
}

fn work(ledger: &Ledger, worker: usize) -> i32 {
    let own = Counter::builder("late_own_total", "Counted by one worker.").labels(&["worker"]);
    let Ok(Ok(own)) = own.family().map(|own| own.with(&[worker.to_string()])) else { return 3 };
    let Ok(seconds) = Histogram::new("late_seconds", "Observed by all.") else { return 4 };
    let Ok(sizes) = NativeHistogram::new("late_sizes", "Observed by all.") else { return 4 };
    let highest = tallyboard::Gauge::builder("late_highest", "Set before anybody answered.");
    let Ok(highest) = highest.mode(GaugeMode::Max).register() else { return 5 };
    highest.set(worker as f64);
    loop {
        for _ in 0..1000 {
            ledger.count(worker, What::Own, || own.inc());
            ledger.count(worker, What::Observation, || seconds.observe(0.5));
            sizes.observe(1.0 + worker as f64);
        }
        if Registry::shared().attachment().is_some() {
            ledger.set_attached(worker);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
