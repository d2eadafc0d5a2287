//! Every instrument across real processes, as the parts of the program `prefork` find it.
//!
//! With `TALLYBOARD_LONG=1` the same tests scrape and kill many times more.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::start::child::{HANG, Running, Watchdog};
use tallyboard_tests::start::long;
use tallyboard_tests::start::part::{self, end};

const PREFORK: &str = env!("CARGO_BIN_EXE_prefork");

fn times() -> u32 {
    long::times(1, 10)
}

fn watchdog(test: &'static str) -> Watchdog {
    Watchdog::with_limit(test, HANG * times())
}

fn start(words: &[&str]) -> Running {
    part::start(PREFORK, &[words, &part::serves()].concat())
}

fn check(part: &str, backing: &str, rows: u64) {
    let words = [part, "--backing", backing];
    let found = end(&words, start(&words));
    assert!(
        found["rows"].as_u64() >= Some(rows) && found["lines"].as_u64() > Some(rows),
        "{found}"
    );
    assert_eq!(found["dropped"], 0.0);
}

#[test]
fn every_feature_is_shown_before_a_death_after_it_and_by_the_next_supervisor_on_memfd() {
    let _watchdog = watchdog("features on memfd");
    check("features", "memfd", 55);
}

#[test]
fn every_feature_is_shown_before_a_death_after_it_and_by_the_next_supervisor_on_posix() {
    let _watchdog = watchdog("features on posix");
    check("features", "posix", 55);
}

#[test]
fn constant_labels_and_slots_give_way_to_the_labels_of_a_family() {
    let _watchdog = watchdog("labelled");
    check("labelled", "memfd", 6);
}

#[test]
fn gauges_that_name_no_mode_have_that_of_their_registry() {
    let _watchdog = watchdog("default mode");
    check("default-mode", "memfd", 2);
}

#[test]
fn processor_time_of_the_service_never_falls() {
    let _watchdog = watchdog("spent");
    let found = end(&["spent"], start(&["spent"]));
    let spent = found["spent"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let spent: Vec<f64> = spent.collect();
    assert!(spent.len() == 5 && spent.is_sorted() && spent[4] > 0.0, "{found}");
}

#[test]
fn every_scrape_under_sixteen_writers_is_whole_and_less_than_none_before_it() {
    let _watchdog = watchdog("consistent");
    let scrapes = (2000 * times()).to_string();
    let words = ["consistent", "--writers", "16", "--scrapes", &scrapes];
    let found = end(&words, start(&words));
    // Three points of a page, the first and the last of which have one neighbour only.
    assert_eq!(found["points"], 5 * (2000 * times() - 2));
    assert!(found["observations"].as_f64() > Some(1000.0), "{found}");
    assert_eq!(found["dropped"], 0.0);
}

#[test]
fn an_arena_is_sound_at_every_moment_of_its_torture() {
    let _watchdog = watchdog("inspected");
    let (kills, supervisor_kills) = ((100 * times()).to_string(), (5 * times()).to_string());
    let words = ["torture", "--backing", "posix", "--workers", "8", "--kills", &kills];
    let words = [&words[..], &["--supervisor-kills", &supervisor_kills]].concat();
    let mut running = start(&words);
    let name = format!("prefork-{}", running.pid());
    let mut sound = 0;
    while running.is_running() {
        let inspected = Command::new(tallyboard()).args(["inspect", &name]).output();
        let inspected = inspected.expect("the program starts");
        let page = String::from_utf8_lossy(&inspected.stdout);
        let log = String::from_utf8_lossy(&inspected.stderr);
        // Before the arena is made and after it is gone there is none.
        let is_there = !log.contains("found none");
        assert!(!is_there || inspected.status.success(), "{page}{log}");
        sound += u32::from(is_there);
        std::thread::sleep(Duration::from_millis(50));
    }
    let found = end(&words, running);
    println!("{sound} inspections");
    assert!(sound >= 5, "{found}");
}
