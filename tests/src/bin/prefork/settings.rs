//! Numbers that workers set, up and down, while they are killed: what a worker has set last is its
//! part of a series, and what others have set stays.

use tallyboard::raw::{Number, Series};
use tallyboard::{Counter, Family, LabelError, RegisterError, Summary};
use tallyboard_tests::read::page::Page;

use crate::ledger::{Ledger, What};

/// What a worker sets in turn, in quarters, so that sums of it are exact: up, down, to a fraction
/// that it has not counted, and to nothing.
const QUARTERS: [u64; 8] = [40, 80, 18, 17, 400, 1, 0, 120];
/// The same for a number that counts in ones.
const ONES: [u64; 8] = [10, 20, 4, 7, 100, 0, 1, 30];
/// How often at most in a life: no log becomes full, however long a life is.
const MOST: u64 = 20_000;
/// How many label values there are for workers.
const LABELS: usize = 256;

pub(crate) struct Settings {
    own: Family<Counter>,
    shared: Counter,
    seconds: Summary,
}

/// The series that one worker sets numbers of.
pub(crate) struct OfWorker {
    own: Series,
    shared: Series,
    seconds: Series,
}

impl Settings {
    pub(crate) fn new() -> Result<Self, RegisterError> {
        let own = Counter::builder("setting_own_total", "Set by a few workers.");
        Ok(Self {
            own: own.labels(&["worker"]).family()?,
            shared: Counter::new("setting_shared_total", "Set by all.")?,
            seconds: Summary::new("setting_seconds", "Set by all.")?,
        })
    }

    pub(crate) fn of(&self, worker: usize) -> Result<OfWorker, LabelError> {
        let own = self.own.with(&[(worker % LABELS).to_string()])?;
        let (shared, seconds) = (Series::of(&self.shared), Series::of(&self.seconds));
        Ok(OfWorker { own: Series::of(&own), shared, seconds })
    }
}

impl OfWorker {
    pub(crate) fn set_all(&self, ledger: &Ledger, worker: usize) {
        if ledger.bounds(worker, What::Setting).0 >= MOST {
            return;
        }
        ledger.number(worker, What::Setting, |number| {
            let quarters = part(&QUARTERS, number) as f64 / 4.0;
            self.own.set(Number::Counter, quarters);
            self.shared.set(Number::Counter, quarters);
            self.seconds.set(Number::Sum(1), quarters);
            self.seconds.set(Number::Count(0), part(&ONES, number) as f64);
        });
    }
}

/// What a worker's part of a number is that was set so often.
fn part(values: &[u64], times: u64) -> u64 {
    times.checked_sub(1).map_or(0, |last| values[last as usize % values.len()])
}

/// Compares each number with what its workers have set last. Gives how often they did.
pub(crate) fn judge(page: &Page, ledger: &Ledger, workers: usize) -> Result<u64, String> {
    let all: Vec<usize> = (0..workers).collect();
    for label in 0..LABELS.min(workers) {
        let of: Vec<usize> = (label..workers).step_by(LABELS).collect();
        let found = page.value("setting_own_total", &[("worker", &label.to_string())]);
        is_possible(&format!("the number of worker {label}"), found, 4.0, &QUARTERS, ledger, &of)?;
    }
    for (name, unit, values) in [
        ("setting_shared_total", 4.0, &QUARTERS),
        ("setting_seconds_sum", 4.0, &QUARTERS),
        ("setting_seconds_count", 1.0, &ONES),
    ] {
        is_possible(name, page.value(name, &[]), unit, values, ledger, &all)?;
    }
    Ok(ledger.sums(workers, What::Setting).0)
}

/// Whether a number is the sum of its workers' parts: one that died while it set them has done so or
/// not.
fn is_possible(
    what: &str,
    found: Option<f64>,
    unit: f64,
    values: &[u64],
    ledger: &Ledger,
    workers: &[usize],
) -> Result<(), String> {
    // Each worker's lesser part is there. Of those that have two, the rest of the greater one may be:
    // `possible[n]` says whether some of these rests are n together.
    let (mut least, mut possible) = (0, vec![true]);
    for &worker in workers {
        let (done, intended) = ledger.bounds(worker, What::Setting);
        let (one, other) = (part(values, done), part(values, intended));
        least += one.min(other);
        let rest = one.abs_diff(other) as usize;
        if rest > 0 {
            let without = possible.clone();
            possible.resize(possible.len() + rest, false);
            possible[rest..].iter_mut().zip(without).for_each(|(with, without)| *with |= without);
        }
    }
    let found = found.unwrap_or(0.0) * unit;
    if (least..).zip(possible).any(|(sum, is_possible)| is_possible && sum as f64 == found) {
        return Ok(());
    }
    Err(format!(
        "{what}: found {found}, expected {least} and some rests of {} workers",
        workers.len()
    ))
}
