//! What the exposition promises, whoever lives and dies.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::sample::Value;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::log::Action;
use tallyboard_proto::pairs;
use tallyboard_proto::word::Words;
use tallyboard_supervisor::own::{Own, SERVICE_CPU, SERVICE_OPEN_FDS, TARGET_INFO};

use crate::board::{Board, Random, caller, counter, gauge, hello, histogram, summary};

#[test]
fn gauges_of_every_mode_are_as_the_table_says_before_and_after_death() {
    let mut board = Board::new();
    let (mut a, mut b) = (board.worker(11), board.worker(12));
    for mode in GaugeMode::EVERY {
        let family = gauge(&format!("g_{}", mode.name()), mode);
        let cell = board.series(&mut a, &family, "x");
        board.set_gauge(&a, cell, 3.0, 5);
        let cell = board.series(&mut b, &family, "x");
        board.set_gauge(&b, cell, 8.0, 2);
        let unset = gauge(&format!("unset_{}", mode.name()), mode);
        board.series(&mut a, &unset, "x");
    }
    let expect = |page: &crate::board::Page, rows: [(&str, Option<f64>); 8]| {
        for (name, value) in rows {
            assert_eq!(page.get(&format!(r#"g_{name}{{l="x"}}"#)), value, "{name}");
        }
        assert!(!page.order.iter().any(|key| key.starts_with("unset")), "{:?}", page.order);
    };
    let of = |name: &str, pid: u32| format!(r#"g_{name}{{l="x",pid="{pid}"}}"#);
    let both = [
        ("sum", Some(11.0)),
        ("livesum", Some(11.0)),
        ("max", Some(8.0)),
        ("livemax", Some(8.0)),
        ("min", Some(3.0)),
        ("livemin", Some(3.0)),
        ("mostrecent", Some(3.0)),
        ("livemostrecent", Some(3.0)),
    ];
    let page = board.page();
    expect(&page, both);
    for name in ["all", "liveall"] {
        assert_eq!((page.get(&of(name, 11)), page.get(&of(name, 12))), (Some(3.0), Some(8.0)));
    }
    board.kill(&a);
    for _ in 0..2 {
        let page = board.page();
        let lives = [("livesum", Some(8.0)), ("livemax", Some(8.0)), ("livemin", Some(8.0))];
        expect(
            &page,
            [
                both[0],
                lives[0],
                both[2],
                lives[1],
                both[4],
                lives[2],
                both[6],
                ("livemostrecent", Some(8.0)),
            ],
        );
        assert_eq!(page.get(&of("all", 11)), Some(3.0));
        assert_eq!((page.get(&of("liveall", 11)), page.get(&of("liveall", 12))), (None, Some(8.0)));
        board = board.restart();
    }
    board.kill(&b);
    let none = [("livesum", None), ("livemax", None), ("livemin", None), ("livemostrecent", None)];
    expect(&board.page(), [both[0], none[0], both[2], none[1], both[4], none[2], both[6], none[3]]);
}

#[test]
fn no_two_samples_have_one_name_and_labels_whatever_pids_say() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut board = Board::new();
    let mut living = Vec::new();
    for step in 0..300_u32 {
        if living.len() < 5 {
            // Pids that are unknown, shared and used again.
            let mut caller = caller(random.below(3) as u32);
            caller.pidfs_inode = 5000 + u64::from(step);
            let attached = board.grant(&caller, &hello(u64::from(step))).expect("a free slot");
            let (slot, generation) = (attached.slot as usize, attached.generation);
            living.push(board.occupy(slot, generation, attached.prefix));
        }
        let at = random.below(living.len() as u64) as usize;
        for mode in [GaugeMode::All, GaugeMode::LiveAll] {
            let cell = board.series(&mut living[at], &gauge(mode.name(), mode), "x");
            board.set_gauge(&living[at], cell, f64::from(step), 1);
        }
        let order = board.page().order;
        assert_eq!(order, board.page().order, "the order is stable");
        if random.below(2) == 0 {
            let dead = living.swap_remove(at);
            board.kill(&dead);
        }
        if random.below(20) == 0 {
            board = board.restart();
        }
        board.page();
    }
}

#[test]
fn float_sums_do_not_fall_at_folds_or_restarts() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut board = Board::new();
    let mut living: Vec<_> = (1..=4).map(|pid| board.worker(pid)).collect();
    let mut before = board.page();
    for step in 0..600_u32 {
        let at = random.below(living.len() as u64) as usize;
        let amount = random.word() as f64 / 1e17;
        let cells = [(counter("c"), 1), (summary("s"), 1), (histogram("h"), 3)]
            .map(|(family, cell)| board.series(&mut living[at], &family, "x") + cell);
        cells.iter().for_each(|&cell| board.add_float(&living[at], cell, amount));
        let page = board.page();
        page.assert_not_below(&before, &format!("step {step}, counted"));
        before = page;
        let dead = living.swap_remove(at);
        board.kill(&dead);
        living.push(board.worker(100 + step));
        if step % 7 == 0 {
            board = board.restart();
        }
        let page = board.page();
        page.assert_not_below(&before, &format!("step {step}, folded"));
        before = page;
    }
}

#[test]
fn buckets_count_and_summaries_agree_with_themselves() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    let buckets = board.series(&mut worker, &histogram("h"), "x");
    let pair = board.series(&mut worker, &summary("s"), "x");
    for (cell, amount) in [(buckets, 1), (buckets + 1, 2), (buckets + 2, 4), (pair, 3)] {
        board.add(&worker, cell, amount);
    }
    board.add_float(&worker, buckets + 3, 2.5);
    board.add_float(&worker, pair + 1, 1.5);
    for _ in 0..2 {
        let page = board.page();
        for (key, value) in [
            (r#"h_bucket{l="x",le="1.0"}"#, 1.0),
            (r#"h_bucket{l="x",le="2.0"}"#, 3.0),
            (r#"h_bucket{l="x",le="+Inf"}"#, 7.0),
            (r#"h_count{l="x"}"#, 7.0),
            (r#"h_sum{l="x"}"#, 2.5),
            (r#"s_count{l="x"}"#, 3.0),
            (r#"s_sum{l="x"}"#, 1.5),
        ] {
            assert_eq!(page.get(key), Some(value), "{key}");
        }
        board.kill(&worker);
    }
}

#[test]
fn lines_are_ordered_by_family_and_label_whatever_came_first() {
    let mut board = Board::new();
    let mut worker = board.worker(1);
    for (name, label) in [("z", "b"), ("a", "z"), ("z", "a"), ("a", "a")] {
        let cell = board.series(&mut worker, &counter(name), label);
        board.add(&worker, cell, 1);
    }
    let order = board.page().order;
    let ours: Vec<&String> = order.iter().filter(|key| !key.starts_with("tallyboard")).collect();
    let expect = [("a", "a"), ("a", "z"), ("z", "a"), ("z", "b")];
    let expect: Vec<String> =
        expect.iter().map(|(name, label)| format!(r#"{name}_total{{l="{label}"}}"#)).collect();
    assert_eq!(ours, expect.iter().collect::<Vec<_>>());
    assert_eq!(board.restart().page().order, order);
}

#[test]
fn a_family_of_the_workers_comes_instead_of_one_of_the_supervisors_with_its_samples() {
    let set = |board: &mut Board| {
        let value = |own: &Own, value| own.value(Value::Whole(value));
        let outside = vec![value(&SERVICE_CPU, 7), value(&SERVICE_OPEN_FDS, 8)];
        board.core.figures().set_outside(outside);
    };
    let keys = ["process_cpu_seconds_total", "process_open_fds"];
    let family_of = |key: &str| -> String {
        let name = key.split('{').next().unwrap_or_default();
        name.strip_suffix("_total").unwrap_or(name).to_owned()
    };
    for (family, hidden) in [
        (None, &[][..]),
        (Some(counter("process_cpu_seconds")), &keys[..1]),
        (Some(gauge("process_cpu_seconds_total", GaugeMode::Sum)), &keys[..1]),
        (Some(gauge("process_open_fds", GaugeMode::All)), &keys[1..]),
        (Some(gauge("process_open_fds_of_mine", GaugeMode::Sum)), &[]),
    ] {
        let mut board = Board::new();
        set(&mut board);
        let mut worker = board.worker(11);
        if let Some(family) = &family {
            let cell = board.series(&mut worker, family, "x");
            board.set_gauge(&worker, cell, 1.0, 1);
        }
        for _ in 0..2 {
            let page = board.page();
            for key in keys {
                let is_hidden = hidden.contains(&key);
                assert_eq!(page.get(key).is_none(), is_hidden, "{family:?}: {:?}", page.order);
            }
            let names: Vec<String> = page.order.iter().map(|key| family_of(key)).collect();
            assert!(names.is_sorted(), "{names:?}");
            if let Some(family) = &family {
                assert!(names.contains(&family_of(&family.name)), "{family:?}: {names:?}");
            }
            board.kill(&worker);
            board = board.restart();
            set(&mut board);
        }
    }
}

#[test]
fn a_target_is_what_the_supervisor_says_and_else_what_a_worker_said_last() {
    let target = |board: &mut Board, pairs: &[(&str, &str)]| {
        let outside = if pairs.is_empty() { vec![] } else { vec![TARGET_INFO.info(pairs)] };
        board.core.figures().set_outside(outside);
    };
    let shown = |board: &mut Board| {
        let order = board.page().order;
        order.into_iter().filter(|key| key.starts_with("target")).collect::<Vec<_>>()
    };
    let info = Family::new(Kind::Info, "target", "", "Target metadata", &[]).unwrap();
    for other in [None, Some(gauge("target_info", GaugeMode::Max))] {
        let mut board = Board::new();
        let mut worker = board.worker(11);
        let family = other.as_ref().unwrap_or(&info);
        let said = pairs::encode(&[("env", "test")]).unwrap();
        let cell = board.series(&mut worker, family, if other.is_some() { "x" } else { &said });
        let expect =
            if other.is_some() { r#"target_info{l="x"}"# } else { r#"target_info{env="test"}"# };
        match &other {
            Some(_) => board.set_gauge(&worker, cell, 1.0, 1),
            None => board.add(&worker, cell, 5),
        }
        target(&mut board, &[]);
        assert_eq!(shown(&mut board), [expect]);
        // The same labels too: no two samples are the same.
        for own in [("env", "test"), ("env", "live")] {
            target(&mut board, &[own]);
            assert_eq!(shown(&mut board), [format!("target_info{{env={:?}}}", own.1)]);
        }
        if other.is_none() {
            let cleared = board.series(&mut worker, family, "");
            board.add(&worker, cleared, 6);
            assert_eq!(shown(&mut board), [r#"target_info{env="live"}"#]);
            target(&mut board, &[]);
            assert_eq!(shown(&mut board), [""; 0]);
            board.add(&worker, cell, 2);
            assert_eq!(shown(&mut board), [expect]);
        }
        board.kill(&worker);
    }
}

#[test]
fn a_sum_that_is_no_number_any_more_leaves_no_floor_for_the_next_supervisor() {
    let sum = r#"s_sum{l="x"}"#;
    let mut board = Board::new();
    let mut worker = board.worker_without_prefix(1);
    let cell = board.series(&mut worker, &summary("s"), "x");
    let observe = |board: &Board, amount: f64, is_odd: bool| {
        board.add(&worker, cell, 1);
        board.add(&worker, cell + 2, is_odd.into());
        board.add_float(&worker, cell + 1, amount);
    };
    observe(&board, 2.0, false);
    assert_eq!(board.page().get(sum), Some(2.0));
    observe(&board, f64::INFINITY, true);
    assert_eq!(board.page().get(sum), Some(f64::INFINITY));
    board.say(&mut worker, cell, Action::Reset, 5);
    for _ in 0..2 {
        // Infinity less infinity.
        assert!(board.page().get(sum).is_some_and(f64::is_nan));
        let floors = board.layout.floors..board.layout.floors + board.layout.geometry.cells;
        for at in floors {
            let floor = f64::from_bits(board.core.arena().load(at, Relaxed));
            assert!(floor.is_finite() && floor >= 0.0, "word {at}: {floor}");
        }
        board = board.restart();
    }
}

#[test]
fn what_a_worker_counts_is_never_added_to_what_the_supervisor_says_of_itself() {
    let mut board = Board::new();
    let own = SERVICE_CPU.rows([([("l", "x")], Value::Whole(7))]);
    board.core.figures().set_outside(vec![own]);
    let mut worker = board.worker(11);
    let cell = board.series(&mut worker, &counter("process.cpu_seconds"), "x");
    board.add(&worker, cell, 5);
    for escaping in [Escaping::AllowUtf8, Escaping::Underscores] {
        let page = board.core.expose_escaped(Format::Text004, escaping, &[]);
        let page = String::from_utf8(page).unwrap();
        let is_sample = |line: &&str| line.contains("cpu_seconds_") && !line.starts_with('#');
        let mut lines: Vec<&str> = page.lines().filter(is_sample).collect();
        let theirs = match escaping {
            Escaping::AllowUtf8 => &[r#"{"process.cpu_seconds_total",l="x"} 5"#][..],
            _ => &[],
        };
        let expect = [&[r#"process_cpu_seconds_total{l="x"} 7"#], theirs].concat();
        lines.sort_unstable_by_key(|line| line.starts_with('{'));
        assert_eq!(lines, expect, "{escaping:?}");
    }
    let page = board.core.expose_escaped(Format::Text004, Escaping::Underscores, &[]);
    let counted =
        "tallyboard_name_collisions{metric=\"process.cpu_seconds\",outcome=\"left_out\"} 1\n";
    assert!(String::from_utf8(page).unwrap().contains(counted));
}
