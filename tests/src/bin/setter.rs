//! Sets what the newest counts of to the number in its argument, and ends. With a second argument it
//! has left its children another time namespace than its own before.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use tallyboard::{Gauge, GaugeMode, Info, Registry, StateSet};

/// CLONE_NEWTIME of unshare(2).
const NEW_TIME: i32 = 0x80;

fn set(value: usize) -> Result<(), Box<dyn std::error::Error>> {
    let level = Gauge::builder("app_level", "Set.").mode(GaugeMode::MostRecent).register()?;
    let task = StateSet::new("app_task", "Set.", &["0", "1", "2", "3", "4", "5", "6"])?;
    let build = Info::new("app_build", "Set.")?;
    // Twice each, as it says once whatever it has to say.
    for _ in 0..2 {
        level.set(value as f64);
        task.set(&value.to_string())?;
        build.set(&[("number", &value.to_string())])?;
    }
    Ok(Registry::shared().attach().map(drop)?)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(Ok(value)) = arguments.next().map(|value| value.parse()) else {
        eprintln!("expected a number to set");
        return ExitCode::FAILURE;
    };
    if arguments.next().is_some()
        && let Err(error) = unshare(CloneFlags::from_bits_retain(NEW_TIME))
    {
        eprintln!("expected another time namespace, found {error}");
        return ExitCode::FAILURE;
    }
    match set(value) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
