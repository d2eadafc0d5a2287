//! Counters.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tallyboard::raw::{Number, Series};
use tallyboard::{Counter, RegisterError};

use super::row::Moment::{Again, First, Last, Second};
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new("inc", |row, _| Ok(counter(row)?.inc()), &["_total | 1 @1 | 2 @1 | 3 @1 | = | 4 @1"]),
    Row::new(
        "inc_by",
        |row, turn| Ok(counter(row)?.inc_by(if turn == First { 1 << 40 } else { 3 })),
        &["_total | 1099511627776 @1 | 1099511627779 @1 | 1099511627782 @1 | = \
                | 1099511627785 @1"],
    ),
    Row::new("add", add, &["_total | 0.75 @1 | 2.5 @1 | 3.25 @1 | = | 4 @1"]),
    Row::new("errors", errors, &["_total | 3 @1 | 6 @1 | 9 @1 | = | 12 @1"]),
    Row::new("panics", panics, &["_total | 3 @1 | 6 @1 | 9 @1 | = | 12 @1"]),
    Row::new(
        "reset_after",
        |row, turn| reset(row, turn, Again),
        &["_total | 5 @1 | 10 @1 | 1 @3 | = | 6 @3"],
    ),
    Row::new(
        "reset_by_the_dead",
        |row, turn| reset(row, turn, Second),
        &["_total | 5 @1 | 1 @2 | 6 @2 | = | 11 @2"],
    ),
    Row::new(
        "reset_at_last",
        |row, turn| reset(row, turn, Last),
        &["_total | 5 @1 | 10 @1 | 15 @1 | = | 1 @5"],
    ),
    // A part of one process, up and down, while the other counts; the dead keep theirs.
    Row::new(
        "set",
        |row, turn| {
            let counter = counter(row)?;
            let values: &[f64] = match turn {
                First => &[0.0, 10.0, 20.0],
                Second => &[0.0, 7.25, 7.25],
                Again => &[30.0, 4.5],
                _ => &[2.0, 0.5],
            };
            values.iter().for_each(|&value| Series::of(&counter).set(Number::Counter, value));
            Ok(())
        },
        &["_total | 20 @1 | 27.25 @1 | 11.75 @3 | = | 12.25 @5"],
    ),
    Row::new(
        "set_to_nothing",
        |row, turn| {
            let counter = counter(row)?;
            match turn {
                First => counter.inc_by(5),
                // It has counted nothing.
                Second | Again => Series::of(&counter).set(Number::Counter, 0.0),
                _ => counter.inc(),
            }
            Ok(())
        },
        &["_total | 5 @1 | = | 0 @3 | = | 1 @3"],
    ),
    Row::new(
        "traced",
        traced,
        &["_total | 1 @1 # {trace='a'} 1 @1 | 3.5 @1 # {trace='b'} 2.5 @2 | = | = \
                | 7.5 @1 # {span='d',trace='c'} 4 @5"],
    ),
];

fn counter(row: &str) -> Result<Counter, RegisterError> {
    Counter::builder(&family(row), "Counted.").reuse().register()
}

fn add(row: &str, turn: Moment) -> Done {
    let counter = counter(row)?;
    counter.add(if turn == Second { 1.75 } else { 0.75 })?;
    for refused in [-1.0, f64::NAN, f64::INFINITY] {
        if counter.add(refused).is_ok() {
            return Err(format!("expected a refusal of {refused}").into());
        }
    }
    Ok(())
}

fn errors(row: &str, _: Moment) -> Done {
    let counter = counter(row)?;
    let is_two = |error: &u8| *error == 2;
    let _ = counter.count_errors(|| Err::<(), _>(1));
    let _ = counter.count_errors(|| Ok::<(), u8>(()));
    let _ = counter.count_errors_if(is_two, || Err::<(), _>(2));
    let _ = counter.count_errors_if(is_two, || Err::<(), _>(3));
    let future = counter.count_errors_async(async { Err::<(), _>(4) });
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(4)) => Ok(()),
        other => Err(format!("expected the error, found {other:?}").into()),
    }
}

fn panics(row: &str, _: Moment) -> Done {
    let counter = counter(row)?;
    let two = || -> u8 { resume_unwind(Box::new(2_u8)) };
    counter.count_panics(|| 1);
    let passed = [
        catch_unwind(|| counter.count_panics(two)).is_ok(),
        catch_unwind(|| counter.count_panics_if(|panic| panic.is::<u8>(), two)).is_ok(),
        catch_unwind(|| counter.count_panics_if(|panic| panic.is::<u16>(), two)).is_ok(),
        catch_unwind(AssertUnwindSafe(|| {
            let future = counter.count_panics_async(async { two() });
            pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }))
        .is_ok(),
    ];
    if passed.contains(&true) {
        return Err("expected that panics go on".into());
    }
    Ok(())
}

/// Counts 5, but in one turn begins anew and counts 1.
fn reset(row: &str, turn: Moment, anew: Moment) -> Done {
    let counter = counter(row)?;
    counter.inc_by(5);
    if turn == anew {
        counter.reset();
        counter.inc();
    }
    Ok(())
}

fn traced(row: &str, turn: Moment) -> Done {
    let counter = counter(row)?;
    match turn {
        First => counter.inc_by_with_exemplar(1, &[("trace", "a")])?,
        Second => counter.add_with_exemplar(2.5, &[("trace", "b")])??,
        Last => counter.inc_by_with_exemplar(4, &[("trace", "c"), ("span", "d")])?,
        _ => {}
    }
    Ok(())
}
