//! What the supervisor refuses or leaves out, and how it says so.

use std::collections::HashMap;

use tallyboard_proto::control::RefusedReason;
use tallyboard_proto::family::GaugeMode;
use tallyboard_proto::layout::Geometry;
use tallyboard_proto::slot::State;

use crate::board::{Board, GEOMETRY, caller, counter, gauge, hello};

fn refused(board: &mut Board, reason: &str) -> Option<f64> {
    board.page().get(&format!(r#"tallyboard_attaches_refused_total{{reason="{reason}"}}"#))
}

#[test]
fn another_layout_or_fingerprint_is_refused_with_both_values_and_what_to_do() {
    let mut board = Board::new();
    let mut other = hello(1);
    other.layout += 1;
    let mut print = hello(1);
    print.fingerprint ^= 1;
    for bad in [&other, &print] {
        let error = board.grant(&caller(1), bad).unwrap_err();
        assert_eq!(error.reason, RefusedReason::Layout);
        let text = error.to_string();
        for part in [
            format!("found {} ({:#018x})", bad.layout, bad.fingerprint),
            "expected layout".into(),
            "use the same release".into(),
        ] {
            assert!(text.contains(&part), "{text:?} has no {part:?}");
        }
    }
    assert_eq!(refused(&mut board, "layout"), Some(2.0));
}

#[test]
fn another_uid_is_refused_and_told_which_is_expected() {
    let mut board = Board::new();
    let mut stranger = caller(1);
    (stranger.uid, stranger.admitted_as) = (65534, 65534);
    let error = board.grant(&stranger, &hello(1)).unwrap_err();
    assert_eq!(error.reason, RefusedReason::Uid);
    let text = error.to_string();
    assert!(text.contains("found 65534") && text.contains("--worker-uid 65534"), "{text}");
    assert_eq!(refused(&mut board, "uid"), Some(1.0));
    assert_eq!(board.core.states()[&State::Free], 6);
    // One that this application has started is let in, and is who it is.
    stranger.admitted_as = 0;
    board.grant(&stranger, &hello(1)).unwrap();
    assert_eq!(board.core.states()[&State::Free], 5);
}

#[test]
fn a_full_slot_table_is_refused_until_somebody_dies() {
    let mut board = Board::new();
    let workers: Vec<_> = (1..=6).map(|pid| board.worker(pid)).collect();
    let error = board.grant(&caller(7), &hello(7)).unwrap_err();
    assert_eq!(error.reason, RefusedReason::SlotsFull);
    assert!(
        error
            .to_string()
            .contains("all 6 slots are taken; start the supervisor with a larger --slots")
    );
    board.kill(&workers[2]);
    board.worker(7);
    assert_eq!(refused(&mut board, "slots_full"), Some(1.0));
}

#[test]
fn a_process_has_at_most_four_slots() {
    let mut board = Board::new();
    for id in 1..=4 {
        board.grant(&caller(1), &hello(id)).unwrap();
    }
    let error = board.grant(&caller(1), &hello(5)).unwrap_err();
    assert_eq!(error.reason, RefusedReason::ProcessLimit);
    // The same client gets the same slot again.
    assert_eq!(board.grant(&caller(1), &hello(2)).unwrap().slot, 1);
    assert_eq!(
        board.core.states(),
        HashMap::from([
            (State::Free, 2),
            (State::Assigned, 4),
            (State::Live, 0),
            (State::Draining, 0)
        ])
    );
}

#[test]
fn a_full_catalog_drops_series_counts_them_and_keeps_the_others() {
    let mut board = Board::with(Geometry { cells: 8, ..GEOMETRY }, 10_000);
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    for number in 0..4 {
        let cell = board.series(&mut a, &counter("c"), &format!("a{number}"));
        board.add(&a, cell, 1);
        let cell = board.series(&mut b, &counter("c"), &format!("b{number}"));
        board.add(&b, cell, 1);
    }
    let page = board.page();
    let exposed = page.order.iter().filter(|key| key.starts_with("c_total")).count();
    assert_eq!(exposed, 4);
    assert_eq!(page.get(r#"tallyboard_dropped_series_total{reason="full"}"#), Some(4.0));
    assert_eq!(page.get("tallyboard_catalog_fill_ratio"), Some(1.0));
    assert_eq!(page.get(r#"tallyboard_limits_met{limit="arena",metric="c"}"#), Some(1.0));
    board.kill(&b);
    let mut board = board.restart();
    assert_eq!(board.page().get(r#"c_total{l="a3"}"#), Some(1.0));
}

#[test]
fn a_familys_limit_of_label_sets_drops_and_counts_what_is_over() {
    let mut board = Board::with(GEOMETRY, 3);
    let mut worker = board.worker(1);
    for number in 0..5 {
        let cell = board.series(&mut worker, &counter("c"), &number.to_string());
        board.add(&worker, cell, 1);
    }
    let cell = board.series(&mut worker, &counter("other"), "x");
    board.add(&worker, cell, 9);
    let page = board.page();
    assert_eq!(page.order.iter().filter(|key| key.starts_with("c_total")).count(), 3);
    assert_eq!(page.get(r#"tallyboard_dropped_series_total{reason="label_limit"}"#), Some(2.0));
    let met: Vec<&String> =
        page.order.iter().filter(|key| key.starts_with("tallyboard_limits_met")).collect();
    assert_eq!(met, [r#"tallyboard_limits_met{limit="label_limit",metric="c"}"#]);
    assert_eq!(page.get(r#"other_total{l="x"}"#), Some(9.0));
}

#[test]
fn of_two_types_in_two_processes_the_first_is_shown_while_its_worker_lives() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    let cell = board.series(&mut a, &counter("c"), "x");
    board.add(&a, cell, 4);
    board.page();
    let cell = board.series(&mut b, &gauge("c", GaugeMode::Sum), "x");
    board.set_gauge(&b, cell, 3.0, 1);
    let cell = board.series(&mut b, &gauge("c_total", GaugeMode::Sum), "x");
    board.set_gauge(&b, cell, 3.0, 1);
    let cell = board.series(&mut b, &counter("fine"), "x");
    board.add(&b, cell, 2);
    for _ in 0..2 {
        let page = board.page();
        assert_eq!(page.get(r#"c_total{l="x"}"#), Some(4.0));
        assert_eq!(page.get(r#"c{l="x"}"#), None);
        assert_eq!(page.get(r#"fine_total{l="x"}"#), Some(2.0));
        assert_eq!(page.get("tallyboard_quarantined_families"), Some(2.0));
        assert_eq!(page.get("tallyboard_quarantined_slots"), Some(0.0));
        board = board.restart();
    }
}

#[test]
fn a_slot_that_dies_while_assigned_is_not_given_to_a_confirmation_that_comes_late() {
    let mut board = Board::new();
    let attached = board.grant(&caller(1), &hello(1)).unwrap();
    let (slot, generation) = (attached.slot as usize, attached.generation);
    board.core.exited(slot, generation);
    board.core.reclaim();
    board.core.confirm(slot, generation);
    board.core.release(slot, generation);
    assert_eq!(board.core.states()[&State::Free], 6);
    let slots: Vec<u64> = (2..8).map(|pid| board.worker(pid).slot as u64).collect();
    assert_eq!(slots, [1, 2, 3, 4, 5, 0], "each slot is free once, oldest first");
}

#[test]
fn a_program_executed_in_place_gives_its_slot_back() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &counter("c"), "x");
    board.add(&worker, cell, 4);
    let mut again = hello(2);
    again.image += 1;
    board.grant(&caller(1), &again).unwrap();
    assert_eq!(board.core.states()[&State::Free], 5);
    assert_eq!(board.page().get(r#"c_total{l="x"}"#), Some(4.0));
}
