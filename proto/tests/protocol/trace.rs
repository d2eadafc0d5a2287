//! What a restarted supervisor finds after a death at any store: the whole life of an arena,
//! cut after each of its stores.

use std::cell::RefCell;

use tallyboard_proto::archive::DeadRow;
use tallyboard_proto::cell::Sample;
use tallyboard_proto::family::{Declared, GaugeMode, Kind, Samples};
use tallyboard_proto::layout::{Geometry, Layout, header};
use tallyboard_proto::log::{Action, Series};
use tallyboard_proto::native::{Native, cells};
use tallyboard_proto::word::Words;

use crate::memory::{Sweep, Trace, VecWords};
use crate::mutated::{Defect, Mutated, STRAY};
use crate::party::{Supervisor, Totals};
use crate::truth::{Event, Truth, Turn};
use crate::worker::Worker;

/// What happened, each with how many stores there were with it.
type Diary = RefCell<Vec<(usize, Turn, Event)>>;

/// The life of an arena: every store, and what happened.
struct Life {
    layout: Layout,
    trace: Trace,
    diary: Diary,
}

impl Life {
    /// What is true after the first `stores` stores.
    fn truth(&self, stores: usize) -> Truth {
        let mut truth = Truth::default();
        let diary = self.diary.borrow();
        let happened = diary.iter().take_while(|(with, ..)| *with <= stores);
        happened.for_each(|(_, turn, event)| truth.learn(*turn, event.clone()));
        truth
    }
}

fn layout() -> Layout {
    let (slots, cells, log_words) = (2, 43, 280);
    Layout::new(Geometry { slots, cells, log_words, ring_rows: 2, row_cells: 4, unit: 1, lanes: 1 })
}

fn waited() -> Native {
    Native { schema: 0, zero_threshold: 0.0, max_buckets: 4, bounds: Box::default() }
}

/// A worker that writes down what it does.
struct Counter<'a, 'l, W: ?Sized> {
    worker: Worker<'a, W>,
    turn: Turn,
    trace: &'l Trace,
    diary: &'l Diary,
}

impl<W: Words + ?Sized> Counter<'_, '_, W> {
    fn note(&self, event: Event) {
        self.diary.borrow_mut().push((self.trace.stores(), self.turn, event));
    }

    fn change(&mut self, series: &Series, cell: usize, by: impl Fn(u64) -> u64) {
        let value = self.worker.change(series, cell, by);
        let (series, shape) = self.worker.key(series);
        self.note(Event::Counted { series, shape, cell, value });
    }

    fn say(&mut self, series: &Series, action: Action, at_ms: u64) {
        self.worker.say(series, action, at_ms);
        let (series, _) = self.worker.key(series);
        self.note(Event::Said { series, action, at_ms });
    }

    /// The worker takes back a part of what it has counted itself.
    fn lower(&mut self, series: &Series, amounts: &[u64], at_ms: u64) {
        self.worker.lower(series, amounts, at_ms);
        let (series, _) = self.worker.key(series);
        self.note(Event::Lowered { series, amounts: amounts.to_vec(), at_ms });
    }

    fn lower_hits(&mut self, route: &str, whole: u64, fraction: f64, at_ms: u64) {
        let hits = self.hits(route);
        self.lower(&hits, &[whole, fraction.to_bits()], at_ms);
    }

    fn hits(&mut self, route: &str) -> Series {
        self.worker.series(Kind::Counter, "hits", route)
    }

    /// A native histogram without classic buckets.
    fn waited(&mut self) -> Series {
        self.worker.series(Kind::NativeHistogram(waited()), "waited", "/")
    }

    /// The count is in the bucket, the sum in the series itself.
    fn wait(&mut self, value: f64) {
        let histogram = self.waited();
        let bucket = waited().bucket(value).expect("a number");
        let bucket = self.worker.bucket(&histogram, bucket);
        self.change(&bucket, 0, |old| old + 1);
        self.change(&histogram, cells::SUM, |old| (f64::from_bits(old) + value).to_bits());
    }

    /// Its buckets have no word of their own.
    fn reset_waited(&mut self, at_ms: u64) {
        let histogram = self.waited();
        self.say(&histogram, Action::Reset, at_ms);
        for bucket in self.worker.buckets(&histogram) {
            let (series, _) = self.worker.key(&bucket);
            self.note(Event::Ended { series });
        }
    }

    fn took(&mut self) -> Series {
        self.worker.series(Kind::Histogram([1.0].into()), "took", "/")
    }

    /// All amounts are quarters: the sum of floats is the same in any order.
    fn count(&mut self, route: &str, whole: u64, fraction: f64) {
        let hits = self.hits(route);
        self.change(&hits, 0, |old| old + whole);
        self.change(&hits, 1, |old| (f64::from_bits(old) + fraction).to_bits());
    }

    fn gauge(&mut self, name: &str, mode: GaugeMode, value: f64) {
        let gauge = self.worker.series(Kind::Gauge(mode), name, "/");
        self.change(&gauge, 0, |_| value.to_bits());
        self.change(&gauge, 1, |_| 1);
    }

    /// The worker forgets what it set before it says so.
    fn remove_gauge(&mut self, name: &str, mode: GaugeMode, at_ms: u64) {
        let gauge = self.worker.series(Kind::Gauge(mode), name, "/");
        self.change(&gauge, 1, |_| 0);
        self.say(&gauge, Action::Remove, at_ms);
    }

    fn observe(&mut self, value: f64) {
        let took = self.took();
        self.change(&took, usize::from(value > 1.0), |old| old + 1);
        self.change(&took, 2, |old| (f64::from_bits(old) + value).to_bits());
    }

    /// Something writes into a bucket.
    fn stray(&mut self, cell: usize) {
        let took = self.took();
        self.worker.change(&took, cell, |_| STRAY);
        let (series, _) = self.worker.key(&took);
        self.note(Event::Strayed { series, cell });
    }

    /// What a collector says, in one go: what of it is written before the turn is nobody's to see.
    fn say_sample(&mut self, suffix: &str, value: f64, at_ns: Option<i64>) {
        let kind = Kind::Samples(Samples::new(Declared::Summary, GaugeMode::Max));
        let series = self.worker.sample(kind, "said", suffix);
        let cells = self.worker.write_sample(&series, Sample { value, stamp: self.turn.1, at_ns });
        let (name, shape) = self.worker.key(&series);
        for (cell, value) in cells.into_iter().enumerate() {
            let series = name.clone();
            self.note(Event::Counted { series, shape, cell, value });
        }
    }

    /// A bit of everything, different for each turn.
    fn work(&mut self, routes: &[&str]) {
        let turn = self.turn.1 as f64 * 4.0 + self.turn.0 as f64;
        routes.iter().for_each(|route| self.count(route, turn as u64, 0.25));
        self.gauge("top", GaugeMode::Max, turn);
        self.observe(turn / 4.0);
        self.gauge("load", GaugeMode::All, turn);
        self.say_sample("_sum", turn, None);
        self.say_sample("_sum", turn + 0.25, None);
        self.count(routes[0], 1, 0.5);
    }
}

/// The supervisor of a life, and the pid of its next worker.
struct Arena<'a, 'l, W: ?Sized> {
    supervisor: Supervisor<'a, W>,
    words: &'a W,
    layout: Layout,
    trace: &'l Trace,
    diary: &'l Diary,
    pid: u64,
}

impl<'a, 'l, W: Words + ?Sized> Arena<'a, 'l, W> {
    fn attach(&mut self, slot: usize, routes: &[&str]) -> Counter<'a, 'l, W> {
        let grant = self.supervisor.assign(slot, self.pid);
        self.pid += 1;
        self.supervisor.confirm(slot);
        let turn = (slot, grant.generation);
        let mut worker = Worker::begin(self.words, self.layout, &grant);
        // The workers of one slot count in a lane, those of the other beside it.
        if slot == 1 {
            worker.begin_lane();
        }
        let mut counter = Counter { worker, turn, trace: self.trace, diary: self.diary };
        counter.work(routes);
        counter
    }

    fn hear(&mut self) -> Result<(), String> {
        self.supervisor.hear()
    }

    /// Finds a bucket that something wrote into: what it held is taken over with the commit.
    fn judge(&mut self, strayed: &mut Counter<'a, 'l, W>) -> Result<(), String> {
        let before = self.trace.stores();
        self.hear()?;
        let committed = self.trace.first_store_to(header::ARCHIVE_COMMIT, before);
        let took = strayed.took();
        let (series, _) = strayed.worker.key(&took);
        let event = (committed.unwrap_or(before), strayed.turn, Event::Judged { series });
        self.diary.borrow_mut().push(event);
        Ok(())
    }

    /// Folds workers that are dead, which they are from the store of the commit word on, and hides
    /// what nobody holds any more before the next worker comes.
    fn reclaim<const N: usize>(&mut self, dead: [Counter<'a, 'l, W>; N]) -> Result<(), String> {
        self.hear()?;
        let before = self.trace.stores();
        self.supervisor.reclaim(&dead.each_ref().map(|counter| counter.turn.0))?;
        let folded = self.trace.first_store_to(header::ARCHIVE_COMMIT, before);
        let folded = folded.unwrap_or(before);
        let died = dead.map(|counter| (folded, counter.turn, Event::Died));
        self.diary.borrow_mut().extend(died);
        self.hear()
    }
}

/// Attach, log append, count, reset, remove, die, fold, scrub, reassign, count again, fold a batch,
/// and so on, so that each bank is written over many times and the ring is full.
fn live(sweep: Sweep, defect: Option<Defect>) -> Result<Life, String> {
    let layout = layout();
    let first = VecWords::new(layout.arena_words());
    Supervisor::begin(&first, &layout);
    let (trace, diary) = (Trace::new(first, sweep), Diary::default());
    let words = Mutated::new(&trace, layout, defect);
    let supervisor = Supervisor::start(&words, layout)?;
    let (trace_of, diary_of, pid) = (&trace, &diary, 100);
    let mut arena =
        Arena { supervisor, words: &words, layout, trace: trace_of, diary: diary_of, pid };
    resets_and_removals(&mut arena)?;
    parts_taken_back(&mut arena)?;
    stray_writes(&mut arena)?;
    let third = arena.attach(1, &["d", "a"]);
    arena.reclaim([third])?;
    let mut fourth = arena.attach(1, &["a"]);
    let hits = fourth.hits("d");
    fourth.say(&hits, Action::Remove, 60);
    arena.hear()?;
    fourth.count("d", 3, 0.75);
    arena.reclaim([fourth])?;
    let mut fifth = arena.attach(0, &["c"]);
    let hits = fifth.hits("c");
    fifth.say(&hits, Action::Remove, 70);
    arena.hear()?;
    fifth.say(&hits, Action::Hold, 71);
    fifth.count("c", 1, 0.0);
    Ok(Life { layout, trace, diary })
}

/// Of two workers, one of which is folded and replaced, each says this and that.
fn resets_and_removals<W: Words + ?Sized>(arena: &mut Arena<'_, '_, W>) -> Result<(), String> {
    let mut zeroth = arena.attach(0, &["a", "b"]);
    let mut first = arena.attach(1, &["c", "a"]);
    let hits = first.hits("a");
    first.say(&hits, Action::Reset, 10);
    // Counts before the supervisor has heard of the reset.
    first.count("a", 5, 0.5);
    arena.hear()?;
    zeroth.count("a", 2, 0.25);
    let took = zeroth.took();
    zeroth.say(&took, Action::Reset, 20);
    arena.hear()?;
    first.observe(0.75);
    arena.reclaim([zeroth])?;
    // The dead one's counts are in the archive; its removals do not hide those of the next.
    let mut second = arena.attach(0, &["b", "d"]);
    let hits = second.hits("b");
    second.say(&hits, Action::Remove, 30);
    second.count("b", 1, 0.25);
    arena.hear()?;
    first.count("b", 4, 0.5);
    arena.hear()?;
    let hits = first.hits("a");
    first.say(&hits, Action::Reset, 40);
    arena.hear()?;
    // One has a bucket that the other has not; what is observed behind the reset is of the next life.
    second.wait(0.75);
    first.wait(0.75);
    first.wait(3.0);
    first.reset_waited(45);
    first.wait(3.0);
    arena.hear()?;
    second.wait(0.75);
    second.remove_gauge("top", GaugeMode::Max, 50);
    second.remove_gauge("load", GaugeMode::All, 51);
    arena.hear()?;
    first.remove_gauge("load", GaugeMode::All, 52);
    arena.hear()?;
    second.count("d", 1, 0.0);
    arena.reclaim([first, second])
}

/// Two workers take back parts of what they have counted, while they live and when one dies, and of
/// a series that one of them has removed.
fn parts_taken_back<W: Words + ?Sized>(arena: &mut Arena<'_, '_, W>) -> Result<(), String> {
    let mut one = arena.attach(0, &["a", "b"]);
    let mut other = arena.attach(1, &["a", "d"]);
    one.lower_hits("a", 3, 0.25, 53);
    // Counts before the supervisor has heard of it, and takes back again.
    one.count("a", 1, 0.25);
    one.lower_hits("a", 2, 0.0, 54);
    other.lower_hits("a", 1, 0.5, 54);
    arena.hear()?;
    other.count("a", 2, 0.25);
    // The fraction gets what the whole cell loses too much.
    one.lower_hits("b", 4, -0.5, 55);
    one.lower_hits("b", 0, 0.25, 55);
    let took = other.took();
    other.observe(2.0);
    other.lower(&took, &[0, 1, 2.0_f64.to_bits(), 0], 55);
    other.wait(0.75);
    arena.hear()?;
    let hits = other.hits("d");
    other.lower_hits("d", 1, 0.25, 56);
    other.say(&hits, Action::Remove, 56);
    other.count("d", 5, 0.75);
    arena.hear()?;
    other.lower_hits("d", 3, 0.25, 57);
    other.count("d", 1, 0.0);
    arena.hear()?;
    other.lower_hits("d", 1, 0.25, 58);
    one.lower_hits("a", 1, 0.0, 59);
    arena.reclaim([one])?;
    other.lower_hits("a", 2, 0.25, 59);
    arena.reclaim([other])
}

/// Something writes into a bucket of a worker that goes on, and into one of a worker that dies: all
/// else that both count is counted.
fn stray_writes<W: Words + ?Sized>(arena: &mut Arena<'_, '_, W>) -> Result<(), String> {
    let mut one = arena.attach(0, &["a"]);
    let mut other = arena.attach(1, &["a"]);
    (0..3).for_each(|_| one.observe(0.5));
    other.observe(3.0);
    arena.hear()?;
    one.stray(0);
    arena.judge(&mut one)?;
    one.observe(2.0);
    one.count("a", 1, 0.25);
    arena.hear()?;
    other.stray(1);
    arena.judge(&mut other)?;
    arena.reclaim([other])?;
    one.observe(4.0);
    arena.reclaim([one])
}

/// Whether the supervisor's totals are the true ones. A series that shows nothing may be there or
/// not.
fn compare<W: Words + ?Sized>(
    when: &str,
    supervisor: &mut Supervisor<'_, W>,
    truth: &Truth,
) -> Result<(), String> {
    let (mut found, rows) = supervisor.totals()?;
    found.retain(|_, (_, cells)| cells.iter().any(|&cell| cell != 0));
    let expected: Totals = truth.totals();
    if found != expected {
        return Err(format!("{when}: found {found:?}, true are {expected:?}"));
    }
    let fallen = supervisor.archive.rows_dropped() as usize;
    let set = truth.rows();
    let honest = |row: &DeadRow| {
        set.get(&(row.slot as usize, row.generation)) == Some(&row.cells) && row.pid >= 100
    };
    let mut turns: Vec<_> = rows.iter().map(|row| (row.slot, row.generation)).collect();
    turns.sort_unstable();
    turns.dedup();
    let once = turns.len() == rows.len();
    if !once || !rows.iter().all(honest) || rows.len() + fallen != set.len() {
        return Err(format!("{when}: rows {rows:?}, {fallen} dropped, set were {set:?}"));
    }
    Ok(())
}

/// A request is served by a worker.
fn serve<W: Words + ?Sized>(mut worker: Worker<'_, W>, turn: Turn, truth: &mut Truth) {
    let hits = worker.series(Kind::Counter, "hits", "a");
    let value = worker.change(&hits, 0, |old| old + 1);
    let (series, shape) = worker.key(&hits);
    truth.learn(turn, Event::Counted { series, shape, cell: 0, value });
}

/// Folds all of these.
fn reclaim<W: Words + ?Sized>(
    supervisor: &mut Supervisor<'_, W>,
    dead: &[usize],
    truth: &mut Truth,
) -> Result<(), String> {
    let turns: Vec<Turn> =
        dead.iter().map(|&slot| (slot, supervisor.table[slot].0.generation)).collect();
    supervisor.reclaim(dead)?;
    turns.into_iter().for_each(|turn| truth.learn(turn, Event::Died));
    Ok(())
}

/// A supervisor restarted on `words` sees the truth, folds what is left, and gives both slots to
/// workers that count once more, of which nothing is lost either.
fn recover(words: &impl Words, layout: Layout, truth: &mut Truth) -> Result<(), String> {
    let mut supervisor = Supervisor::start(words, layout)?;
    compare("restarted", &mut supervisor, truth)?;
    let dead = supervisor.counting();
    reclaim(&mut supervisor, &dead, truth)?;
    compare("folded", &mut supervisor, truth)?;
    for slot in 0..layout.geometry.slots {
        let grant = supervisor.assign(slot, 200);
        // Dies again before it hears of the new worker.
        let mut restarted = Supervisor::start(words, layout)?;
        let turn = (slot, grant.generation);
        serve(Worker::begin(words, layout, &grant), turn, truth);
        compare("reassigned", &mut restarted, truth)?;
        reclaim(&mut restarted, &[slot], truth)?;
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
        let mut truth = life.truth(stores);
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
        let (dead, before) = (supervisor.counting(), trace.stores());
        let (mut truth, mut folded) = (life.truth(stores), life.truth(stores));
        reclaim(&mut supervisor, &dead, &mut folded)?;
        let fold = trace.first_store_to(header::ARCHIVE_COMMIT, before).unwrap_or(before);
        for (again, memory) in trace.cuts().enumerate() {
            let truth = if again < fold { &mut truth } else { &mut folded };
            let mut restarted = Supervisor::start(&memory, life.layout)?;
            compare("restarted twice", &mut restarted, truth)
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
        let mut truth = life.truth(stores);
        let mut restarted = Supervisor::start(&memory, life.layout).unwrap_or_else(failed);
        for slot in 0..life.layout.geometry.slots {
            let Some(worker) = Worker::resume(&memory, life.layout, slot) else { continue };
            serve(worker, (slot, restarted.table[slot].0.generation), &mut truth);
            compare("gone on", &mut restarted, &truth).unwrap_or_else(|e| _ = failed(e));
            survivors += 1;
        }
        recover(&memory, life.layout, &mut truth).unwrap_or_else(|e| _ = failed(e));
    }
    println!("{survivors} survivors");
    assert!(survivors > 100);
}
