//! What those who run a service are told: where metrics are, which arenas there are, that nobody
//! counts, and which metric has met a limit.

#![forbid(unsafe_code)]

use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard::{Counter, Registry};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::child::{Ended, HANG, Running, Watchdog, free_address};
use tallyboard_tests::directory::Directory;
use tallyboard_tests::named::{Named, answering, program};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// The program with what it says on standard error as its standard output, to be read line by line.
fn said_by(command: &Command) -> Running {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program());
    Running::start(shell.args(command.get_args()).env_remove("TALLYBOARD"))
}

fn run(words: &[&str]) -> Ended {
    Running::start(&mut program(words)).end()
}

#[test]
fn where_metrics_are_is_said_first_and_listed() {
    let _watchdog = Watchdog::new("where_metrics_are_is_said_first_and_listed");
    let named = Named::new("where", WORKER);
    let (control, listen) = (named.control.to_string(), free_address().to_string());
    let url = format!("http://{listen}/counts");
    let flags = ["--control", &control, "--web.listen-address", &listen];
    let more = ["--name", &named.name, "--web.telemetry-path", "/counts"];
    for words in [&["serve"][..], &["exec"]] {
        let command: &[&str] = if words == ["exec"] { &["--", "sleep", "300"] } else { &[] };
        let mut running = said_by(&program(&[words, &flags, &more, command].concat()));
        let first = running.line(|_| true);
        assert!(first.contains(&format!("metrics on {url}")), "{first}");
        let (running, described) = answering(running, &named.control);
        assert_eq!(described.metrics, [&*url]);
        let listed = run(&["ls"]).stdout;
        let row = listed.lines().find(|line| line.contains(&named.name)).expect("it is listed");
        assert!(row.contains(&format!("  {url}  ")), "{row}");
        running.signal(Signal::SIGTERM);
        drop(running.end());
    }
}

#[test]
fn an_arena_is_found_by_its_name_whatever_its_address() {
    let _watchdog = Watchdog::new("an_arena_is_found_by_its_name_whatever_its_address");
    let directory = Directory::new("odd");
    let paths = [directory.file("a b.sock"), directory.file("x")];
    let addresses = [
        Address::Path(paths[0].clone()),
        Address::Path(paths[1].clone()),
        Address::Abstract(format!("odd {}", std::process::id())),
    ];
    for (backing, address) in
        ["posix", "memfd"].iter().flat_map(|b| addresses.iter().map(move |a| (b, a)))
    {
        let name = format!("odd-{}-{backing}", std::process::id());
        let control = address.to_string();
        let words = ["serve", "--name", &name, "--backing", backing, "--control", &control];
        let mut command = program(&[&words[..], &["--web.listen-address", "none"]].concat());
        let (serve, described) = answering(Running::start(&mut command), address);
        let listed = run(&["ls"]).stdout;
        let row = listed.lines().find(|line| line.contains(&name)).expect("it is listed");
        assert!(row.ends_with(&control) && !row.contains("discard"), "{row}");
        let page = run(&["scrape", "--name", &name]);
        assert!(page.status.success() && page.stdout.contains("tallyboard_slots"), "{page:?}");
        for words in [
            &["slots", "--name", &name][..],
            &["slots", "--pid", &described.keeper_pid.to_string()],
        ] {
            let slots = run(words);
            assert!(slots.status.success() && slots.stdout.starts_with("SLOT"), "{slots:?}");
        }
        serve.signal(Signal::SIGTERM);
        assert!(serve.end().status.success());
    }
}

#[test]
fn an_arena_that_lives_is_never_said_to_be_left() {
    let _watchdog = Watchdog::new("an_arena_that_lives_is_never_said_to_be_left");
    let named = Named::new("stopped", WORKER);
    let (serve, described) = named.serve(&[]);
    // Its supervisor answers nobody, and its keeper still has it.
    let supervisor = nix::unistd::Pid::from_raw(described.supervisor_pid as i32);
    nix::sys::signal::kill(supervisor, Signal::SIGSTOP).expect("it runs");
    let listed = run(&["ls"]).stdout;
    let pruned = run(&["prune", &named.name]);
    nix::sys::signal::kill(supervisor, Signal::SIGCONT).expect("it runs");
    let row = listed.lines().find(|line| line.starts_with(&named.name)).expect("it is listed");
    assert!(row.contains("a supervisor has it") && !row.contains("prune"), "{row}");
    assert!(row.contains(&format!("  {}  ", described.keeper_pid)), "{row}");
    assert_eq!(pruned.status.code(), Some(1));
    let kept = format!("kept: the supervisor with pid {} has it", described.keeper_pid);
    assert!(pruned.stdout.contains(&kept), "{}", pruned.stdout);
    serve.signal(Signal::SIGTERM);
    assert!(serve.end().status.success());
    assert_eq!(named.inode(), None);
}
