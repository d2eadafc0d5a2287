//! What tells processes apart, and constant labels: whoever shares a pid, lives, dies, or is read by
//! the next supervisor.

use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::layout::Geometry;
use tallyboard_proto::log::Record;
use tallyboard_supervisor::core::{Caller, Rules};
use tallyboard_supervisor::{Labels, WorkerLabel};

use crate::board::{Board, GEOMETRY, Page, Worker, counter, gauge, hello, histogram, summary};

/// Room for eight workers and for the rows of more that are dead.
const ROOM: Geometry = Geometry { slots: 10, ring_rows: 16, ..GEOMETRY };

fn rules(worker_label: WorkerLabel, labels: &[&str]) -> Rules {
    let labels = labels.iter().map(|label| label.parse().expect("a good label")).collect();
    let labels = Labels::new(labels).expect("labels of different names");
    Rules { worker_label, labels, ..Rules::new(vec![0], 100) }
}

/// Process number `process` with this pid; processes of one number are one process.
fn process(pid: u32, process: u64) -> Caller {
    Caller { pid, uid: 0, admitted_as: 0, pidfs_inode: 5000 + process, start_time: process }
}

/// A worker that has set gauges of mode `all` and `liveall` to `value`.
fn attach(board: &mut Board, caller: &Caller, value: u32) -> Worker {
    let attached = board.grant(caller, &hello(u64::from(value))).expect("a free slot");
    board.core.confirm(attached.slot as usize, attached.generation);
    let mut worker = board.occupy(attached.slot as usize, attached.generation, attached.prefix);
    for mode in [GaugeMode::All, GaugeMode::LiveAll] {
        let cell = board.series(&mut worker, &gauge(mode.name(), mode), "x");
        board.set_gauge(&worker, cell, f64::from(value), 1);
    }
    worker
}

/// The values of gauge `name`, by what tells the processes apart.
fn values(page: &Page, name: &str, label: &str) -> Vec<String> {
    let start = format!(r#"{name}{{l="x",{label}=""#);
    let value = |key: &String| {
        let process = key.strip_prefix(&start)?.strip_suffix("\"}")?;
        Some(format!("{process} {}", page.values[key]))
    };
    page.order.iter().filter_map(value).collect()
}

/// What one set of processes looks like, with either label.
struct Case {
    name: &'static str,
    /// The first ones, all alive at once; worker n sets its gauges to n, from 1.
    callers: Vec<Caller>,
    /// Attaches after the first process of them has died.
    late: Caller,
    by_pid: [Stage; 3],
    by_slot: [Stage; 3],
}

/// Living and dead; living alone.
type Stage = (&'static [&'static str], &'static [&'static str]);

fn check(case: &Case, kind: WorkerLabel, label: &str, stages: &[Stage; 3]) {
    let mut board = Board::with_rules(ROOM, rules(kind, &[]));
    let mut living: Vec<Worker> = Vec::new();
    for (caller, value) in case.callers.iter().zip(1..) {
        living.push(attach(&mut board, caller, value));
    }
    let look = |mut board: Board, stage: usize| {
        for when in ["at once", "after a restart", "after another"] {
            let page = board.page();
            for (name, expect) in [("all", stages[stage].0), ("liveall", stages[stage].1)] {
                let context = format!("{}, {kind}, stage {stage}, {when}: {name}", case.name);
                assert_eq!(values(&page, name, label), expect, "{context}");
            }
            board = board.restart();
        }
        board
    };
    board = look(board, 0);
    let dies = case.callers.iter().filter(|&&caller| caller == case.callers[0]).count();
    living.drain(..dies).for_each(|worker| board.kill(&worker));
    let late = attach(&mut board, &case.late, case.callers.len() as u32 + 1);
    living.push(late);
    board = look(board, 1);
    living.iter().for_each(|worker| board.kill(worker));
    look(board, 2);
}

const EIGHT_BY_PID: [Stage; 3] = [
    (
        &["s0g1 1", "s1g1 2", "s2g1 3", "s3g1 4", "s4g1 5", "s5g1 6", "s6g1 7", "s7g1 8"],
        &["s0g1 1", "s1g1 2", "s2g1 3", "s3g1 4", "s4g1 5", "s5g1 6", "s6g1 7", "s7g1 8"],
    ),
    (
        &["s0g1 1", "s1g1 2", "s2g1 3", "s3g1 4", "s4g1 5", "s5g1 6", "s6g1 7", "s7g1 8", "s8g1 9"],
        &["s1g1 2", "s2g1 3", "s3g1 4", "s4g1 5", "s5g1 6", "s6g1 7", "s7g1 8", "s8g1 9"],
    ),
    (
        &["s0g1 1", "s1g1 2", "s2g1 3", "s3g1 4", "s4g1 5", "s5g1 6", "s6g1 7", "s7g1 8", "s8g1 9"],
        &[],
    ),
];
const EIGHT_BY_SLOT: [Stage; 3] = [
    (
        &["0 1", "1 2", "2 3", "3 4", "4 5", "5 6", "6 7", "7 8"],
        &["0 1", "1 2", "2 3", "3 4", "4 5", "5 6", "6 7", "7 8"],
    ),
    (
        &["0 1", "1 2", "2 3", "3 4", "4 5", "5 6", "6 7", "7 8", "8 9"],
        &["1 2", "2 3", "3 4", "4 5", "5 6", "6 7", "7 8", "8 9"],
    ),
    (&["0 1", "1 2", "2 3", "3 4", "4 5", "5 6", "6 7", "7 8", "8 9"], &[]),
];
const TWO_BY_SLOT: [Stage; 3] = [
    (&["0 1", "1 2"], &["0 1", "1 2"]),
    (&["0 1", "1 2", "2 3"], &["1 2", "2 3"]),
    (&["0 1", "1 2", "2 3"], &[]),
];

fn cases() -> [Case; 4] {
    let all = |pid: u32| (1..=8).map(|number| process(pid, number)).collect::<Vec<_>>();
    [
        Case {
            name: "eight that are pid 1 in namespaces of their own",
            callers: all(1),
            late: process(1, 9),
            by_pid: EIGHT_BY_PID,
            by_slot: EIGHT_BY_SLOT,
        },
        Case {
            name: "eight whose pids nobody here sees",
            callers: all(0),
            late: process(0, 9),
            by_pid: EIGHT_BY_PID,
            by_slot: EIGHT_BY_SLOT,
        },
        Case {
            name: "a pid that is used again",
            callers: vec![process(11, 1), process(12, 2)],
            late: process(11, 3),
            by_pid: [
                (&["11 1", "12 2"], &["11 1", "12 2"]),
                (&["11 3", "12 2"], &["11 3", "12 2"]),
                (&["11 3", "12 2"], &[]),
            ],
            by_slot: TWO_BY_SLOT,
        },
        Case {
            name: "two clients in one process",
            callers: vec![process(11, 1), process(11, 1)],
            late: process(12, 2),
            by_pid: [
                (&["s0g1 1", "s1g1 2"], &["s0g1 1", "s1g1 2"]),
                (&["12 3", "s0g1 1", "s1g1 2"], &["12 3"]),
                (&["12 3", "s0g1 1", "s1g1 2"], &[]),
            ],
            by_slot: [
                (&["0 1", "1 2"], &["0 1", "1 2"]),
                (&["0 1", "1 2", "2 3"], &["2 3"]),
                (&["0 1", "1 2", "2 3"], &[]),
            ],
        },
    ]
}

#[test]
fn the_processes_of_a_gauge_are_told_apart_whoever_shares_a_pid() {
    for case in cases() {
        check(&case, WorkerLabel::Pid, "pid", &case.by_pid);
        check(&case, WorkerLabel::Slot, "worker", &case.by_slot);
    }
}

#[test]
fn the_newest_worker_of_a_slot_hides_those_before_it() {
    let mut board = Board::with_rules(GEOMETRY, rules(WorkerLabel::Slot, &[]));
    for value in 1..=20 {
        let worker = attach(&mut board, &process(100 + value, u64::from(value)), value);
        let page = board.page();
        let own = format!("{} {value}", worker.slot);
        assert_eq!(values(&page, "liveall", "worker"), [own.as_str()]);
        assert!(values(&page, "all", "worker").contains(&own));
        board.kill(&worker);
        assert!(values(&board.page(), "all", "worker").contains(&own));
    }
}

#[test]
fn a_label_of_the_familys_own_keeps_its_name() {
    let own = |labels: &[&str]| {
        Family::new(Kind::Gauge(GaugeMode::All), "g", "", "", labels).expect("a good family")
    };
    for (kind, labels, expect) in [
        (WorkerLabel::Pid, &["a"][..], r#"g{a="v",pid="11"}"#),
        (WorkerLabel::Pid, &["pid"], r#"g{pid="v",worker="11"}"#),
        (WorkerLabel::Pid, &["worker", "pid"], r#"g{worker="v",pid="v",tallyboard_worker="11"}"#),
        (WorkerLabel::Slot, &["pid"], r#"g{pid="v",worker="0"}"#),
        (WorkerLabel::Slot, &["worker"], r#"g{worker="v",tallyboard_worker="0"}"#),
    ] {
        let mut board = Board::with_rules(GEOMETRY, rules(kind, &[]));
        let mut worker = board.worker(11);
        board.append(&mut worker, Record::Family(own(labels)));
        let values = labels.iter().map(|_| "v".into()).collect();
        board.append(&mut worker, Record::Series { family: 0, created_ms: 1, values });
        board.set_gauge(&worker, 0, 7.0, 1);
        assert_eq!(board.page().get(expect), Some(7.0), "{kind} {labels:?}");
        board.kill(&worker);
        assert_eq!(board.restart().page().get(expect), Some(7.0), "{kind} {labels:?}, dead");
    }
}

#[test]
fn constant_labels_are_on_every_sample_that_has_no_such_label_of_its_own() {
    let rules = rules(WorkerLabel::Pid, &["region=eu", "l=constant", "state=constant"]);
    let mut board = Board::with_rules(GEOMETRY, rules);
    let mut worker = board.worker(11);
    let families = [
        counter("c"),
        summary("s"),
        histogram("h"),
        gauge("g_max", GaugeMode::Max),
        gauge("g_all", GaugeMode::All),
    ];
    for family in families {
        let cell = board.series(&mut worker, &family, "x");
        board.set(&worker, cell, 1);
        if matches!(family.kind, Kind::Gauge(_)) {
            board.set_gauge(&worker, cell, 1.0, 1);
        }
    }
    let behind = r#"l="x",region="eu",state="constant""#;
    for _ in 0..2 {
        let page = board.page();
        for key in [
            format!("c_total{{{behind}}}"),
            format!("s_count{{{behind}}}"),
            format!("h_bucket{{{behind},le=\"1.0\"}}"),
            format!("h_count{{{behind}}}"),
            format!("g_max{{{behind}}}"),
            format!("g_all{{{behind},pid=\"11\"}}"),
        ] {
            assert_eq!(page.get(&key), Some(1.0), "{key}: {:?}", page.order);
        }
        let own = r#"tallyboard_slots{state="free",region="eu",l="constant"}"#;
        assert!(page.get(own).is_some(), "{:?}", page.order);
        for key in &page.order {
            assert!(key.contains(r#"region="eu""#), "{key}");
            assert_eq!(key.matches("l=\"").count() - key.matches("_l=\"").count(), 1, "{key}");
        }
        board.kill(&worker);
        board = board.restart();
    }
}
