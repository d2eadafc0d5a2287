//! Summaries and histograms.

use std::pin::pin;
use std::task::{Context, Waker};

use tallyboard::raw::{Number, Series};
use tallyboard::{Histogram, RegisterError, Summary, Timed};

use super::Moment::{Again, First, Last, Second};
use super::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "summary",
        act: |turn| Ok(summary("summary")?.observe(turn as u8 as f64 + 0.5)),
        shown: &[
            (First, &["_count 1 @1", "_sum 1.5"]),
            (Second, &["_count 2 @1", "_sum 4"]),
            (Again, &["_count 3 @1", "_sum 7.5"]),
            (Last, &["_count 4 @1", "_sum 13"]),
        ],
    },
    Row {
        name: "sum_set",
        act: |turn| {
            let summary = summary("sum_set")?;
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
        shown: &[
            (First, &["_count 1 @1", "_sum 100"]),
            (Second, &["_count 2 @2", "_sum 150.25"]),
            (Again, &["_count 3 @3", "_sum 50.75"]),
            (Last, &["_count 4 @3", "_sum 52.25"]),
        ],
    },
    Row {
        name: "bucket_set",
        act: |turn| {
            let histogram = Histogram::builder(&family("bucket_set"), "Observed.");
            let histogram = histogram.buckets(&[1.0]).reuse().register()?;
            (0..turn as u8).for_each(|_| histogram.observe(0.5));
            if turn == Again {
                Series::of(&histogram).set(Number::Count(0), 1.0);
                Series::of(&histogram).set(Number::Count(1), 2.0);
            }
            Ok(())
        },
        shown: &[
            (First, &["_bucket{le='1.0'} 1", "_bucket{le='+Inf'} 1", "_count 1 @1", "_sum 0.5"]),
            (Second, &["_bucket{le='1.0'} 3", "_bucket{le='+Inf'} 3", "_count 3 @1", "_sum 1.5"]),
            (Again, &["_bucket{le='1.0'} 3", "_bucket{le='+Inf'} 5", "_count 5 @3", "_sum 3"]),
            (Last, &["_bucket{le='1.0'} 8", "_bucket{le='+Inf'} 10", "_count 10 @3", "_sum 5.5"]),
        ],
    },
    Row {
        name: "summary_timed",
        act: |_| timed(summary("summary_timed")?),
        shown: &[
            (First, &["_count 4 @1", "_sum *"]),
            (Second, &["_count 8 @1", "_sum *"]),
            (Again, &["_count 12 @1", "_sum *"]),
            (Last, &["_count 16 @1", "_sum *"]),
        ],
    },
    Row {
        name: "histogram",
        act: observe,
        shown: &[
            (
                First,
                &[
                    "_bucket{le='1.0'} 1",
                    "_bucket{le='2.0'} 1",
                    "_bucket{le='+Inf'} 1",
                    "_count 1 @1",
                    "_sum 0.5",
                ],
            ),
            (
                Second,
                &[
                    "_bucket{le='1.0'} 1",
                    "_bucket{le='2.0'} 3",
                    "_bucket{le='+Inf'} 4",
                    "_count 4 @1",
                    "_sum 13",
                ],
            ),
            (
                Again,
                &[
                    "_bucket{le='1.0'} 2",
                    "_bucket{le='2.0'} 4",
                    "_bucket{le='+Inf'} 5",
                    "_count 5 @1",
                    "_sum 14",
                ],
            ),
            (
                Last,
                &[
                    "_bucket{le='1.0'} 2",
                    "_bucket{le='2.0'} 4",
                    "_bucket{le='+Inf'} 6",
                    "_count 6 @1",
                    "_sum 17",
                ],
            ),
        ],
    },
    Row {
        name: "histogram_traced",
        act: traced,
        shown: &[
            (
                First,
                &[
                    "_bucket{le='1.0'} 1 # {trace='a'} 0.5 @1",
                    "_bucket{le='2.0'} 1",
                    "_bucket{le='+Inf'} 1",
                    "_count 1 @1",
                    "_sum 0.5",
                ],
            ),
            (
                Second,
                &[
                    "_bucket{le='1.0'} 1 # {trace='a'} 0.5 @1",
                    "_bucket{le='2.0'} 2 # {trace='b'} 1.5 @2",
                    "_bucket{le='+Inf'} 3 # {trace='c'} 9 @2",
                    "_count 3 @1",
                    "_sum 11",
                ],
            ),
            (
                Again,
                &[
                    "_bucket{le='1.0'} 1 # {trace='a'} 0.5 @1",
                    "_bucket{le='2.0'} 3 # {trace='d'} 1.25 @3",
                    "_bucket{le='+Inf'} 4 # {trace='c'} 9 @2",
                    "_count 4 @1",
                    "_sum 12.25",
                ],
            ),
            (
                Last,
                &[
                    "_bucket{le='1.0'} 2 # {trace='e'} 0.25 @5",
                    "_bucket{le='2.0'} 4 # {trace='d'} 1.25 @3",
                    "_bucket{le='+Inf'} 5 # {trace='c'} 9 @2",
                    "_count 5 @1",
                    "_sum 12.5",
                ],
            ),
        ],
    },
    Row {
        name: "histogram_timed",
        act: |_| timed(histogram("histogram_timed", &[1e6])?),
        shown: &[
            (First, &["_bucket{le='1e+06'} 4", "_bucket{le='+Inf'} 4", "_count 4 @1", "_sum *"]),
            (Second, &["_bucket{le='1e+06'} 8", "_bucket{le='+Inf'} 8", "_count 8 @1", "_sum *"]),
            (Again, &["_bucket{le='1e+06'} 12", "_bucket{le='+Inf'} 12", "_count 12 @1", "_sum *"]),
            (Last, &["_bucket{le='1e+06'} 16", "_bucket{le='+Inf'} 16", "_count 16 @1", "_sum *"]),
        ],
    },
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

fn observe(turn: Moment) -> Done {
    let histogram = histogram("histogram", &[1.0, 2.0])?;
    match turn {
        First => histogram.observe(0.5),
        Second => [1.5, 2.0, 9.0].into_iter().for_each(|value| histogram.observe(value)),
        Again => histogram.observe(1.0),
        _ => histogram.observe(3.0),
    }
    Ok(())
}

fn traced(turn: Moment) -> Done {
    let histogram = histogram("histogram_traced", &[1.0, 2.0])?;
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
