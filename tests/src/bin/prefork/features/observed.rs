//! Summaries and histograms.

use std::pin::pin;
use std::task::{Context, Waker};

use tallyboard::raw::{Number, Series};
use tallyboard::{Histogram, RegisterError, Summary, Timed};

use super::row::Moment::{Again, First, Second};
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "summary",
        |row, turn| Ok(summary(row)?.observe(turn as u8 as f64 + 0.5)),
        &["_count | 1 @1 | 2 @1 | 3 @1 | = | 4 @1", "_sum   | 1.5  | 4    | 7.5  | = | 13"],
    ),
    Row::new(
        "sum_set",
        |row, turn| {
            let summary = summary(row)?;
            summary.observe(1.5);
            let values: &[f64] = match turn {
                First => &[100.0],
                Second => &[200.0, 50.25],
                Again => &[0.5],
                _ => &[1.5],
            };
            values.iter().for_each(|&value| Series::of(&summary).set(Number::Sum(1), value));
            Ok(())
        },
        &[
            "_count | 1 @1 | 2 @2   | 3 @3  | = | 4 @3",
            "_sum   | 100  | 150.25 | 50.75 | = | 52.25",
        ],
    ),
    Row::new(
        "bucket_set",
        |row, turn| {
            let histogram = Histogram::builder(&family(row), "Observed.");
            let histogram = histogram.buckets(&[1.0]).reuse().register()?;
            (0..turn as u8).for_each(|_| histogram.observe(0.5));
            if turn == Again {
                Series::of(&histogram).set(Number::Count(0), 1.0);
                Series::of(&histogram).set(Number::Count(1), 2.0);
            }
            Ok(())
        },
        &[
            "_bucket{le='1.0'}  | 1    | 3    | =    | = | 8",
            "_bucket{le='+Inf'} | 1    | 3    | 5    | = | 10",
            "_count             | 1 @1 | 3 @1 | 5 @3 | = | 10 @3",
            "_sum               | 0.5  | 1.5  | 3    | = | 5.5",
        ],
    ),
    Row::new(
        "summary_timed",
        |row, _| timed(summary(row)?),
        &["_count | 4 @1 | 8 @1 | 12 @1 | = | 16 @1", "_sum   | *    | =    | =     | = | ="],
    ),
    Row::new(
        "histogram",
        observe,
        &[
            "_bucket{le='1.0'}  | 1    | =    | 2    | = | =",
            "_bucket{le='2.0'}  | 1    | 3    | 4    | = | =",
            "_bucket{le='+Inf'} | 1    | 4    | 5    | = | 6",
            "_count             | 1 @1 | 4 @1 | 5 @1 | = | 6 @1",
            "_sum               | 0.5  | 13   | 14   | = | 17",
        ],
    ),
    Row::new(
        "histogram_traced",
        traced,
        &[
            "_bucket{le='1.0'} | 1 # {trace='a'} 0.5 @1 | = | = | = | 2 # {trace='e'} 0.25 @5",
            "_bucket{le='2.0'} | 1 | 2 # {trace='b'} 1.5 @2 | 3 # {trace='d'} 1.25 @3 | = \
                | 4 # {trace='d'} 1.25 @3",
            "_bucket{le='+Inf'} | 1 | 3 # {trace='c'} 9 @2 | 4 # {trace='c'} 9 @2 | = \
                | 5 # {trace='c'} 9 @2",
            "_count | 1 @1 | 3 @1 | 4 @1 | = | 5 @1",
            "_sum | 0.5 | 11 | 12.25 | = | 12.5",
        ],
    ),
    Row::new(
        "histogram_timed",
        |row, _| timed(histogram(row, &[1e6])?),
        &[
            "_bucket{le='1e+06'} | 4    | 8    | 12    | = | 16",
            "_bucket{le='+Inf'}  | 4    | 8    | 12    | = | 16",
            "_count              | 4 @1 | 8 @1 | 12 @1 | = | 16 @1",
            "_sum                | *    | =    | =     | = | =",
        ],
    ),
];

fn summary(row: &str) -> Result<Summary, RegisterError> {
    Summary::builder(&family(row), "Observed.").reuse().register()
}

fn histogram(row: &str, bounds: &[f64]) -> Result<Histogram, RegisterError> {
    Histogram::builder(&family(row), "Observed.").buckets(bounds).reuse().register()
}

/// Times four things, and one that is discarded.
fn timed(metric: impl Timed) -> Done {
    drop(metric.start_timer());
    metric.start_timer().stop();
    metric.time(|| ());
    metric.start_timer().discard();
    let timed = pin!(metric.time_async(async {}));
    match timed.poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        true => Ok(()),
        false => Err("expected a future that is ready".into()),
    }
}

fn observe(row: &str, turn: Moment) -> Done {
    let histogram = histogram(row, &[1.0, 2.0])?;
    match turn {
        First => histogram.observe(0.5),
        Second => [1.5, 2.0, 9.0].into_iter().for_each(|value| histogram.observe(value)),
        Again => histogram.observe(1.0),
        _ => histogram.observe(3.0),
    }
    Ok(())
}

fn traced(row: &str, turn: Moment) -> Done {
    let histogram = histogram(row, &[1.0, 2.0])?;
    let examples: &[(f64, &str)] = match turn {
        First => &[(0.5, "a")],
        Second => &[(1.5, "b"), (9.0, "c")],
        Again => &[(1.25, "d")],
        _ => &[(0.25, "e")],
    };
    for (value, trace) in examples {
        histogram.observe_with_exemplar(*value, &[("trace", trace)])?;
    }
    Ok(())
}
