//! Slots whose words are none that a worker wrote: they never bring the supervisor down, never
//! change what others count, and count with their last good row, or single cells with their last
//! good value, across restarts too.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::family::{GaugeMode, Kind};
use tallyboard_proto::layout::slot_header;
use tallyboard_proto::log::Record;
use tallyboard_proto::word::Words;

use crate::board::{
    Board, Random, Worker, caller, counter, gauge, hello, histogram, native, summary,
};

/// A good worker with 10, and a bad one with 100, both scraped once.
fn two() -> (Board, Worker, Worker, usize) {
    let mut board = Board::new();
    let (mut good, mut bad) = (board.worker(1), board.worker(2));
    let cell = board.series(&mut good, &counter("c"), "x");
    board.add(&good, cell, 10);
    let cell = board.series(&mut bad, &counter("c"), "x");
    board.add(&bad, cell, 100);
    board.set_dropped(&bad, 3, 7);
    assert_eq!(board.page().get(r#"c_total{l="x"}"#), Some(110.0));
    (board, good, bad, cell)
}

/// Expects 110 from now on: at once, after a restart, after the death of the bad worker, and once
/// more after a restart; what the good worker counts is added to it.
fn expect_last_good(mut board: Board, good: &Worker, bad: &Worker, context: &str) {
    let key = r#"c_total{l="x"}"#;
    let dropped = r#"tallyboard_dropped_total{reason="amount"}"#;
    let mut expected = 110.0;
    let mut check = |board: &mut Board, quarantined: f64, step: &str| {
        board.add(good, 0, 1);
        expected += 1.0;
        let page = board.page();
        assert_eq!(page.get(key), Some(expected), "{context}, {step}");
        assert_eq!(page.get(dropped), Some(7.0), "{context}, {step}");
        let found = page.get("tallyboard_quarantined_slots");
        assert_eq!(found, Some(quarantined), "{context}, {step}");
    };
    check(&mut board, 1.0, "at once");
    check(&mut board, 1.0, "again");
    let mut board = board.restart();
    check(&mut board, 1.0, "after a restart");
    board.kill(bad);
    check(&mut board, 0.0, "after its death");
    let mut board = board.restart();
    check(&mut board, 0.0, "after another restart");
}

fn slot_word(board: &Board, worker: &Worker, word: usize, value: u64) {
    board.core.arena().store(board.layout.slot(worker.slot) + word, value, Relaxed);
}

#[test]
fn a_counter_that_falls_counts_as_before_across_restarts() {
    let (board, good, bad, cell) = two();
    board.set(&bad, cell, 4);
    expect_last_good(board, &good, &bad, "fell");
}

#[test]
fn a_counter_may_be_counted_up_by_any_amount_between_two_scrapes() {
    let (mut board, _good, bad, cell) = two();
    for times in 1..=3 {
        board.set(&bad, cell, 100 + times * (1 << 54));
        let page = board.page();
        assert_eq!(page.get("tallyboard_quarantined_slots"), Some(0.0));
        assert_eq!(page.get(r#"c_total{l="x"}"#), Some((110 + times * (1 << 54)) as f64));
    }
    let before = board.page();
    board = board.restart();
    board.page().assert_not_below(&before, "restart");
    board.kill(&bad);
    board.page().assert_not_below(&before, "death");
}

#[test]
fn a_count_that_holds_too_much_keeps_its_last_good_value_and_its_slot_goes_on() {
    let keys = [
        (r#"h_bucket{l="x",le="1.0"}"#, 3.0),
        (r#"h_count{l="x"}"#, 6.0),
        (r#"s_count{l="x"}"#, 3.0),
        (r#"n_count{l="x"}"#, 3.0),
        (r#"c_total{l="x"}"#, 3.0),
    ];
    let judged = |name: &str| format!(r#"tallyboard_judged_cells_total{{metric="{name}"}}"#);
    for wild in [(1 << 53) + 1, u64::MAX] {
        let mut board = Board::new();
        let (mut good, mut bad) = (board.worker(1), board.worker_without_prefix(2));
        let mut cells = Vec::new();
        for worker in [&mut good, &mut bad] {
            cells = [histogram("h"), summary("s"), native("n", 8), counter("c")]
                .iter()
                .map(|family| board.series(worker, family, "x"))
                .collect();
            cells.push(board.bucket(worker, &native("n", 8), "x", "0+1/0"));
            for (cell, times) in [(cells[0], 1), (cells[0] + 1, 1), (cells[1], 1), (cells[3], 1)] {
                board.add(worker, cell, times);
            }
            board.add(worker, cells[4], 1);
        }
        // Only the bad one's are 2 of 3.
        [cells[0], cells[0] + 1, cells[1], cells[3], cells[4]]
            .iter()
            .for_each(|&cell| board.add(&bad, cell, 1));
        let check = |page: &crate::board::Page, more: [f64; 5], step: &str| {
            for ((key, expected), more) in keys.iter().zip(more) {
                assert_eq!(page.get(key), Some(expected + more), "{wild} {key} {step}");
            }
            assert_eq!(page.get("tallyboard_quarantined_slots"), Some(0.0));
        };
        check(&board.page(), [0.0; 5], "before");
        // Of the histogram one bucket, of the others all that counts in ones.
        for cell in [cells[0], cells[1], cells[4]] {
            board.set(&bad, cell, wild);
        }
        let page = board.page();
        check(&page, [0.0; 5], "judged");
        for (name, expected) in [("h", 1.0), ("s", 1.0), ("n", 1.0), ("(others)", 0.0)] {
            assert_eq!(page.get(&judged(name)), Some(expected), "{name}");
        }
        // What it counts in other cells is counted, and what others count.
        board.add(&bad, cells[0] + 1, 5);
        board.add(&bad, cells[3], 4);
        board.add(&good, cells[0], 1);
        let more = [1.0, 6.0, 0.0, 0.0, 4.0];
        check(&board.page(), more, "goes on");
        for step in ["restarted", "restarted again"] {
            board = board.restart();
            check(&board.page(), more, step);
        }
        board.kill(&bad);
        check(&board.page(), more, "dead");
        board = board.restart();
        check(&board.page(), more, "dead and restarted");
        // The slot's next worker is not judged for it.
        let next = board.worker(3);
        board.add(&next, cells[0], 2);
        check(&board.page(), [3.0, 8.0, 0.0, 0.0, 4.0], "the next worker");
    }
}

#[test]
fn a_count_that_is_judged_after_it_was_not_read_for_a_while_counts_what_was_read() {
    let mut board = Board::new();
    let mut bad = board.worker(1);
    let cell = board.series(&mut bad, &summary("s"), "x");
    board.add(&bad, cell, 5);
    board.page();
    board.add(&bad, cell, 2);
    board.set(&bad, cell, 1 << 60);
    // A scrape of other families reads no cell of it.
    board.core.expose(&["other".into()]);
    board.kill(&bad);
    assert_eq!(board.page().get(r#"s_count{l="x"}"#), Some(5.0));
    assert_eq!(board.restart().page().get(r#"s_count{l="x"}"#), Some(5.0));
}

#[test]
fn a_header_that_changes_or_vanishes_leaves_the_last_good_row() {
    for (word, value) in [
        (slot_header::GENERATION, 0),
        (slot_header::GENERATION, 9),
        (slot_header::ARENA_ID, 0),
        (slot_header::PREFIX, u64::MAX),
    ] {
        let (board, good, bad, _) = two();
        slot_word(&board, &bad, word, value);
        expect_last_good(board, &good, &bad, &format!("word {word} = {value}"));
    }
}

#[test]
fn drop_counts_that_fall_or_jump_do_not_make_the_total_fall() {
    for value in [0, 6, u64::MAX] {
        let (board, good, bad, _) = two();
        board.set_dropped(&bad, 3, value);
        expect_last_good(board, &good, &bad, &format!("dropped = {value}"));
    }
}

#[test]
fn a_commit_word_that_leads_anywhere_leaves_the_last_good_row() {
    for commit in [0, 1, 511, 512, 513, 1 << 40, u64::MAX] {
        let (board, good, bad, _) = two();
        slot_word(&board, &bad, slot_header::LOG_COMMIT, commit);
        expect_last_good(board, &good, &bad, &format!("commit {commit}"));
    }
}

#[test]
fn the_death_of_a_worker_whose_slot_is_damaged_since_the_last_scrape_loses_only_what_was_damaged() {
    let (mut board, _good, bad, cell) = two();
    board.set(&bad, cell, 3);
    board.kill(&bad);
    assert_eq!(board.page().get(r#"c_total{l="x"}"#), Some(110.0));
    assert_eq!(board.restart().page().get(r#"c_total{l="x"}"#), Some(110.0));
}

#[test]
fn a_counter_above_two_to_the_53_survives_a_restart() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &counter("nanoseconds"), "x");
    for _ in 0..3 {
        board.add(&worker, cell, 1 << 53);
        board.page();
    }
    let before = board.page();
    let mut board = board.restart();
    let after = board.page();
    after.assert_not_below(&before, "restart");
    assert_eq!(after.get("tallyboard_quarantined_slots"), Some(0.0));
    board.add(&worker, cell, 1 << 54);
    assert_eq!(board.page().get("tallyboard_quarantined_slots"), Some(0.0));
}

#[test]
fn a_filtered_scrape_reads_logs_that_have_begun_families_since_the_last_one() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &counter("a"), "x");
    board.add(&worker, cell, 5);
    let page = board.core.expose(&["a".into()]);
    assert!(String::from_utf8_lossy(&page).contains("a_total{l=\"x\"} 5\n"));
    let cell = board.series(&mut worker, &counter("b"), "x");
    board.add(&worker, cell, 6);
    let page = board.core.expose(&["b_total".into()]);
    assert!(String::from_utf8_lossy(&page).contains("b_total{l=\"x\"} 6\n"));
    assert!(!String::from_utf8_lossy(&page).contains("a_total"));
}

#[test]
fn a_log_with_the_same_series_twice_makes_no_second_sample() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let count = board.series(&mut worker, &counter("c"), "x");
    let value = board.series(&mut worker, &gauge("g", GaugeMode::All), "x");
    for family in [0, 1] {
        board.append(
            &mut worker,
            Record::Series { family, created_ms: 1, values: ["x".into()].into() },
        );
    }
    for cell in [count, value + 2] {
        board.add(&worker, cell, 3);
    }
    for cell in [value, value + 4] {
        board.set_gauge(&worker, cell, 1.0, 1);
    }
    board.page();
    board.kill(&worker);
    board.page();
    board.restart().page();
}

/// Damages one or more words of a slot at random. `spares_log` leaves alone what a supervisor has
/// read of the log, which only its successor reads again.
fn damage(board: &Board, worker: &Worker, random: &mut Random, spares_log: bool) {
    let words = board.layout.slot_words;
    let log = board.layout.log_of_slot_at(0);
    for _ in 0..=random.below(4) {
        let at = match random.below(5) {
            0 => random.below(20) as usize,
            1 => slot_header::LOG_COMMIT,
            2 => slot_header::WORDS + random.below(40) as usize,
            3 => log.start + random.below(60) as usize,
            _ => random.below(words as u64) as usize,
        };
        if spares_log && (log.start..log.start + worker.log_words).contains(&at) {
            continue;
        }
        let was = board.core.arena().load(board.layout.slot(worker.slot) + at, Relaxed);
        let value = match random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => was ^ 1 << random.below(64),
            3 => was.wrapping_add(random.below(3)),
            4 => random.below(1 << 20),
            _ => random.word(),
        };
        slot_word(board, worker, at, value);
    }
}

/// One worker that is damaged at random beside one that is not.
fn damaged_life(seed: u64) {
    let mut random = Random(seed);
    let mut board = Board::new();
    let (mut good, mut bad) = (board.worker(1), board.worker(2));
    let own = board.series(&mut good, &counter("own"), "x");
    let families = [counter("c"), summary("s"), histogram("h"), gauge("g", GaugeMode::Max)];
    let mut sums = Vec::new();
    for family in &families {
        let cell = board.series(&mut bad, family, "x");
        board.add(&bad, cell, 5);
        board.series(&mut good, family, "x");
        if matches!(family.kind, Kind::Summary | Kind::Histogram(_)) {
            let odd = board.cell(&bad, cell + family.kind.cells() - 1);
            sums.push((format!("{}_sum{{l=\"x\"}}", family.name), odd));
        }
    }
    let (mut before, mut counted) = (board.page(), 0);
    let mut exempt = BTreeSet::new();
    for step in 0..12 {
        let context = format!("seed {seed}, step {step}");
        damage(&board, &bad, &mut random, seed.is_multiple_of(2));
        // A sum may fall once something odd was observed, or damage says so.
        let may_fall = sums.iter().filter(|(_, odd)| board.core.arena().load(*odd, Relaxed) != 0);
        exempt.extend(may_fall.map(|(sum, _)| sum.clone()));
        board.add(&good, own, 2);
        counted += 2;
        if random.below(6) == 0 {
            board.core.expose(&["own".into(), "c".into()]);
        }
        let page = board.page();
        assert_eq!(page.get(r#"own_total{l="x"}"#), Some(f64::from(counted)), "{context}");
        before.values.retain(|key, _| !exempt.contains(key));
        page.assert_not_below(&before, &context);
        before = page;
        before.values.retain(|key, _| !exempt.contains(key));
        match random.below(5) {
            0 if seed.is_multiple_of(2) => board = board.restart(),
            1 => {
                board.kill(&bad);
                bad = board.worker_without_prefix(100 + step);
            }
            _ => {}
        }
        let page = board.page();
        page.assert_not_below(&before, &context);
        before = page;
    }
}

#[test]
fn random_damage_never_panics_never_lowers_a_count_and_never_reaches_another_slot() {
    let first = u64::from(std::process::id()) << 16;
    println!("seeds from {first}");
    // The first two damage a sum and say that it may fall.
    [1_264_779_318, 1_155_728_415].into_iter().chain(first..first + 1500).for_each(damaged_life);
}

#[test]
fn a_slot_that_was_written_before_it_was_taken_is_not_given_away_as_folded() {
    let mut board = Board::new();
    let early = board.grant(&caller(50), &hello(1)).expect("a slot is free");
    let (slot, generation) = (early.slot as usize, early.generation);
    // Its worker writes a header of another life before it has confirmed: quarantine, and a fold.
    board.occupy(slot, generation + 7, 0);
    assert_eq!(board.page().get("tallyboard_quarantines_total"), Some(1.0));
    board.core.release(slot, generation);
    // The slot comes round again: what its next worker counts is counted.
    let slots = board.layout.geometry.slots;
    let mut later: Vec<_> = (0..slots).map(|at| board.worker(100 + at as u32)).collect();
    let next = later.iter_mut().find(|worker| worker.slot == slot).expect("it is granted again");
    let cell = board.series(next, &counter("later"), "a");
    board.add(next, cell, 5);
    board.kill(next);
    assert_eq!(board.page().get("later_total{l=\"a\"}"), Some(5.0));
}
