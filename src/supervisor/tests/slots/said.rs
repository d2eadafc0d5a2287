//! What collectors say, of many processes: joined by family and suffix, whoever dies.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_proto::cell::Sample;
use tallyboard_proto::family::{Declared, Family, GaugeMode, Kind, Samples};
use tallyboard_proto::log::Action;

use crate::board::{Board, Random, Worker};

fn family(name: &str, declared: Declared, mode: GaugeMode) -> Family {
    let kind = Kind::Samples(Samples::new(declared, mode));
    Family::named(kind, name, "", "Help.", &[]).expect("a good family")
}

/// Says a sample; gives its first cell.
fn say(
    board: &Board,
    worker: &mut Worker,
    family: &Family,
    (suffix, labels): (&str, &str),
    (value, stamp): (f64, u64),
) -> usize {
    let cell = board.series_of(worker, family, &[suffix, labels]);
    let at = board.cell(worker, cell);
    Sample { value, stamp, at_ns: None }.write(board.core.arena(), at);
    cell
}

/// What a page shows of a name, without what the supervisor says of itself.
fn lines(board: &mut Board, format: Format, name: &str) -> Vec<String> {
    let page = String::from_utf8(board.core.expose_as(format, &[])).expect("a text");
    let read = parse(page.as_bytes(), format, &Options::default());
    assert!(read.is_ok(), "{page}: {read:?}");
    let of = |line: &&str| line.trim_start_matches("# TYPE ").starts_with(name);
    page.lines().filter(of).map(str::to_owned).collect()
}

#[test]
fn counts_are_added_quantiles_are_the_newest_and_no_death_lowers_anything() {
    let mut board = Board::new();
    let summary = family("s", Declared::Summary, GaugeMode::All);
    let mut workers: Vec<Worker> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    for (at, worker) in workers.iter_mut().enumerate() {
        let n = at as f64 + 1.0;
        let stamp = [5, 9, 7][at];
        say(&board, worker, &summary, ("", "quantile=\"0.5\""), (n / 10.0, stamp));
        say(&board, worker, &summary, ("_count", ""), (n, stamp));
        say(&board, worker, &summary, ("_sum", ""), (0.1, stamp));
        say(&board, worker, &summary, ("_created", ""), (n + 2.0, stamp));
    }
    let expect = [
        "s summary",
        "s{quantile=\"0.5\"} 0.2",
        "s_count 6",
        "s_sum 0.30000000000000004",
        "s_created gauge",
        "s_created 3",
    ];
    let plain = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().map(|line| line.trim_start_matches("# TYPE ").to_owned()).collect()
    };
    assert_eq!(plain(lines(&mut board, Format::Text004, "s")), expect);
    let created = lines(&mut board, Format::OpenMetrics100, "s_created");
    assert_eq!(created, ["s_created 3"]);
    for worker in &workers {
        board.kill(worker);
        assert_eq!(plain(lines(&mut board, Format::Text004, "s")), expect);
        board = board.restart();
        assert_eq!(plain(lines(&mut board, Format::Text004, "s")), expect);
    }
}

#[test]
fn gauges_are_joined_by_their_mode_and_each_process_has_its_own_in_mode_all() {
    let mut board = Board::new();
    let (all, most) = (GaugeMode::All, GaugeMode::Max);
    let up = family("up", Declared::Gauge, all);
    let age = family("age", Declared::GaugeHistogram, most);
    let (mut a, mut b) = (board.worker_without_prefix(1), board.worker_without_prefix(2));
    for (worker, value) in [(&mut a, 2.0), (&mut b, 3.0)] {
        // Each sample has labels of its own.
        say(&board, worker, &up, ("", "job=\"a\""), (value, 4));
        say(&board, worker, &up, ("", "job=\"b\",zone=\"z\""), (value, 4));
        say(&board, worker, &age, ("_bucket", "le=\"1.0\""), (value, 4));
        say(&board, worker, &age, ("_bucket", "le=\"+Inf\""), (value * 2.0, 4));
        say(&board, worker, &age, ("_gcount", ""), (value * 2.0, 4));
        say(&board, worker, &age, ("_gsum", ""), (-1.0, 4));
    }
    for is_first in [true, false] {
        assert_eq!(
            lines(&mut board, Format::Text004, "up"),
            [
                "# TYPE up gauge",
                "up{job=\"a\",pid=\"1\"} 2",
                "up{job=\"a\",pid=\"2\"} 3",
                "up{job=\"b\",zone=\"z\",pid=\"1\"} 2",
                "up{job=\"b\",zone=\"z\",pid=\"2\"} 3",
            ]
        );
        let age = lines(&mut board, Format::OpenMetrics100, "age");
        let buckets = ["age_bucket{le=\"1.0\"} 3", "age_bucket{le=\"+Inf\"} 6"];
        assert_eq!(age[..1], ["# TYPE age gaugehistogram"]);
        assert_eq!(age[1..], buckets, "a negative sum has no place there, nor the count beside it");
        if is_first {
            board.kill(&b);
        }
        board = board.restart();
    }
}

#[test]
fn of_those_that_have_a_time_of_their_own_the_newest_counts_with_its_own_value() {
    let mut board = Board::new();
    let at = family("at", Declared::Counter, GaugeMode::All);
    let mut workers: Vec<Worker> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    for (worker, (value, at_ns)) in workers.iter_mut().zip([(7.0, 3), (2.0, 1), (5.0, 4)]) {
        let cell = board.series_of(worker, &at, &["_total", ""]);
        let at_ns = Some(at_ns * 1_000_000_000);
        let place = board.cell(worker, cell);
        Sample { value, stamp: 1, at_ns }.write(board.core.arena(), place);
    }
    for worker in workers.iter().rev() {
        assert_eq!(lines(&mut board, Format::OpenMetrics100, "at_total"), ["at_total 5 4"]);
        assert_eq!(lines(&mut board, Format::Text004, "at_total")[1..], ["at_total 5 4000"]);
        board.kill(worker);
        board = board.restart();
    }
}

#[test]
fn what_a_worker_has_removed_is_gone_and_that_of_another_stays() {
    let mut board = Board::new();
    let jobs = family("jobs", Declared::Counter, GaugeMode::All);
    let open = family("open", Declared::Gauge, GaugeMode::All);
    let mut workers: Vec<Worker> = (1..=3).map(|pid| board.worker_without_prefix(pid)).collect();
    let mut cells = Vec::new();
    for (at, worker) in workers.iter_mut().enumerate() {
        let value = 10_f64.powi(at as i32);
        cells = vec![
            say(&board, worker, &jobs, ("_total", ""), (value, 4)),
            say(&board, worker, &open, ("", ""), (value, 4)),
        ];
    }
    let shown = |board: &mut Board| {
        let page = board.page();
        let names = ["jobs_total", "open{pid=\"1\"}", "open{pid=\"2\"}", "open{pid=\"3\"}"];
        names.map(|name| page.get(name))
    };
    assert_eq!(shown(&mut board), [Some(111.0), Some(1.0), Some(10.0), Some(100.0)]);
    board.kill(&workers[2]);
    assert_eq!(shown(&mut board), [Some(111.0), Some(1.0), Some(10.0), Some(100.0)]);
    for &cell in &cells {
        board.say(&mut workers[0], cell, Action::Remove, 20);
    }
    assert_eq!(shown(&mut board), [Some(110.0), None, Some(10.0), Some(100.0)]);
    for &cell in &cells {
        board.say(&mut workers[1], cell, Action::Remove, 30);
    }
    assert_eq!(shown(&mut board), [None; 4], "nobody says it any more");
    let mut board = board.restart();
    assert_eq!(shown(&mut board), [None; 4]);
    // What is said again is what that worker says, without what the dead had said.
    board.say(&mut workers[0], cells[0], Action::Hold, 40);
    say(&board, &mut workers[0], &jobs, ("_total", ""), (2.0, 9));
    assert_eq!(shown(&mut board.restart()), [Some(2.0), None, None, None]);
}

#[test]
fn an_info_is_what_the_living_say_and_without_any_what_was_said_last() {
    let mut board = Board::new();
    let build = family("build", Declared::Info, GaugeMode::All);
    let (mut old, mut new) = (board.worker_without_prefix(1), board.worker_without_prefix(2));
    let shown = |board: &mut Board| lines(board, Format::Text004, "build_info{");
    let of = |version: &str| format!("build_info{{part=\"{version}\"}} 1");
    for part in ["a", "b"] {
        let labels = format!("part=\"{part}\"");
        say(&board, &mut old, &build, ("_info", &labels), (1.0, 5));
    }
    assert_eq!(shown(&mut board), [of("a"), of("b")], "several sets of one worker");
    say(&board, &mut new, &build, ("_info", "part=\"c\""), (1.0, 9));
    assert_eq!(shown(&mut board), [of("a"), of("b"), of("c")]);
    board.kill(&old);
    assert_eq!(shown(&mut board), [of("c")], "no living worker says the others");
    board.kill(&new);
    assert_eq!(shown(&mut board.restart()), [of("c")]);
}

#[test]
fn a_sum_does_not_fall_by_the_order_in_which_it_is_added_up() {
    let mut board = Board::new();
    let family = family("s", Declared::Summary, GaugeMode::All);
    let mut random = Random(9);
    let mut workers: Vec<Worker> = (1..=5).map(|pid| board.worker_without_prefix(pid)).collect();
    let mut before = board.page();
    for round in 0..40 {
        for worker in &mut workers {
            worker.counted += random.below(1_000_000) as f64 / 7.0;
            let counted = worker.counted;
            say(&board, worker, &family, ("_sum", ""), (counted, 1));
        }
        let page = board.page();
        page.assert_not_below(&before, "counted");
        before = page;
        let at = random.below(5) as usize;
        board.kill(&workers[at]);
        let page = board.page();
        page.assert_not_below(&before, "killed");
        (before, board) = (page, board.restart());
        workers[at] = board.worker_without_prefix(100 + round);
    }
}
