//! What is true of an arena: what workers counted and said, in the order in which they did.

use std::collections::BTreeMap;

use tallyboard_proto::cell::Shape;
use tallyboard_proto::log::Action;

use crate::party::{BEGUN_MS, NOW_MS, Totals};

/// One life of a slot: the slot and its generation.
pub type Turn = (usize, u64);

/// Something that a worker did, or its death.
#[derive(Clone, Debug)]
pub enum Event {
    /// A cell of a series has a new value.
    Counted { series: String, shape: Shape, cell: usize, value: u64 },
    /// The worker said something of a series.
    Said { series: String, action: Action, at_ms: u64 },
    /// The worker took back a part of what it had counted of a series.
    Lowered { series: String, amounts: Vec<u64>, at_ms: u64 },
    /// Something wrote into a cell that rises by one, and it holds more than a count can.
    Strayed { series: String, cell: usize },
    /// The supervisor has taken over what that cell held before.
    Judged { series: String },
    /// A bucket ended with the life of its histogram: the worker said so of that.
    Ended { series: String },
    /// The worker is dead and folded.
    Died,
}

/// A series.
struct Series {
    shape: Shape,
    created_ms: u64,
    rows: BTreeMap<Turn, Row>,
    /// What was counted in its earlier lives.
    past: Vec<u64>,
    is_removed: bool,
    is_hidden: bool,
}

/// What one worker has of a series.
#[derive(Default)]
struct Row {
    cells: Vec<u64>,
    /// The cell that something wrote into, and what it held before.
    strayed: Option<(usize, u64)>,
    /// Its cells when it removed the series, unless it holds it again.
    removed: Option<Vec<u64>>,
    is_dead: bool,
    /// Whether it was a gauge of a dead worker that was removed.
    is_forgotten: bool,
}

impl Series {
    fn new(shape: Shape) -> Self {
        let past = vec![0; shape.width()];
        let (rows, created_ms) = (BTreeMap::new(), BEGUN_MS);
        Self { shape, created_ms, rows, past, is_removed: false, is_hidden: false }
    }

    fn sum<'a>(&'a self, part: impl Fn(&'a Row) -> &'a [u64]) -> Vec<u64> {
        let mut total = vec![0; self.shape.width()];
        self.rows.values().for_each(|row| self.shape.merge(&mut total, part(row)));
        total
    }

    fn exposed(&self) -> Vec<u64> {
        let mut total = self.sum(|row| &row.cells);
        self.shape.take_off(&mut total, &self.past);
        total
    }

    fn begin_again(&mut self, created_ms: u64) {
        (self.is_removed, self.is_hidden, self.created_ms) = (false, false, created_ms);
    }

    fn count(&mut self, turn: Turn, cell: usize, value: u64) {
        let row = self.rows.entry(turn).or_default();
        row.cells.resize(self.shape.width(), 0);
        row.cells[cell] = value;
        if self.is_hidden && self.exposed().iter().any(|&cell| cell != 0) {
            self.begin_again(NOW_MS.max(self.created_ms));
        }
    }

    fn say(&mut self, turn: Turn, action: Action, at_ms: u64) {
        let row = self.rows.entry(turn).or_default();
        row.cells.resize(self.shape.width(), 0);
        match action {
            Action::Lower => unreachable!("of that it is told how much"),
            Action::Reset => {
                self.past = self.sum(|row| &row.cells);
                self.begin_again(at_ms);
            }
            Action::Remove => {
                row.removed = Some(row.cells.clone());
                self.is_removed = true;
            }
            Action::Hold => {
                row.removed = None;
                self.is_removed = false;
                if self.is_hidden {
                    self.begin_again(at_ms);
                }
            }
        }
        self.hide();
    }

    fn lower(&mut self, turn: Turn, amounts: &[u64], at_ms: u64) {
        self.shape.merge(&mut self.past, amounts);
        let removed = self.rows.get_mut(&turn).and_then(|row| row.removed.as_mut());
        removed.into_iter().for_each(|removed| self.shape.merge(removed, amounts));
        self.created_ms = at_ms;
    }

    /// Hides it when it is removed and no living worker has it.
    fn hide(&mut self) {
        let holds = |row: &Row| !row.is_dead && row.removed.is_none();
        if !self.is_removed || self.is_hidden || self.rows.values().any(holds) {
            return;
        }
        self.is_hidden = true;
        if self.shape.counts() {
            // What the dead have counted is of the life that ends, whatever they said.
            self.past = self.sum(|row| match &row.removed {
                Some(removed) if !row.is_dead => removed,
                _ => &row.cells,
            });
            return;
        }
        for row in self.rows.values_mut().filter(|row| row.is_dead) {
            row.is_forgotten |= row.cells[1] != 0;
            row.cells.fill(0);
        }
    }
}

/// What is true.
#[derive(Default)]
pub struct Truth(BTreeMap<String, Series>);

impl Truth {
    /// Takes in what happened in a turn.
    pub fn learn(&mut self, turn: Turn, event: Event) {
        match event {
            Event::Counted { series, shape, cell, value } => {
                let series = self.0.entry(series).or_insert_with(|| Series::new(shape));
                series.count(turn, cell, value);
            }
            Event::Said { series, action, at_ms } => {
                let series = self.0.get_mut(&series).expect("a series that was counted");
                series.say(turn, action, at_ms);
            }
            Event::Lowered { series, amounts, at_ms } => {
                let series = self.0.get_mut(&series).expect("a series that was counted");
                series.lower(turn, &amounts, at_ms);
            }
            Event::Strayed { series, cell } => {
                let series = self.0.get_mut(&series).expect("a series that was counted");
                let row = series.rows.get_mut(&turn).expect("a row that was counted");
                row.strayed = Some((cell, std::mem::take(&mut row.cells[cell])));
            }
            Event::Judged { series } => {
                let series = self.0.get_mut(&series).expect("a series that was counted");
                let row = series.rows.get_mut(&turn).expect("a row that was counted");
                let (cell, last_good) = row.strayed.expect("a cell that something wrote into");
                row.cells[cell] = last_good;
            }
            Event::Ended { series } => {
                let series = self.0.get_mut(&series).expect("a series that was counted");
                series.past = series.sum(|row| &row.cells);
            }
            Event::Died => self.0.values_mut().for_each(|series| {
                series.rows.entry(turn).and_modify(|row| row.is_dead = true);
                series.hide();
            }),
        }
    }

    /// When each series began and what it shows, but for those that show nothing: these may be
    /// there or not.
    pub fn totals(&self) -> Totals {
        let archived = self.0.iter().filter(|(_, series)| series.shape.is_archived());
        let shown = archived.map(|(name, s)| (name.clone(), (s.created_ms, s.exposed())));
        shown.filter(|(_, (_, cells))| cells.iter().any(|&cell| cell != 0)).collect()
    }

    /// The gauge of mode `all` of each turn that set it.
    pub fn rows(&self) -> BTreeMap<Turn, Vec<u64>> {
        let all = self.0.values().filter(|series| !series.shape.is_archived());
        let rows = all.flat_map(|series| &series.rows);
        let set = rows.filter(|(_, row)| row.is_forgotten || row.cells[1] != 0);
        set.map(|(&turn, row)| (turn, row.cells.clone())).collect()
    }
}
