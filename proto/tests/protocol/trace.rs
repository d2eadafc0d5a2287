//! What a restarted supervisor finds after a death at any store: the whole life of an arena,
//! cut after each of its stores.

use std::collections::BTreeMap;

use tallyboard_proto::archive::DeadRow;
use tallyboard_proto::cell::Shape;
use tallyboard_proto::family::{GaugeMode, Kind};
use tallyboard_proto::layout::{Geometry, Layout};
use tallyboard_proto::log::Series;
use tallyboard_proto::word::Words;

use crate::memory::{Sweep, Trace, VecWords};
use crate::mutated::{Defect, Mutated};
use crate::party::{Supervisor, Totals, Worker};

/// One store into a cell, as whoever counted remembers it.
struct Counted {
    /// How many stores there were with it.
    stores: usize,
    turn: (usize, u64),
    series: String,
    shape: Shape,
    cell: usize,
    value: u64,
}

/// The life of an arena: every store, and what was counted.
struct Life {
    layout: Layout,
    trace: Trace,
    counted: Vec<Counted>,
}

fn layout() -> Layout {
    let (slots, cells, log_words) = (2, 24, 48);
    Layout::new(Geometry { slots, cells, log_words, ring_rows: 2, row_cells: 4, unit: 1 })
}

/// A worker that writes down what it counts.
struct Counter<'a, 'l, W: ?Sized> {
    worker: Worker<'a, W>,
    turn: (usize, u64),
    trace: &'l Trace,
    counted: &'l mut Vec<Counted>,
}

impl<W: Words + ?Sized> Counter<'_, '_, W> {
    fn change(&mut self, series: &Series, cell: usize, by: impl Fn(u64) -> u64) {
        let value = self.worker.change(series, cell, by);
        let ((series, shape), stores) = (self.worker.key(series), self.trace.stores());
        self.counted.push(Counted { stores, turn: self.turn, series, shape, cell, value });
    }

    fn count(&mut self, route: &str, whole: u64, fraction: f64) {
        let hits = self.worker.series(Kind::Counter, "hits", route);
        self.change(&hits, 0, |old| old + whole);
        self.change(&hits, 1, |old| (f64::from_bits(old) + fraction).to_bits());
    }

    fn gauge(&mut self, name: &str, mode: GaugeMode, value: f64) {
        let gauge = self.worker.series(Kind::Gauge(mode), name, "/");
        self.change(&gauge, 0, |_| value.to_bits());
        self.change(&gauge, 1, |_| 1);
    }

    fn observe(&mut self, value: f64) {
        let took = self.worker.series(Kind::Histogram([1.0].into()), "took", "/");
        self.change(&took, usize::from(value > 1.0), |old| old + 1);
        self.change(&took, 2, |old| (f64::from_bits(old) + value).to_bits());
    }

    /// A bit of everything, different for each turn.
    fn work(&mut self, routes: &[&str]) {
        let turn = self.turn.1 as f64 * 4.0 + self.turn.0 as f64;
        routes.iter().for_each(|route| self.count(route, turn as u64, 0.25));
        self.gauge("top", GaugeMode::Max, turn);
        self.observe(turn / 4.0);
        self.gauge("load", GaugeMode::All, turn);
        self.count(routes[0], 1, 0.5);
    }
}

/// Attach, log append, count, die, fold, scrub, reassign, count again, fold a batch, and twice more
/// so that each bank is written over and the ring is full.
fn live(sweep: Sweep, defect: Option<Defect>) -> Result<Life, String> {
    let layout = layout();
    let first = VecWords::new(layout.arena_words());
    Supervisor::begin(&first, &layout);
    let (trace, mut counted) = (Trace::new(first, sweep), Vec::new());
    let words = Mutated::new(&trace, layout, defect);
    let mut supervisor = Supervisor::start(&words, layout)?;
    let mut attach = |supervisor: &mut Supervisor<_>, slot, pid, routes: &[&str]| {
        let grant = supervisor.assign(slot, pid);
        supervisor.confirm(slot);
        let worker = Worker::begin(&words, layout, &grant);
        let turn = (slot, grant.generation);
        Counter { worker, turn, trace: &trace, counted: &mut counted }.work(routes);
    };
    attach(&mut supervisor, 0, 100, &["a", "b"]);
    attach(&mut supervisor, 1, 101, &["c", "a"]);
    supervisor.reclaim(&[0])?;
    attach(&mut supervisor, 0, 102, &["b", "d"]);
    supervisor.reclaim(&[1, 0])?;
    attach(&mut supervisor, 1, 103, &["d", "a"]);
    supervisor.reclaim(&[1])?;
    attach(&mut supervisor, 1, 104, &["a"]);
    supervisor.reclaim(&[1])?;
    attach(&mut supervisor, 0, 105, &["c"]);
    Ok(Life { layout, trace, counted })
}

/// What was counted in the first `stores` stores: the totals, and the rows of gauges of mode `all`
/// by turn.
type Truth = (Totals, BTreeMap<(usize, u64), Vec<u64>>);

fn truth(counted: &[Counted], stores: usize) -> Truth {
    let mut rows = BTreeMap::new();
    for one in counted.iter().take_while(|one| one.stores <= stores) {
        let row = rows.entry((&one.series, one.turn));
        row.or_insert_with(|| (one.shape, vec![0; one.shape.width()])).1[one.cell] = one.value;
    }
    let (mut totals, mut gauges) = (Totals::new(), BTreeMap::new());
    for ((series, turn), (shape, row)) in rows {
        if shape.is_archived() {
            let total = totals.entry(series.clone()).or_insert_with(|| vec![0; row.len()]);
            shape.merge(total, &row);
        } else if row[1] != 0 {
            gauges.insert(turn, row);
        }
    }
    (totals, gauges)
}

/// Whether the supervisor's totals are the true ones. A series of which nothing was counted yet
/// may be there or not.
fn compare<W: Words + ?Sized>(
    when: &str,
    supervisor: &mut Supervisor<'_, W>,
    truth: &Truth,
) -> Result<(), String> {
    let (totals, rows) = supervisor.totals()?;
    let counted = |totals: &Totals| -> Totals {
        let some = totals.iter().filter(|(_, cells)| cells.iter().any(|&cell| cell != 0));
        some.map(|(series, cells)| (series.clone(), cells.clone())).collect()
    };
    let (found, expected) = (counted(&totals), counted(&truth.0));
    if found != expected {
        return Err(format!("{when}: found {found:?}, counted were {expected:?}"));
    }
    let fallen = supervisor.archive.rows_dropped() as usize;
    let honest = |row: &DeadRow| {
        truth.1.get(&(row.slot as usize, row.generation)) == Some(&row.cells) && row.pid >= 100
    };
    let mut turns: Vec<_> = rows.iter().map(|row| (row.slot, row.generation)).collect();
    turns.sort_unstable();
    turns.dedup();
    let once = turns.len() == rows.len();
    if !once || !rows.iter().all(honest) || rows.len() + fallen != truth.1.len() {
        return Err(format!("{when}: rows {rows:?}, {fallen} dropped, set were {:?}", truth.1));
    }
    Ok(())
}

/// A request is served by a worker.
fn serve<W: Words + ?Sized>(mut worker: Worker<'_, W>, truth: &mut Truth) {
    let hits = worker.series(Kind::Counter, "hits", "a");
    worker.change(&hits, 0, |old| old + 1);
    truth.0.entry(r#"hits["a"]"#.to_owned()).or_insert_with(|| vec![0; 2])[0] += 1;
}

/// A supervisor restarted on `words` sees the truth, folds what is left, and gives both slots to
/// workers that count once more, of which nothing is lost either.
fn recover(words: &impl Words, layout: Layout, truth: &mut Truth) -> Result<(), String> {
    let mut supervisor = Supervisor::start(words, layout)?;
    compare("restarted", &mut supervisor, truth)?;
    let dead = supervisor.counting();
    supervisor.reclaim(&dead)?;
    compare("folded", &mut supervisor, truth)?;
    for slot in 0..layout.geometry.slots {
        let grant = supervisor.assign(slot, 200);
        // Dies again before it hears of the new worker.
        let mut restarted = Supervisor::start(words, layout)?;
        serve(Worker::begin(words, layout, &grant), truth);
        compare("reassigned", &mut restarted, truth)?;
        restarted.reclaim(&[slot])?;
        compare("folded again", &mut restarted, truth)?;
        supervisor = restarted;
    }
    Ok(())
}

/// Cuts a life after every store and recovers from each cut; gives how many cuts there were.
pub fn cut_everywhere(sweep: Sweep, defect: Option<Defect>) -> Result<usize, String> {
    let life = live(sweep, defect)?;
    let mut cuts = 0;
    for (stores, memory) in life.trace.cuts().enumerate() {
        let words = Mutated::new(&memory, life.layout, defect);
        let mut truth = truth(&life.counted, stores);
        recover(&words, life.layout, &mut truth)
            .map_err(|error| format!("after {stores} stores: {error}"))?;
        cuts += 1;
    }
    Ok(cuts)
}

/// Cuts each recovery after every store, too, and recovers from that.
fn cut_recoveries_everywhere() -> Result<usize, String> {
    let life = live(Sweep::NotZero, None)?;
    let mut cuts = 0;
    for (stores, memory) in life.trace.cuts().enumerate() {
        let trace = Trace::new(memory, Sweep::NotZero);
        let mut supervisor = Supervisor::start(&trace, life.layout)?;
        let dead = supervisor.counting();
        supervisor.reclaim(&dead)?;
        let truth = truth(&life.counted, stores);
        for (again, memory) in trace.cuts().enumerate() {
            let mut restarted = Supervisor::start(&memory, life.layout)?;
            compare("restarted twice", &mut restarted, &truth)
                .map_err(|error| format!("after {stores} and {again} stores: {error}"))?;
            cuts += 1;
        }
    }
    Ok(cuts)
}

#[test]
fn totals_are_exact_after_a_death_at_any_store_and_nothing_is_lost_or_doubled_later() {
    for sweep in [Sweep::FromStart, Sweep::FromEnd, Sweep::NotZero] {
        let cuts = cut_everywhere(sweep, None).unwrap_or_else(|error| panic!("{error}"));
        println!("scrub {sweep:?}: {cuts} cuts");
        assert!(cuts > 500, "a life has more stores");
    }
}

#[test]
fn totals_are_exact_after_a_death_at_any_store_of_the_recovery_from_a_death_at_any_store() {
    let cuts = cut_recoveries_everywhere().unwrap_or_else(|error| panic!("{error}"));
    println!("{cuts} cuts");
}

#[test]
fn a_worker_that_outlives_its_supervisor_loses_nothing_at_any_store() {
    let life = live(Sweep::NotZero, None).expect("a life");
    let mut survivors = 0;
    for (stores, memory) in life.trace.cuts().enumerate() {
        let failed = |error| panic!("after {stores} stores: {error}");
        let mut truth = truth(&life.counted, stores);
        let mut restarted = Supervisor::start(&memory, life.layout).unwrap_or_else(failed);
        for slot in 0..life.layout.geometry.slots {
            let Some(worker) = Worker::resume(&memory, life.layout, slot) else { continue };
            serve(worker, &mut truth);
            compare("gone on", &mut restarted, &truth).unwrap_or_else(|e| _ = failed(e));
            survivors += 1;
        }
        recover(&memory, life.layout, &mut truth).unwrap_or_else(|e| _ = failed(e));
    }
    println!("{survivors} survivors");
    assert!(survivors > 100);
}
