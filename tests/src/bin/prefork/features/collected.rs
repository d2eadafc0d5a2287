//! A collector on the shared registry: every kind of family, written into the arena.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{Collector, Counter, GaugeMode, RegisterError, Registry};
use tallyboard_tests::start::child::until;

use super::row::Moment::Again;
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "pool_opened",
        register,
        &["_total{pool='a'} | 1.5 | 4 | = | = | 9.5", "_total{pool='b'} | 1   | 3 | = | = | 8"],
    ),
    Row::new("pool_open", |_, _| Ok(()), &["| 1 | 3 | = | 1 | 6"]),
    Row::new(
        "pool_seconds",
        |_, _| Ok(()),
        &[
            "_bucket{le='1.0'}  | 2   | 4 | = | = | 6",
            "_bucket{le='+Inf'} | 3   | 6 | = | = | 9",
            "_count             | 3   | 6 | = | = | 9",
            "_sum               | 4.5 | 9 | = | = | 13.5",
        ],
    ),
    Row::new(
        "pool_bytes",
        |_, _| Ok(()),
        &["_count | 1  | 3  | = | = | 8", "_sum   | 10 | 30 | = | = | 80"],
    ),
    Row::new("pool_build", |_, _| Ok(()), &["_info{by='x',version='7'} | 1 | = | = | = | ="]),
    Row::new(
        "pool_state",
        |_, _| Ok(()),
        &[
            "{feat_pool_state='on'}  | 1 | = | = | = | =",
            "{feat_pool_state='off'} | 0 | = | = | = | =",
        ],
    ),
];

/// How often collectors of this process were asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Suffix, labels and value of a sample.
type Line<'a> = (&'static str, &'a [(&'a str, &'a str)], f64);

struct Pool {
    /// The number of its worker's turn.
    number: u64,
}

impl Collector for Pool {
    fn collect(&self) -> Vec<FamilySamples> {
        ASKED.fetch_add(1, SeqCst);
        let number = self.number;
        let family = |kind, row, samples: &[Line<'_>]| {
            let mut family = FamilySamples::new(kind, &super::row::family(row), "Collected.");
            let samples = samples.iter().map(|(suffix, labels, value)| {
                let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                Sample::new(suffix, labels.collect(), Value::Float(*value))
            });
            family.samples.extend(samples);
            family
        };
        let float = number as f64;
        vec![
            family(
                Type::Counter,
                "pool_opened",
                &[("_total", &[("pool", "a")], float + 0.5), ("_total", &[("pool", "b")], float)],
            ),
            family(Type::Gauge, "pool_open", &[("", &[], float)]),
            family(
                Type::Histogram,
                "pool_seconds",
                &[
                    ("_bucket", &[("le", "1.0")], 2.0),
                    ("_bucket", &[("le", "+Inf")], 3.0),
                    ("_count", &[], 3.0),
                    ("_sum", &[], 4.5),
                ],
            ),
            family(
                Type::Summary,
                "pool_bytes",
                &[("_count", &[], float), ("_sum", &[], 10.0 * float)],
            ),
            family(Type::Info, "pool_build", &[("_info", &[("version", "7"), ("by", "x")], 1.0)]),
            family(
                Type::StateSet,
                "pool_state",
                &[
                    ("", &[("feat_pool_state", "on")], 1.0),
                    ("", &[("feat_pool_state", "off")], 0.0),
                ],
            ),
        ]
    }

    fn gauge_mode(&self) -> GaugeMode {
        GaugeMode::LiveSum
    }
}

/// Registers the collector, and waits until what it says is written.
fn register(row: &str, turn: Moment) -> Done {
    if turn == Again {
        return Ok(());
    }
    let registry = Registry::shared();
    registry.register_collector(Pool { number: turn as u64 })?;
    let asked = ASKED.load(SeqCst);
    until(|| (ASKED.load(SeqCst) >= asked + 2).then_some(()));
    match registry.register_collector(Pool { number: 100 }) {
        Err(RegisterError::Duplicate { existing, found })
            if existing.contains(row) && found.contains(row) => {}
        other => return Err(format!("expected a duplicate, found {other:?}").into()),
    }
    match Counter::builder(&family("pool_open"), "Of the same name.").register() {
        Err(RegisterError::Duplicate { .. } | RegisterError::Conflict { .. }) => Ok(()),
        other => Err(format!("expected a refusal, found {other:?}").into()),
    }
}
