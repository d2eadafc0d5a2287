//! When a series was created, and what infos, statesets and exemplars show.

use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_proto::archive::Archive;
use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::log::{Action, Record};
use tallyboard_supervisor::core::Rules;

use crate::board::{Board, GEOMETRY, Page, Worker, counter, histogram, native, summary};

#[test]
fn the_earliest_begin_is_when_a_series_was_created_until_it_begins_anew() {
    let mut board = Board::new();
    let begin = |board: &Board, worker: &mut Worker, created_ms| {
        if worker.log_words == 0 {
            board.append(worker, Record::Family(counter("c")));
        }
        let values = ["x".into()].into();
        board.append(worker, Record::Series { family: 0, created_ms, values });
    };
    let created = |board: &mut Board| {
        board.page();
        let families = board.core.families(&["c".into()]);
        let samples = families.iter().flat_map(|family| &family.samples);
        let created = samples.filter(|sample| sample.suffix == "_created");
        created.map(|sample| sample.value.as_f64() * 1000.0).next()
    };
    let mut workers: Vec<_> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    for (at, (said, expect)) in
        [(0, None), (50_000, Some(50_000.0)), (40_000, Some(40_000.0))].into_iter().enumerate()
    {
        begin(&board, &mut workers[at], said);
        assert_eq!(created(&mut board), expect);
    }
    board.kill(&workers[2]);
    for _ in 0..2 {
        assert_eq!(created(&mut board), Some(40_000.0), "the dead have begun it");
        board = board.restart();
    }
    board.say(&mut workers[0], 0, Action::Reset, 60_000);
    for _ in 0..2 {
        assert_eq!(created(&mut board), Some(60_000.0));
        board = board.restart();
    }
    let mut late = board.worker_without_prefix(9);
    begin(&board, &mut late, 1_000);
    assert_eq!(created(&mut board), Some(60_000.0), "an older word is of an older life");
    board.kill(&late);
    for worker in workers.iter_mut().take(2) {
        board.say(worker, 0, Action::Remove, 70_000);
    }
    assert_eq!(created(&mut board), None);
    board.say(&mut workers[1], 0, Action::Hold, 80_000);
    assert_eq!(created(&mut board.restart()), Some(80_000.0));
}

fn of_kind(kind: Kind, name: &str) -> Family {
    Family::new(kind, name, "", "Help.", &["l"]).expect("a good family")
}

#[test]
fn an_info_is_the_one_that_was_set_last_by_the_living_or_the_dead() {
    let mut board = Board::new();
    let family = of_kind(Kind::Info, "build");
    let mut workers: Vec<_> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    let mut set = |board: &mut Board, at: usize, version: &str, stamp| {
        let worker: &mut Worker = &mut workers[at];
        if worker.log_words == 0 {
            board.append(worker, Record::Family(family.clone()));
        }
        let pairs = format!("v=\"{version}\"");
        let values = ["x".into(), pairs.into()].into();
        let cell = worker.cells();
        board.append(worker, Record::Series { family: 0, created_ms: 1, values });
        board.set(worker, cell, stamp);
    };
    let expect = |board: &mut Board, version: &str| {
        let page = board.page();
        let found: Vec<_> = page.order.iter().filter(|key| key.starts_with("build")).collect();
        assert_eq!(found, [&format!(r#"build_info{{l="x",v="{version}"}}"#)]);
    };
    set(&mut board, 0, "1", 5);
    expect(&mut board, "1");
    set(&mut board, 1, "2", 9);
    expect(&mut board, "2");
    set(&mut board, 2, "3", 7);
    expect(&mut board, "2");
    set(&mut board, 0, "4", 0);
    expect(&mut board, "2");
    board.kill(&workers[1]);
    expect(&mut board, "2");
    let mut board = board.restart();
    expect(&mut board, "2");
    board.set(&workers[0], 0, 11);
    expect(&mut board, "1");
    board.say(&mut workers[0], 0, Action::Remove, 20);
    expect(&mut board.restart(), "2");
}

#[test]
fn a_stateset_is_what_was_set_last_and_a_state_that_is_none_shows_nothing() {
    let mut board = Board::new();
    let family = of_kind(Kind::StateSet(["off".into(), "on".into()].into()), "power");
    let (mut a, mut b) = (board.worker(1), board.worker_without_prefix(2));
    let of_a = board.series(&mut a, &family, "x");
    let of_b = board.series(&mut b, &family, "x");
    let set = |board: &Board, worker: &Worker, cell, state, stamp| {
        board.set(worker, cell, state);
        board.set(worker, cell + 1, stamp);
    };
    let states = |board: &mut Board| {
        let page = board.page();
        ["off", "on"].map(|state| page.get(&format!(r#"power{{l="x",power="{state}"}}"#)))
    };
    assert_eq!(states(&mut board), [None, None], "nobody has set it");
    set(&board, &a, of_a, 1, 5);
    assert_eq!(states(&mut board), [Some(0.0), Some(1.0)]);
    set(&board, &b, of_b, 0, 6);
    assert_eq!(states(&mut board), [Some(1.0), Some(0.0)]);
    board.kill(&b);
    let mut board = board.restart();
    assert_eq!(states(&mut board), [Some(1.0), Some(0.0)], "the dead one was the last");
    for hostile in [2, 99, u64::MAX] {
        set(&board, &a, of_a, hostile, 7);
        assert_eq!(states(&mut board), [None, None], "{hostile}");
    }
    set(&board, &a, of_a, 1, 8);
    assert_eq!(states(&mut board), [Some(0.0), Some(1.0)]);
    board.say(&mut a, of_a, Action::Remove, 9);
    assert_eq!(states(&mut board), [None, None]);
    set(&board, &a, of_a, 0, 10);
    assert_eq!(states(&mut board), [Some(1.0), Some(0.0)]);
}

#[test]
fn exemplars_are_no_family_of_an_exposition() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = board.series(&mut worker, &counter("c"), "x");
    board.add(&worker, cell, 1);
    let family = of_kind(Kind::Exemplar, "tallyboard_exemplar:c");
    let cell = board.series(&mut worker, &family, "x");
    let at = board.cell(&worker, cell);
    tallyboard_proto::exemplar::write(board.core.arena(), at, "id=\"1\"", 2.0, 9);
    for _ in 0..2 {
        let text = String::from_utf8(board.core.expose(&[])).expect("text");
        assert!(text.contains("c_total{l=\"x\"} 1\n") && !text.contains("exemplar"), "{text}");
        let families = board.core.families(&[]);
        assert!(families.iter().all(|family| !family.name.contains("exemplar")));
        let of_c = families.iter().find(|family| family.name == "c").expect("the counter");
        assert!(of_c.samples[0].exemplar.is_some());
        board.kill(&worker);
        board = board.restart();
    }
    let archive = Archive::recover(board.core.arena(), &board.layout).expect("a sound bank");
    assert_eq!(archive.cells()[cell], 1, "the dead one's exemplar is kept");
}

#[test]
fn openmetrics_has_no_sum_that_is_negative_or_no_number() {
    for (sum, is_there) in [(-6.0_f64, false), (f64::NAN, false), (0.0, true), (2.5, true)] {
        let mut board = Board::new();
        let mut worker = board.worker(1);
        for family in [summary("s"), histogram("h")] {
            let cell = board.series(&mut worker, &family, "x");
            let width = family.kind.cells();
            board.set(&worker, cell + width - 1, 1);
            board.set(&worker, cell, 2);
            board.set(&worker, cell + width - 2, sum.to_bits());
        }
        let page = board.core.expose_as(Format::OpenMetrics100, &[]);
        let page = String::from_utf8(page).expect("text");
        let whole = Format::OpenMetrics100.encode(&board.core.families(&[]));
        for page in [page, String::from_utf8(whole).expect("text")] {
            assert_eq!(page.contains("s_sum{"), is_there, "{sum}");
            assert!(page.contains("s_count{"), "{sum}");
            assert_eq!(page.contains("h_sum{"), is_there, "{sum}");
            assert_eq!(page.contains("h_count{"), is_there, "{sum}");
            let read = parse(page.as_bytes(), Format::OpenMetrics100, &Options::default());
            assert!(read.is_ok(), "{sum}: {read:?}");
        }
        assert!(board.page().get(r#"s_sum{l="x"}"#).is_some(), "text 0.0.4 has any");
    }
}

#[test]
fn the_buckets_of_a_native_histogram_are_those_of_all_at_the_widest_level_of_any() {
    let mut board = Board::new();
    let family = native("n", 2);
    let mut workers: Vec<_> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    let mut observe = |board: &Board, at: usize, bucket: &str, times: u64| {
        let worker: &mut Worker = &mut workers[at];
        board.series(worker, &family, "x");
        let cell = board.bucket(worker, &family, "x", bucket);
        board.add(worker, cell, times);
        worker.slot
    };
    let expect = |board: &mut Board, expect: &str| {
        let text = board.core.expose_as(Format::OpenMetrics200, &["n".into()]);
        let text = String::from_utf8(text).expect("a text");
        let line = text.lines().find(|line| line.starts_with("n{")).expect("a histogram");
        assert!(line.contains(expect), "expected {expect} in {line}");
    };
    observe(&board, 0, "0+1/0", 1);
    observe(&board, 1, "1+2/0", 2);
    expect(&mut board, "schema:0,");
    expect(&mut board, "positive_spans:[1:2],positive_buckets:[1,2]");
    // There are three, and may be two.
    observe(&board, 1, "1+5/0", 4);
    expect(&mut board, "schema:-1,");
    expect(&mut board, "positive_spans:[1:3],positive_buckets:[3,0,4]");
    // Another process has gone on in wider ones, and dies.
    let slot = observe(&board, 2, "1+1/2", 8);
    expect(&mut board, "schema:-2,");
    expect(&mut board, "positive_spans:[1:2],positive_buckets:[11,4],bucket:[2.0:1,+Inf:15]");
    board.core.exited(slot, 1);
    board.core.reclaim();
    for _ in 0..2 {
        expect(&mut board, "{count:15,");
        expect(&mut board, "positive_spans:[1:2],positive_buckets:[11,4],bucket:[2.0:1,+Inf:15]");
        board = board.restart();
    }
}

#[test]
fn when_a_native_histogram_began_is_written_on_request_alone() {
    for (native_starts, expect) in [(false, false), (true, true)] {
        let choices = Choices { native_starts, ..Choices::default() };
        let rules = Rules { choices, ..Rules::new(vec![0], 100) };
        let mut board = Board::with_rules(GEOMETRY, rules);
        let mut worker = board.worker(1);
        board.series(&mut worker, &native("n", 8), "x");
        let page = board.core.expose_as(Format::OpenMetrics200, &["n".into()]);
        let page = String::from_utf8(page).expect("a text");
        assert_eq!(page.contains(" st@0.001"), expect, "{page}");
    }
}

#[test]
fn the_limit_of_label_sets_is_one_of_series_and_not_of_their_buckets() {
    let mut board = Board::with(GEOMETRY, 1);
    let mut worker = board.worker(1);
    let family = native("n", 160);
    board.series(&mut worker, &family, "x");
    for index in 0..9 {
        let cell = board.bucket(&mut worker, &family, "x", &format!("0+{index}/0"));
        board.add(&worker, cell, 1);
    }
    board.series(&mut worker, &family, "y");
    assert_eq!(board.page().get(r#"n_count{l="x"}"#), Some(9.0));
    assert_eq!(board.page().get(r#"n_count{l="y"}"#), None);
    let restricted = Page::parse(&board.core.expose(&["n_count".into()]));
    assert_eq!(restricted.get(r#"n_bucket{l="x",le="+Inf"}"#), Some(9.0));
}

#[test]
fn the_buckets_of_another_definition_are_joined_with_those_of_the_first() {
    let mut board = Board::new();
    let (mut first, mut second) = (board.worker(1), board.worker_without_prefix(2));
    for (worker, max_buckets, times) in [(&mut first, 8, 1), (&mut second, 4, 100)] {
        let family = native("n", max_buckets);
        board.series(worker, &family, "x");
        let cell = board.bucket(worker, &family, "x", "0+1/0");
        board.add(worker, cell, times);
    }
    assert_eq!(board.page().get(r#"n_count{l="x"}"#), Some(101.0));
    assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(0.0));
}
