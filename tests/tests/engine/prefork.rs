//! Real processes, forked and killed: what was counted is what was done.
//!
//! With `TALLYBOARD_LONG=1` the same tests run a hundred times as many kills.

use serde_json::Value;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::start::child::{HANG, Watchdog};
use tallyboard_tests::start::{long, part};

const PREFORK: &str = env!("CARGO_BIN_EXE_prefork");

fn times() -> u64 {
    u64::from(long::times(1, 100))
}

fn watchdog(test: &'static str) -> Watchdog {
    Watchdog::with_limit(test, HANG * times() as u32)
}

fn prefork(words: &[&str]) -> Value {
    part::run(PREFORK, words)
}

fn torture(backing: &str, workers: u64, kills: u64, more: &[&str]) -> Value {
    let (workers, kills) = (workers.to_string(), (kills * times()).to_string());
    let words = ["torture", "--backing", backing, "--workers", &workers, "--kills", &kills];
    let found = prefork(&[&words[..], more].concat());
    for nothing in ["decreases", "quarantines", "dropped", "refused"] {
        assert_eq!(found[nothing].as_f64(), Some(0.0), "{nothing}");
    }
    found
}

#[test]
fn every_increment_of_killed_workers_is_counted_once_on_memfd() {
    let _watchdog = watchdog("torture on memfd");
    torture("memfd", 4, 1000, &[]);
}

#[test]
fn every_increment_of_killed_workers_is_counted_once_on_posix() {
    let _watchdog = watchdog("torture on posix");
    torture("posix", 4, 1000, &[]);
}

#[test]
fn sixty_four_workers_are_counted_as_sixteen_are() {
    let _watchdog = watchdog("torture of 64");
    torture("memfd", 64, 300, &["--threads", "1"]);
}

#[test]
fn every_scrape_answers_while_workers_die_in_their_first_milliseconds() {
    let _watchdog = watchdog("early deaths");
    torture("memfd", 16, 1000, &["--early-ms", "5", "--threads", "1"]);
}

#[test]
fn a_supervisor_that_is_killed_under_load_loses_and_doubles_nothing() {
    let _watchdog = watchdog("supervisor killed");
    let found = torture("memfd", 4, 100, &["--supervisor-kills", &(50 * times()).to_string()]);
    assert_eq!(found["supervisor_kills"], 50 * times());
    assert!(found["supervisor_starts"].as_f64() >= Some(50.0), "{found}");
}

#[test]
fn an_arena_whose_keeper_and_supervisor_were_killed_is_gone_on_with_by_name() {
    let _watchdog = watchdog("keeper killed");
    let program = tallyboard();
    let program = program.to_str().expect("a path of this project is text");
    let kills = (20 * times().min(25)).to_string();
    let more = ["--program", program, "--keeper-kills", &kills];
    let found = torture("posix", 4, 20, &more);
    assert_eq!(found["keeper_kills"].as_u64(), kills.parse().ok());
}

#[test]
fn what_was_counted_before_a_supervisor_started_is_moved_into_its_slots() {
    let _watchdog = watchdog("late supervisor");
    let program = tallyboard().to_str().expect("a path of this project is text");
    for _ in 0..times() {
        let found = prefork(&["late", "--program", program, "--before-ms", "2000"]);
        assert!(found["own"].as_f64() > Some(0.0), "{found}");
        let observations = found["observations"].as_f64().unwrap_or_default();
        assert_eq!(found["sum"].as_f64(), Some(observations / 2.0), "{found}");
        // Each of eight workers may have died between its two observations.
        let sizes = found["sizes"].as_f64().unwrap_or_default();
        assert!((observations - 8.0..=observations).contains(&sizes), "{found}");
        assert_eq!(found["highest"], 7.0);
        assert!(found["died_with_them"].as_u64() > Some(0), "{found}");
    }
}

#[test]
fn living_workers_move_into_an_arena_that_replaced_theirs_with_what_they_had_counted() {
    let _watchdog = watchdog("replaced arena");
    let program = tallyboard().to_str().expect("a path of this project is text");
    let found = prefork(&["noticed", "--program", program, "--backing", "memfd"]);
    assert_eq!((&found["taken"], &found["attaches"]), (&4.0.into(), &4.0.into()));
    assert!(found["died_before"].as_f64() > Some(0.0), "{found}");
    assert_eq!(found["of_the_dead"], 0.0);
    let seconds = found["seconds"].as_f64().unwrap_or_default();
    assert_eq!(found["seconds_expected"].as_u64(), Some(seconds as u64));
    assert_eq!(found["sum"], seconds / 2.0);
    for nothing in ["dropped", "quarantines"] {
        assert_eq!(found[nothing], 0.0, "{nothing}");
    }
    assert_eq!(found["decreases"], serde_json::json!([]));
}

#[test]
fn handles_of_a_parent_whose_arena_was_replaced_count_in_its_children() {
    let _watchdog = watchdog("heirs");
    let program = tallyboard().to_str().expect("a path of this project is text");
    for backing in ["memfd", "posix"] {
        let found = prefork(&["heirs", "--program", program, "--backing", backing]);
        assert_eq!(found["is_replaced"], true);
        assert_eq!(found["threads"], 1);
        assert_eq!((&found["taken"], &found["slots"]), (&4.0.into(), &4.into()));
        let shares = |root: f64, new: f64| {
            let seconds = root - 7.0;
            serde_json::json!({
                "root": root, "new": new, "seconds": seconds, "sum": seconds / 2.0,
                "others": 7.0, "other_seconds": 7.0,
            })
        };
        assert_eq!(found["without_parent"], shares(1007.0, 1.0));
        assert_eq!(found["living"], shares(2027.0, 2.0));
        assert_eq!(found["dead"], shares(2027.0, 2.0));
        for nothing in ["early", "dropped", "quarantines"] {
            assert_eq!(found[nothing], 0.0, "{nothing}");
        }
    }
}

#[test]
fn a_process_that_found_nobody_attaches_at_once_when_it_is_told_to() {
    let _watchdog = watchdog("asks");
    let program = tallyboard().to_str().expect("a path of this project is text");
    let found = prefork(&["asks", "--program", program, "--backing", "memfd"]);
    assert_eq!((&found["living"], &found["dead"]), (&10.0.into(), &10.0.into()));
    assert_eq!((&found["taken"], &found["attaches"]), (&1.0.into(), &1.0.into()));
}

#[test]
fn handles_made_before_a_fork_count_in_every_child() {
    let _watchdog = watchdog("preload");
    let found = prefork(&["preload", "--children", "8"]);
    assert_eq!(found["requests_living"], 8010.0);
    assert_eq!(found["requests_dead"], 8010.0);
    assert_eq!(found["seconds"], 8001.0);
    assert_eq!(found["bytes"], 16002.0);
    assert_eq!(found["busy_living"], 9.0);
    assert_eq!(found["busy_dead"], 1.0);
    assert_eq!(found["slots"], 9);
    assert_eq!(found["classes"], 1.0);
}

#[test]
fn a_parent_that_spawned_a_keeper_has_one_thread_after_a_thousand_forks() {
    let _watchdog = watchdog("forks");
    let found = prefork(&["forks", "--count", "1000"]);
    assert_eq!(found["threads"], 1);
    assert_eq!(found["counted"], 1000.0);
    let refusal = found["refusal"].as_str().unwrap_or_default();
    assert!(refusal.contains("1 thread, found 2"), "{refusal}");
}
