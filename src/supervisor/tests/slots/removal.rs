//! Resets and removals: who says so, who holds on, who has died, and when the supervisor does.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::log::{self, Action, Record, Removal};
use tallyboard_proto::word::Words;

use crate::board::{Board, Worker, counter, gauge, histogram, native, summary};

const X: &str = r#"c_total{l="x"}"#;

/// A sample of a kind that counts, and what one event adds to it.
struct Count {
    family: Family,
    /// The cell that an event adds 1 to.
    whole: usize,
    /// The cell that it adds 0.5 to.
    float: Option<usize>,
    key: &'static str,
    step: f64,
}

impl Count {
    fn count(&self, board: &Board, worker: &mut Worker, times: u32) {
        let cell = board.series(worker, &self.family, "x");
        let whole = match self.family.kind {
            // Each worker has a bucket of its own, and one that all have.
            Kind::NativeHistogram(_) => {
                let own = format!("1+{}/0", 3 + worker.slot);
                let bucket = if times.is_multiple_of(2) { own.as_str() } else { "0+1/0" };
                board.bucket(worker, &self.family, "x", bucket)
            }
            _ => cell + self.whole,
        };
        board.add(worker, whole, times.into());
        let amount = 0.5 * f64::from(times);
        self.float.into_iter().for_each(|at| board.add_float(worker, cell + at, amount));
    }
}

fn counts() -> Vec<Count> {
    let row = |family, whole, float, key, step| Count { family, whole, float, key, step };
    vec![
        row(counter("c"), 0, None, X, 1.0),
        row(counter("c"), 0, Some(1), X, 1.5),
        row(histogram("h"), 1, Some(3), r#"h_count{l="x"}"#, 1.0),
        row(histogram("h"), 1, Some(3), r#"h_sum{l="x"}"#, 0.5),
        row(histogram("h"), 1, Some(3), r#"h_bucket{l="x",le="2.0"}"#, 1.0),
        row(summary("s"), 0, Some(1), r#"s_count{l="x"}"#, 1.0),
        row(summary("s"), 0, Some(1), r#"s_sum{l="x"}"#, 0.5),
        row(native("n", 8), 0, None, r#"n_count{l="x"}"#, 1.0),
        row(native("n", 8), 0, Some(2), r#"n_sum{l="x"}"#, 0.5),
        row(native("n", 1), 0, Some(2), r#"n_bucket{l="x",le="+Inf"}"#, 1.0),
    ]
}

#[test]
fn a_reset_takes_off_what_all_have_counted_whoever_says_so_and_whoever_restarts() {
    for (of, restarts) in counts().iter().flat_map(|of| (0..8_u32).map(move |bits| (of, bits))) {
        let context = format!("{} in steps of {}, restarts {restarts:03b}", of.key, of.step);
        let expect = |board: Board, events: u32, bit: u32, when: &str| {
            let mut board = if restarts & bit == 0 { board } else { board.restart() };
            for _ in 0..2 {
                let found = board.page().get(of.key);
                assert_eq!(found, Some(f64::from(events) * of.step), "{context}, {when}");
            }
            board
        };
        let mut board = Board::new();
        let mut workers = [1, 2, 3].map(|pid| board.worker_without_prefix(pid));
        workers.iter_mut().for_each(|worker| of.count(&board, worker, 4));
        board = expect(board, 12, 1, "before");
        // What the third has counted is folded before the reset is seen, or after it.
        if restarts & 4 == 0 {
            board.kill(&workers[2]);
        }
        board.say(&mut workers[1], 0, Action::Reset, 70);
        of.count(&board, &mut workers[1], 5);
        if restarts & 4 != 0 {
            board.kill(&workers[2]);
        }
        board = expect(board, 5, 2, "after the reset");
        assert_eq!(board.life(0).created_ms, 70, "{context}");
        workers[..2].iter_mut().for_each(|worker| of.count(&board, worker, 1));
        board = expect(board, 7, 4, "counted on");
        board.kill(&workers[1]);
        board = expect(board, 7, 1, "after the death of who reset it");
        let mut next = board.worker(9);
        of.count(&board, &mut next, 2);
        board = expect(board, 9, 2, "a new worker");
        board.kill(&workers[0]);
        expect(board, 9, 4, "after another death");
    }
}

#[test]
fn a_series_is_hidden_when_its_last_holder_removes_it_and_begins_anew_when_it_is_counted() {
    for restarts in 0..4_u32 {
        let again = |board: Board, bit| if restarts & bit == 0 { board } else { board.restart() };
        let mut board = Board::new();
        board.core.set_time(500);
        let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
        let of_a = board.series(&mut a, &counter("c"), "x");
        let of_b = board.series(&mut b, &counter("c"), "x");
        board.add(&a, of_a, 3);
        board.add(&b, of_b, 4);
        assert_eq!(board.page().get(X), Some(7.0));
        board.say(&mut a, of_a, Action::Remove, 20);
        board = again(board, 1);
        assert_eq!(board.page().get(X), Some(7.0), "b holds it");
        board.say(&mut b, of_b, Action::Remove, 21);
        board = again(board, 2);
        assert_eq!(board.page().get(X), None);
        assert!(board.life(0).is_hidden && board.life(0).is_removed);
        board = again(board, 1);
        assert_eq!(board.page().get(X), None);
        // Through a handle that is older than the removal.
        board.add(&a, of_a, 2);
        board.core.set_time(600);
        assert_eq!(board.page().get(X), Some(2.0));
        assert_eq!(board.page().get(X), Some(2.0));
        assert!(board.life(0).is_renewed && board.life(0).created_ms == 600);
        board.kill(&a);
        board = again(board, 2);
        assert_eq!(board.page().get(X), Some(2.0));
        board.say(&mut b, of_b, Action::Hold, 30);
        board.add(&b, of_b, 1);
        assert_eq!(board.page().get(X), Some(3.0));
        board.say(&mut b, of_b, Action::Remove, 31);
        assert_eq!(board.page().get(X), None);
        board.say(&mut b, of_b, Action::Hold, 40);
        board = again(board, 1);
        assert_eq!(board.page().get(X), Some(0.0));
        assert_eq!(board.life(0).created_ms, 40);
    }
}

#[test]
fn who_holds_a_series_is_who_began_it_counted_it_or_says_so() {
    // What the other worker does before the removal; whether it holds the series then.
    for (what, holds) in [("began", true), ("nothing", false), ("counted", true), ("hold", true)] {
        let mut board = Board::new();
        let mut a = board.worker(1);
        let cell = board.series(&mut a, &counter("c"), "x");
        board.add(&a, cell, 3);
        board.page();
        let mut b = if what == "began" { board.worker_without_prefix(2) } else { board.worker(2) };
        let of_b = board.series(&mut b, &counter("c"), "x");
        match what {
            "counted" => board.add(&b, of_b, 1),
            "hold" => board.say(&mut b, of_b, Action::Hold, 5),
            _ => {}
        }
        board.say(&mut a, cell, Action::Remove, 6);
        assert_eq!(board.page().get(X).is_some(), holds, "{what}");
        assert_eq!(board.restart().page().get(X).is_some(), holds, "{what}, after a restart");
    }
}

#[test]
fn a_series_is_hidden_when_its_last_holder_dies_and_shown_when_one_begins_it_again() {
    let mut board = Board::new();
    // The children of a preloading parent have its log, and so all hold it.
    let mut children: Vec<_> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    for child in &mut children {
        let cell = board.series(child, &counter("c"), "x");
        board.add(child, cell, 2);
    }
    board.page();
    for child in children.iter_mut().take(2) {
        board.say(child, 0, Action::Remove, 9);
        assert_eq!(board.page().get(X), Some(6.0));
    }
    board.kill(&children[2]);
    assert_eq!(board.page().get(X), None);
    board.core.set_time(700);
    let mut next = board.worker_without_prefix(4);
    let cell = board.series(&mut next, &counter("c"), "x");
    assert_eq!(board.page().get(X), Some(0.0), "it is begun again");
    assert_eq!(board.life(0).created_ms, 700);
    board.add(&next, cell, 5);
    assert_eq!(board.restart().page().get(X), Some(5.0));
}

#[test]
fn a_filtered_scrape_applies_what_was_said_and_looks_at_its_families() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker_without_prefix(1), board.worker_without_prefix(2));
    for worker in [&mut a, &mut b] {
        for name in ["c", "d"] {
            let cell = board.series(worker, &counter(name), "x");
            board.add(worker, cell, 3);
        }
    }
    let scrape = |board: &mut Board, name: &str| {
        let page = board.core.expose(&[name.into()]);
        crate::board::Page::parse(&page).get(&format!(r#"{name}_total{{l="x"}}"#))
    };
    board.page();
    // The rows of the family that is not asked for are read as well.
    board.add(&b, 2, 4);
    board.say(&mut a, 2, Action::Reset, 5);
    assert_eq!(scrape(&mut board, "c"), Some(6.0));
    assert_eq!(scrape(&mut board, "d"), Some(0.0));
    board.say(&mut a, 0, Action::Remove, 6);
    board.kill(&b);
    assert_eq!(scrape(&mut board, "d"), Some(0.0));
    assert_eq!(scrape(&mut board, "c"), None, "its last holder has died");
    board.add(&a, 0, 1);
    assert_eq!(scrape(&mut board, "c"), Some(1.0), "it is counted again");
}

#[test]
fn gauges_of_every_mode_are_forgotten_and_set_again() {
    for mode in GaugeMode::EVERY {
        for restarts in [false, true] {
            let again = |board: Board| if restarts { board.restart() } else { board };
            let mut board = Board::new();
            let family = gauge("g", mode);
            let mut workers: Vec<_> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
            for worker in &mut workers {
                let cell = board.series(worker, &family, "x");
                board.set_gauge(worker, cell, 4.0, 1);
            }
            let shown = |board: &mut Board| {
                let page = board.page();
                page.order.iter().filter(|key| key.starts_with("g{")).count()
            };
            let all = if mode.is_per_process() { 3 } else { 1 };
            assert_eq!(shown(&mut board), all, "{mode:?}");
            board.kill(&workers[2]);
            board.say(&mut workers[0], 0, Action::Remove, 5);
            board = again(board);
            assert!(shown(&mut board) >= 1, "{mode:?}: one holds it");
            board.say(&mut workers[1], 0, Action::Remove, 5);
            assert_eq!(shown(&mut board), 0, "{mode:?}");
            board = again(board);
            assert_eq!(shown(&mut board), 0, "{mode:?}");
            board.set_gauge(&workers[1], 0, 7.0, 2);
            assert_eq!(shown(&mut board), 1, "{mode:?}: set again");
            board = again(board);
            let page = board.page();
            let value = page.values.iter().find(|(key, _)| key.starts_with("g{"));
            assert_eq!(value.map(|(_, value)| *value), Some(7.0), "{mode:?}");
            // Set again by one that dies before the next scrape.
            board.say(&mut workers[1], 0, Action::Remove, 6);
            assert_eq!(shown(&mut board), 0, "{mode:?}");
            board.set_gauge(&workers[1], 0, 8.0, 3);
            board.kill(&workers[1]);
            let outlives = usize::from(mode.outlives_its_process());
            assert_eq!(shown(&mut board), outlives, "{mode:?}: of the dead");
        }
    }
}

#[test]
fn a_hidden_series_has_no_floor_and_its_next_life_begins_below_the_last() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &summary("s"), "x");
    board.add(&worker, cell, 1);
    board.add_float(&worker, cell + 1, 9.25);
    board.page();
    let floor = board.layout.floors + cell + 1;
    assert_eq!(board.core.arena().load(floor, Relaxed), 9.25_f64.to_bits());
    board.say(&mut worker, cell, Action::Remove, 5);
    board.page();
    assert_eq!(board.core.arena().load(floor, Relaxed), 0);
    board.add_float(&worker, cell + 1, 0.5);
    board.add(&worker, cell, 1);
    for _ in 0..2 {
        assert_eq!(board.page().get(r#"s_sum{l="x"}"#), Some(0.5));
        board = board.restart();
    }
}

#[test]
fn hostile_removals_quarantine_or_take_off_no_more_than_there_is() {
    let float = f64::to_bits;
    let nan = float(f64::NAN);
    let removal = |series, action, at_ms, cells: &[u64]| {
        Record::Removal(Removal { series, action, at_ms, cells: cells.into() }).to_words()
    };
    let mut action_4 = removal(0, Action::Remove, 1, &[0, 0]);
    action_4[1] = 4;
    // Words, and whether the slot is quarantined.
    let rows = [
        (removal(9, Action::Reset, 1, &[0, 0]), true),
        (removal(u32::MAX, Action::Remove, 1, &[0, 0]), true),
        (removal(0, Action::Reset, 1, &[0]), true),
        (removal(0, Action::Reset, 1, &[]), true),
        (removal(0, Action::Hold, 1, &[0; 3]), true),
        (action_4, true),
        (removal(0, Action::Reset, 1, &[u64::MAX, float(1e300)]), false),
        (removal(0, Action::Reset, u64::MAX, &[100, 0]), false),
        (removal(0, Action::Reset, 1, &[100, float(-1e300)]), false),
        (removal(0, Action::Reset, 1, &[100, nan]), false),
        (removal(0, Action::Reset, 1, &[100, float(f64::NEG_INFINITY)]), false),
        (removal(0, Action::Remove, u64::MAX, &[u64::MAX, nan]), false),
    ];
    for (row, (words, is_quarantined)) in rows.into_iter().enumerate() {
        let mut board = Board::new();
        let (mut good, mut bad) = (board.worker(1), board.worker(2));
        let own = board.series(&mut good, &counter("own"), "x");
        let cell = board.series(&mut good, &counter("c"), "x");
        board.add(&good, own, 7);
        board.add(&good, cell, 10);
        let of_bad = board.series(&mut bad, &counter("c"), "x");
        board.add(&bad, of_bad, 100);
        board.page();
        let area = board.layout.slot_log(bad.slot);
        log::append(board.core.arena(), area, bad.log_words, &words).expect("room in the log");
        for _ in 0..2 {
            let page = board.page();
            let found = page.get("tallyboard_quarantined_slots");
            assert_eq!(found, Some(f64::from(is_quarantined)), "row {row}");
            let most = if is_quarantined { 110.0 } else { 0.0 };
            let is_removed = words[1] == Action::Remove as u64 && !is_quarantined;
            let most = if is_removed { 110.0 } else { most };
            assert_eq!(page.get(X), Some(most), "row {row}");
            assert_eq!(page.get(r#"own_total{l="x"}"#), Some(7.0), "row {row}");
            board = board.restart();
        }
        board.kill(&bad);
        board.add(&good, own, 1);
        assert_eq!(board.page().get(r#"own_total{l="x"}"#), Some(8.0), "row {row}");
    }
}

#[test]
fn what_a_worker_reset_before_it_was_quarantined_is_reset_once() {
    let mut board = Board::new();
    let (mut good, mut bad) = (board.worker(1), board.worker_without_prefix(2));
    let cell = board.series(&mut good, &counter("c"), "x");
    let of_bad = board.series(&mut bad, &counter("c"), "x");
    board.add(&good, cell, 10);
    board.page();
    board.say(&mut bad, of_bad, Action::Reset, 5);
    board.add(&good, cell, 1);
    assert_eq!(board.page().get(X), Some(0.0));
    board.add(&good, cell, 2);
    assert_eq!(board.page().get(X), Some(2.0));
    // The next supervisor reads the reset again, and behind it what is no record.
    let area = board.layout.slot_log(bad.slot);
    log::append(board.core.arena(), area, bad.log_words, &[u64::MAX]).expect("room in the log");
    let mut board = board.restart();
    for _ in 0..2 {
        let page = board.page();
        assert_eq!(page.get("tallyboard_quarantined_slots"), Some(1.0));
        assert_eq!(page.get(X), Some(2.0));
        board = board.restart();
    }
}

#[test]
fn resets_of_several_workers_are_applied_in_the_order_of_time_and_nothing_comes_back() {
    for times in [[10, 20], [20, 10]] {
        let mut board = Board::new();
        let mut workers = [1, 2].map(|pid| board.worker_without_prefix(pid));
        for worker in &mut workers {
            let cell = board.series(worker, &counter("c"), "x");
            board.add(worker, cell, 5);
        }
        board.page();
        let first = usize::from(times[0] > times[1]);
        for at in [first, 1 - first] {
            board.say(&mut workers[at], 0, Action::Reset, times[at]);
            board.add(&workers[first], 0, u64::from(at == first) * 7);
        }
        assert_eq!(board.page().get(X), Some(0.0), "{times:?}");
        assert_eq!(board.life(0).created_ms, 20, "{times:?}");
    }
}

#[test]
fn what_was_taken_off_once_stays_so() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker_without_prefix(1), board.worker_without_prefix(2));
    for worker in [&mut a, &mut b] {
        let cell = board.series(worker, &counter("c"), "x");
        board.add(worker, cell, 5);
    }
    board.page();
    // All before the next look: a goes on after its removal, and b resets and removes that too.
    board.say(&mut a, 0, Action::Remove, 1);
    board.add(&a, 0, 7);
    board.say(&mut b, 0, Action::Reset, 2);
    board.add(&b, 0, 3);
    board.say(&mut b, 0, Action::Remove, 3);
    for _ in 0..2 {
        assert_eq!(board.page().get(X), None);
    }
    // Whoever says that it had counted nothing brings nothing back.
    let (series, at_ms, cells) = (0, 4, [0, 0].into());
    let removal = Removal { series, action: Action::Reset, at_ms, cells };
    board.append(&mut b, Record::Removal(removal));
    assert_eq!(board.page().get(X), Some(0.0));
}

#[test]
fn counts_that_saturate_stay_taken_off() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
    let of_a = board.series(&mut a, &counter("c"), "x");
    let of_b = board.series(&mut b, &counter("c"), "x");
    board.set(&a, of_a, 1 << 63);
    board.set(&b, of_b, 1 << 63);
    let mut board = board.restart();
    assert_eq!(board.page().get(X), Some(u64::MAX as f64));
    board.say(&mut a, of_a, Action::Reset, 5);
    for worker in [&a, &b] {
        assert_eq!(board.page().get(X), Some(0.0));
        board.kill(worker);
        board = board.restart();
        assert_eq!(board.page().get(X), Some(0.0));
    }
}

#[test]
fn a_removed_value_does_not_come_back_with_the_death_of_its_last_holder() {
    for is_read_before in [false, true] {
        let mut board = Board::new();
        let top = gauge("top", GaugeMode::Max);
        let [mut remover, mut holder] = [1, 2].map(|pid| board.worker_without_prefix(pid));
        let cell = board.series(&mut remover, &top, "x");
        board.set_gauge(&remover, cell, 3.0, 1);
        let held = board.series(&mut holder, &top, "x");
        board.set_gauge(&holder, held, 5.0, 1);
        assert_eq!(board.page().get(r#"top{l="x"}"#), Some(5.0));
        board.set_gauge(&remover, cell, 0.0, 0);
        board.say(&mut remover, 0, Action::Remove, 70);
        if is_read_before {
            assert_eq!(board.page().get(r#"top{l="x"}"#), Some(5.0));
        }
        board.kill(&holder);
        let mut next = board.worker(3);
        let cell = board.series(&mut next, &top, "x");
        board.set_gauge(&next, cell, 1.0, 1);
        assert_eq!(board.page().get(r#"top{l="x"}"#), Some(1.0), "{is_read_before}");
    }
}
