//! Labels that the supervisor adds: constant ones, and the number of the slot instead of a pid.

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info};

use super::Moment::{Again, First, Killed, Last, Second};
use super::{Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "inc",
        act: |turn| {
            let counter = Counter::builder(&family("inc"), "Counted.").reuse().register()?;
            Ok(counter.inc_by_with_exemplar(turn as u64, &[("trace", "a")])?)
        },
        shown: &[
            (First, &["_total{area='eu',shop='a'} 1 @1 # {trace='a'} 1 @1"]),
            (Second, &["_total{area='eu',shop='a'} 3 @1 # {trace='a'} 2 @2"]),
            (Again, &["_total{area='eu',shop='a'} 6 @1 # {trace='a'} 3 @3"]),
            (Last, &["_total{area='eu',shop='a'} 11 @1 # {trace='a'} 5 @5"]),
        ],
    },
    Row {
        name: "seconds",
        act: |turn| {
            let seconds = Histogram::builder(&family("seconds"), "Observed.").buckets(&[2.0]);
            Ok(seconds.reuse().register()?.observe(turn as u8 as f64))
        },
        shown: &[
            (
                First,
                &[
                    "_bucket{area='eu',shop='a',le='2.0'} 1",
                    "_bucket{area='eu',shop='a',le='+Inf'} 1",
                    "_count{area='eu',shop='a'} 1 @1",
                    "_sum{area='eu',shop='a'} 1",
                ],
            ),
            (
                Second,
                &[
                    "_bucket{area='eu',shop='a',le='2.0'} 2",
                    "_bucket{area='eu',shop='a',le='+Inf'} 2",
                    "_count{area='eu',shop='a'} 2 @1",
                    "_sum{area='eu',shop='a'} 3",
                ],
            ),
            (
                Again,
                &[
                    "_bucket{area='eu',shop='a',le='2.0'} 2",
                    "_bucket{area='eu',shop='a',le='+Inf'} 3",
                    "_count{area='eu',shop='a'} 3 @1",
                    "_sum{area='eu',shop='a'} 6",
                ],
            ),
            (
                Last,
                &[
                    "_bucket{area='eu',shop='a',le='2.0'} 2",
                    "_bucket{area='eu',shop='a',le='+Inf'} 4",
                    "_count{area='eu',shop='a'} 4 @1",
                    "_sum{area='eu',shop='a'} 11",
                ],
            ),
        ],
    },
    // A label of the family's own goes before a constant one.
    Row {
        name: "own",
        act: |turn| {
            let own = Counter::builder(&family("own"), "Counted.").labels(&["area"]).reuse();
            Ok(own.family()?.with(&["nz"])?.inc_by(turn as u64))
        },
        shown: &[
            (First, &["_total{area='nz',shop='a'} 1 @1"]),
            (Second, &["_total{area='nz',shop='a'} 3 @1"]),
            (Again, &["_total{area='nz',shop='a'} 6 @1"]),
            (Last, &["_total{area='nz',shop='a'} 11 @1"]),
        ],
    },
    // The third worker has the slot of the second.
    Row {
        name: "all",
        act: |turn| {
            let gauge = Gauge::builder(&family("all"), "Set.").mode(GaugeMode::All).reuse();
            Ok(gauge.register()?.set(turn as u8 as f64))
        },
        shown: &[
            (First, &["{area='eu',shop='a',worker='0'} 1"]),
            (Second, &["{area='eu',shop='a',worker='0'} 1", "{area='eu',shop='a',worker='1'} 2"]),
            (Again, &["{area='eu',shop='a',worker='0'} 3", "{area='eu',shop='a',worker='1'} 2"]),
            (Last, &["{area='eu',shop='a',worker='0'} 3", "{area='eu',shop='a',worker='1'} 5"]),
        ],
    },
    Row {
        name: "own_worker",
        act: |turn| {
            let gauge = Gauge::builder(&family("own_worker"), "Set.").mode(GaugeMode::LiveAll);
            let family = gauge.labels(&["worker", "pid"]).reuse().family()?;
            Ok(family.with(&["x", "y"])?.set(turn as u8 as f64))
        },
        shown: &[
            (First, &["{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} 1"]),
            (
                Second,
                &[
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} 1",
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='1'} 2",
                ],
            ),
            (
                Again,
                &[
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} 3",
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='1'} 2",
                ],
            ),
            (Killed, &["{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} 3"]),
            (
                Last,
                &[
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='0'} 3",
                    "{worker='x',pid='y',area='eu',shop='a',tallyboard_worker='1'} 5",
                ],
            ),
        ],
    },
    // A pair of an info goes before a constant label too.
    Row {
        name: "build",
        act: |turn| {
            let build = Info::builder(&family("build"), "What runs.").reuse().register()?;
            Ok(build.set(&[("version", &(turn as u8).to_string()), ("shop", "b")])?)
        },
        shown: &[
            (First, &["_info{shop='b',version='1',area='eu'} 1"]),
            (Second, &["_info{shop='b',version='2',area='eu'} 1"]),
            (Again, &["_info{shop='b',version='3',area='eu'} 1"]),
            (Last, &["_info{shop='b',version='5',area='eu'} 1"]),
        ],
    },
];
