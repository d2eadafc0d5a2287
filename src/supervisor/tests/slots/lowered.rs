//! Values that a worker sets to lower ones: what it takes back is taken off, and nothing else is.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::family::GaugeMode;
use tallyboard_proto::log::{Action, Record, Removal};
use tallyboard_proto::word::Words;

use crate::board::{Board, counter, gauge, histogram, native, summary};

const X: &str = r#"c_total{l="x"}"#;

fn float(value: f64) -> u64 {
    value.to_bits()
}

#[test]
fn what_a_worker_takes_back_is_taken_off_once_whoever_restarts_and_dies() {
    for bits in 0..16_u32 {
        let again = |board: Board, bit: u32| match bits & 1 << bit {
            0 => board,
            _ => board.restart(),
        };
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
        let of_a = board.series(&mut a, &counter("c"), "x");
        let of_b = board.series(&mut b, &counter("c"), "x");
        board.add(&a, of_a, 10);
        board.add(&b, of_b, 7);
        board.add_float(&b, of_b + 1, 0.25);
        assert_eq!(board.page().get(X), Some(17.25));
        board.lower(&mut a, of_a, &[6, 0], 20);
        // Behind its word it counts on.
        board.add(&a, of_a, 1);
        board = again(board, 0);
        assert_eq!(board.page().get(X), Some(12.25), "{bits}");
        assert_eq!((board.life(0).created_ms, board.life(0).is_renewed), (20, true));
        board = again(board, 1);
        // Before the supervisor hears of it, the worker dies.
        board.lower(&mut b, of_b, &[2, float(0.25)], 21);
        board.lower(&mut a, of_a, &[1, 0], 22);
        if bits & 8 == 0 {
            assert_eq!(board.page().get(X), Some(9.0), "{bits}");
        }
        board.kill(&b);
        board = again(board, 2);
        for _ in 0..2 {
            assert_eq!(board.page().get(X), Some(9.0), "{bits}");
            assert_eq!(board.life(0).created_ms, 22);
            board = again(board, 3);
        }
        board.kill(&a);
        assert_eq!(board.page().get(X), Some(9.0), "{bits}");
        // The next worker of a slot is not its last one.
        let next = board.worker(3);
        board.add(&next, of_a, 4);
        assert_eq!(board.restart().page().get(X), Some(13.0), "{bits}");
    }
}

#[test]
fn the_fraction_of_a_counter_gets_what_its_whole_cell_loses_too_much() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &counter("c"), "x");
    board.add(&worker, cell, 10);
    board.page();
    board.lower(&mut worker, cell, &[6, float(-0.5)], 20);
    for _ in 0..2 {
        assert_eq!(board.page().get(X), Some(4.5));
        board = board.restart();
    }
    // Of what it got it can take back.
    board.lower(&mut worker, cell, &[0, float(0.25)], 21);
    assert_eq!(board.page().get(X), Some(4.25));
    board.lower(&mut worker, cell, &[4, float(0.25)], 22);
    assert_eq!(board.page().get(X), Some(0.0));
    board.add(&worker, cell, 7);
    board.lower(&mut worker, cell, &[3, float(-0.5)], 23);
    assert_eq!(board.page().get(X), Some(4.5));
    board.kill(&worker);
    assert_eq!(board.page().get(X), Some(4.5));
    let mut next = board.worker(2);
    board.say(&mut next, cell, Action::Reset, 30);
    assert_eq!(board.page().get(X), Some(0.0));
    assert_eq!(board.restart().page().get(X), Some(0.0));
}

#[test]
fn a_sum_or_a_bucket_is_lowered_and_the_other_numbers_of_the_series_stay() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
    for worker in [&mut a, &mut b] {
        for (family, times) in [(histogram("h"), 3), (summary("s"), 2)] {
            let cell = board.series(worker, &family, "x");
            let sum = cell + family.kind.cells() - 2;
            board.add(worker, cell, times);
            board.add_float(worker, sum, 0.5 * times as f64);
        }
    }
    let histogram_of_a = board.series(&mut a, &histogram("h"), "x");
    let summary_of_a = board.series(&mut a, &summary("s"), "x");
    board.page();
    board.lower(&mut a, histogram_of_a, &[2, 0, 0, 0, 0], 20);
    board.lower(&mut a, summary_of_a, &[0, float(0.75), 0], 21);
    for _ in 0..2 {
        let page = board.page();
        for (key, expected) in [
            (r#"h_bucket{l="x",le="1.0"}"#, 4.0),
            (r#"h_count{l="x"}"#, 4.0),
            (r#"h_sum{l="x"}"#, 3.0),
            (r#"s_count{l="x"}"#, 4.0),
            (r#"s_sum{l="x"}"#, 1.25),
        ] {
            assert_eq!(page.get(key), Some(expected), "{key}");
        }
        board = board.restart();
    }
    // The sum of the histogram has its floor still, that of the summary begins anew.
    let floor = |cell: usize| f64::from_bits(board.core.arena().load(cell, Relaxed));
    assert_eq!(floor(board.layout.floors + 3), 3.0);
    assert_eq!(floor(board.layout.floors + 5 + 1), 1.25);
}

#[test]
fn a_sum_of_any_amounts_is_lowered_by_any_number() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &summary("s"), "x");
    board.add(&worker, cell, 1);
    board.add_float(&worker, cell + 1, 2.0);
    board.page();
    board.add(&worker, cell + 2, 1);
    board.lower(&mut worker, cell, &[0, float(5.0), 0], 20);
    for _ in 0..2 {
        assert_eq!(board.page().get(r#"s_sum{l="x"}"#), Some(-3.0));
        board = board.restart();
    }
    board.lower(&mut worker, cell, &[0, float(f64::NAN), 0], 21);
    board.lower(&mut worker, cell, &[0, float(f64::INFINITY), 0], 22);
    assert_eq!(board.page().get(r#"s_sum{l="x"}"#), Some(-3.0));
}

#[test]
fn a_native_histogram_is_lowered_with_its_buckets() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let family = native("n", 8);
    let cell = board.series(&mut worker, &family, "x");
    let buckets = ["0+1/0", "1+3/0"].map(|text| board.bucket(&mut worker, &family, "x", text));
    buckets.iter().for_each(|&bucket| board.add(&worker, bucket, 5));
    board.add_float(&worker, cell + 2, 9.0);
    board.page();
    let (series, action, at_ms) = (0, Action::Lower, 20);
    let cells = [0, 0, float(2.5), 0, 2, 3].into();
    board.append(&mut worker, Record::Removal(Removal { series, action, at_ms, cells }));
    for _ in 0..2 {
        let page = board.page();
        assert_eq!(page.get(r#"n_count{l="x"}"#), Some(7.0));
        assert_eq!(page.get(r#"n_sum{l="x"}"#), Some(6.5));
        board = board.restart();
    }
}

#[test]
fn a_removed_series_that_is_lowered_stays_removed_and_what_was_counted_since_is_lowered() {
    for is_heard in [false, true] {
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
        let of_a = board.series(&mut a, &counter("c"), "x");
        let of_b = board.series(&mut b, &counter("c"), "x");
        board.add(&a, of_a, 10);
        board.add(&b, of_b, 5);
        board.page();
        board.say(&mut a, of_a, Action::Remove, 10);
        if is_heard {
            assert_eq!(board.page().get(X), Some(15.0));
        }
        board.add(&a, of_a, 3);
        board.lower(&mut a, of_a, &[2, 0], 11);
        assert_eq!(board.page().get(X), Some(16.0), "{is_heard}: the other holds it");
        board.say(&mut b, of_b, Action::Remove, 12);
        assert_eq!(board.page().get(X), None, "{is_heard}");
        // Nobody holds it, and it is begun by being counted.
        board.add(&a, of_a, 4);
        board.lower(&mut a, of_a, &[3, 0], 13);
        assert_eq!(board.page().get(X), Some(1.0), "{is_heard}");
        // All at once: what was there at the removal is gone, of the rest it takes back a part.
        board.say(&mut a, of_a, Action::Remove, 14);
        board.add(&a, of_a, 6);
        board.lower(&mut a, of_a, &[2, 0], 15);
        // The first look hides it, the second one finds it counted.
        board.page();
        for _ in 0..2 {
            assert_eq!(board.page().get(X), Some(4.0), "{is_heard}");
            board = board.restart();
        }
    }
}

#[test]
fn a_worker_takes_back_no_more_than_it_has_counted_and_than_there_is() {
    for (amounts, expected) in [
        ([u64::MAX, float(1e300)], 7.0),
        ([100, float(f64::NAN)], 7.5),
        ([0, float(f64::NEG_INFINITY)], 18.5),
        ([0, float(-1e300)], 18.5),
        ([3, float(f64::INFINITY)], 14.0),
    ] {
        let mut board = Board::new();
        let (mut good, mut bad) = (board.worker(1), board.worker_without_prefix(2));
        let cell = board.series(&mut good, &counter("c"), "x");
        let of_bad = board.series(&mut bad, &counter("c"), "x");
        board.add(&good, cell, 7);
        board.add(&bad, of_bad, 10);
        board.add_float(&bad, of_bad + 1, 0.5);
        board.page();
        board.lower(&mut bad, of_bad, &amounts, 5);
        for _ in 0..2 {
            let page = board.page();
            assert_eq!(page.get(X), Some(expected), "{amounts:?}");
            assert_eq!(page.get("tallyboard_quarantined_slots"), Some(0.0));
            board = board.restart();
        }
        // What was reset by another one meanwhile was taken off already.
        board.say(&mut good, cell, Action::Reset, 6);
        board.page();
        board.lower(&mut bad, of_bad, &amounts, 7);
        assert_eq!(
            board.page().get(X).map(f64::floor),
            Some(if amounts[0] == 0 { 1.0 } else { 0.0 })
        );
    }
}

#[test]
fn what_is_set_and_not_counted_is_not_lowered() {
    let mut board = Board::new();
    let (good, mut bad) = (board.worker(1), board.worker(2));
    let cell = board.series(&mut bad, &gauge("g", GaugeMode::Sum), "x");
    board.set_gauge(&bad, cell, 4.0, 1);
    assert_eq!(board.page().get("tallyboard_quarantined_slots"), Some(0.0));
    board.kill(&good);
    let words = Removal { series: 0, action: Action::Lower, at_ms: 5, cells: [1, 0].into() };
    let words = Record::Removal(words).to_words();
    let area = board.layout.slot_log(bad.slot);
    tallyboard_proto::log::append(board.core.arena(), area, bad.log_words, &words).expect("room");
    assert_eq!(board.page().get("tallyboard_quarantined_slots"), Some(1.0));
}
