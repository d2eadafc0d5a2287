//! Gauges: every mode, and every way to set one.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, UNIX_EPOCH};

use tallyboard::{Builder, Gauge, GaugeMode, RegisterError, Timed, TimestampError};
use tallyboard_tests::start::child::until;

use super::row::Moment::{Again, First, Last, Second};
use super::row::{Done, Moment, Row, family};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "sum",
        |row, turn| set(row, GaugeMode::Sum, turn),
        &["{at='high'} | 5 | 14 | = | = | 18", "{at='low'}  | 5 | 6  | = | = | 10"],
    ),
    Row::new(
        "livesum",
        |row, turn| set(row, GaugeMode::LiveSum, turn),
        &["{at='high'} | 5 | 14 | = | 5 | 9", "{at='low'}  | 5 | 6  | = | 5 | 9"],
    ),
    Row::new(
        "max",
        |row, turn| set(row, GaugeMode::Max, turn),
        &["{at='high'} | 5 | 9 | = | = | =", "{at='low'}  | 5 | = | = | = | ="],
    ),
    Row::new(
        "livemax",
        |row, turn| set(row, GaugeMode::LiveMax, turn),
        &["{at='high'} | 5 | 9 | = | 5 | =", "{at='low'}  | 5 | = | = | = | ="],
    ),
    Row::new(
        "min",
        |row, turn| set(row, GaugeMode::Min, turn),
        &["{at='high'} | 5 | = | = | = | 4", "{at='low'}  | 5 | 1 | = | = | ="],
    ),
    Row::new(
        "livemin",
        |row, turn| set(row, GaugeMode::LiveMin, turn),
        &["{at='high'} | 5 | = | = | = | 4", "{at='low'}  | 5 | 1 | = | 5 | 4"],
    ),
    Row::new(
        "mostrecent",
        |row, turn| set(row, GaugeMode::MostRecent, turn),
        &["{at='high'} | 5 | 9 | = | = | 4", "{at='low'}  | 5 | 1 | = | = | 4"],
    ),
    Row::new(
        "livemostrecent",
        |row, turn| set(row, GaugeMode::LiveMostRecent, turn),
        &["{at='high'} | 5 | 9 | = | 5 | 4", "{at='low'}  | 5 | 1 | = | 5 | 4"],
    ),
    Row::new(
        "all",
        |row, turn| set(row, GaugeMode::All, turn),
        &[
            "{at='high',pid='w1'} | 5 | = | = | = | =",
            "{at='low',pid='w1'}  | 5 | = | = | = | =",
            "{at='high',pid='w2'} | - | 9 | = | = | =",
            "{at='low',pid='w2'}  | - | 1 | = | = | =",
            "{at='high',pid='w3'} | - | - | - | - | 4",
            "{at='low',pid='w3'}  | - | - | - | - | 4",
        ],
    ),
    Row::new(
        "liveall",
        |row, turn| set(row, GaugeMode::LiveAll, turn),
        &[
            "{at='high',pid='w1'} | 5 | = | = | = | =",
            "{at='low',pid='w1'}  | 5 | = | = | = | =",
            "{at='high',pid='w2'} | - | 9 | = | - | -",
            "{at='low',pid='w2'}  | - | 1 | = | - | -",
            "{at='high',pid='w3'} | - | - | - | - | 4",
            "{at='low',pid='w3'}  | - | - | - | - | 4",
        ],
    ),
    Row::new("changed", changed, &["| 3 | 6 | 9 | = | 12"]),
    Row::new(
        "at_rising",
        |row, turn| set_at(row, GaugeMode::MostRecent, turn, [10, 20, 15, 18]),
        &["| 1 | 2 | = | = | ="],
    ),
    Row::new(
        "at_falling",
        |row, turn| set_at(row, GaugeMode::MostRecent, turn, [20, 10, 5, 30]),
        &["| 1 | = | = | = | 5"],
    ),
    Row::new(
        "at_rising_live",
        |row, turn| set_at(row, GaugeMode::LiveMostRecent, turn, [10, 20, 15, 12]),
        &["| 1 | 2 | = | 3 | ="],
    ),
    Row::new(
        "at_falling_live",
        |row, turn| set_at(row, GaugeMode::LiveMostRecent, turn, [20, 10, 5, 30]),
        &["| 1 | = | = | = | 5"],
    ),
    Row::new("asked", asked, &["| 1 | 3 | = | 1 | 6"]),
    Row::new("in_progress", in_progress, &["| 1 | 2 | 3 | 2 | 3"]),
    Row::new(
        "timed",
        |row, _| Ok(gauge(row).mode(GaugeMode::Max).register()?.time(|| ())),
        &["| * | = | = | = | ="],
    ),
    Row::new(
        "clock",
        |row, _| Ok(gauge(row).mode(GaugeMode::Max).register()?.set_to_current_time()),
        &["| ~1 | ~2 | ~3 | = | ~5"],
    ),
    Row::new(
        "clock_live",
        |row, turn| match turn {
            Again | Last => Ok(()),
            _ => Ok(gauge(row).mode(GaugeMode::LiveMax).register()?.set_to_current_time()),
        },
        &["| ~1 | ~2 | = | ~1 | ="],
    ),
    Row::new(
        "of_default",
        by_default,
        &[
            "{pid='w1'} | 1 | = | 3 | = | =",
            "{pid='w2'} | - | 2 | = | = | =",
            "{pid='w3'} | - | - | - | - | 5",
        ],
    ),
    Row::new(
        "own_pid",
        own_pid,
        &[
            "{pid='7',worker='w1'} | 1 | = | 3 | = | =",
            "{pid='7',worker='w2'} | - | 2 | = | = | =",
            "{pid='7',worker='w3'} | - | - | - | - | 5",
        ],
    ),
    Row::new(
        "own_pid_summed",
        |row, turn| {
            let family = gauge(row).mode(GaugeMode::Sum).labels(&["pid"]).family()?;
            Ok(family.with(&["7"])?.add(turn as u8 as f64))
        },
        &["{pid='7'} | 1 | 3 | 6 | = | 11"],
    ),
];

/// Where the registry says another mode.
pub(crate) const BY_DEFAULT: &[Row] = &[
    Row::new("of_registry", by_default, &["| 1 | 2 | 3 | = | 5"]),
    Row::new(
        "named",
        |row, turn| set(row, GaugeMode::Min, turn),
        &["{at='high'} | 5 | = | = | = | 4", "{at='low'}  | 5 | 1 | = | = | ="],
    ),
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

fn changed(row: &str, _: Moment) -> Done {
    let gauge = gauge(row).mode(GaugeMode::Sum).register()?;
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
fn asked(row: &str, turn: Moment) -> Done {
    if turn == Again {
        return Ok(());
    }
    let gauge = gauge(row).mode(GaugeMode::LiveSum).register()?;
    let asked = Arc::new(AtomicU64::new(0));
    let asking = Arc::clone(&asked);
    gauge.set_function(move || match asking.fetch_add(1, SeqCst) {
        0 => resume_unwind(Box::new("no answer")),
        _ => turn as u8 as f64,
    });
    until(|| (asked.load(SeqCst) > 2).then_some(()));
    Ok(())
}

fn in_progress(row: &str, _: Moment) -> Done {
    let gauge = gauge(row).mode(GaugeMode::LiveSum).register()?;
    drop(gauge.track_in_progress());
    // One that lasts as long as the process.
    std::mem::forget(gauge.track_in_progress());
    Ok(())
}

fn by_default(row: &str, turn: Moment) -> Done {
    let gauge: Result<Gauge, RegisterError> = gauge(row).register();
    Ok(gauge?.set(turn as u8 as f64))
}

fn own_pid(row: &str, turn: Moment) -> Done {
    let family = gauge(row).mode(GaugeMode::All).labels(&["pid"]).family()?;
    Ok(family.with(&["7"])?.set(turn as u8 as f64))
}
