//! What is told rather than counted, and how it is named: infos, statesets, labels, registrations,
//! private registries.

use std::sync::OnceLock;

use tallyboard::sample::Value;
use tallyboard::{Counter, Gauge, GaugeMode, Info, RegisterError, Registry, StateSet};

use super::row::Moment::{Again, First, Last, Second};
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "build",
        build,
        &[
            "_info{by='x',version='1'}   | 1 | - | 1 | = | -",
            "_info{version='2'}          | - | 1 | - | - | -",
            "_info{arch='z',version='3'} | - | - | - | - | 1",
        ],
    ),
    Row::new(
        "build_of_the_dead",
        build_of_the_dead,
        &[
            "_info{part='a',version='1'} | 1 | - | - | - | -",
            "_info{part='a',version='2'} | - | 1 | = | = | =",
            "_info{part='b',version='2'} | - | 1 | = | = | -",
            "_info{part='b',version='5'} | - | - | - | - | 1",
        ],
    ),
    Row::new(
        "task",
        |row, turn| match turn {
            Again => Ok(()),
            _ => state(row, turn),
        },
        &[
            "{feat_task='up'}   | 1 | 0 | = | = | =",
            "{feat_task='down'} | 0 | 1 | = | = | 0",
            "{feat_task='away'} | 0 | = | = | = | 1",
        ],
    ),
    Row::new(
        "task_again",
        state,
        &[
            "{feat_task_again='up'}   | 1 | 0 | 1 | = | 0",
            "{feat_task_again='down'} | 0 | 1 | 0 | = | =",
            "{feat_task_again='away'} | 0 | = | = | = | 1",
        ],
    ),
    Row::new(
        "labels",
        labels,
        &[
            "_total{route='/a',status='200'} | 1 @1 | 3 @1 | 6 @1 | = | 11 @1",
            "_total{route='/b',status='-1'}  | -    | 2 @2 | =    | = | =",
        ],
    ),
    Row::new("registered", registered, &["_total | 1 @1 | 2 @1 | 3 @1 | = | 4 @1"]),
    // No worker counts it in the arena.
    Row::new("private", private, &[]),
];

fn build(row: &str, turn: Moment) -> Done {
    let build = Info::builder(&family(row), "What runs.").reuse().register()?;
    let pairs: &[(&str, &str)] = match turn {
        First | Again => &[("version", "1"), ("by", "x")],
        Second => &[("version", "2")],
        _ => &[("version", "3"), ("arch", "z")],
    };
    Ok(build.set(pairs)?)
}

fn build_of_the_dead(row: &str, turn: Moment) -> Done {
    let builds = Info::builder(&family(row), "What runs.");
    let builds = builds.labels(&["part"]).reuse().family()?;
    if builds.with(&["a"])?.set(&[("part", "b")]).is_ok() {
        return Err("expected a refusal of a label of the family".into());
    }
    match turn {
        First => builds.with(&["a"])?.set(&[("version", "1")])?,
        Second => {
            builds.with(&["a"])?.set(&[("version", "2")])?;
            builds.with(&["b"])?.set(&[("version", "2")])?;
        }
        Last => builds.with(&["b"])?.set(&[("version", "5")])?,
        _ => {}
    }
    Ok(())
}

fn state(row: &str, turn: Moment) -> Done {
    let states = ["up", "down", "away"];
    let task = StateSet::builder(&family(row), "What it does.", &states).reuse().register()?;
    if task.set("asleep").is_ok() {
        return Err("expected a refusal of a state".into());
    }
    Ok(task.set(match turn {
        First | Again => "up",
        Second => "down",
        _ => "away",
    })?)
}

tallyboard::labels! {
    struct Answer { route: &'static str, status: i16 }
}

/// One family, by position, by name and by type.
fn labels(row: &str, turn: Moment) -> Done {
    let answers = Counter::builder(&family(row), "Answers.").labels_of::<Answer>();
    let answers = answers.reuse().family()?;
    match turn {
        First => answers.with(&["/a", "200"])?.inc(),
        Second => {
            answers.with_labels(&Answer { route: "/a", status: 200 })?.inc_by(2);
            answers.with_labels(&Answer { route: "/b", status: -1 })?.inc_by(2);
        }
        Again => answers.with_named(&[("status", "200"), ("route", "/a")])?.inc_by(3),
        _ => answers.with(&["/a".to_owned(), "200".to_owned()])?.inc_by(5),
    }
    let refused = [
        answers.with(&["/a"]).is_err(),
        answers.with_named(&[("route", "/a"), ("code", "200")]).is_err(),
        answers.with_named(&[("route", "/a"), ("route", "/b")]).is_err(),
    ];
    if refused.contains(&false) {
        return Err(format!("expected three refusals, found {refused:?}").into());
    }
    Ok(())
}

/// Registers, and is refused what is registered already.
fn registered(row: &str, _: Moment) -> Done {
    let name = family(row);
    let counter = || Counter::builder(&name, "Registered.");
    counter().reuse().register()?.inc();
    match counter().register() {
        Err(RegisterError::Duplicate { existing, found })
            if existing.contains(&name) && found.contains(&name) => {}
        other => return Err(format!("expected a duplicate, found {other:?}").into()),
    }
    let gauge = Gauge::builder(&format!("{name}_total"), "A sample of that name.");
    match gauge.mode(GaugeMode::Sum).register() {
        Err(RegisterError::Conflict { .. }) => Ok(()),
        other => Err(format!("expected a conflict, found {other:?}").into()),
    }
}

/// A registry that was there before the workers were.
static PRIVATE: OnceLock<(&Registry, Counter)> = OnceLock::new();

/// Has the parent of all workers count in a registry of its own.
pub(crate) fn hold_a_private_counter() {
    let registry = Registry::new();
    let counter = Counter::builder(&family("private"), "Counted privately.").registry(registry);
    if let Ok(counter) = counter.register() {
        counter.inc_by(2);
        PRIVATE.get_or_init(|| (registry, counter));
    }
}

/// Counts on in its own copy of what the parent has counted, and in a registry of its own.
fn private(row: &str, turn: Moment) -> Done {
    let (inherited, counter) = PRIVATE.get().ok_or("expected a counter of the parent")?;
    let before = if turn == Again { 3 } else { 2 };
    counter.inc();
    let own = Registry::new();
    Counter::builder(&family(row), "The same name.").registry(own).register()?.inc();
    for (registry, expected) in [(*inherited, before + 1), (own, 1)] {
        let families = registry.gather();
        let found = families.first().and_then(|family| family.samples.first());
        if families.len() != 1 || found.map(|sample| sample.value) != Some(Value::Whole(expected)) {
            return Err(format!("expected {expected}, found {families:?}").into());
        }
    }
    match inherited.attach() {
        Err(tallyboard::AttachError::NoAddress) => Ok(()),
        other => Err(format!("expected a registry without supervisor, found {other:?}").into()),
    }
}
