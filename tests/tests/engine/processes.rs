//! Real processes under the real program: killed grandchildren, machines without shared memory,
//! addresses where nobody listens.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::service::named::{Named, leave_behind};
use tallyboard_tests::start::child::{HANG, Running, Watchdog, free_address, until};
use tallyboard_tests::start::program::{OWN_SHM, behind, program};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn page(metrics: SocketAddr) -> Page {
    let answer = get(metrics, "/metrics").expect("the supervisor answers");
    assert_eq!(answer.status, 200, "{}", answer.body);
    Page::parse(&answer.body).unwrap_or_else(|error| panic!("{error}"))
}

/// The pid in what a worker says of itself.
fn pid_of(line: &str) -> Option<i32> {
    line.strip_prefix("worker ")?.split(' ').next()?.parse().ok()
}

#[test]
fn a_grandchild_that_is_killed_is_reclaimed_with_its_counts() {
    const KILLS: u32 = 100;
    let _watchdog = Watchdog::new("a_grandchild_that_is_killed_is_reclaimed_with_its_counts");
    let metrics = free_address();
    let script = format!("for i in $(seq {KILLS}); do \"$0\" 7; done; exit 3");
    let listen = format!("--web.listen-address={metrics}");
    let mut exec =
        Running::start(&mut program(&["exec", &listen, "--", "sh", "-c", &script, WORKER]));
    let mut times: Vec<Duration> = Vec::new();
    let mut before = Page::default();
    for round in 1..=KILLS {
        let pid = pid_of(&exec.line(|line| pid_of(line).is_some())).expect("a worker has a pid");
        let now = page(metrics);
        assert_eq!(now.value("app_done_total", &[("by", "worker")]), Some(f64::from(7 * round)));
        assert_eq!(now.decreases_since(&before), [""; 0]);
        if round == KILLS {
            // The shell ends with the last one, and the program with the shell.
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the worker lives");
            break;
        }
        let begin = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the worker lives");
        before = until(|| {
            let page = page(metrics);
            (page.sum("tallyboard_reclaims_total") == f64::from(round)).then_some(page)
        });
        times.push(begin.elapsed());
    }
    times.sort();
    let ended = exec.end();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    println!(
        "from SIGKILL to a scrape that shows the reclaim: median {:?} of {}, longest {:?}",
        times[times.len() / 2],
        times.len(),
        times[times.len() - 1]
    );
}

/// A /dev with everything but shm.
const WITHOUT_SHM: &str = "d=$(mktemp -d); mount -t tmpfs none $d; \
    for f in null zero full random urandom tty; do touch $d/$f; mount --bind /dev/$f $d/$f; done; \
    mount --rbind $d /dev; test ! -e /dev/shm";
const SMALL_SHM: &str = "mkdir -p /dev/shm; mount -t tmpfs -o size=1m none /dev/shm";

fn everything_works_on_memfd(mounts: &str, reason: &str) {
    let metrics = free_address();
    let listen = format!("--web.listen-address={metrics}");
    // One with a name, which would be one in /dev/shm otherwise.
    let name = format!("nowhere-{}", std::process::id());
    let script = "\"$0\" 5 end; \"$0\" 6";
    let words = ["exec", "--name", &name, &listen, "--", "sh", "-c", script, WORKER];
    let mut exec = Running::start(&mut behind(mounts, &program(&words)));
    exec.line(|line| line.ends_with("slot 0"));
    let second = pid_of(&exec.line(|line| line.contains(" slot "))).expect("a worker has a pid");
    let page = page(metrics);
    assert_eq!(page.value("app_done_total", &[("by", "worker")]), Some(11.0));
    let arena: Vec<_> = page.of("tallyboard_arena_info").map(|(labels, _)| labels).collect();
    assert_eq!(arena[0]["backing"], "memfd", "{arena:?}");
    assert!(arena[0]["reason"].contains(reason), "{arena:?}");
    kill(Pid::from_raw(second), Signal::SIGKILL).expect("the worker lives");
    let ended = exec.end();
    assert_eq!(ended.status.code(), Some(137), "{}", ended.stderr);

    let words = ["demo", "--seconds", "3", "--app-port", "0", "--json"];
    let words = [&words[..], &["--web.listen-address", "127.0.0.1:0"]].concat();
    let ended = Running::start(&mut behind(mounts, &program(&words))).end();
    let numbers: Value =
        serde_json::from_str(ended.stdout.lines().last().unwrap_or_default()).unwrap_or_default();
    assert_eq!(numbers["verdict"], "ok", "{ended:?}");
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn without_dev_shm_everything_works_on_memfd() {
    let _watchdog = Watchdog::new("without_dev_shm_everything_works_on_memfd");
    everything_works_on_memfd(WITHOUT_SHM, "/dev/shm");
    // Where it cannot be had, an object that was asked for is an error that says what to do.
    let words = ["exec", "--backing", "posix", "--", "true"];
    let ended = Running::start(&mut behind(WITHOUT_SHM, &program(&words))).end();
    assert_eq!(ended.status.code(), Some(125), "{ended:?}");
    assert!(ended.stderr.contains("memfd"), "{}", ended.stderr);
}

#[test]
fn with_a_dev_shm_of_one_mebibyte_everything_works_on_memfd() {
    let _watchdog = Watchdog::new("with_a_dev_shm_of_one_mebibyte_everything_works_on_memfd");
    everything_works_on_memfd(SMALL_SHM, "/dev/shm");
}

#[test]
fn an_arena_whose_name_was_made_up_has_nothing_of_another() {
    let _watchdog = Watchdog::new("an_arena_whose_name_was_made_up_has_nothing_of_another");
    // The name is made of a pid, which another process had before, or has in another container that
    // shares /dev/shm: its object is left, or held. While it is empty any start would remove it.
    let what = ["echo 7 >$object", "exec 9>$object; flock 9; echo 7 >&9"];
    for (script, backing) in what.iter().flat_map(|what| [(what, "memfd"), (what, "posix")]) {
        let exec = format!("object=/dev/shm/tallyboard-$(id -u)-exec-$$; {script}; exec \"$@\"");
        let script = "sh -c \"$0\" sh \"$@\"; cat /dev/shm/tallyboard-*";
        let mut command = Command::new("sh");
        command.args(["-ec", script, &exec]).arg(tallyboard()).args(["exec", "--backing", backing]);
        command.args(["--web.listen-address", "127.0.0.1:0", "--"]).arg(tallyboard());
        command.args(["scrape", "--metric", "tallyboard_arena_info"]);
        let ended = Running::start(&mut behind(OWN_SHM, &command)).end();
        assert!(ended.status.success(), "{ended:?}");
        // What was there is its owner's still.
        let page = ended.stdout.strip_suffix("7\n").unwrap_or_else(|| panic!("{ended:?}"));
        let page = Page::parse(page).unwrap_or_else(|error| panic!("{error}"));
        let arena: Vec<_> = page.of("tallyboard_arena_info").map(|(labels, _)| labels).collect();
        assert_eq!(arena[0]["backing"], backing, "{arena:?}");
    }
}

#[test]
fn workers_that_do_not_fit_into_dev_shm_are_refused_and_live() {
    const WORKERS: usize = 120;
    let _watchdog = Watchdog::new("workers_that_do_not_fit_into_dev_shm_are_refused_and_live");
    let metrics = free_address();
    let listen = format!("--web.listen-address={metrics}");
    let script = format!("for i in $(seq {WORKERS}); do \"$0\" 7 & done; wait");
    let words = ["exec", "--backing", "posix", &listen, "--", "sh", "-c", &script, WORKER];
    let mut exec = Running::start(&mut behind(SMALL_SHM, &program(&words)));
    let lines: Vec<String> =
        (0..WORKERS).map(|_| exec.line(|line| line.starts_with("worker "))).collect();
    let page = page(metrics);
    let (attached, refused) =
        (page.sum("tallyboard_attaches_total"), page.sum("tallyboard_attaches_refused_total"));
    let with_slot = lines.iter().filter(|line| line.contains(" slot ")).count();
    assert_eq!(attached, with_slot as f64);
    // Those who got none ask again and again.
    assert!(refused >= (WORKERS - with_slot) as f64, "{attached} attached, {refused} refused");
    assert!((1..WORKERS).contains(&with_slot), "{attached} attached, {refused} refused");
    // What is counted in a slot is exposed, however little room is left for the catalog.
    assert_eq!(page.sum("app_done_total"), 7.0 * attached);
    assert_eq!(page.sum("tallyboard_slots"), 256.0);
    for pid in lines.iter().filter_map(|line| pid_of(line)) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the worker lives");
    }
    let ended = exec.end();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_worker_without_a_supervisor_counts_privately_after_one_warning() {
    let _watchdog = Watchdog::new("a_worker_without_a_supervisor_counts_privately");
    for (address, warnings) in [
        (None, 0),
        (Some("unix:@tallyboard-nobody-listens-here"), 1),
        (Some("unix:/nonexistent/tallyboard.sock"), 1),
        (Some("tcp:127.0.0.1:1"), 1),
    ] {
        let mut command = Command::new(WORKER);
        command.args(["5", "end"]).env_remove("TALLYBOARD");
        address.map(|address| command.env("TALLYBOARD", address));
        let ended = Running::start(&mut command).end();
        assert!(ended.status.success(), "{address:?}: {ended:?}");
        assert!(ended.stdout.ends_with(" private\n"), "{address:?}: {ended:?}");
        let said = ended.stderr.lines().filter(|line| line.starts_with("tallyboard: ")).count();
        assert_eq!(said, warnings, "{address:?}: {}", ended.stderr);
        // It says what was expected, what was found, and what to do.
        assert!(address.is_none_or(|address| ended.stderr.contains(address)), "{}", ended.stderr);
    }
}

#[test]
fn workers_beyond_the_last_slot_are_refused_count_privately_and_are_shown() {
    let _watchdog = Watchdog::new("workers_beyond_the_last_slot_are_refused");
    let metrics = free_address();
    let listen = format!("--web.listen-address={metrics}");
    let script = "\"$0\" 5 & \"$0\" 6 & wait";
    let words = ["exec", &listen, "--slots", "1", "--", "sh", "-c", script, WORKER];
    let mut exec = Running::start(&mut program(&words));
    let lines = [0; 2].map(|_: i32| exec.line(|line| line.starts_with("worker ")));
    let page = page(metrics);
    let is_private = |line: &&String| line.ends_with(" private");
    assert_eq!(lines.iter().filter(is_private).count(), 1, "{lines:?}");
    assert_eq!(page.sum("tallyboard_attaches_total"), 1.0);
    assert_eq!(page.sum("tallyboard_attaches_refused_total"), 1.0);
    let counted = page.sum("app_done_total");
    assert!(counted == 5.0 || counted == 6.0, "{counted}");
    for pid in lines.iter().filter_map(|line| pid_of(line)) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the worker lives");
    }
    let ended = exec.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("--slots"), "{}", ended.stderr);
}

#[test]
fn an_object_that_was_left_behind_is_gone_on_with_or_discarded_as_the_flag_says() {
    let _watchdog = Watchdog::new("an_object_that_was_left_behind_is_gone_on_with_or_discarded");
    let arena = Named::new("left", WORKER);
    let (first, described) = arena.serve(&[]);
    let ended = arena.worker(&["7", "end"]).end();
    assert!(ended.stdout.contains(" slot "), "{ended:?}");
    until(|| (arena.counted() == Some(7.0)).then_some(()));
    leave_behind(first, &described);
    let left = arena.inode().expect("the object is left");

    let (second, again) = arena.serve(&[]);
    assert_eq!((again.arena_id, arena.inode()), (described.arena_id, Some(left)));
    assert_eq!(arena.counted(), Some(7.0));
    leave_behind(second, &again);

    let (third, anew) = arena.serve(&["--discard-arena"]);
    assert_ne!(anew.arena_id, described.arena_id);
    assert_ne!(arena.inode().expect("there is another object"), left);
    assert_eq!(arena.counted(), None);
    third.signal(Signal::SIGTERM);
    let ended = third.end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(arena.inode(), None, "a graceful stop removes the object");
}

#[test]
fn a_graceful_stop_keeps_the_object_of_a_worker_that_an_earlier_keeper_knew() {
    let _watchdog = Watchdog::new("a_graceful_stop_keeps_the_object_of_a_worker");
    let arena = Named::new("kept", WORKER);
    let (first, described) = arena.serve(&[]);
    let worker = arena.worker(&["7"]);
    until(|| (arena.counted() == Some(7.0)).then_some(()));
    leave_behind(first, &described);
    for is_alive in [true, false] {
        let (serve, again) = arena.serve(&[]);
        assert_eq!(again.arena_id, described.arena_id);
        assert_eq!(arena.counted(), Some(7.0));
        if !is_alive {
            worker.signal(Signal::SIGKILL);
            until(|| (ask::describe(&arena.control, HANG).ok()?.taken == 0).then_some(()));
        }
        serve.signal(Signal::SIGTERM);
        assert!(serve.end().status.success());
        assert_eq!(arena.inode().is_some(), is_alive);
    }
    drop(worker.end());
}
