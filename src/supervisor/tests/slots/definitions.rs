//! Names with several definitions: all are counted, and one is exposed.

use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::log::Action;

use crate::board::{Board, Page, Worker, counter, gauge, native};

/// A counter of the same name with other labels.
fn labelled(label: &str) -> Family {
    Family::new(Kind::Counter, "c", "", "Help.", &[label]).expect("a good family")
}

fn count(board: &Board, worker: &mut Worker, family: &Family, times: u64) -> usize {
    let cell = board.series(worker, family, "x");
    board.add(worker, cell, times);
    cell
}

/// What a page has of the name.
fn shown(page: &Page) -> Vec<(&str, f64)> {
    let named =
        page.values.iter().filter(|(key, _)| key.starts_with("c{") || key.starts_with("c_"));
    named.map(|(key, &value)| (key.as_str(), value)).collect()
}

const L: &str = r#"c_total{l="x"}"#;
const M: &str = r#"c_total{m="x"}"#;

#[test]
fn the_first_that_somebody_living_holds_is_shown_and_all_are_counted() {
    for restarts in [false, true] {
        let again = |board: Board| if restarts { board.restart() } else { board };
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        count(&board, &mut a, &counter("c"), 4);
        assert_eq!(shown(&board.page()), [(L, 4.0)]);
        count(&board, &mut b, &labelled("m"), 3);
        let mut board = again(board);
        assert_eq!(shown(&board.page()), [(L, 4.0)]);
        assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(1.0));
        board.kill(&a);
        let mut board = again(board);
        assert_eq!(shown(&board.page()), [(M, 3.0)], "the dead hold nothing");
        let mut c = board.worker(3);
        count(&board, &mut c, &counter("c"), 1);
        let mut board = again(board);
        assert_eq!(shown(&board.page()), [(L, 5.0)], "what the dead had counted is there");
        board.kill(&c);
        board.kill(&b);
        let mut board = again(board);
        assert_eq!(shown(&board.page()), [(M, 3.0)], "of the dead the last");
    }
}

#[test]
fn a_definition_whose_series_were_removed_makes_room_for_the_next() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let mut worker = board.worker(1);
        for (turn, family) in [counter("c"), labelled("m"), labelled("n")].iter().enumerate() {
            let cell = count(&board, &mut worker, family, 2);
            let key = format!(r#"c_total{{{}="x"}}"#, family.labels[0]);
            assert_eq!(shown(&board.page()), [(key.as_str(), 2.0)], "{turn}");
            board.say(&mut worker, cell, Action::Remove, turn as u64);
            if restarts {
                board = board.restart();
            }
            assert_eq!(shown(&board.page()), [], "{turn}");
        }
        // The first again, which begins at 0.
        let cell = board.series(&mut worker, &counter("c"), "x");
        board.say(&mut worker, cell, Action::Hold, 9);
        board.add(&worker, cell, 5);
        assert_eq!(shown(&board.page()), [(L, 5.0)]);
        board.kill(&worker);
        assert_eq!(shown(&board.restart().page()), [(L, 5.0)]);
    }
}

#[test]
fn another_type_is_another_definition() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = count(&board, &mut worker, &counter("c"), 2);
    board.say(&mut worker, cell, Action::Remove, 1);
    let cell = board.series(&mut worker, &gauge("c", GaugeMode::Sum), "x");
    board.set_gauge(&worker, cell, 7.0, 1);
    assert_eq!(shown(&board.page()), [(r#"c{l="x"}"#, 7.0)]);
    // All formats have one family of a name.
    let families = board.core.families(&[]);
    assert_eq!(families.iter().filter(|family| family.name == "c").count(), 1);
}

#[test]
fn the_buckets_of_a_definition_are_shown_with_it() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    for (max_buckets, times) in [(8, 1), (4, 100)] {
        let family = native("n", max_buckets);
        let cell = board.series(&mut worker, &family, "x");
        let bucket = board.bucket(&mut worker, &family, "x", "0+1/0");
        board.add(&worker, bucket, times);
        assert_eq!(board.page().get(r#"n_count{l="x"}"#), Some(times as f64));
        board.say(&mut worker, cell, Action::Remove, 1);
    }
}

#[test]
fn a_name_that_means_something_else_each_time_does_not_fill_the_catalog() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let labels: Vec<String> = (0..12).map(|number| format!("l{number}")).collect();
    for label in &labels {
        count(&board, &mut worker, &labelled(label), 1);
    }
    assert_eq!(shown(&board.page()), [(r#"c_total{l0="x"}"#, 1.0)]);
    assert_eq!(board.page().get("tallyboard_catalog_series"), Some(8.0));
    assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(11.0));
}
