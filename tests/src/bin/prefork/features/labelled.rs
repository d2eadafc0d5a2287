//! Labels that the supervisor adds: constant ones, and the number of the slot instead of a pid.

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info};

use super::row::{Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "inc",
        |row, turn| {
            let counter = Counter::builder(&family(row), "Counted.").reuse().register()?;
            Ok(counter.inc_by_with_exemplar(turn as u64, &[("trace", "a")])?)
        },
        &["_total{area='eu',shop='a'} | 1 @1 # {trace='a'} 1 @1 | 3 @1 # {trace='a'} 2 @2 \
                | 6 @1 # {trace='a'} 3 @3 | = | 11 @1 # {trace='a'} 5 @5"],
    ),
    Row::new(
        "seconds",
        |row, turn| {
            let seconds = Histogram::builder(&family(row), "Observed.").buckets(&[2.0]);
            Ok(seconds.reuse().register()?.observe(turn as u8 as f64))
        },
        &[
            "_bucket{area='eu',shop='a',le='2.0'}  | 1    | 2    | =    | = | =",
            "_bucket{area='eu',shop='a',le='+Inf'} | 1    | 2    | 3    | = | 4",
            "_count{area='eu',shop='a'}            | 1 @1 | 2 @1 | 3 @1 | = | 4 @1",
            "_sum{area='eu',shop='a'}              | 1    | 3    | 6    | = | 11",
        ],
    ),
    // A label of the family's own goes before a constant one.
    Row::new(
        "own",
        |row, turn| {
            let own = Counter::builder(&family(row), "Counted.").labels(&["area"]).reuse();
            Ok(own.family()?.with(&["nz"])?.inc_by(turn as u64))
        },
        &["_total{area='nz',shop='a'} | 1 @1 | 3 @1 | 6 @1 | = | 11 @1"],
    ),
    // The third worker has the slot of the second.
    Row::new(
        "all",
        |row, turn| {
            let gauge = Gauge::builder(&family(row), "Set.").mode(GaugeMode::All).reuse();
            Ok(gauge.register()?.set(turn as u8 as f64))
        },
        &[
            "{area='eu',shop='a',worker='0'} | 1 | = | 3 | = | =",
            "{area='eu',shop='a',worker='1'} | - | 2 | = | = | 5",
        ],
    ),
    Row::new(
        "own_worker",
        |row, turn| {
            let gauge = Gauge::builder(&family(row), "Set.").mode(GaugeMode::LiveAll);
            let family = gauge.labels(&["worker", "pid"]).reuse().family()?;
            Ok(family.with(&["x", "y"])?.set(turn as u8 as f64))
        },
        &[
            "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} | 1 | = | 3 | = | =",
            "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='1'} | - | 2 | = | - | 5",
        ],
    ),
    // A pair of an info goes before a constant label too.
    Row::new(
        "build",
        |row, turn| {
            let build = Info::builder(&family(row), "What runs.").reuse().register()?;
            Ok(build.set(&[("version", &(turn as u8).to_string()), ("shop", "b")])?)
        },
        &[
            "_info{shop='b',version='1',area='eu'} | 1 | - | - | - | -",
            "_info{shop='b',version='2',area='eu'} | - | 1 | - | - | -",
            "_info{shop='b',version='3',area='eu'} | - | - | 1 | = | -",
            "_info{shop='b',version='5',area='eu'} | - | - | - | - | 1",
        ],
    ),
];
