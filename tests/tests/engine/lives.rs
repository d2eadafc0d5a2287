//! The lives of processes: many, short, stopped, half begun, executed anew, with several clients
//! or with children of their own. Each slot belongs to one of them, and comes back when it ends.
//!
//! With `TALLYBOARD_LONG=1` the same tests live much longer.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tallyboard_tests::start::child::{HANG, Watchdog};
use tallyboard_tests::start::long::times;
use tallyboard_tests::start::part;

const PREFORK: &str = env!("CARGO_BIN_EXE_prefork");

fn watchdog(test: &'static str) -> Watchdog {
    Watchdog::with_limit(test, HANG * times(1, 100))
}

fn prefork(words: &[&str]) -> Value {
    part::run(PREFORK, words)
}

/// The word `name` of what was found, as a number.
fn number(found: &Value, name: &str) -> f64 {
    found[name].as_f64().unwrap_or_else(|| panic!("expected a number {name}, found {found}"))
}

fn numbers(found: &Value, name: &str) -> Vec<u64> {
    let numbers = found[name].as_array().into_iter().flatten();
    numbers.filter_map(Value::as_u64).collect()
}

#[test]
fn nothing_of_a_supervisor_grows_with_the_number_of_workers_that_have_died() {
    let _watchdog = watchdog("lives");
    let count = times(5_000, 1_000_000);
    let found = prefork(&["lives", "--count", &count.to_string()]);
    assert_eq!(number(&found, "counted"), f64::from(count));
    assert_eq!(number(&found, "reclaims"), f64::from(count));
    assert_eq!(number(&found, "refused"), 0.0);
    let (settled, end) = (&found["settled"], &found["end"]);
    for same in ["descriptors", "keeper_descriptors", "mappings", "scrape_cells"] {
        assert_eq!(number(settled, same), number(end, same), "{same}");
    }
    // An allocator's heap moves a little; what a life leaves behind would be in it thousandfold.
    let grown = number(end, "resident_kib") - number(settled, "resident_kib");
    assert!(grown <= 512.0, "{grown} KiB more");
}

#[test]
fn a_process_that_executes_itself_in_place_has_one_slot_and_loses_nothing() {
    let _watchdog = watchdog("images");
    let count = times(100, 10_000);
    let found = prefork(&["images", "--count", &count.to_string(), "--each", "100"]);
    assert_eq!(number(&found, "counted"), f64::from(count * 100));
    assert!(number(&found, "most_taken") <= 2.0, "{found}");
    assert_eq!(number(&found, "attaches"), f64::from(count + 1));
    assert_eq!(number(&found, "reclaims"), f64::from(count));
    // All images but the last have ended without the death of a process.
    assert_eq!(number(&found, "exits"), 1.0);
    assert_eq!(number(&found, "refused"), 0.0);
}

#[test]
fn clients_of_one_process_have_a_slot_each_up_to_four() {
    let _watchdog = watchdog("clients");
    let found = prefork(&["clients"]);
    let slots = numbers(&found, "slots");
    assert_eq!(slots[..4].iter().filter(|&&slot| slot != 0).collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(slots[4], 0, "the fifth counts privately");
    assert_eq!(number(&found, "taken"), 4.0);
    assert!(number(&found, "refused") >= 1.0, "{found}");
    assert_eq!(number(&found, "refused"), number(&found, "refused_all"));
    assert_eq!((number(&found, "living"), number(&found, "dead")), (40.0, 40.0));
    assert_eq!(number(&found, "dropped"), 0.0);
    assert_eq!(number(&found, "warnings"), 1.0);
}

#[test]
fn a_zombie_is_reclaimed_before_it_is_reaped() {
    let _watchdog = watchdog("zombie");
    let found = prefork(&["zombie", "--rounds", "20"]);
    assert_eq!(number(&found, "zombies_when_reclaimed"), 20.0);
    assert_eq!(number(&found, "reclaims"), 20.0);
    assert_eq!(number(&found, "counted"), 140.0);
}

#[test]
fn a_stopped_worker_keeps_its_slot_and_counts_on() {
    let _watchdog = watchdog("stopped");
    let found = prefork(&["stopped", "--others", "40"]);
    assert_eq!(found["state"], "live");
    assert_eq!(number(&found, "reclaims_meanwhile"), 40.0);
    assert!(number(&found, "acknowledged") > number(&found, "before"));
    assert_eq!(number(&found, "counted"), number(&found, "acknowledged") + 40.0);
    assert_eq!(number(&found, "reclaims"), 41.0);
}

#[test]
fn a_forked_child_of_a_worker_has_a_slot_of_its_own() {
    let _watchdog = watchdog("grandchild");
    let found = prefork(&["grandchild", "--each", "20000", "--other", "30000"]);
    let slots = numbers(&found, "slots");
    assert_ne!(slots[0], slots[1]);
    assert_eq!(number(&found, "taken"), 3.0);
    for shares in ["living", "dead"] {
        let shares: Vec<_> = found[shares].as_array().into_iter().flatten().collect();
        assert_eq!(shares, [20_000.0, 30_000.0], "{found}");
    }
    assert_eq!(number(&found, "counted_living"), 50_000.0);
    assert_eq!(number(&found, "counted_dead"), 50_000.0);
}

#[test]
fn programs_that_a_worker_starts_leave_its_slot_alone() {
    let _watchdog = watchdog("commands");
    let found = prefork(&["commands", "--count", "100", "--each", "100"]);
    assert_eq!(number(&found, "counted"), 10_001.0);
    assert!(number(&found, "most_taken") <= 2.0, "{found}");
    assert_eq!(number(&found, "attaches"), 2.0);
    assert_eq!(number(&found, "dropped"), 0.0);
}

#[test]
fn a_guard_counts_for_the_process_that_made_it_and_not_for_its_children() {
    let _watchdog = watchdog("guards");
    let found = prefork(&["guards"]);
    // How many were timed, how many are in progress, whether a last time was set.
    assert_eq!(found["held"], json!([1.0, 2.0, false]));
    assert_eq!(found["left"], json!([2.0, 1.0, true]));
    assert_eq!(found["end"], json!([3.0, 0.0, true]));
}

#[test]
fn a_worker_that_closes_every_descriptor_counts_on_and_its_files_stay_its_own() {
    let _watchdog = watchdog("daemon");
    let found = prefork(&["daemon"]);
    assert!(number(&found, "closed") >= 3.0, "{found}");
    assert_eq!(found["is_whole"], true);
    assert_eq!(number(&found, "living"), 5000.0);
    assert_eq!(number(&found, "dead"), 5000.0);
    assert_eq!(number(&found, "series"), 2000.0);
    assert_eq!(number(&found, "many"), 2000.0);
    assert_eq!(number(&found, "dropped"), 0.0);
}

/// What holds however it was that nobody answered.
fn check_silence(found: &Value) {
    let (workers, each) = (number(found, "workers"), number(found, "each"));
    let all = |value: u64| vec![value; workers as usize];
    assert_eq!(numbers(found, "private"), all(1));
    assert_eq!(numbers(found, "warnings"), all(1));
    let (limit, waited) = (number(found, "deadline_ms"), numbers(found, "milliseconds"));
    // Many times the deadline, for a machine that does something else in between.
    assert!(waited.iter().all(|&ms| (ms as f64) < 20.0 * limit), "{waited:?}");
    assert_eq!(number(found, "moved"), workers * each);
    assert_eq!(number(found, "living"), 2.0 * workers * each);
    assert_eq!(number(found, "dead"), 2.0 * workers * each);
    assert_eq!(number(found, "taken"), workers);
    assert_eq!(number(found, "free"), 8.0);
    assert_eq!(number(found, "quarantines"), 0.0);
}

#[test]
fn a_stopped_supervisor_holds_nobody_up_and_moves_everything_when_it_goes_on() {
    let _watchdog = watchdog("stalled");
    let found = prefork(&["stalled"]);
    assert_eq!(found["was_stopped"], true);
    assert_eq!(found["is_same_supervisor"], true);
    check_silence(&found);
}

#[test]
fn a_listener_that_accepts_and_never_answers_is_left_at_the_deadline() {
    let _watchdog = watchdog("mute");
    let found = prefork(&[&["mute"][..], &part::serves()].concat());
    assert!(number(&found, "accepts") >= number(&found, "workers"), "{found}");
    check_silence(&found);
}

#[test]
fn a_listener_with_a_full_backlog_is_left_at_the_deadline() {
    let _watchdog = watchdog("full backlog");
    let found = prefork(&[&["mute", "--backlog", "full"][..], &part::serves()].concat());
    assert!(number(&found, "waiting") >= 1.0, "{found}");
    check_silence(&found);
}

#[test]
fn a_slot_that_was_offered_and_not_taken_is_free_again() {
    let _watchdog = watchdog("halfway");
    let rounds = times(50, 5_000);
    let found = prefork(&["halfway", "--rounds", &rounds.to_string()]);
    // Only those that took their slot have counted.
    assert_eq!(number(&found, "counted"), f64::from(5 * rounds));
    assert_eq!(number(&found, "attaches"), f64::from(3 * rounds + 1));
    assert!(number(&found, "folds") >= f64::from(rounds), "{found}");
    assert_eq!(number(&found, "free"), 3.0);
    assert_eq!(number(&found, "refused"), 0.0);
    assert_eq!(number(&found, "quarantines"), 0.0);
}
