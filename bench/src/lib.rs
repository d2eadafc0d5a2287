//! Races: contenders that take turns, so that what a machine does meanwhile hits all of them.
//!
//! Times on a shared machine move from run to run; the ratio of two contenders in neighbouring
//! turns hardly does. A race therefore reports, beside each median, the median of the ratios to the
//! first contender, turn by turn, and only ratios have limits.

#![forbid(unsafe_code)]

pub mod page;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

/// Turns of each contender.
const ROUNDS: usize = 201;
/// How long a turn should take.
const TURN_NS: f64 = 400_000.0;

/// What runs an operation so many times.
type Lap<'a> = Box<dyn FnMut(u64) + 'a>;

/// A race against the first contender.
pub struct Race<'a> {
    name: &'a str,
    contenders: Vec<Contender<'a>>,
}

struct Contender<'a> {
    name: &'a str,
    lap: Lap<'a>,
    /// Operations that one call of the operation stands for.
    operations: f64,
    /// At most this many times the first contender, and at most so many nanoseconds.
    limits: [Option<f64>; 2],
    ns: Vec<f64>,
}

/// How a race ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Contenders over their limit.
    pub missed: Vec<String>,
}

impl<'a> Race<'a> {
    /// A race without contenders.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Self { name, contenders: Vec::new() }
    }

    /// Enters a contender: what one operation does. What it gives is not used.
    #[must_use]
    pub fn enter<R>(self, name: &'a str, mut operation: impl FnMut() -> R + 'a) -> Self {
        // The loop is made here, once for each contender, so that nothing is called through the box
        // but whole turns.
        let lap = move |times: u64| (0..times).for_each(|_| drop(operation()));
        let contender = Contender {
            name,
            lap: Box::new(lap),
            operations: 1.0,
            limits: [None; 2],
            ns: Vec::with_capacity(ROUNDS),
        };
        let mut contenders = self.contenders;
        contenders.push(contender);
        Self { contenders, ..self }
    }

    /// One call of the contender entered last stands for `operations`.
    #[must_use]
    pub fn of(mut self, operations: usize) -> Self {
        if let Some(last) = self.contenders.last_mut() {
            last.operations = operations as f64;
        }
        self
    }

    /// The contender entered last takes at most `ratio` times as long as the first.
    #[must_use]
    pub fn at_most(mut self, ratio: f64) -> Self {
        if let Some(last) = self.contenders.last_mut() {
            last.limits[0] = Some(ratio);
        }
        self
    }

    /// The contender entered last takes at most so many nanoseconds for an operation.
    #[must_use]
    pub fn at_most_ns(mut self, ns: f64) -> Self {
        if let Some(last) = self.contenders.last_mut() {
            last.limits[1] = Some(ns);
        }
        self
    }

    /// Runs the race and prints its table.
    pub fn run(mut self) -> Outcome {
        let times: Vec<u64> = self.contenders.iter_mut().map(Contender::calibrate).collect();
        for round in 0..ROUNDS {
            // Each round begins with another contender, so that none is always behind the same.
            for turn in 0..times.len() {
                let at = (round + turn) % times.len();
                self.contenders[at].turn(times[at]);
            }
        }
        self.report()
    }

    fn report(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut table = format!("\n{}\n", self.name);
        let first = &self.contenders[0].ns;
        for contender in &self.contenders {
            let ns = median(contender.ns.clone());
            let ratio =
                median(contender.ns.iter().zip(first).map(|(own, other)| own / other).collect());
            let verdicts = [(ratio, contender.limits[0], "x"), (ns, contender.limits[1], " ns")];
            let verdict = verdicts.iter().filter_map(|(found, limit, unit)| {
                let limit = (*limit).filter(|limit| limit.is_finite())?;
                let met = if *found <= limit { "met" } else { "MISSED" };
                if *found > limit {
                    outcome.missed.push(format!("{}: {}", self.name, contender.name));
                }
                Some(format!("limit {limit}{unit}: {met}"))
            });
            let verdict = verdict.collect::<Vec<_>>().join(", ");
            let line = format!("  {:<44} {ns:>10.2} ns  {ratio:>7.2}x  {verdict}", contender.name);
            writeln!(table, "{}", line.trim_end()).ok();
        }
        print!("{table}");
        outcome
    }
}

impl Contender<'_> {
    /// How many times its operation fills a turn.
    fn calibrate(&mut self) -> u64 {
        let mut times = 1;
        loop {
            let begin = Instant::now();
            (self.lap)(times);
            let taken = begin.elapsed().as_nanos() as f64;
            if taken >= TURN_NS / 4.0 {
                return ((times as f64 * TURN_NS / taken) as u64).max(1);
            }
            times *= 2;
        }
    }

    fn turn(&mut self, times: u64) {
        let begin = Instant::now();
        (self.lap)(times);
        let taken = begin.elapsed().as_nanos() as f64;
        self.ns.push(taken / times as f64 / self.operations);
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Ends a benchmark: 1 when a limit was missed.
#[must_use]
pub fn finish(outcomes: &[Outcome]) -> ExitCode {
    let missed: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.missed).collect();
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\nlimits missed: {missed:?}");
    ExitCode::FAILURE
}
