//! Random lives of a series against a model of what it must be.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::family::Family;
use tallyboard_proto::log::Action;
use tallyboard_proto::word::Words;

use crate::board::{self, Board, Random, Worker};

/// What is counted: a family, its sample, and the buckets that its counts may be in.
struct Counted {
    family: Family,
    key: &'static str,
    buckets: &'static [&'static str],
}

fn counter() -> Counted {
    Counted { family: board::counter("c"), key: r#"c_total{l="x"}"#, buckets: &[] }
}

/// Some of its buckets are of another level than others, or cut by the classic bound.
fn native() -> Counted {
    let buckets = &["0+1/0", "1+2/0", "1+3/1", "0-1/0", "0-0/2"];
    Counted { family: board::native("c", 3), key: r#"c_count{l="x"}"#, buckets }
}

/// What a series must be, whatever four workers do with it.
#[derive(Clone, Debug, Default)]
struct Model {
    value: f64,
    is_begun: bool,
    is_removed: bool,
    is_hidden: bool,
    of: [Held; 4],
}

/// What one worker does with it.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    is_own: bool,
    has_counted: bool,
    /// Its last word: it holds it, or it does not.
    said: Option<bool>,
    /// Whether no supervisor has looked since.
    is_unheard: bool,
    /// Counted since it said that it does not, while no supervisor has looked.
    late: f64,
    /// What it may take back: counted in its whole cell since the series began anew for it.
    own: u64,
}

impl Model {
    /// What a supervisor sees that looks now.
    fn settle(&mut self) {
        let holds = |held: &Held| held.said.unwrap_or(held.is_own || held.has_counted);
        if self.is_removed && !self.of.iter().any(holds) {
            self.value = self.of.iter().map(|held| held.late).sum();
            (self.is_hidden, self.is_removed) = (self.value == 0.0, self.value == 0.0);
            self.of.iter_mut().filter(|held| held.late == 0.0).for_each(|held| held.own = 0);
        } else if self.is_hidden && self.of.iter().any(holds) {
            (self.is_hidden, self.is_removed) = (false, false);
        }
        for held in &mut self.of {
            (held.is_unheard, held.late) = (false, 0.0);
        }
    }

    /// A worker dies. When it has said something, a supervisor looks at once, and then again.
    fn die(&mut self, by: usize) {
        if self.of[by].is_unheard {
            self.of[by].said = Some(false);
            self.settle();
        }
        self.of[by] = Held::default();
    }

    fn count(&mut self, by: usize, amount: f64) {
        self.value += amount;
        let held = &mut self.of[by];
        held.has_counted = true;
        held.own += amount as u64;
        if held.said == Some(false) && held.is_unheard {
            held.late += amount;
        }
        if self.is_hidden {
            (self.is_hidden, self.is_removed) = (false, false);
        }
    }

    fn lower(&mut self, by: usize, amount: u64) {
        let held = &mut self.of[by];
        held.own -= amount;
        self.value -= amount as f64;
        if held.said == Some(false) && held.is_unheard {
            held.late -= amount as f64;
        }
    }

    fn say(&mut self, by: usize, action: Action) {
        match action {
            Action::Lower => unreachable!("of that it is told how much"),
            Action::Remove => {
                let held = Held { said: Some(false), is_unheard: true, ..self.of[by] };
                self.of[by] = Held { late: 0.0, own: 0, ..held };
                (self.is_removed, self.is_hidden) = (true, false);
            }
            Action::Hold => {
                let held = self.of[by];
                self.of[by] = Held { said: Some(true), is_unheard: true, late: 0.0, ..held };
                (self.is_removed, self.is_hidden) = (false, false);
            }
            Action::Reset => {
                self.value = 0.0;
                self.of.iter_mut().for_each(|held| (held.late, held.own) = (0.0, 0));
                (self.is_removed, self.is_hidden) = (false, false);
            }
        }
    }

    fn shown(&self) -> Option<f64> {
        (self.is_begun && !self.is_hidden).then_some(self.value)
    }
}

fn sequence(of: &Counted, seed: u64) {
    let mut random = Random(seed);
    let mut board = Board::new();
    let mut model = Model::default();
    let mut workers: Vec<Worker> = (1..=4).map(|pid| board.worker(pid)).collect();
    let mut steps = Vec::new();
    for step in 0..24 {
        let by = random.below(4) as usize;
        let choice = random.below(14);
        let cell = board.series(&mut workers[by], &of.family, "x");
        // The first of all begins it in its log; so does each that has no prefix with it.
        let is_own = workers[by].log_words != 0 && cell == 0 && workers[by].began("c", "x");
        if is_own && !model.of[by].is_own {
            (model.of[by].is_own, model.is_begun) = (true, true);
            (0..2).for_each(|_| drop(board.page()));
            model.settle();
        }
        let actions = [Action::Remove, Action::Remove, Action::Hold, Action::Reset];
        match choice {
            0..=3 => {
                let amount = count(&board, &mut workers[by], of, cell, choice, &mut random);
                model.count(by, amount);
                steps.push(format!("{by} counts {amount}"));
            }
            4..=8 => {
                let action = actions[(choice as usize - 4).min(3)];
                board.say(&mut workers[by], cell, action, 100 + step);
                model.say(by, action);
                steps.push(format!("{by} says {action:?}"));
            }
            9 | 10 => {
                board.kill(&workers[by]);
                let pid = 10 + step as u32;
                workers[by] = match choice {
                    9 => board.worker(pid),
                    _ => board.worker_without_prefix(pid),
                };
                model.die(by);
                steps.push(format!("{by} dies, {choice}"));
            }
            11 => {
                board = board.restart();
                steps.push("restart".to_owned());
            }
            // Of a value that is set to a lower one there is something left.
            _ if of.buckets.is_empty() && model.of[by].own > 1 => {
                let amount = 1 + random.below(model.of[by].own - 1);
                board.lower(&mut workers[by], cell, &[amount, 0], 100 + step);
                model.lower(by, amount);
                steps.push(format!("{by} takes back {amount}"));
            }
            _ => {}
        }
        // What others count between a reset and the next look is not told apart.
        if !(7..12).contains(&choice) && random.below(2) == 0 {
            continue;
        }
        model.settle();
        board.page();
        assert_eq!(board.page().get(of.key), model.shown(), "seed {seed}: {steps:#?} {model:#?}");
    }
}

/// Counts something, and gives how much.
fn count(
    board: &Board,
    worker: &mut Worker,
    of: &Counted,
    cell: usize,
    choice: u64,
    random: &mut Random,
) -> f64 {
    let amount = 1 + random.below(9);
    if !of.buckets.is_empty() {
        let bucket = of.buckets[random.below(of.buckets.len() as u64) as usize];
        let bucket = board.bucket(worker, &of.family, "x", bucket);
        board.add(worker, bucket, amount);
        return amount as f64;
    }
    board.add(worker, cell, amount);
    board.add_float(worker, cell + 1, 0.5 * (choice % 2) as f64);
    let load = |cell| board.core.arena().load(board.cell(worker, cell), Relaxed);
    let total = load(cell) as f64 + f64::from_bits(load(cell + 1));
    total - std::mem::replace(&mut worker.counted, total)
}

#[test]
fn whatever_workers_say_in_whatever_order_a_series_is_what_the_model_says() {
    (0..1000).for_each(|seed| sequence(&counter(), seed));
    (0..1000).for_each(|seed| sequence(&native(), seed));
}
