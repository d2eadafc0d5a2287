//! What `tests/run` makes of its parts: lanes side by side, one table, one last line, and an end when it
//! is told to end. The lanes here are made up; the real ones are asked for their names alone.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_tests::build::root;
use tallyboard_tests::start::child::{Ended, Running, Watchdog, until};
use tallyboard_tests::start::directory::Directory;

/// Runs this behind `source FILE`. What it writes to `$TMPDIR` does not outlive the test.
fn sourced(file: &str, directory: &Directory, script: &str) -> Running {
    // A shell cannot hear what was ignored when it began.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", "bash", "-c"]).current_dir(root());
    command.arg(format!("source {file}\n{script}"));
    for word in ["TALLYBOARD_LONG", "long"] {
        command.env_remove(word);
    }
    Running::start(command.env("TMPDIR", directory.path()))
}

fn lanes(script: &str) -> (Directory, Ended) {
    let directory = Directory::new("runner");
    let ended = sourced("tests/parts", &directory, script).end();
    (directory, ended)
}

/// The lines of the table, without how long each part took.
fn table(stdout: &str) -> Vec<String> {
    let (_, table) = stdout.split_once("\npart ").expect("a table");
    let lines = table.lines().skip(1).map(|line| {
        let words = line.split_whitespace();
        let is_time = |word: &&str| word.contains('.') && word.parse::<f64>().is_ok();
        words.filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
    });
    lines.collect()
}

fn entries(directory: &Directory) -> usize {
    fs::read_dir(directory.path()).expect("our own").count()
}

#[test]
fn lanes_run_side_by_side_and_stand_in_the_table_in_the_order_of_their_names() {
    let _watchdog = Watchdog::new("lanes side by side");
    // Each waits for the other.
    let (directory, ended) = lanes(
        r#"
        a() {
            part first bash -c 'until [[ -e $TMPDIR/b ]]; do sleep 0.01; done; touch "$TMPDIR/a"'
            part second echo "test result: ok. 3 passed; 0 failed; 0 ignored"
        }
        b() {
            long="does more" part third bash -c 'touch "$TMPDIR/b"; echo "not run: four: no five"'
            part sixth bash -c 'until [[ -e $TMPDIR/a ]]; do sleep 0.01; done'
            absent seventh "nobody has it"
        }
        c() { held second && part eighth true; held seventh || part ninth true; rm "$TMPDIR"/?; }
        side_by_side a b
        side_by_side c
        report
        "#,
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(
        table(&ended.stdout),
        [
            "first ok, 1",
            "second ok, 3",
            "third ok, 1 does more",
            "four not run: no five",
            "sixth ok, 1",
            "seventh not run: nobody has it",
            "eighth ok, 1",
            "ninth ok, 1",
            "8 passed, 0 failed",
        ]
    );
    let (lines, _) = ended.stdout.split_once("\n\npart ").expect("a table");
    assert_eq!(lines.lines().count(), 8, "a line for each as it ends: {lines}");
    assert_eq!(entries(&directory), 0, "what was said is not kept when all is good");
}

#[test]
fn what_fails_is_shown_with_all_that_it_said_and_counted() {
    let _watchdog = Watchdog::new("what fails");
    let (directory, ended) = lanes(
        r#"
        a() {
            part tests bash -c 'echo "test result: FAILED. 3 passed; 2 failed"; exit 101'
            part build bash -c 'echo "it does not build" >&2; exit 1'
            part killed bash -c 'echo "test result: ok. 4 passed; 0 failed"; kill -KILL $$'
            held build || absent others "they do not build"
        }
        side_by_side a
        report
        "#,
    );
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(
        table(&ended.stdout),
        [
            "tests FAILED, 2 of 5",
            "build FAILED, 1 of 1",
            "killed FAILED, 1 of 5",
            "others not run: they do not build",
            "7 passed, 4 failed",
        ]
    );
    for said in ["\n==== tests\ntest result: FAILED. 3 passed", "\n==== build\nit does not build\n"]
    {
        assert!(ended.stdout.contains(said), "{said:?} is not in {}", ended.stdout);
    }
    assert_eq!(entries(&directory), 1, "what was said is kept");
}

#[test]
fn a_lane_that_is_killed_has_failed_whatever_it_had_not_come_to() {
    let _watchdog = Watchdog::new("a lane that is killed");
    let (_directory, ended) = lanes(
        r#"
        a() { part first true; kill -KILL "$BASHPID"; part second true; }
        b() { part third true; }
        side_by_side a b
        report
        "#,
    );
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let table = table(&ended.stdout);
    assert_eq!(
        table[1..],
        ["lane: a FAILED, ended by status 137", "third ok, 1", "2 passed, 1 failed"]
    );
}

#[test]
fn a_lane_that_does_not_come_to_its_end_has_failed_whatever_its_status_is() {
    let _watchdog = Watchdog::new("a lane that leaves");
    let (_directory, ended) = lanes(
        r#"
        leaves() { exit 0; }
        a() { part first true; part second leaves; part third true; }
        side_by_side a unknown
        report
        "#,
    );
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(
        table(&ended.stdout),
        [
            "first ok, 1",
            "lane: a FAILED, left before its end",
            "lane: unknown FAILED, ended by status 1",
            "1 passed, 2 failed"
        ]
    );
    let (_directory, ended) = lanes(
        r#"
        a() { part first bash -c 'exit 1'; rm -rf "$logs"; }
        side_by_side a
        report
        "#,
    );
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

/// Whether a process is there, and does not only wait to be waited for.
fn is_there(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn who_interrupts_a_run_ends_all_that_it_has_started() {
    let _watchdog = Watchdog::new("who interrupts");
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let directory = Directory::new("runner");
        // One hears nothing, one has a session of its own, and one is stopped.
        let running = sourced(
            "tests/parts",
            &directory,
            r#"
            a() {
                part deaf bash -c 'trap "" TERM; echo $$ >"$TMPDIR/deaf"
                    setsid bash -c "echo \$\$ >\$TMPDIR/away; sleep 300; true" & wait'
            }
            b() { part stopped bash -c 'echo $$ >"$TMPDIR/stopped"; kill -STOP $$; sleep 300'; }
            side_by_side a b
            report
            "#,
        );
        let pids = ["deaf", "away", "stopped"].map(|name| {
            until(|| fs::read_to_string(directory.file(name)).ok().filter(|pid| !pid.is_empty()))
        });
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(status), "{ended:?}");
        assert!(ended.stdout.contains("interrupted; what was said is in "), "{ended:?}");
        assert!(!ended.stdout.contains("passed"), "{ended:?}");
        for pid in &pids {
            until(|| (!is_there(pid.trim())).then_some(()));
        }
    }
}

#[test]
fn each_test_is_a_part_of_the_run() {
    let _watchdog = Watchdog::new("each test is a part");
    let directory = Directory::new("runner");
    let script =
        r#"test_files; echo "long: $(adds tests/tests/*/prefork.rs)$(adds tests/tests/*/http.rs)""#;
    let ended = sourced("tests/run", &directory, script).end();
    assert!(ended.status.success(), "{ended:?}");
    let found: BTreeSet<&str> = ended.stdout.lines().collect();
    let manifest = fs::read_to_string(root().join("tests/Cargo.toml")).expect("our own manifest");
    let (_, declared) = manifest.split_once("[[test]]").expect("tests");
    let names = declared.lines().filter_map(|line| line.strip_prefix("name = "));
    let names: Vec<&str> = names.map(|name| name.trim_matches('"')).collect();
    assert!(names.len() >= 40, "{names:?}");
    for name in names.iter().chain(&["protocol", "long: does more"]) {
        assert!(found.contains(name), "{name} is not in {found:?}");
    }
}
