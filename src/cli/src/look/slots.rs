//! `tallyboard slots`: the workers of an arena, for people and for programs.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tallyboard_proto::control::SlotRow;
use tallyboard_supervisor::ask;

use crate::find::{self, ANSWER_TIMEOUT};
use crate::flags::WhichFlags;
use crate::output::{table, write, write_json};

/// Flags of `slots`.
#[derive(Args, Clone, Debug)]
pub struct SlotsFlags {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: WhichFlags,
    /// Write a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Lists the workers of an arena.
///
/// # Errors
/// When no arena is meant, or its supervisor does not answer.
pub fn run(flags: &SlotsFlags) -> Result<ExitCode> {
    let address = find::address(&flags.which)?;
    let slots = ask::slots(&address, ANSWER_TIMEOUT)?;
    if flags.json {
        return write_json(slots.iter().map(slot_object).collect());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let head =
        ["SLOT", "GENERATION", "STATE", "PID", "UID", "AGE", "SERIES", "CELLS", "DROPPED", "NOTE"];
    let rows = slots.iter().map(|slot| slot_row(slot, now)).collect();
    write(table(&head, rows).as_bytes())
}

fn slot_object(slot: &SlotRow) -> Value {
    json!({
        "slot": slot.slot,
        "generation": slot.generation,
        "state": slot.state,
        "pid": slot.pid,
        "uid": slot.uid,
        "attached_at_ms": slot.attached_at_ms,
        "series": slot.series,
        "cells": slot.cells,
        "dropped": slot.dropped,
        "quarantined": slot.quarantined,
    })
}

fn slot_row(slot: &SlotRow, now: Duration) -> Vec<String> {
    let age = now.saturating_sub(Duration::from_millis(slot.attached_at_ms));
    vec![
        slot.slot.to_string(),
        slot.generation.to_string(),
        slot.state.clone(),
        // A pid that the supervisor cannot see is 0 there, which is nobody's pid.
        if slot.pid == 0 { "-".to_owned() } else { slot.pid.to_string() },
        slot.uid.to_string(),
        age_text(age),
        slot.series.to_string(),
        slot.cells.to_string(),
        slot.dropped.to_string(),
        if slot.quarantined { "quarantined".to_owned() } else { String::new() },
    ]
}

/// An age in its two largest units.
fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_their_two_largest_units() {
        for (seconds, expect) in
            [(0, "0s"), (59, "59s"), (61, "1m1s"), (3661, "1h1m"), (90_000, "1d1h")]
        {
            assert_eq!(age_text(Duration::from_secs(seconds)), expect);
        }
    }

    #[test]
    fn a_slot_is_shown_with_its_age_and_without_a_pid_that_nobody_has() {
        let slot = SlotRow {
            slot: 3,
            generation: 9,
            state: "live".into(),
            pid: 0,
            uid: 1000,
            attached_at_ms: 1_000,
            series: 2,
            cells: 40,
            dropped: 0,
            quarantined: true,
        };
        let row = slot_row(&slot, Duration::from_secs(62)).join(" ");
        assert_eq!(row, "3 9 live - 1000 1m1s 2 40 0 quarantined");
        assert_eq!(slot_object(&slot)["attached_at_ms"], 1_000);
    }
}
