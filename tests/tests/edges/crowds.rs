//! Many who say nothing and many who are refused: the others are served, and the log stays small.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::read::http::get;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, until};
use tallyboard_tests::start::copied::Copied;

const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const NOBODY: u32 = 65534;
const LONG: Duration = Duration::from_secs(60);

/// `tallyboard serve` that may open `files` files, ready to be asked.
fn serve(name: &str, files: u32) -> Served {
    let limit = format!("--nofile={files}:{files}");
    Served::start_of(&["prlimit", &limit, "--"], name, &["--slots", "64"], &[])
}

fn own(served: &Served, name: &str, reason: &str) -> f64 {
    served.page().value(name, &[("reason", reason)]).expect("a metric")
}

/// Ends it, and gives its log.
fn log(served: Served) -> String {
    let ended = served.stop();
    assert!(ended.status.success(), "{ended:?}");
    ended.stderr
}

fn hostile(address: &Address, way: &str, count: usize) -> Command {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=4096:4096", "--", HOSTILE, way]);
    command.args([address.to_string(), count.to_string()]);
    command
}

#[test]
fn connections_that_say_nothing_keep_nobody_from_attaching_or_scraping() {
    const SILENT: usize = 1_100;
    let _watchdog = Watchdog::new("silent connections");
    let serving = serve("silent", 1024);
    let mut silent = Running::start(&mut hostile(&serving.control, "silent", SILENT));
    silent.line(|line| line == "silent 1100");
    for _ in 0..20 {
        let mut worker = Command::new(WORKER);
        worker.args(["1", "end"]).env("TALLYBOARD", serving.control.to_string());
        // A machine with much to do may take longer than usual.
        worker.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60000");
        let ended = Running::start(&mut worker).end();
        assert!(ended.stdout.contains(" slot "), "{ended:?}");
        assert_eq!(get(serving.metrics, "/metrics").expect("a page").status, 200);
        ask::scrape(&serving.control, &[], LONG).expect("an answer");
    }
    let ended = |reason| own(&serving, "tallyboard_conversations_ended_total", reason);
    let displaced = ended("displaced");
    println!("of {SILENT} silent connections {displaced} gave up their places");
    assert!(displaced >= (SILENT - 128) as f64, "{displaced}");
    // Nor do those stay that nobody is in need of the places of.
    silent.line(|line| line == "ended true");
    until(|| (ended("silent") > 0.0).then_some(()));
    assert!(silent.end().status.success());
    let log = log(serving);
    assert!(log.contains("gave up its place"), "{log}");
    assert!(log.len() < 16 << 10, "{} bytes: {log}", log.len());
}

/// How many lines with `text` those that are in the log stand for.
fn stood_for(log: &str, text: &str) -> usize {
    let of = |line: &str| {
        let count = line.split("stands_for=").nth(1)?;
        count.split_whitespace().next()?.parse::<usize>().ok()
    };
    log.lines().filter(|line| line.contains(text)).map(|line| of(line).unwrap_or(1)).sum()
}

#[test]
fn thirty_thousand_refusals_are_a_few_lines_of_the_log() {
    const REFUSED: usize = 30_000;
    const OF_ANOTHER_LAYOUT: usize = 3_000;
    let _watchdog = Watchdog::new("refusals");
    assert!(nix::unistd::geteuid().is_root(), "expected root, who may start a process as another");
    let serving = serve("refusals", 1024);
    let program = Copied::new(Path::new(HOSTILE));
    let mut strangers = Command::new(program.path());
    strangers.args(["refused", &serving.control.to_string(), &REFUSED.to_string()]);
    let ended = Running::start(strangers.uid(NOBODY).current_dir("/")).end();
    assert_eq!(ended.stdout, format!("refused {REFUSED}\n"), "{ended:?}");
    let other = Running::start(&mut hostile(&serving.control, "refused", OF_ANOTHER_LAYOUT)).end();
    assert_eq!(other.stdout, format!("refused {OF_ANOTHER_LAYOUT}\n"), "{other:?}");
    let refused = |reason| own(&serving, "tallyboard_attaches_refused_total", reason);
    assert_eq!(refused("uid"), REFUSED as f64);
    assert_eq!(refused("layout"), OF_ANOTHER_LAYOUT as f64);

    let log = log(serving);
    println!("{} bytes of log in {} lines", log.len(), log.lines().count());
    assert_eq!(stood_for(&log, "refused a connection"), REFUSED, "{log}");
    assert_eq!(stood_for(&log, "refused a worker"), OF_ANOTHER_LAYOUT, "{log}");
    assert!(log.len() < 32 << 10, "{} bytes: {log}", log.len());
}
