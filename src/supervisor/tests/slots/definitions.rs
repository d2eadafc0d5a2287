//! Names with several definitions, as releases bring them: what is counted by all is shown as one.

use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::log::Action;
use tallyboard_proto::native::Native;
use tallyboard_supervisor::core::Rules;
use tallyboard_supervisor::labels::Labels;

use crate::board::{Board, GEOMETRY, Page, Random, Worker, counter, gauge, native};

fn family(kind: Kind, labels: &[&str], help: &str) -> Family {
    Family::new(kind, "c", "", help, labels).expect("a good family")
}

/// A counter of the same name with other labels.
fn labelled(labels: &[&str]) -> Family {
    family(Kind::Counter, labels, "Help.")
}

fn histogram(bounds: &[f64]) -> Family {
    family(Kind::Histogram(bounds.into()), &[], "Help.")
}

fn count(
    board: &Board,
    worker: &mut Worker,
    family: &Family,
    values: &[&str],
    times: u64,
) -> usize {
    let cell = board.series_of(worker, family, values);
    board.add(worker, cell, times);
    cell
}

/// What a page has of the name.
fn shown(page: &Page) -> Vec<(&str, f64)> {
    let named = page.values.iter().filter(|(key, _)| {
        ["c{", "c_", "c "].iter().any(|start| format!("{key} ").starts_with(start))
    });
    named.map(|(key, &value)| (key.as_str(), value)).collect()
}

fn help(board: &mut Board) -> String {
    let page = String::from_utf8(board.core.expose(&[])).expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix("# HELP c"));
    line.unwrap_or_default().trim_start_matches("_total").trim().to_owned()
}

fn again(board: Board, restarts: bool) -> Board {
    if restarts { board.restart() } else { board }
}

#[test]
fn label_sets_of_two_releases_stand_side_by_side_and_alike_ones_are_one() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        count(&board, &mut a, &labelled(&["kind"]), &["tea"], 4);
        assert_eq!(shown(&board.page()), [(r#"c_total{kind="tea"}"#, 4.0)]);
        let wide = labelled(&["kind", "country"]);
        count(&board, &mut b, &wide, &["tea", "NZ"], 3);
        count(&board, &mut b, &wide, &["tea", ""], 20);
        let mut board = again(board, restarts);
        let expect =
            [(r#"c_total{kind="tea",country="NZ"}"#, 3.0), (r#"c_total{kind="tea"}"#, 24.0)];
        assert_eq!(shown(&board.page()), expect);
        assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(0.0));
        // The archive has the old one's, then both.
        for worker in [&a, &b] {
            board.kill(worker);
            board = again(board, restarts);
            assert_eq!(shown(&board.page()), expect);
        }
        let mut c = board.worker(3);
        count(&board, &mut c, &labelled(&["country", "kind"]), &["NZ", "tea"], 100);
        let mut board = again(board, restarts);
        assert_eq!(board.page().get(expect[0].0), Some(103.0), "the order of labels is no matter");
        let named = Page::parse(&board.core.expose(&["c_total".into()]));
        assert_eq!(shown(&named).len(), 2);
    }
}

#[test]
fn labels_that_the_supervisor_adds_make_series_alike() {
    let labels = Labels::new(vec!["region=eu".parse().unwrap()]).unwrap();
    let mut board = Board::with_rules(GEOMETRY, Rules { labels, ..Rules::new(vec![0], 100) });
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    count(&board, &mut a, &labelled(&["l"]), &["x"], 4);
    count(&board, &mut b, &labelled(&["l", "region"]), &["x", "eu"], 3);
    count(&board, &mut b, &labelled(&["l", "region"]), &["x", "us"], 1);
    for _ in 0..2 {
        let expect =
            [(r#"c_total{l="x",region="eu"}"#, 7.0), (r#"c_total{l="x",region="us"}"#, 1.0)];
        assert_eq!(shown(&board.page()), expect);
        board = board.restart();
    }
}

#[test]
fn a_histogram_has_the_bounds_of_all_releases() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        let old = board.series_of(&mut a, &histogram(&[1.0, 5.0]), &[]);
        board.add(&a, old + 2, 10);
        board.add_float(&a, old + 3, 200.0);
        let before = board.page();
        let new = board.series_of(&mut b, &histogram(&[1.0, 5.0, 30.0]), &[]);
        board.add(&b, new + 2, 10);
        board.add_float(&b, new + 4, 200.0);
        for worker in [None, Some(&a), Some(&b)] {
            worker.into_iter().for_each(|worker| board.kill(worker));
            board = again(board, restarts);
            let page = board.page();
            page.assert_not_below(&before, "bounds");
            assert_eq!(page.get(r#"c_bucket{le="5.0"}"#), Some(0.0));
            assert_eq!(page.get(r#"c_bucket{le="30.0"}"#), Some(10.0));
            assert_eq!(page.get(r#"c_bucket{le="+Inf"}"#), Some(20.0));
            assert_eq!((page.get("c_count"), page.get("c_sum")), (Some(20.0), Some(400.0)));
        }
    }
}

#[test]
fn help_and_mode_are_those_that_living_workers_brought_last_and_nothing_flips() {
    for restarts in [false, true] {
        let of = |mode, words: &str| family(Kind::Gauge(mode), &[], words);
        let (old, new) = (of(GaugeMode::Sum, "Old."), of(GaugeMode::Sum, "New."));
        let mut board = Board::new();
        let mut a = board.worker(1);
        let cell = board.series_of(&mut a, &old, &[]);
        board.set_gauge(&a, cell, 0.0, 1);
        assert_eq!(help(&mut board), "Old.");
        let mut b = board.worker(2);
        let cell = board.series_of(&mut b, &new, &[]);
        board.set_gauge(&b, cell, 3.0, 1);
        board = again(board, restarts);
        assert_eq!(help(&mut board), "New.");
        // An old master has its worker again.
        board.kill(&a);
        let mut c = board.worker(3);
        let cell = board.series_of(&mut c, &old, &[]);
        board.set_gauge(&c, cell, 4.0, 1);
        board = again(board, restarts);
        assert_eq!(help(&mut board), "New.");
        assert_eq!(shown(&board.page()), [("c", 7.0)], "one series, whatever is said of it");
        // The release is rolled back.
        board.kill(&b);
        board = again(board, restarts);
        assert_eq!(help(&mut board), "Old.");
        // Nobody lives: what was shown last.
        board.kill(&c);
        board = again(board, restarts);
        assert_eq!(help(&mut board), "Old.");
        let mut d = board.worker(4);
        let cell = board.series_of(&mut d, &of(GaugeMode::LiveSum, "Live."), &[]);
        board.set_gauge(&d, cell, 1.0, 1);
        board = again(board, restarts);
        assert_eq!((help(&mut board).as_str(), shown(&board.page())), ("Live.", vec![("c", 1.0)]));
    }
}

#[test]
fn what_the_dead_left_of_a_gauge_is_shown_by_modes_that_merge_alike() {
    use GaugeMode as Mode;
    for (old, new, expect, left_out) in [
        (Mode::Sum, Mode::LiveSum, 2.0, None),
        (Mode::Sum, Mode::Max, 2.0, Some(1.0)),
        (Mode::Max, Mode::LiveMax, 2.0, None),
        (Mode::Max, Mode::Sum, 2.0, Some(1.0)),
        (Mode::LiveMax, Mode::Max, 2.0, None),
        (Mode::All, Mode::Sum, 2.0, Some(1.0)),
    ] {
        let mut board = Board::new();
        let mut a = board.worker(1);
        let cell = board.series(&mut a, &gauge("c", old), "x");
        board.set_gauge(&a, cell, 40.0, 1);
        board.page();
        board.kill(&a);
        let mut b = board.worker(2);
        let cell = board.series(&mut b, &gauge("c", new), "x");
        board.set_gauge(&b, cell, 2.0, 1);
        for _ in 0..2 {
            assert_eq!(shown(&board.page()), [(r#"c{l="x"}"#, expect)], "{old:?} {new:?}");
            let counted = board.page().get(r#"tallyboard_left_out_gauges_total{metric="c"}"#);
            assert_eq!(counted, left_out, "{old:?} {new:?}");
            if left_out.is_some() {
                break;
            }
            board = board.restart();
        }
        // Under its own mode it is there again.
        board.kill(&b);
        let mut c = board.worker(3);
        let cell = board.series(&mut c, &gauge("c", old), "x");
        board.set_gauge(&c, cell, 1.0, 1);
        let page = board.page();
        let dead: f64 = shown(&page).iter().map(|(_, value)| value).sum();
        let with_dead = match old {
            Mode::Sum | Mode::All => 41.0,
            Mode::Max => 40.0,
            _ => 1.0,
        };
        assert_eq!(dead, with_dead, "{old:?} {new:?}");
    }
}

#[test]
fn gauges_of_the_living_are_merged_by_the_mode_that_leads() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    for (worker, mode, value) in [(&mut a, GaugeMode::Sum, 3.0), (&mut b, GaugeMode::Max, 5.0)] {
        let cell = board.series(worker, &gauge("c", mode), "x");
        board.set_gauge(worker, cell, value, 1);
    }
    assert_eq!(shown(&board.page()), [(r#"c{l="x"}"#, 5.0)]);
    let mut c = board.worker(3);
    let cell = board.series(&mut c, &gauge("c", GaugeMode::All), "x");
    board.set_gauge(&c, cell, 7.0, 1);
    let expect =
        [(r#"c{l="x",pid="1"}"#, 3.0), (r#"c{l="x",pid="2"}"#, 5.0), (r#"c{l="x",pid="3"}"#, 7.0)];
    assert_eq!(shown(&board.page()), expect);
}

#[test]
fn another_type_is_shown_when_no_living_worker_has_the_older() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        count(&board, &mut a, &counter("c"), &["x"], 2);
        board.page();
        let cell = board.series(&mut b, &gauge("c", GaugeMode::Sum), "x");
        board.set_gauge(&b, cell, 7.0, 1);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 2.0)]);
        assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(1.0));
        board.kill(&a);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c{l="x"}"#, 7.0)]);
        // An old master has its worker again: nothing flips while the newer type has workers.
        let mut c = board.worker(3);
        count(&board, &mut c, &counter("c"), &["x"], 1);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c{l="x"}"#, 7.0)]);
        board.kill(&b);
        board = again(board, restarts);
        assert_eq!(
            shown(&board.page()),
            [(r#"c_total{l="x"}"#, 3.0)],
            "all that was counted is there"
        );
        let families = board.core.families(&[]);
        assert_eq!(families.iter().filter(|family| family.name == "c").count(), 1);
    }
}

#[test]
fn of_names_that_share_a_sample_the_one_that_workers_have_is_shown() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        count(&board, &mut a, &counter("c"), &["x"], 2);
        board.page();
        let cell = board.series(&mut b, &gauge("c_total", GaugeMode::Sum), "x");
        board.set_gauge(&b, cell, 7.0, 1);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 2.0)]);
        assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(1.0));
        board.kill(&a);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 7.0)]);
        let mut c = board.worker(3);
        count(&board, &mut c, &counter("c"), &["x"], 1);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 7.0)]);
        board.kill(&b);
        board = again(board, restarts);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 3.0)]);
    }
}

#[test]
fn a_prefix_is_not_having() {
    let mut board = Board::new();
    let mut a = board.worker(1);
    let old = family(Kind::Counter, &["l"], "Old.");
    count(&board, &mut a, &old, &["x"], 1);
    board.page();
    let mut b = board.worker(2);
    count(&board, &mut b, &family(Kind::Counter, &["l", "m"], "New."), &["x", "y"], 1);
    assert_eq!(help(&mut board), "New.");
    board.kill(&b);
    // It has the new definition in its prefix, and counts by the old one.
    let mut c = board.worker(3);
    count(&board, &mut c, &old, &["x"], 1);
    assert!(!c.began("c", "x"));
    for _ in 0..2 {
        assert_eq!(help(&mut board), "Old.");
        board = board.restart();
    }
}

#[test]
fn a_definition_whose_series_were_removed_makes_room_for_the_next() {
    for restarts in [false, true] {
        let mut board = Board::new();
        let mut worker = board.worker(1);
        for (turn, label) in ["l", "m", "n"].iter().enumerate() {
            let cell = count(&board, &mut worker, &labelled(&[label]), &["x"], 2);
            let key = format!(r#"c_total{{{label}="x"}}"#);
            assert_eq!(shown(&board.page()), [(key.as_str(), 2.0)], "{turn}");
            board.say(&mut worker, cell, Action::Remove, turn as u64);
            board = again(board, restarts);
            assert_eq!(shown(&board.page()), [], "{turn}");
        }
        // The first again, which begins at 0.
        let cell = board.series_of(&mut worker, &labelled(&["l"]), &["x"]);
        board.say(&mut worker, cell, Action::Hold, 9);
        board.add(&worker, cell, 5);
        assert_eq!(shown(&board.page()), [(r#"c_total{l="x"}"#, 5.0)]);
        board.kill(&worker);
        assert_eq!(shown(&board.restart().page()), [(r#"c_total{l="x"}"#, 5.0)]);
    }
}

#[test]
fn bounds_of_a_histogram_that_was_removed_are_not_shown_with_the_next() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let cell = count(&board, &mut worker, &histogram(&[1.0, 2.0]), &[], 1);
    board.page();
    board.say(&mut worker, cell, Action::Remove, 1);
    count(&board, &mut worker, &histogram(&[1.0, 4.0]), &[], 1);
    let page = board.page();
    assert_eq!(page.get(r#"c_bucket{le="2.0"}"#), None);
    assert_eq!(page.get(r#"c_bucket{le="4.0"}"#), Some(1.0));
}

#[test]
fn alike_series_have_one_life() {
    for restarts in [false, true] {
        let (plain, wide) = (labelled(&["l"]), labelled(&["l", "m"]));
        let mut board = Board::new();
        let (mut a, mut b) = (board.worker(1), board.worker(2));
        let old = count(&board, &mut a, &plain, &["x"], 4);
        let new = count(&board, &mut b, &wide, &["x", ""], 3);
        // To Prometheus an empty label is none.
        let total = |board: &mut Board| -> Option<f64> {
            let page = board.page();
            let shown = shown(&page);
            assert!(shown.len() < 2, "{shown:?}");
            shown.first().map(|(_, total)| *total)
        };
        assert_eq!(total(&mut board), Some(7.0));
        // While somebody holds one of them nothing falls.
        board.say(&mut b, new, Action::Remove, 10);
        board = again(board, restarts);
        assert_eq!(total(&mut board), Some(7.0));
        // A reset ends the lives of both.
        board.say(&mut a, old, Action::Reset, 20);
        board.add(&a, old, 1);
        board = again(board, restarts);
        assert_eq!(total(&mut board), Some(1.0));
        assert_eq!((board.life(0).created_ms, board.life(1).created_ms), (20, 20));
        // What is taken back is taken off once.
        board.add(&a, old, 9);
        board.lower(&mut a, old, &[4, 0], 30);
        board = again(board, restarts);
        assert_eq!(total(&mut board), Some(6.0));
        // The last that held one of them hides both.
        board.say(&mut a, old, Action::Remove, 40);
        board = again(board, restarts);
        assert_eq!(total(&mut board), None);
        assert!(board.life(0).is_hidden && board.life(1).is_hidden);
        board.say(&mut b, new, Action::Hold, 50);
        board.add(&b, new, 2);
        assert_eq!(total(&mut board), Some(2.0));
        // One that comes to it begins no other life.
        board.say(&mut a, old, Action::Hold, 60);
        board.add(&a, old, 1);
        board = again(board, restarts);
        assert_eq!(total(&mut board), Some(3.0));
        assert_eq!((board.life(0).created_ms, board.life(1).created_ms), (50, 50));
    }
}

#[test]
fn native_histograms_are_joined_with_every_observation_once() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    let fine = native("n", 8);
    let Kind::NativeHistogram(of) = &fine.kind else { panic!("{fine:?}") };
    let coarse = Native { schema: -1, bounds: [1.0].into(), ..of.clone() };
    let coarse = Family { kind: Kind::NativeHistogram(coarse), ..fine.clone() };
    for (worker, family, bucket, times) in
        [(&mut a, &fine, "1+3/0", 5), (&mut b, &coarse, "1+2/0", 7)]
    {
        board.series(worker, family, "x");
        let cell = board.bucket(worker, family, "x", bucket);
        board.add(worker, cell, times);
    }
    for worker in [None, Some(&a), Some(&b)] {
        worker.into_iter().for_each(|worker| board.kill(worker));
        let page = board.page();
        assert_eq!(page.get(r#"n_count{l="x"}"#), Some(12.0));
        let families = board.core.families(&["n".into()]);
        let native = families[0].samples[0].native.as_ref().expect("a native histogram");
        assert_eq!(native.schema, -1);
        assert_eq!(native.positive.counts.len(), 1, "both are in bucket 2 of schema -1");
        board = board.restart();
    }
}

#[test]
fn a_native_histogram_keeps_its_buckets_when_a_label_is_added() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    let plain = native("n", 8);
    let wide = Family { labels: ["l".into(), "m".into()].into(), ..plain.clone() };
    board.series(&mut a, &plain, "x");
    let cell = board.bucket(&mut a, &plain, "x", "1+3/0");
    board.add(&a, cell, 5);
    board.series_of(&mut b, &wide, &["x", "y"]);
    let Kind::NativeHistogram(of) = &wide.kind else { panic!("{wide:?}") };
    let name = format!("{}n", tallyboard_proto::family::BUCKET_PREFIX);
    let buckets = Family::new(Kind::Bucket(of.clone()), &name, "", "", &["l", "m", "le"]).unwrap();
    let cell = board.series_of(&mut b, &buckets, &["x", "y", "1+4/0"]);
    board.add(&b, cell, 7);
    for _ in 0..2 {
        let page = board.page();
        assert_eq!(page.get(r#"n_count{l="x"}"#), Some(5.0));
        assert_eq!(page.get(r#"n_count{l="x",m="y"}"#), Some(7.0));
        board = board.restart();
    }
}

#[test]
fn states_and_infos_of_two_releases_are_joined() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    let states = |states: &[&str]| {
        family(Kind::StateSet(states.iter().map(|&state| state.into()).collect()), &[], "Help.")
    };
    let old = board.series_of(&mut a, &states(&["off", "on"]), &[]);
    let new = board.series_of(&mut b, &states(&["on", "broken"]), &[]);
    for (worker, cell, state, stamp) in [(&a, old, 0, 5), (&b, new, 1, 6)] {
        board.set(worker, cell, state);
        board.set(worker, cell + 1, stamp);
    }
    let all = |off: f64, on: f64, broken: f64| {
        [(r#"c{c="broken"}"#, broken), (r#"c{c="off"}"#, off), (r#"c{c="on"}"#, on)]
    };
    assert_eq!(shown(&board.page()), all(0.0, 0.0, 1.0));
    board.set(&a, old + 1, 7);
    assert_eq!(shown(&board.page()), all(1.0, 0.0, 0.0));
    let info =
        |labels: &[&str]| Family::new(Kind::Info, "i", "", "Help.", labels).expect("a good family");
    let old = board.series_of(&mut a, &info(&[]), &[r#"version="1""#]);
    let new = board.series_of(&mut b, &info(&["part"]), &["", r#"version="2""#]);
    let other = board.series_of(&mut b, &info(&["part"]), &["web", r#"version="3""#]);
    board.set(&a, old, 5);
    board.set(&b, new, 6);
    board.set(&b, other, 6);
    let page = board.page();
    let infos: Vec<&String> = page.order.iter().filter(|key| key.starts_with("i_info")).collect();
    assert_eq!(infos, [r#"i_info{part="",version="2"}"#, r#"i_info{part="web",version="3"}"#]);
}

#[test]
fn a_name_that_means_something_else_each_time_does_not_fill_the_catalog() {
    let mut board =
        Board::with(tallyboard_proto::layout::Geometry { log_words: 4096, ..GEOMETRY }, 9);
    let mut worker = board.worker(1);
    let labels: Vec<String> = (0..40).map(|number| format!("l{number:02}")).collect();
    for label in &labels {
        count(&board, &mut worker, &labelled(&[label]), &["x"], 1);
    }
    assert_eq!(shown(&board.page()).len(), 32);
    assert_eq!(board.page().get("tallyboard_catalog_series"), Some(32.0));
    assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(8.0));
    // Other words alone take no place when there are many.
    let worded = family(Kind::Counter, &["l00"], "In other words.");
    let mut other = board.worker(2);
    count(&board, &mut other, &worded, &["x"], 1);
    assert_eq!(board.page().get(r#"c_total{l00="x"}"#), Some(2.0));
    assert_eq!(board.page().get("tallyboard_quarantined_families"), Some(8.0));
}

#[test]
fn changes_are_counted_by_name_and_definitions() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(1), board.worker(2));
    count(&board, &mut a, &labelled(&["l"]), &["x"], 1);
    board.page();
    count(&board, &mut b, &labelled(&["l", "m"]), &["x", "y"], 1);
    let key = r#"tallyboard_definition_changes_total{metric="c",from="labels l",to="labels l m"}"#;
    for _ in 0..2 {
        assert_eq!(board.page().get(key), Some(1.0));
    }
}

/// Random releases: workers of several definitions count, die and come again, the supervisor is
/// replaced, and what is shown never falls and is exact.
#[test]
fn random_releases_lose_and_double_nothing() {
    let definitions = [
        family(Kind::Histogram([1.0, 5.0].into()), &["a", "b"], "One."),
        family(Kind::Histogram([1.0, 5.0, 30.0].into()), &["a", "b"], "Two."),
        family(Kind::Histogram([2.0].into()), &["b", "a"], "Three."),
        family(Kind::Histogram([1.0, 5.0].into()), &["a", "b"], "Four."),
        family(Kind::Histogram([5.0, 7.0].into()), &["a", "b", "c"], "Five."),
    ];
    let mut random = Random(7);
    for round in 0..20 {
        let geometry = tallyboard_proto::layout::Geometry { log_words: 4096, ..GEOMETRY };
        let mut board = Board::with(geometry, 100);
        let mut living: Vec<(Worker, usize)> = Vec::new();
        let (mut pid, mut total, mut sum) = (0, 0, 0.0);
        let mut before = Page::default();
        for step in 0..60 {
            match random.below(8) {
                0..2 if living.len() < 6 => {
                    pid += 1;
                    living.push((board.worker(pid), random.below(5) as usize));
                }
                2 if !living.is_empty() => {
                    let (dead, _) = living.swap_remove(random.below(living.len() as u64) as usize);
                    board.kill(&dead);
                }
                3 => board = board.restart(),
                _ if !living.is_empty() => {
                    let at = random.below(living.len() as u64) as usize;
                    let (worker, of) = &mut living[at];
                    let family = &definitions[*of];
                    let values = if *of == 2 { ["2", "1", ""] } else { ["1", "2", ""] };
                    let cell = board.series_of(worker, family, &values[..family.labels.len()]);
                    let buckets = family.kind.cells() as u64 - 2;
                    board.add(worker, cell + random.below(buckets) as usize, 1);
                    board.add_float(worker, cell + buckets as usize, 0.1);
                    (total, sum) = (total + 1, sum + 0.1);
                }
                _ => {}
            }
            let page = board.page();
            page.assert_not_below(&before, &format!("round {round}, step {step}"));
            before = page;
        }
        let of = |end: &str| -> Vec<f64> {
            let named = before.values.iter().filter(|(key, _)| key.starts_with(end));
            named.map(|(_, value)| *value).collect()
        };
        let found = of("c_count");
        assert_eq!(found.len(), usize::from(total > 0), "round {round}: all are alike");
        assert_eq!(found.iter().sum::<f64>(), f64::from(total));
        assert!((of("c_sum").iter().sum::<f64>() - sum).abs() < 1e-9);
    }
}
