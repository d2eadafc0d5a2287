//! Counting without a slot, or in an arena that was replaced, and moving what was counted there
//! into the slot that is got later.
//!
//! A process that finds no supervisor at its first use counts in private memory at once, and a
//! thread asks again with growing pauses. When it gets a slot, what was counted is copied into it
//! before it is published, and what threads still added through the old base is moved after, until
//! nothing comes any more. A process that dies in between takes the private memory with it: what
//! had been moved counts, once. Whether an arena was replaced is asked by a thread that ends with
//! the answer, so that an attached process has no thread of ours when it forks. The threads are those of
//! `threads.rs`.

use std::time::Duration;

use super::background::Task;
use super::pump::Late;
use super::registry::{About, Registry};

/// Shortest and longest pause before the supervisor is asked again.
pub(crate) const PAUSE_FROM: Duration = Duration::from_millis(50);
const PAUSE_TO: Duration = Duration::from_secs(1);
/// How long the pump looks for late additions, in rounds of growing pauses: a thread that was
/// stopped between finding the old base and adding to it needs that long at most.
const ROUNDS: u32 = 12;

/// Pumps until nothing has come for a while; gives what is left to do when it has to leave.
pub(crate) fn run_dry(registry: &'static Registry, (mut pump, to): Late) -> Option<Task> {
    let mut pause = Duration::from_millis(1);
    let mut round = 0;
    while round < ROUNDS {
        if !registry.rest(pause) {
            return Some(Task::new(move || run_dry(registry, (pump, to))));
        }
        pause = (pause * 2).min(PAUSE_TO);
        round = if pump.turn(to) { 0 } else { round + 1 };
    }
    registry.end_check();
    None
}

/// Asks for a slot until there is one, then pumps; gives what is left to do when it has to leave.
pub(crate) fn attach(registry: &'static Registry, mut pause: Duration) -> Option<Task> {
    loop {
        if !registry.rest(pause) {
            return Some(Task::new(move || attach(registry, pause)));
        }
        pause = (pause * 2).min(PAUSE_TO);
        match registry.ask_again() {
            Ok(Some(late)) => return run_dry(registry, late),
            Ok(None) => return None,
            Err(error) if error.is_final() => {
                let warning = format!("{error}; this process counts privately");
                registry.warn(About::Refused, &warning);
                return None;
            }
            Err(_) => {}
        }
    }
}

/// Asks once whether the arena was replaced, and pumps when it was. When nobody answers, the old arena
/// goes on being counted in.
pub(crate) fn check(registry: &'static Registry) -> Option<Task> {
    match registry.ask_again() {
        Ok(Some(late)) => return run_dry(registry, late),
        Err(error) if error.is_final() => {
            let warning = format!("{error}; this process counts on in the arena that it has");
            registry.warn(About::Refused, &warning);
        }
        Ok(None) | Err(_) => {}
    }
    registry.end_check();
    None
}
