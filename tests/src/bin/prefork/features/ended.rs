//! Series that are removed, and what becomes of them when somebody counts them again.

use tallyboard::raw::{Number, Series};
use tallyboard::{
    Counter, Family, Gauge, GaugeMode, Histogram, LabelError, NativeHistogram, Summary,
};

use super::row::Moment::{Again, First, Last, Second};
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "removed_by_one",
        |row, turn| removed(row, turn, &[Second]),
        &["_total{of='a'} | 1 @1 | 3 @1 | 6 @1 | = | 11 @1"],
    ),
    Row::new(
        "removed_by_both",
        |row, turn| removed(row, turn, &[Second, Again]),
        &["_total{of='a'} | 1 @1 | 3 @1 | - | - | 5 @5"],
    ),
    Row::new(
        "removed_at_first",
        |row, turn| removed(row, turn, &[First]),
        &["_total{of='a'} | - | 2 @2 | 5 @2 | = | 10 @2"],
    ),
    // The last who holds it is killed.
    Row::new(
        "removed_and_left",
        |row, turn| removed(row, turn, &[Again]),
        &["_total{of='a'} | 1 @1 | 3 @1 | 6 @1 | - | 5 @5"],
    ),
    Row::new(
        "removed_each_time",
        |row, turn| removed(row, turn, &[First, Second, Again, Last]),
        &[],
    ),
    // Set through a handle that is older than the removal.
    Row::new(
        "removed_and_set",
        |row, turn| {
            let family = counters(row)?;
            let counter = family.with(&["a"])?;
            counter.inc_by(turn as u64);
            if turn == Again {
                family.remove(&["a"])?;
                [8.0, 2.5].iter().for_each(|&to| Series::of(&counter).set(Number::Counter, to));
            }
            Ok(())
        },
        &["_total{of='a'} | 1 @1 | 3 @1 | 8.5 @3 | - | 5 @5"],
    ),
    Row::new(
        "cleared",
        cleared,
        &[
            "_total{of='a'} | 1 @1 | =    | - | - | -",
            "_total{of='b'} | 1 @1 | 3 @1 | - | - | 5 @5",
        ],
    ),
    Row::new(
        "removed_gauge",
        |row, turn| {
            let family = Gauge::builder(&family(row), "Set.").mode(GaugeMode::Sum);
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.set(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        &["{of='a'} | 1 | = | - | - | 5"],
    ),
    Row::new(
        "removed_of_each",
        |row, turn| {
            let family = Gauge::builder(&family(row), "Set.").mode(GaugeMode::All);
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.set(turn as u8 as f64);
            remove(&family, turn, &[Again])
        },
        &[
            "{of='a',pid='w1'} | 1 | = | - | - | -",
            "{of='a',pid='w2'} | - | 2 | = | - | -",
            "{of='a',pid='w3'} | - | - | - | - | 5",
        ],
    ),
    Row::new(
        "removed_summary",
        |row, turn| {
            let family = Summary::builder(&family(row), "Observed.");
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        &[
            "_count{of='a'} | 1 @1 | 2 @1 | - | - | 1 @5",
            "_sum{of='a'}   | 1    | 3    | - | - | 5",
        ],
    ),
    Row::new(
        "removed_histogram",
        |row, turn| {
            let family = Histogram::builder(&family(row), "Observed.");
            let family = family.buckets(&[2.0]).labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        &[
            "_bucket{of='a',le='2.0'}  | 1    | 2    | - | - | 0",
            "_bucket{of='a',le='+Inf'} | 1    | 2    | - | - | 1",
            "_count{of='a'}            | 1 @1 | 2 @1 | - | - | 1 @5",
            "_sum{of='a'}              | 1    | 3    | - | - | 5",
        ],
    ),
];

fn counters(row: &str) -> Result<Family<Counter>, Box<dyn std::error::Error>> {
    Ok(Counter::builder(&family(row), "Counted.").labels(&["of"]).reuse().family()?)
}

/// Counts the number of the turn, and removes what it counted in some turns.
fn removed(row: &str, turn: Moment, removes: &[Moment]) -> Done {
    let family = counters(row)?;
    family.with(&["a"])?.inc_by(turn as u64);
    remove(&family, turn, removes)
}

/// A family of any metric.
pub(crate) trait Removable {
    fn held(&self) -> Vec<String>;
    fn end(&self, value: &str) -> Result<bool, LabelError>;
}

macro_rules! removable {
    ($($metric:ty),*) => {$(
        impl Removable for Family<$metric> {
            fn held(&self) -> Vec<String> {
                self.iter().map(|(values, _)| values[0].to_string()).collect()
            }

            fn end(&self, value: &str) -> Result<bool, LabelError> {
                self.remove(&[value])
            }
        }
    )*};
}

removable!(Counter, Gauge, Summary, Histogram, NativeHistogram);

/// Removes the series of one value in some turns, which the process holds.
pub(crate) fn remove(family: &impl Removable, turn: Moment, removes: &[Moment]) -> Done {
    let held = |expected: &[&str]| match family.held() {
        held if held == expected => Ok(()),
        held => Err(format!("expected to hold {expected:?}, found {held:?}")),
    };
    held(&["a"])?;
    if !removes.contains(&turn) {
        return Ok(());
    }
    if !family.end("a")? || family.end("a")? || family.end("none")? {
        return Err("expected to remove what was there, once".into());
    }
    Ok(held(&[])?)
}

fn cleared(row: &str, turn: Moment) -> Done {
    let family = counters(row)?;
    let clear = |expected: usize| match family.clear() {
        cleared if cleared == expected => Ok(()),
        cleared => Err(format!("expected to clear {expected} series, found {cleared}")),
    };
    match turn {
        First => ["a", "b"].iter().try_for_each(|of| family.with(&[of]).map(|of| of.inc()))?,
        Second => {
            family.with(&["b"])?.inc_by(2);
            // The other is in the catalog, and not of this process.
            clear(1)?;
        }
        Again => clear(2)?,
        _ => family.with(&["b"])?.inc_by(5),
    }
    Ok(())
}
