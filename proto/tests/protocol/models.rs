//! What loom finds: every execution of a few parties, without bounds, and exactly which outcomes
//! there are. A model that explored too little would miss an outcome, one with a defect has one
//! more: both fail.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::Ordering::{self, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

use loom::thread;
use tallyboard_proto::archive::{Archive, Dead, read_outside, scrub};
use tallyboard_proto::cell::{MAX_COUNT, Run, SAMPLE_CELLS, SAMPLE_WORDS, Sample, Shape};
use tallyboard_proto::exemplar;
use tallyboard_proto::lane;
use tallyboard_proto::layout::{Geometry, Layout, bank, entry, header, slot_header};
use tallyboard_proto::life::Life;
use tallyboard_proto::log::{self, Action, Record, Removal};
use tallyboard_proto::slot::{SlotHeader, SlotWord, State, Tenant};
use tallyboard_proto::word::Words;

use crate::loomed::LoomWords;
use crate::mutated::{Defect, Mutated, STRAY};

/// Runs every execution of `model`; gives how many there were.
///
/// # Panics
/// At the first outcome that is not in `expect`, and in the end when one of these did not occur.
fn explore<T: Ord + Debug + Send + Sync + 'static>(
    expect: impl IntoIterator<Item = T>,
    model: impl Fn() -> T + Sync + Send + 'static,
) -> usize {
    // These belong to the test and not to the model: loom does not see them.
    let expect: BTreeSet<T> = expect.into_iter().collect();
    let seen = Arc::new((expect, Mutex::new(BTreeSet::new()), AtomicUsize::new(0)));
    let mut builder = loom::model::Builder::new();
    (builder.preemption_bound, builder.max_permutations) = (None, None);
    (builder.max_duration, builder.max_branches) = (None, 100_000);
    let within = seen.clone();
    builder.check(move || {
        let (expect, outcomes, executions) = &*within;
        executions.fetch_add(1, Relaxed);
        let outcome = model();
        assert!(expect.contains(&outcome), "not one of the outcomes: {outcome:?}");
        outcomes.lock().expect("a test that did not panic").insert(outcome);
    });
    let (expect, outcomes, executions) = &*seen;
    let outcomes = outcomes.lock().expect("a test that did not panic");
    let missing: Vec<_> = expect.difference(&outcomes).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    executions.load(Relaxed)
}

/// A geometry as small as a model needs.
fn tiny(slots: usize) -> Layout {
    tiny_with_lanes(slots, 0)
}

fn tiny_with_lanes(slots: usize, lanes: usize) -> Layout {
    let (cells, log_words, ring_rows, row_cells, unit) = (2, 8, 0, 0, 1);
    Layout::new(Geometry { slots, cells, log_words, ring_rows, row_cells, unit, lanes })
}

fn empty(layout: &Layout) -> Box<[AtomicU64]> {
    (0..layout.arena_words()).map(|_| AtomicU64::new(0)).collect()
}

/// A memory in which the workers of all slots count already, in a counter of one series.
fn counting(layout: &Layout, counts: &[u64]) -> Box<[AtomicU64]> {
    let words = empty(layout);
    for bank in [0, 1] {
        // The cells are there from the beginning, so that they are read from the beginning.
        words.store(layout.bank(bank) + bank::CELLS, 2, Relaxed);
    }
    for (slot, &count) in counts.iter().enumerate() {
        let live = SlotWord { state: State::Live, generation: 1 };
        live.publish(&*words, layout, slot);
        let header = SlotHeader { generation: 1, arena_id: 0, prefix: 0 };
        header.write(&*words, layout.slot(slot));
        words.store(layout.slot_cells(slot), count, Relaxed);
    }
    words
}

/// The words that a reader outside and a supervisor race for.
fn raced(layout: &Layout) -> Vec<usize> {
    let slots = 0..layout.geometry.slots;
    let of_lanes = |slot| {
        let lanes = (0..layout.geometry.lanes).map(move |lane| layout.lane_cells(slot, lane));
        lanes.chain([layout.slot(slot) + slot_header::LANES]).filter(|_| layout.geometry.lanes > 0)
    };
    let of_lanes: Vec<usize> = slots.flat_map(of_lanes).collect();
    let mut words = vec![header::ARCHIVE_COMMIT, layout.bank_cells(0), layout.bank_cells(1)];
    for slot in 0..layout.geometry.slots {
        words.extend([layout.folded(0) + slot, layout.folded(1) + slot]);
        words.push(layout.entry(slot) + entry::STATE);
        words.extend([layout.slot(slot) + slot_header::GENERATION, layout.slot_cells(slot)]);
    }
    words.extend(of_lanes);
    words
}

/// Archive and slots together as a reader outside has them; `None` when a fold came between.
fn total(words: &impl Words, layout: &Layout) -> Option<u64> {
    read_outside(words, layout, 1, |view| {
        let slots = (0..layout.geometry.slots).filter(|&slot| view.counts(slot).is_some());
        let live: u64 = slots.map(|slot| view.cells(slot, 0, Shape::Bucket)[0]).sum();
        view.archived(0) + live
    })
}

/// Folds a slot whose worker counted to `count` and is dead: everything but the scrub.
///
/// The count is told, not loaded: the dead cannot write, so there is one value to load. And loom
/// remembers one last access of a word, so a load by the thread that stores there next would hide
/// the reader's load before it, and with it the executions in which the reader comes later.
fn fold(words: &impl Words, layout: &Layout, archive: &mut Archive, slot: usize, count: u64) {
    let row = [count, 0];
    let runs = [Run { shape: Shape::Counter, series: 1, from: 0, to: 0 }];
    let dead = Dead { slot, generation: 1, row: &row, runs: &runs, gauges: None, dropped: [0; 8] };
    archive.fold(words, layout, 2, &[dead]);
}

const DRAINING: SlotWord = SlotWord { state: State::Draining, generation: 1 };

fn memory(first: &[AtomicU64], modelled: &[usize]) -> Arc<LoomWords> {
    Arc::new(LoomWords::new(first, modelled))
}

/// Starts a party with its own way to the memory.
fn party<T: 'static>(
    words: &Arc<LoomWords>,
    layout: Layout,
    defect: Option<Defect>,
    acts: impl FnOnce(&Mutated<'_, LoomWords>) -> T + 'static,
) -> thread::JoinHandle<T> {
    let words = words.clone();
    thread::spawn(move || acts(&Mutated::new(&*words, layout, defect)))
}

/// A writer appends three records; a reader reads the log twice, the second time from where the
/// first ended. Outcome: the two lengths, or what was torn.
pub fn log_append(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let area = layout.slot_log(0);
    let records: Vec<_> = [5, 6, 7].map(|cells| Record::Gap { cells }.to_words()).concat();
    let first = empty(&layout);
    let modelled = [area.commit, area.start, area.start + 1, area.start + 2];
    let expect = (0..=3).flat_map(|first| (first..=3).map(move |second| Ok((first, second))));
    explore(expect, move || {
        let words = memory(&first, &modelled);
        let written = records.clone();
        let reader = party(&words, layout, defect, move |words| {
            let mut found = Vec::new();
            let mut read = |from| log::read(words, area, from, &mut found);
            let lengths = read(0).and_then(|first| Ok((first, read(first)?)));
            let lengths = lengths.map_err(|error| error.to_string())?;
            let torn = found != written[..lengths.1];
            if torn { Err(format!("{lengths:?} {found:?}")) } else { Ok(lengths) }
        });
        let writer = Mutated::new(&*words, layout, defect);
        records.chunks(1).enumerate().for_each(|(committed, record)| {
            log::append(&writer, area, committed, record).expect("room");
        });
        reader.join().expect("a reader that does not panic")
    })
}

/// A worker counts and dies; the supervisor folds and scrubs its slot; a reader outside looks
/// twice. Outcome: what it saw, and what the archive has in the end.
pub fn fold_and_scrub(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let (first, modelled) = (counting(&layout, &[0]), raced(&layout));
    // A look fails only where the other one is on one side of the fold, and the total never falls.
    let looks = [
        (None, Some(1)),
        (Some(0), None),
        (Some(1), None),
        (Some(0), Some(0)),
        (Some(0), Some(1)),
        (Some(1), Some(1)),
    ];
    explore(looks.map(|(first, second)| (first, second, 1)), move || {
        let words = memory(&first, &modelled);
        let worker = party(&words, layout, defect, move |words| {
            words.store(layout.slot_cells(0), 1, Relaxed);
        });
        let reader = party(&words, layout, defect, move |words| {
            (total(words, &layout), total(words, &layout))
        });
        let supervisor = Mutated::new(&*words, layout, defect);
        // The kernel's word that the worker is dead: what it stored happened before.
        worker.join().expect("a worker that does not panic");
        DRAINING.publish(&supervisor, &layout, 0);
        let mut archive = Archive::new(&layout);
        fold(&supervisor, &layout, &mut archive, 0, 1);
        scrub(&supervisor, &layout, 0, DRAINING);
        let seen = reader.join().expect("a reader that does not panic");
        (seen.0, seen.1, archive.cells()[0])
    })
}

/// Two slots of the dead hold 5 and 7; the supervisor folds them one after the other, so that the
/// second fold writes the bank in which a reader may still be, and scrubs the first. Outcome: what
/// a reader outside saw.
pub fn two_folds(defect: Option<Defect>) -> usize {
    let layout = tiny(2);
    let (first, mut modelled) = (counting(&layout, &[5, 7]), raced(&layout));
    // Nobody stores into the second slot: its words need no model.
    let second = [layout.entry(1), layout.slot(1), layout.slot_cells(1)];
    modelled.retain(|word| !second.contains(word));
    explore([None, Some(12)], move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| total(words, &layout));
        let supervisor = Mutated::new(&*words, layout, defect);
        let mut archive = Archive::new(&layout);
        for (slot, count) in [5, 7].into_iter().enumerate() {
            fold(&supervisor, &layout, &mut archive, slot, count);
        }
        scrub(&supervisor, &layout, 0, DRAINING);
        reader.join().expect("a reader that does not panic")
    })
}

/// How a worker counts in the model below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Counting {
    /// Load and store, in the thread that attached.
    Plainly,
    /// One atomic operation, in another thread of the worker.
    AtOnceElsewhere,
    /// Load and store, in another thread of the worker.
    PlainlyElsewhere,
    /// As before, behind a Release fence of that thread.
    FencedElsewhere,
    /// Load and store, in the lane that another thread of the worker begins.
    InLane,
}

fn count(words: &LoomWords, cell: usize, how: Counting) {
    if how == Counting::FencedElsewhere {
        words.fence(Release);
    }
    if how == Counting::AtOnceElsewhere {
        words.add(cell, 1);
    } else {
        // It would load the 0 of the scrub; see `fold` for why it does not.
        words.store(cell, 1, Relaxed);
    }
}

/// The slot of a worker that counted to 5 is folded, scrubbed and given to another worker, which
/// counts 1. Outcome: what a reader outside saw, `also` beside the totals that there are.
pub fn reused_slot(defect: Option<Defect>, how: Counting, also: Option<u64>) -> usize {
    let layout = tiny_with_lanes(1, usize::from(how == Counting::InLane));
    let (first, mut modelled) = (counting(&layout, &[5]), raced(&layout));
    if how == Counting::InLane {
        // The last worker has counted in that lane too, and nobody beside it.
        let (cell, lane) = (layout.slot_cells(0), layout.lane_cells(0, 0));
        first.store(cell, 0, Relaxed);
        first.store(lane, 5, Relaxed);
        first.store(layout.slot(0) + slot_header::LANES, 1, Relaxed);
        modelled.retain(|word| *word != cell);
    }
    let totals = [None, Some(5), Some(6)];
    explore(totals.into_iter().chain(also.map(Some)), move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| total(words, &layout));
        let supervisor = Mutated::new(&*words, layout, defect);
        let mut archive = Archive::new(&layout);
        fold(&supervisor, &layout, &mut archive, 0, 5);
        let free = scrub(&supervisor, &layout, 0, DRAINING);
        free.to(State::Assigned).publish(&supervisor, &layout, 0);
        // A thread's start stands for the conversation over the socket: what the supervisor
        // stored happened before.
        let shared = words.clone();
        let worker = party(&words, layout, defect, move |words| {
            let cell = layout.slot_cells(0);
            SlotHeader { generation: 2, arena_id: 0, prefix: 0 }.write(words, layout.slot(0));
            if how == Counting::Plainly {
                return count(&shared, cell, how);
            }
            let thread = thread::spawn(move || match how {
                Counting::InLane => {
                    let words = Mutated::new(&*shared, layout, defect);
                    lane::begin(&words, layout.slot(0), 1);
                    words.store(layout.lane_cells(0, 0), 1, Relaxed);
                }
                _ => count(&shared, cell, how),
            });
            thread.join().expect("a thread that does not panic");
        });
        worker.join().expect("a worker that does not panic");
        reader.join().expect("a reader that does not panic")
    })
}

/// Two threads count in one lane, by load and store, the second when it has got it from the first.
/// Outcome: what is in the lane, and whether the second got it.
pub fn handed_over(defect: Option<Defect>) -> usize {
    const OWNERS: usize = 1;
    const CELL: usize = 1;
    let first: Box<[AtomicU64]> = [1, 0].map(AtomicU64::new).into();
    explore([(1, false), (2, true)], move || {
        let words = memory(&first, &[0, CELL]);
        let count = |words: &LoomWords| words.store(CELL, words.load(CELL, Relaxed) + 1, Relaxed);
        let shared = words.clone();
        let second = thread::spawn(move || {
            let owners = Owners { words: &shared, owners: OWNERS, defect };
            let taken = lane::take(&owners).is_some();
            if taken {
                count(&shared);
            }
            taken
        });
        count(&words);
        lane::give_back(&Owners { words: &words, owners: OWNERS, defect }, 0);
        let taken = second.join().expect("a thread that does not panic");
        (words.load(CELL, Relaxed), taken)
    })
}

/// Who has which lane, which is no part of an arena.
struct Owners<'a> {
    words: &'a LoomWords,
    owners: usize,
    defect: Option<Defect>,
}

impl Words for Owners<'_> {
    fn len(&self) -> usize {
        self.owners
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        let is_relaxed = self.defect == Some(Defect::TakeRelaxed);
        self.words.load(at, if is_relaxed { Relaxed } else { order })
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        let is_relaxed = self.defect == Some(Defect::GiveBackRelaxed);
        self.words.store(at, value, if is_relaxed { Relaxed } else { order });
    }

    fn fence(&self, order: Ordering) {
        self.words.fence(order);
    }
}

/// A worker counts to 5 and then 6 while the supervisor resets the series twice, at the 5 and at
/// what it finds then: the second commit writes the bank in which a reader may still be. Outcome:
/// total, offset and begin of the life as a reader outside saw them.
pub fn two_resets(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let first = counting(&layout, &[5]);
    for bank in [0, 1] {
        // As for the cells: lengths that stay as they are need not be raced for.
        first.store(layout.bank(bank) + bank::OFFSETS, 2, Relaxed);
        first.store(layout.bank(bank) + bank::LIVES, 1, Relaxed);
    }
    let mut modelled = vec![header::ARCHIVE_COMMIT, layout.slot_cells(0)];
    for bank in [0, 1] {
        modelled.extend([layout.offsets(bank), layout.lives(bank)]);
    }
    // Both totals before the first reset and after it; behind the second, at least what it found.
    let seen = [(5, 0, 0), (6, 0, 0), (5, 5, 1), (6, 5, 1), (5, 5, 2), (6, 5, 2), (6, 6, 2)];
    explore(seen.map(Some).into_iter().chain([None]), move || {
        let words = memory(&first, &modelled);
        let worker = party(&words, layout, None, move |words| {
            words.store(layout.slot_cells(0), 6, Relaxed);
        });
        let reader = party(&words, layout, defect, move |words| {
            read_outside(words, &layout, 1, |view| {
                (view.cells(0, 0, Shape::Bucket)[0], view.offset(0), view.life(0).created_ms)
            })
        });
        let supervisor = Mutated::new(&*words, layout, defect);
        let mut archive = Archive::new(&layout);
        let mut reset = |count, at_ms| {
            archive.set_offset(0, &[count, 0]);
            archive.set_life(0, Life::default().renewed(at_ms));
            archive.commit(&supervisor, &layout, 2);
        };
        reset(5, 1);
        reset(supervisor.load(layout.slot_cells(0), Relaxed), 2);
        worker.join().expect("a worker that does not panic");
        reader.join().expect("a reader that does not panic")
    })
}

/// Something writes into a count of 5, which the supervisor has seen, while it looks a second time: it
/// takes over the 5. Outcome: what a reader outside saw, for which what holds too much counts 0 as
/// well. It never sees the 5 twice.
pub fn judged(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let (first, modelled) = (counting(&layout, &[5]), raced(&layout));
    let cell = layout.slot_cells(0);
    explore([None, Some(0), Some(5)], move || {
        let words = memory(&first, &modelled);
        let worker = party(&words, layout, None, move |words| words.store(cell, STRAY, Relaxed));
        let reader = party(&words, layout, defect, move |words| {
            read_outside(words, &layout, 1, |view| {
                let count = view.cells(0, 0, Shape::Bucket)[0];
                view.archived(0) + if count > MAX_COUNT { 0 } else { count }
            })
        });
        let supervisor = Mutated::new(&*words, layout, defect);
        let mut archive = Archive::new(&layout);
        if supervisor.load(cell, Relaxed) > MAX_COUNT {
            archive.take_over(0, 5, 2);
        }
        archive.commit(&supervisor, &layout, 2);
        worker.join().expect("a worker that does not panic");
        reader.join().expect("a reader that does not panic")
    })
}

/// A thread of a worker counts 5; another one of its threads takes back what it sees, and says so in
/// the log; the supervisor hears of it. Outcome: what the worker has taken back, and what the
/// supervisor takes off for it: no more than it sees that the worker has counted.
pub fn lowered(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let (area, cell) = (layout.slot_log(0), layout.slot_cells(0));
    let record = |amount| {
        let (action, cells) = (Action::Lower, [amount, 0].into());
        Record::Removal(Removal { series: 0, action, at_ms: 1, cells }).to_words()
    };
    let first = empty(&layout);
    // But for the amount the record stands there from the beginning.
    record(0).iter().zip(area.start..).for_each(|(&word, at)| first.store(at, word, Relaxed));
    let modelled = [cell, area.commit, area.start + 3];
    let taken_back = [0, 5].map(|amount| (amount, Ok(amount)));
    let unheard = [0, 5].map(|amount| (amount, Err("nothing was said yet".to_owned())));
    explore(taken_back.into_iter().chain(unheard), move || {
        let words = memory(&first, &modelled);
        let counting = party(&words, layout, defect, move |words| words.store(cell, 5, Relaxed));
        let lowering = party(&words, layout, defect, move |words| {
            let own = words.load(cell, Relaxed);
            log::append(words, area, 0, &record(own)).expect("room");
            own
        });
        let supervisor = Mutated::new(&*words, layout, defect);
        let mut found = Vec::new();
        let read = log::read(&supervisor, area, 0, &mut found);
        let parts = read.and_then(|_| log::take_apart(&found, 0)).expect("a sound log");
        let removal = parts.removals.first().map(|(_, removal)| removal);
        let own = [supervisor.load(cell, Relaxed), 0];
        let offset = removal.map(|said| Shape::Counter.lowered(&[0; 2], &said.cells, &own, &own));
        counting.join().expect("a thread that does not panic");
        let own = lowering.join().expect("a thread that does not panic");
        (own, offset.map(|offset| offset[0]).ok_or("nothing was said yet".to_owned()))
    })
}

/// A worker's own memory of an exemplar's turn: see [`fold`] for why it does not load it.
struct OwnTurn<'a, W: ?Sized> {
    words: &'a W,
    turn: usize,
    value: Cell<u64>,
}

impl<W: Words + ?Sized> Words for OwnTurn<'_, W> {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        if at == self.turn { self.value.get() } else { self.words.load(at, order) }
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        if at == self.turn {
            self.value.set(value);
        }
        self.words.store(at, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.words.fence(order);
    }
}

/// A worker gives three exemplars, so that the third one is written into the buffer of the first; a
/// reader reads. Outcome: the exemplar, by value, 0 for none, or what was torn.
pub fn exemplars(defect: Option<Defect>) -> usize {
    let (slots, cells, log_words) = (1, exemplar::EXEMPLAR_CELLS, 8);
    let layout = Layout::new(Geometry {
        slots,
        cells,
        log_words,
        ring_rows: 0,
        row_cells: 0,
        unit: 1,
        lanes: 0,
    });
    let at = layout.slot_cells(0);
    let first = empty(&layout);
    let shared = 1 + exemplar::BUFFER_WORDS;
    // The turn, and value and time of the buffer that is written twice. No labels: their length is
    // 0 from the beginning.
    let modelled = [0, shared, shared + 1].map(|cell| at + cell);
    explore([0, 1, 2, 3].map(Ok), move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| match exemplar::read(words, at) {
            Some(found) if found.value as u64 != found.at_ms => Err(format!("{found:?}")),
            Some(found) => Ok(found.at_ms),
            None => Ok(0),
        });
        let worker = Mutated::new(&*words, layout, defect);
        let worker = OwnTurn { words: &worker, turn: at, value: Cell::new(0) };
        for number in 1..=3 {
            exemplar::write(&worker, at, "", number as f64, number);
        }
        reader.join().expect("a reader that does not panic")
    })
}

/// A worker says a sample three times, each with a value, a stamp and a time of its own that belong
/// together; a reader copies it. Outcome: the sample, by value, 0 for none or one that was not read, or
/// what was torn.
pub fn samples(defect: Option<Defect>) -> usize {
    let (slots, cells, log_words) = (1, SAMPLE_CELLS, 8);
    let (ring_rows, row_cells, unit, lanes) = (0, 0, 1, 0);
    let layout =
        Layout::new(Geometry { slots, cells, log_words, ring_rows, row_cells, unit, lanes });
    let at = layout.slot_cells(0);
    let first = empty(&layout);
    // The turn, and value and time of the buffer that is written twice.
    let shared = 1 + SAMPLE_WORDS;
    let modelled = [0, shared, shared + 2].map(|cell| at + cell);
    explore([0, 1, 2, 3].map(Ok), move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| {
            let mut cells = [0; SAMPLE_CELLS];
            Sample::copy(words, at, &mut cells);
            match Sample::of_cells(&cells) {
                Some(found) if found.at_ns != Some(found.value as i64) => Err(format!("{found:?}")),
                Some(found) => Ok(found.value as u64),
                None => Ok(0),
            }
        });
        let worker = Mutated::new(&*words, layout, defect);
        let worker = OwnTurn { words: &worker, turn: at, value: Cell::new(0) };
        for number in 1..=3 {
            Sample { value: number as f64, stamp: 1, at_ns: Some(number) }.write(&worker, at);
        }
        reader.join().expect("a reader that does not panic")
    })
}

/// A worker writes its slot's header. Outcome: what a reader of it saw.
pub fn slot_header_begun(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let base = layout.slot(0);
    let header = SlotHeader { generation: 1, arena_id: 2, prefix: 3 };
    let first = empty(&layout);
    let words = [slot_header::GENERATION, slot_header::ARENA_ID, slot_header::PREFIX];
    let modelled = words.map(|word| base + word);
    explore([None, Some((1, 2, 3))], move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| {
            let header = SlotHeader::read(words, base)?;
            Some((header.generation, header.arena_id, header.prefix))
        });
        header.write(&Mutated::new(&*words, layout, defect), base);
        reader.join().expect("a reader that does not panic")
    })
}

/// A supervisor gives a slot away. Outcome: the state that a reader of the table saw, and whose it
/// is.
pub fn slot_entry(defect: Option<Defect>) -> usize {
    let layout = tiny(1);
    let at = layout.entry(0);
    let first = empty(&layout);
    SlotWord::FIRST.publish(&*first, &layout, 0);
    let modelled = [at + entry::STATE, at + entry::PID, at + entry::PREFIX];
    let nobody = (State::Free as u64, 0, 0);
    // A tenant may be seen before the slot is his: the state is what counts.
    let early = [(0, 5, 0), (0, 0, 6), (0, 5, 6)];
    explore([nobody, (State::Assigned as u64, 5, 6)].into_iter().chain(early), move || {
        let words = memory(&first, &modelled);
        let reader = party(&words, layout, defect, move |words| {
            let word = SlotWord::read(words, &layout, 0).expect("a state");
            let tenant = Tenant::read(words, &layout, 0);
            (word.state as u64, tenant.pid, tenant.prefix)
        });
        let supervisor = Mutated::new(&*words, layout, defect);
        let tenant = Tenant { pid: 5, prefix: 6, ..Tenant::default() };
        tenant.write(&supervisor, &layout, 0);
        SlotWord::FIRST.to(State::Assigned).publish(&supervisor, &layout, 0);
        reader.join().expect("a reader that does not panic")
    })
}

fn check(name: &str, executions: usize, least: usize) {
    println!("{name}: {executions} executions");
    assert!(executions >= least, "{name}: at least {least}");
}

#[test]
fn a_log_is_read_up_to_a_whole_record_and_never_torn() {
    check("log append", log_append(None), 100);
}

#[test]
fn a_reader_outside_sees_a_total_that_never_falls_while_a_slot_is_folded_and_scrubbed() {
    check("fold and scrub", fold_and_scrub(None), 1000);
}

#[test]
fn a_reader_outside_sees_an_exact_total_or_none_while_one_bank_is_written_again() {
    check("two folds", two_folds(None), 1000);
}

#[test]
fn a_reader_outside_never_takes_the_counts_of_a_slots_next_worker_for_those_of_the_last() {
    use Counting::{AtOnceElsewhere, FencedElsewhere, InLane, Plainly};
    for how in [Plainly, AtOnceElsewhere, FencedElsewhere, InLane] {
        check(&format!("reused slot, {how:?}"), reused_slot(None, how, None), 1000);
    }
}

#[test]
fn a_thread_goes_on_from_all_that_was_counted_in_its_lane() {
    check("handed over", handed_over(None), 2);
}

#[test]
fn an_atomic_add_needs_no_fence_of_its_worker() {
    let executions = reused_slot(Some(Defect::BeginWithoutFence), Counting::AtOnceElsewhere, None);
    check("reused slot without SLOT-BEGIN, AtOnceElsewhere", executions, 1000);
}

#[test]
fn the_language_alone_does_not_order_a_plain_count_of_a_thread_that_made_no_fence() {
    // The next worker's 1 beside an archive without the last one's 5. Processors on which a store
    // that is seen by one is seen by all do not do this.
    let executions = reused_slot(None, Counting::PlainlyElsewhere, Some(1));
    check("reused slot, PlainlyElsewhere", executions, 1000);
}

#[test]
fn a_reader_outside_takes_off_what_belongs_to_the_life_that_it_sees_and_never_more_than_there_is() {
    check("two resets", two_resets(None), 1000);
}

#[test]
fn a_count_that_is_taken_over_is_never_seen_twice() {
    check("judged", judged(None), 20);
}

#[test]
fn whoever_hears_what_a_worker_takes_back_sees_that_it_has_counted_as_much() {
    check("lowered", lowered(None), 20);
}

#[test]
fn an_exemplar_is_read_whole_or_not_at_all_while_its_worker_gives_newer_ones() {
    check("exemplars", exemplars(None), 100);
}

#[test]
fn a_sample_is_read_whole_or_not_at_all_while_its_worker_says_newer_ones() {
    check("samples", samples(None), 100);
}

#[test]
fn whoever_sees_a_slots_generation_sees_its_header() {
    check("slot header", slot_header_begun(None), 5);
}

#[test]
fn whoever_sees_a_slot_assigned_sees_to_whom() {
    check("slot entry", slot_entry(None), 5);
}
