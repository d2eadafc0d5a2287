//! Machines whose /dev/shm is missing or too small, each a mount namespace of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tallyboard_tests::build;
use tallyboard_tests::start::child::{Ended, Running, Watchdog};

/// Runs `words` behind the script `mounts`, in a mount namespace.
fn behind(mounts: &str, program: &Path, words: &[&str], after: &str) -> Ended {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "set -e; {mounts}; echo behind the mounts; status=0; \"$@\" || status=$?; {after}; exit $status"
    );
    unshare.args(["sh", "-c", &script, "sh"]).arg(program).args(words).env_remove("TALLYBOARD");
    let ended = Running::start(&mut unshare).end();
    assert!(
        ended.stdout.starts_with("behind the mounts\n"),
        "expected a mount namespace, found {}; run this test where unshare(2) and mount(2) are permitted: {}",
        ended.status,
        ended.stderr
    );
    ended
}

const SMALL: &str = "mkdir -p /dev/shm; mount -t tmpfs -o size=1m none /dev/shm";
/// The file system below /dev/shm is none of its own, so nothing is mounted there.
const UNMOUNTED: &str = "while mountpoint -q /dev/shm; do umount -l /dev/shm; done";

/// Kills 50 workers; gives what was counted.
fn torture(mounts: &str) {
    let words = ["torture", "--backing", "auto", "--workers", "8", "--kills", "50"];
    let ended = behind(mounts, Path::new(env!("CARGO_BIN_EXE_prefork")), &words, "true");
    let line = ended.stdout.lines().last().unwrap_or_default();
    println!("{line}");
    assert!(ended.status.success(), "{ended:?}");
    let found: Value = serde_json::from_str(line).expect("the last line is JSON");
    for nothing in ["failures", "decreases", "quarantines", "dropped", "refused"] {
        assert_eq!(found[nothing].as_f64(), Some(0.0), "{nothing}: {found}");
    }
    assert_eq!(found["kills"], 50, "{found}");
}

#[test]
fn workers_that_are_killed_lose_nothing_where_nothing_is_mounted_on_dev_shm() {
    let _watchdog = Watchdog::new("torture without /dev/shm");
    torture(UNMOUNTED);
}

#[test]
fn workers_that_are_killed_lose_nothing_where_dev_shm_has_one_mebibyte() {
    let _watchdog = Watchdog::new("torture with a small /dev/shm");
    torture(SMALL);
}

#[test]
fn a_named_arena_without_room_for_its_first_words_leaves_nothing_behind() {
    let _watchdog = Watchdog::new("an arena without room");
    let words = ["exec", "--backing", "posix", "--slots", "32768", "--max-series", "64"];
    let words = [&words[..], &["--web.listen-address", "127.0.0.1:0", "--", "true"]].concat();
    let ended = behind(SMALL, build::tallyboard(), &words, "ls -A /dev/shm");
    assert_eq!(ended.status.code(), Some(125), "{ended:?}");
    assert_eq!(ended.stdout, "behind the mounts\n", "nothing is left in /dev/shm");
    for part in ["No space left", "/dev/shm", "--backing memfd"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
}
