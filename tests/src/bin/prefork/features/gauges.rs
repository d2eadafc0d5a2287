//! Gauges: every mode, and every way to set one.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, UNIX_EPOCH};

use tallyboard::{Builder, Gauge, GaugeMode, RegisterError, Timed, TimestampError};
use tallyboard_tests::start::child::until;

use super::Moment::{Again, First, Killed, Last, Second};
use super::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "sum",
        act: |turn| set("sum", GaugeMode::Sum, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 14", "{at='low'} 6"]),
            (Last, &["{at='high'} 18", "{at='low'} 10"]),
        ],
    },
    Row {
        name: "livesum",
        act: |turn| set("livesum", GaugeMode::LiveSum, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 14", "{at='low'} 6"]),
            (Killed, &["{at='high'} 5", "{at='low'} 5"]),
            (Last, &["{at='high'} 9", "{at='low'} 9"]),
        ],
    },
    Row {
        name: "max",
        act: |turn| set("max", GaugeMode::Max, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 9", "{at='low'} 5"]),
        ],
    },
    Row {
        name: "livemax",
        act: |turn| set("livemax", GaugeMode::LiveMax, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 9", "{at='low'} 5"]),
            (Killed, &["{at='high'} 5", "{at='low'} 5"]),
        ],
    },
    Row {
        name: "min",
        act: |turn| set("min", GaugeMode::Min, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 5", "{at='low'} 1"]),
            (Last, &["{at='high'} 4", "{at='low'} 1"]),
        ],
    },
    Row {
        name: "livemin",
        act: |turn| set("livemin", GaugeMode::LiveMin, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 5", "{at='low'} 1"]),
            (Killed, &["{at='high'} 5", "{at='low'} 5"]),
            (Last, &["{at='high'} 4", "{at='low'} 4"]),
        ],
    },
    Row {
        name: "mostrecent",
        act: |turn| set("mostrecent", GaugeMode::MostRecent, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 9", "{at='low'} 1"]),
            (Last, &["{at='high'} 4", "{at='low'} 4"]),
        ],
    },
    Row {
        name: "livemostrecent",
        act: |turn| set("livemostrecent", GaugeMode::LiveMostRecent, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 9", "{at='low'} 1"]),
            (Killed, &["{at='high'} 5", "{at='low'} 5"]),
            (Last, &["{at='high'} 4", "{at='low'} 4"]),
        ],
    },
    Row {
        name: "all",
        act: |turn| set("all", GaugeMode::All, turn),
        shown: &[
            (First, &["{at='high',pid='w1'} 5", "{at='low',pid='w1'} 5"]),
            (
                Second,
                &[
                    "{at='high',pid='w1'} 5",
                    "{at='low',pid='w1'} 5",
                    "{at='high',pid='w2'} 9",
                    "{at='low',pid='w2'} 1",
                ],
            ),
            (
                Last,
                &[
                    "{at='high',pid='w1'} 5",
                    "{at='low',pid='w1'} 5",
                    "{at='high',pid='w2'} 9",
                    "{at='low',pid='w2'} 1",
                    "{at='high',pid='w3'} 4",
                    "{at='low',pid='w3'} 4",
                ],
            ),
        ],
    },
    Row {
        name: "liveall",
        act: |turn| set("liveall", GaugeMode::LiveAll, turn),
        shown: &[
            (First, &["{at='high',pid='w1'} 5", "{at='low',pid='w1'} 5"]),
            (
                Second,
                &[
                    "{at='high',pid='w1'} 5",
                    "{at='low',pid='w1'} 5",
                    "{at='high',pid='w2'} 9",
                    "{at='low',pid='w2'} 1",
                ],
            ),
            (Killed, &["{at='high',pid='w1'} 5", "{at='low',pid='w1'} 5"]),
            (
                Last,
                &[
                    "{at='high',pid='w1'} 5",
                    "{at='low',pid='w1'} 5",
                    "{at='high',pid='w3'} 4",
                    "{at='low',pid='w3'} 4",
                ],
            ),
        ],
    },
    Row {
        name: "changed",
        act: changed,
        shown: &[(First, &[" 3"]), (Second, &[" 6"]), (Again, &[" 9"]), (Last, &[" 12"])],
    },
    Row {
        name: "at_rising",
        act: |turn| set_at("at_rising", GaugeMode::MostRecent, turn, [10, 20, 15, 18]),
        shown: &[(First, &[" 1"]), (Second, &[" 2"])],
    },
    Row {
        name: "at_falling",
        act: |turn| set_at("at_falling", GaugeMode::MostRecent, turn, [20, 10, 5, 30]),
        shown: &[(First, &[" 1"]), (Last, &[" 5"])],
    },
    Row {
        name: "at_rising_live",
        act: |turn| set_at("at_rising_live", GaugeMode::LiveMostRecent, turn, [10, 20, 15, 12]),
        shown: &[(First, &[" 1"]), (Second, &[" 2"]), (Killed, &[" 3"])],
    },
    Row {
        name: "at_falling_live",
        act: |turn| set_at("at_falling_live", GaugeMode::LiveMostRecent, turn, [20, 10, 5, 30]),
        shown: &[(First, &[" 1"]), (Last, &[" 5"])],
    },
    Row {
        name: "asked",
        act: asked,
        shown: &[(First, &[" 1"]), (Second, &[" 3"]), (Killed, &[" 1"]), (Last, &[" 6"])],
    },
    Row {
        name: "in_progress",
        act: in_progress,
        shown: &[
            (First, &[" 1"]),
            (Second, &[" 2"]),
            (Again, &[" 3"]),
            (Killed, &[" 2"]),
            (Last, &[" 3"]),
        ],
    },
    Row {
        name: "timed",
        act: |_| Ok(gauge("timed").mode(GaugeMode::Max).register()?.time(|| ())),
        shown: &[(First, &[" *"])],
    },
    Row {
        name: "clock",
        act: |_| Ok(gauge("clock").mode(GaugeMode::Max).register()?.set_to_current_time()),
        shown: &[(First, &[" ~1"]), (Second, &[" ~2"]), (Again, &[" ~3"]), (Last, &[" ~5"])],
    },
    Row {
        name: "clock_live",
        act: |turn| match turn {
            Again | Last => Ok(()),
            _ => Ok(gauge("clock_live").mode(GaugeMode::LiveMax).register()?.set_to_current_time()),
        },
        shown: &[(First, &[" ~1"]), (Second, &[" ~2"]), (Killed, &[" ~1"])],
    },
    Row {
        name: "of_default",
        act: |turn| by_default("of_default", turn),
        shown: &[
            (First, &["{pid='w1'} 1"]),
            (Second, &["{pid='w1'} 1", "{pid='w2'} 2"]),
            (Again, &["{pid='w1'} 3", "{pid='w2'} 2"]),
            (Last, &["{pid='w1'} 3", "{pid='w2'} 2", "{pid='w3'} 5"]),
        ],
    },
    Row {
        name: "own_pid",
        act: own_pid,
        shown: &[
            (First, &["{pid='7',worker='w1'} 1"]),
            (Second, &["{pid='7',worker='w1'} 1", "{pid='7',worker='w2'} 2"]),
            (Again, &["{pid='7',worker='w1'} 3", "{pid='7',worker='w2'} 2"]),
            (
                Last,
                &["{pid='7',worker='w1'} 3", "{pid='7',worker='w2'} 2", "{pid='7',worker='w3'} 5"],
            ),
        ],
    },
    Row {
        name: "own_pid_summed",
        act: |turn| {
            let family = gauge("own_pid_summed").mode(GaugeMode::Sum).labels(&["pid"]).family()?;
            Ok(family.with(&["7"])?.add(turn as u8 as f64))
        },
        shown: &[
            (First, &["{pid='7'} 1"]),
            (Second, &["{pid='7'} 3"]),
            (Again, &["{pid='7'} 6"]),
            (Last, &["{pid='7'} 11"]),
        ],
    },
];

/// Where the registry says another mode.
pub(crate) const BY_DEFAULT: &[Row] = &[
    Row {
        name: "of_registry",
        act: |turn| by_default("of_registry", turn),
        shown: &[(First, &[" 1"]), (Second, &[" 2"]), (Again, &[" 3"]), (Last, &[" 5"])],
    },
    Row {
        name: "named",
        act: |turn| set("named", GaugeMode::Min, turn),
        shown: &[
            (First, &["{at='high'} 5", "{at='low'} 5"]),
            (Second, &["{at='high'} 5", "{at='low'} 1"]),
            (Last, &["{at='high'} 4", "{at='low'} 1"]),
        ],
    },
];

fn gauge(row: &str) -> Builder<Gauge> {
    Gauge::builder(&family(row), "Set.").reuse()
}

/// Sets one series so that the second worker's value is the highest, and one where it is the lowest.
fn set(row: &str, mode: GaugeMode, turn: Moment) -> Done {
    let family = gauge(row).mode(mode).labels(&["at"]).family()?;
    let (high, low) = match turn {
        First => (5.0, 5.0),
        Second => (9.0, 1.0),
        Last => (4.0, 4.0),
        _ => return Ok(()),
    };
    family.with(&["high"])?.set(high);
    family.with(&["low"])?.set(low);
    Ok(())
}

fn changed(_: Moment) -> Done {
    let gauge = gauge("changed").mode(GaugeMode::Sum).register()?;
    gauge.inc();
    gauge.inc();
    gauge.dec();
    gauge.add(2.5);
    gauge.sub(0.5);
    gauge.track(|| ());
    if gauge.set_at(1.0, UNIX_EPOCH + Duration::from_secs(1)) != Err(TimestampError::Mode) {
        return Err("expected a refusal of a time".into());
    }
    Ok(())
}

/// Sets the number of the turn, at the time that the turn has in `at`.
fn set_at(row: &str, mode: GaugeMode, turn: Moment, at: [u64; 4]) -> Done {
    let gauge = gauge(row).mode(mode).register()?;
    let at = match turn {
        First => at[0],
        Second => at[1],
        Again => at[2],
        _ => at[3],
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + at);
    Ok(gauge.set_at(turn as u8 as f64, at)?)
}

/// Has a gauge ask, and waits until what it was told is written. The first answer is a panic.
fn asked(turn: Moment) -> Done {
    if turn == Again {
        return Ok(());
    }
    let gauge = gauge("asked").mode(GaugeMode::LiveSum).register()?;
    let asked = Arc::new(AtomicU64::new(0));
    let asking = Arc::clone(&asked);
    gauge.set_function(move || match asking.fetch_add(1, SeqCst) {
        0 => resume_unwind(Box::new("no answer")),
        _ => turn as u8 as f64,
    });
    until(|| (asked.load(SeqCst) > 2).then_some(()));
    Ok(())
}

fn in_progress(_: Moment) -> Done {
    let gauge = gauge("in_progress").mode(GaugeMode::LiveSum).register()?;
    drop(gauge.track_in_progress());
    // One that lasts as long as the process.
    std::mem::forget(gauge.track_in_progress());
    Ok(())
}

fn by_default(row: &str, turn: Moment) -> Done {
    let gauge: Result<Gauge, RegisterError> = gauge(row).register();
    Ok(gauge?.set(turn as u8 as f64))
}

fn own_pid(turn: Moment) -> Done {
    let family = gauge("own_pid").mode(GaugeMode::All).labels(&["pid"]).family()?;
    Ok(family.with(&["7"])?.set(turn as u8 as f64))
}
