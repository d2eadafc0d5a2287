//! Native histograms.

use tallyboard::{NativeHistogram, RegisterError, Timed};

use super::row::Moment::{Again, First, Second};
use super::row::{Row, family};

pub(crate) const ROWS: &[Row] = &[
    // There are more buckets than there may be: first over all processes, then in one of them.
    Row::new(
        "native",
        |row, turn| {
            let histogram = native(row)?;
            let values: &[f64] = match turn {
                First => &[1.5],
                Second => &[0.75, 3.0, 9.0],
                Again => &[100.0],
                _ => &[1e6],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        &[
            "! | 1 0: z0 +1:1 | 4 0: z0 +0:1,1:1,2:1,4:1 | 5 -1: z0 +0:1,1:2,2:1,4:1 | = \
                | 6 -2: z0 +0:1,1:3,2:1,5:1",
            "?_bucket{le='+Inf'} | 1 | 4 | 5 | = | 6",
            "?_count | 1 @1 | 4 @1 | 5 @1 | = | 6 @1",
            "?_sum | 1.5 | 14.25 | 114.25 | = | 1000114.25",
        ],
    ),
    Row::new(
        "native_signed",
        |row, turn| {
            let histogram = native(row)?;
            let values: &[f64] = match turn {
                First => &[64.0, 0.0, -0.0],
                Second => &[-3.0, -1e-50, 1e-50],
                Again => &[-3.5],
                _ => &[-1.0],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        &[
            "! | 3 0: z2 +6:1 | 6 0: z4 +6:1 -2:1 | 7 0: z4 +6:1 -2:2 | = | 8 0: z4 +6:1 -0:1,2:2",
            "?_bucket{le='+Inf'} | 3            | 6                 | 7                 | = | 8",
            "?_count             | 3 @1         | 6 @1              | 7 @1              | = | 8 @1",
            "?_sum               | 64           | 61                | 57.5              | = | 56.5",
        ],
    ),
    // The classic bound is inside of a native bucket.
    Row::new(
        "native_beside",
        |row, turn| {
            let histogram = NativeHistogram::builder(&family(row), "Observed.");
            let histogram = histogram.schema(0).classic_buckets(&[3.0]).reuse().register()?;
            let values: &[f64] = match turn {
                First => &[2.5],
                Second => &[3.0, 3.5],
                Again => &[f64::INFINITY],
                _ => &[0.0],
            };
            Ok(values.iter().for_each(|value| histogram.observe(*value)))
        },
        &[
            "! | 1 0: z0 +2:1 | 3 0: z0 +2:3 | 4 0: z0 +2:3,1025:1 | = | 5 0: z1 +2:3,1025:1",
            "_bucket{le='3.0'}  | 1            | 2            | =                   | = | 3",
            "_bucket{le='+Inf'} | 1            | 3            | 4                   | = | 5",
            "!_count            | 1            | 3            | 4                   | = | 5",
            "?_count            | 1 @1         | 3 @1         | 4 @1                | = | 5 @1",
            "_sum               | 2.5          | 9            | inf                 | = | =",
        ],
    ),
    Row::new(
        "native_traced",
        |row, turn| {
            let trace = ["a", "b", "c", "d", "e"][turn as usize - 1];
            let histogram = native(row)?;
            Ok(histogram.observe_with_exemplar(turn as u8 as f64, &[("trace", trace)])?)
        },
        &[
            "! | 1 0: z0 +0:1 # {trace='a'} 1 @1 | 2 0: z0 +0:1,1:1 # {trace='b'} 2 @2 \
                | 3 0: z0 +0:1,1:1,2:1 # {trace='c'} 3 @3 | = \
                | 4 0: z0 +0:1,1:1,2:1,3:1 # {trace='e'} 5 @5",
            "?_bucket{le='+Inf'} | 1 # {trace='a'} 1 @1 | 2 # {trace='b'} 2 @2 \
                | 3 # {trace='c'} 3 @3 | = | 4 # {trace='e'} 5 @5",
            "?_count | 1 @1 | 2 @1 | 3 @1 | = | 4 @1",
            "?_sum | 1 | 3 | 6 | = | 11",
        ],
    ),
    // What is observed behind a reset is of the next life, in buckets old and new.
    Row::new(
        "native_reset",
        |row, turn| {
            let histogram = native(row)?;
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
        &[
            "! | 2 0: z0 +1:2 | 2 0: z0 +2:1,5:1 | 3 0: z0 +1:1,2:1,5:1 | = \
                | 4 0: z0 +1:1,2:1,3:1,5:1",
            "?_bucket{le='+Inf'} | 2            | =                | 3                    | = | 4",
            "?_count | 2 @1 | 2 @2 | 3 @2 | = | 4 @2",
            "?_sum | 3 | 23 | 24.5 | = | 30.5",
        ],
    ),
    Row::new(
        "native_removed",
        |row, turn| {
            let family = NativeHistogram::builder(&family(row), "Observed.");
            let family = family.schema(0).labels(&["of"]).reuse().family()?;
            family.with(&["a"])?.observe(turn as u8 as f64);
            super::ended::remove(&family, turn, &[Second, Again])
        },
        &[
            "!{of='a'}                  | 1 0: z0 +0:1 | 2 0: z0 +0:1,1:1 | - | - | 1 0: z0 +3:1",
            "?_bucket{of='a',le='+Inf'} | 1            | 2                | - | - | 1",
            "?_count{of='a'}            | 1 @1         | 2 @1             | - | - | 1 @5",
            "?_sum{of='a'}              | 1            | 3                | - | - | 5",
        ],
    ),
    Row::new(
        "native_timed",
        |row, _| {
            let histogram = NativeHistogram::builder(&family(row), "Observed.");
            let histogram = histogram.zero_threshold(1e6).reuse().register()?;
            Ok(histogram.time(|| ()))
        },
        &[
            "!                   | 1 3: z1 | 2 3: z2 | 3 3: z3 | = | 4 3: z4",
            "?_bucket{le='+Inf'} | 1       | 2       | 3       | = | 4",
            "?_count             | 1 @1    | 2 @1    | 3 @1    | = | 4 @1",
            "?_sum               | *       | =       | =       | = | =",
        ],
    ),
];

fn native(row: &str) -> Result<NativeHistogram, RegisterError> {
    let histogram = NativeHistogram::builder(&family(row), "Observed.");
    histogram.schema(0).max_buckets(4).reuse().register()
}
