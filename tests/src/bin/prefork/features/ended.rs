//! Series that are removed, and what becomes of them when somebody counts them again.

use tallyboard::raw::{Number, Series};
use tallyboard::{
    Counter, Family, Gauge, GaugeMode, Histogram, LabelError, NativeHistogram, Summary,
};

use super::Moment::{Again, First, Killed, Last, Second};
use super::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "removed_by_one",
        act: |turn| removed("removed_by_one", turn, &[Second]),
        shown: &[
            (First, &["_total{of='a'} 1 @1"]),
            (Second, &["_total{of='a'} 3 @1"]),
            (Again, &["_total{of='a'} 6 @1"]),
            (Last, &["_total{of='a'} 11 @1"]),
        ],
    },
    Row {
        name: "removed_by_both",
        act: |turn| removed("removed_by_both", turn, &[Second, Again]),
        shown: &[
            (First, &["_total{of='a'} 1 @1"]),
            (Second, &["_total{of='a'} 3 @1"]),
            (Again, &[]),
            (Last, &["_total{of='a'} 5 @5"]),
        ],
    },
    Row {
        name: "removed_at_first",
        act: |turn| removed("removed_at_first", turn, &[First]),
        shown: &[
            (First, &[]),
            (Second, &["_total{of='a'} 2 @2"]),
            (Again, &["_total{of='a'} 5 @2"]),
            (Last, &["_total{of='a'} 10 @2"]),
        ],
    },
    // The last who holds it is killed.
    Row {
        name: "removed_and_left",
        act: |turn| removed("removed_and_left", turn, &[Again]),
        shown: &[
            (First, &["_total{of='a'} 1 @1"]),
            (Second, &["_total{of='a'} 3 @1"]),
            (Again, &["_total{of='a'} 6 @1"]),
            (Killed, &[]),
            (Last, &["_total{of='a'} 5 @5"]),
        ],
    },
    Row {
        name: "removed_each_time",
        act: |turn| removed("removed_each_time", turn, &[First, Second, Again, Last]),
        shown: &[],
    },
    // Set through a handle that is older than the removal.
    Row {
        name: "removed_and_set",
        act: |turn| {
            let family = counters("removed_and_set")?;
            let counter = family.with(&["a"])?;
            counter.inc_by(turn as u64);
            if turn == Again {
                family.remove(&["a"])?;
                [8.0, 2.5].iter().for_each(|&to| Series::of(&counter).set(Number::Counter, to));
            }
            Ok(())
        },
        shown: &[
            (First, &["_total{of='a'} 1 @1"]),
            (Second, &["_total{of='a'} 3 @1"]),
            (Again, &["_total{of='a'} 8.5 @3"]),
            (Killed, &[]),
            (Last, &["_total{of='a'} 5 @5"]),
        ],
    },
    Row {
        name: "cleared",
        act: cleared,
        shown: &[
            (First, &["_total{of='a'} 1 @1", "_total{of='b'} 1 @1"]),
            (Second, &["_total{of='a'} 1 @1", "_total{of='b'} 3 @1"]),
            (Again, &[]),
            (Last, &["_total{of='b'} 5 @5"]),
        ],
    },
    Row {
        name: "removed_gauge",
        act: |turn| {
            let family = Gauge::builder(&family("removed_gauge"), "Set.").mode(GaugeMode::Sum);
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.set(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        shown: &[
            (First, &["{of='a'} 1"]),
            (Second, &["{of='a'} 1"]),
            (Again, &[]),
            (Last, &["{of='a'} 5"]),
        ],
    },
    Row {
        name: "removed_of_each",
        act: |turn| {
            let family = Gauge::builder(&family("removed_of_each"), "Set.").mode(GaugeMode::All);
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.set(turn as u8 as f64);
            remove(&family, turn, &[Again])
        },
        shown: &[
            (First, &["{of='a',pid='w1'} 1"]),
            (Second, &["{of='a',pid='w1'} 1", "{of='a',pid='w2'} 2"]),
            (Again, &["{of='a',pid='w2'} 2"]),
            (Killed, &[]),
            (Last, &["{of='a',pid='w3'} 5"]),
        ],
    },
    Row {
        name: "removed_summary",
        act: |turn| {
            let family = Summary::builder(&family("removed_summary"), "Observed.");
            let family = family.labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        shown: &[
            (First, &["_count{of='a'} 1 @1", "_sum{of='a'} 1"]),
            (Second, &["_count{of='a'} 2 @1", "_sum{of='a'} 3"]),
            (Again, &[]),
            (Last, &["_count{of='a'} 1 @5", "_sum{of='a'} 5"]),
        ],
    },
    Row {
        name: "removed_histogram",
        act: |turn| {
            let family = Histogram::builder(&family("removed_histogram"), "Observed.");
            let family = family.buckets(&[2.0]).labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            remove(&family, turn, &[Second, Again])
        },
        shown: &[
            (
                First,
                &[
                    "_bucket{of='a',le='2.0'} 1",
                    "_bucket{of='a',le='+Inf'} 1",
                    "_count{of='a'} 1 @1",
                    "_sum{of='a'} 1",
                ],
            ),
            (
                Second,
                &[
                    "_bucket{of='a',le='2.0'} 2",
                    "_bucket{of='a',le='+Inf'} 2",
                    "_count{of='a'} 2 @1",
                    "_sum{of='a'} 3",
                ],
            ),
            (Again, &[]),
            (
                Last,
                &[
                    "_bucket{of='a',le='2.0'} 0",
                    "_bucket{of='a',le='+Inf'} 1",
                    "_count{of='a'} 1 @5",
                    "_sum{of='a'} 5",
                ],
            ),
        ],
    },
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

fn cleared(turn: Moment) -> Done {
    let family = counters("cleared")?;
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
