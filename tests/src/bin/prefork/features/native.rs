//! Native histograms.

use tallyboard::{NativeHistogram, RegisterError, Timed};

use super::Moment::{Again, First, Killed, Last, Second};
use super::{Row, family};

pub(crate) const ROWS: &[Row] = &[
    // There are more buckets than there may be: first over all processes, then in one of them.
    Row {
        name: "native",
        act: |turn| {
            let histogram = native("native")?;
            let values: &[f64] = match turn {
                First => &[1.5],
                Second => &[0.75, 3.0, 9.0],
                Again => &[100.0],
                _ => &[1e6],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        shown: &[
            (First, &["! 1 0: z0 +1:1", "?_bucket{le='+Inf'} 1", "?_count 1 @1", "?_sum 1.5"]),
            (
                Second,
                &[
                    "! 4 0: z0 +0:1,1:1,2:1,4:1",
                    "?_bucket{le='+Inf'} 4",
                    "?_count 4 @1",
                    "?_sum 14.25",
                ],
            ),
            (
                Again,
                &[
                    "! 5 -1: z0 +0:1,1:2,2:1,4:1",
                    "?_bucket{le='+Inf'} 5",
                    "?_count 5 @1",
                    "?_sum 114.25",
                ],
            ),
            (
                Last,
                &[
                    "! 6 -2: z0 +0:1,1:3,2:1,5:1",
                    "?_bucket{le='+Inf'} 6",
                    "?_count 6 @1",
                    "?_sum 1000114.25",
                ],
            ),
        ],
    },
    Row {
        name: "native_signed",
        act: |turn| {
            let histogram = native("native_signed")?;
            let values: &[f64] = match turn {
                First => &[64.0, 0.0, -0.0],
                Second => &[-3.0, -1e-50, 1e-50],
                Again => &[-3.5],
                _ => &[-1.0],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        shown: &[
            (First, &["! 3 0: z2 +6:1", "?_bucket{le='+Inf'} 3", "?_count 3 @1", "?_sum 64"]),
            (Second, &["! 6 0: z4 +6:1 -2:1", "?_bucket{le='+Inf'} 6", "?_count 6 @1", "?_sum 61"]),
            (
                Again,
                &["! 7 0: z4 +6:1 -2:2", "?_bucket{le='+Inf'} 7", "?_count 7 @1", "?_sum 57.5"],
            ),
            (
                Last,
                &["! 8 0: z4 +6:1 -0:1,2:2", "?_bucket{le='+Inf'} 8", "?_count 8 @1", "?_sum 56.5"],
            ),
        ],
    },
    // The classic bound is inside of a native bucket.
    Row {
        name: "native_beside",
        act: |turn| {
            let histogram = NativeHistogram::builder(&family("native_beside"), "Observed.");
            let histogram = histogram.schema(0).classic_buckets(&[3.0]).reuse().register()?;
            let values: &[f64] = match turn {
                First => &[2.5],
                Second => &[3.0, 3.5],
                Again => &[f64::INFINITY],
                _ => &[0.0],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        shown: &[
            (
                First,
                &[
                    "! 1 0: z0 +2:1",
                    "_bucket{le='3.0'} 1",
                    "_bucket{le='+Inf'} 1",
                    "!_count 1",
                    "?_count 1 @1",
                    "_sum 2.5",
                ],
            ),
            (
                Second,
                &[
                    "! 3 0: z0 +2:3",
                    "_bucket{le='3.0'} 2",
                    "_bucket{le='+Inf'} 3",
                    "!_count 3",
                    "?_count 3 @1",
                    "_sum 9",
                ],
            ),
            (
                Again,
                &[
                    "! 4 0: z0 +2:3,1025:1",
                    "_bucket{le='3.0'} 2",
                    "_bucket{le='+Inf'} 4",
                    "!_count 4",
                    "?_count 4 @1",
                    "_sum inf",
                ],
            ),
            (
                Last,
                &[
                    "! 5 0: z1 +2:3,1025:1",
                    "_bucket{le='3.0'} 3",
                    "_bucket{le='+Inf'} 5",
                    "!_count 5",
                    "?_count 5 @1",
                    "_sum inf",
                ],
            ),
        ],
    },
    Row {
        name: "native_traced",
        act: |turn| {
            let trace = ["a", "b", "c", "d", "e"][turn as usize - 1];
            let histogram = native("native_traced")?;
            Ok(histogram.observe_with_exemplar(turn as u8 as f64, &[("trace", trace)])?)
        },
        shown: &[
            (
                First,
                &[
                    "! 1 0: z0 +0:1 # {trace='a'} 1 @1",
                    "?_bucket{le='+Inf'} 1 # {trace='a'} 1 @1",
                    "?_count 1 @1",
                    "?_sum 1",
                ],
            ),
            (
                Second,
                &[
                    "! 2 0: z0 +0:1,1:1 # {trace='b'} 2 @2",
                    "?_bucket{le='+Inf'} 2 # {trace='b'} 2 @2",
                    "?_count 2 @1",
                    "?_sum 3",
                ],
            ),
            (
                Again,
                &[
                    "! 3 0: z0 +0:1,1:1,2:1 # {trace='c'} 3 @3",
                    "?_bucket{le='+Inf'} 3 # {trace='c'} 3 @3",
                    "?_count 3 @1",
                    "?_sum 6",
                ],
            ),
            (
                Last,
                &[
                    "! 4 0: z0 +0:1,1:1,2:1,3:1 # {trace='e'} 5 @5",
                    "?_bucket{le='+Inf'} 4 # {trace='e'} 5 @5",
                    "?_count 4 @1",
                    "?_sum 11",
                ],
            ),
        ],
    },
    // What is observed behind a reset is of the next life, in buckets old and new.
    Row {
        name: "native_reset",
        act: |turn| {
            let histogram = native("native_reset")?;
            match turn {
                First => [1.5, 1.5].into_iter().for_each(|value| histogram.observe(value)),
                Second => {
                    histogram.observe(6.0);
                    histogram.observe(3.0);
                    histogram.reset();
                    [3.0, 20.0].into_iter().for_each(|value| histogram.observe(value));
                }
                Again => histogram.observe(1.5),
                _ => histogram.observe(6.0),
            }
            Ok(())
        },
        shown: &[
            (First, &["! 2 0: z0 +1:2", "?_bucket{le='+Inf'} 2", "?_count 2 @1", "?_sum 3"]),
            (Second, &["! 2 0: z0 +2:1,5:1", "?_bucket{le='+Inf'} 2", "?_count 2 @2", "?_sum 23"]),
            (
                Again,
                &["! 3 0: z0 +1:1,2:1,5:1", "?_bucket{le='+Inf'} 3", "?_count 3 @2", "?_sum 24.5"],
            ),
            (
                Last,
                &[
                    "! 4 0: z0 +1:1,2:1,3:1,5:1",
                    "?_bucket{le='+Inf'} 4",
                    "?_count 4 @2",
                    "?_sum 30.5",
                ],
            ),
        ],
    },
    Row {
        name: "native_removed",
        act: |turn| {
            let family = NativeHistogram::builder(&family("native_removed"), "Observed.");
            let family = family.schema(0).labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            super::ended::remove(&family, turn, &[Second, Again])
        },
        shown: &[
            (
                First,
                &[
                    "!{of='a'} 1 0: z0 +0:1",
                    "?_bucket{of='a',le='+Inf'} 1",
                    "?_count{of='a'} 1 @1",
                    "?_sum{of='a'} 1",
                ],
            ),
            (
                Second,
                &[
                    "!{of='a'} 2 0: z0 +0:1,1:1",
                    "?_bucket{of='a',le='+Inf'} 2",
                    "?_count{of='a'} 2 @1",
                    "?_sum{of='a'} 3",
                ],
            ),
            (Again, &[]),
            (Killed, &[]),
            (
                Last,
                &[
                    "!{of='a'} 1 0: z0 +3:1",
                    "?_bucket{of='a',le='+Inf'} 1",
                    "?_count{of='a'} 1 @5",
                    "?_sum{of='a'} 5",
                ],
            ),
        ],
    },
    Row {
        name: "native_timed",
        act: |_| {
            let histogram = NativeHistogram::builder(&family("native_timed"), "Observed.");
            let histogram = histogram.zero_threshold(1e6).reuse().register()?;
            Ok(histogram.time(|| ()))
        },
        shown: &[
            (First, &["! 1 3: z1", "?_bucket{le='+Inf'} 1", "?_count 1 @1", "?_sum *"]),
            (Second, &["! 2 3: z2", "?_bucket{le='+Inf'} 2", "?_count 2 @1", "?_sum *"]),
            (Again, &["! 3 3: z3", "?_bucket{le='+Inf'} 3", "?_count 3 @1", "?_sum *"]),
            (Last, &["! 4 3: z4", "?_bucket{le='+Inf'} 4", "?_count 4 @1", "?_sum *"]),
        ],
    },
];

fn native(row: &str) -> Result<NativeHistogram, RegisterError> {
    let histogram = NativeHistogram::builder(&family(row), "Observed.");
    histogram.schema(0).max_buckets(4).reuse().register()
}
