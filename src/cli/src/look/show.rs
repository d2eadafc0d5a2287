//! `scrape`, `slots` and `ls`: what a supervisor answers, for people and for programs.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};
use tallyboard_proto::control::SlotRow;
use tallyboard_supervisor::ask;

use crate::find::{self, Found};
use crate::line::{ANSWER_TIMEOUT, LsFlags, ScrapeFlags, SlotsFlags};

/// Writes the exposition of an arena.
///
/// # Errors
/// When no arena is meant, or its supervisor does not answer.
pub fn scrape(flags: &ScrapeFlags) -> Result<ExitCode> {
    let address = find::address(&flags.which)?;
    let format = flags.format.format().unwrap_or_default();
    write(&ask::scrape_as(&address, &flags.metrics, format, ANSWER_TIMEOUT)?)
}

/// Lists the workers of an arena.
///
/// # Errors
/// As [`scrape`].
pub fn slots(flags: &SlotsFlags) -> Result<ExitCode> {
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

/// Lists the arenas of this user.
///
/// # Errors
/// When the kernel's list of sockets cannot be read.
pub fn ls(flags: &LsFlags) -> Result<ExitCode> {
    let arenas = find::arenas()?;
    if flags.json {
        return write_json(arenas.iter().map(arena_object).collect());
    }
    let head = ["NAME", "BACKING", "SLOTS", "TAKEN", "SERIES", "KEEPER", "METRICS", "ADDRESS"];
    write(table(&head, arenas.iter().map(arena_row).collect()).as_bytes())
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

fn arena_object(arena: &Found) -> Value {
    let address = arena.address.as_ref().map(ToString::to_string);
    match &arena.description {
        Ok(described) => json!({
            "name": described.name,
            "backing": described.backing,
            // An id has 64 bits, of which many readers of JSON keep 53.
            "arena_id": format!("{:016x}", described.arena_id),
            "keeper_pid": described.keeper_pid,
            "supervisor_pid": described.supervisor_pid,
            "slots": described.slots,
            "taken": described.taken,
            "series": described.series,
            "metrics": described.metrics,
            "address": address,
        }),
        Err(error) => json!({
            "name": arena.name,
            "keeper_pid": arena.keeper,
            "address": address,
            "error": error,
        }),
    }
}

fn arena_row(arena: &Found) -> Vec<String> {
    let unknown = || "-".to_owned();
    let address = arena.address.as_ref().map(ToString::to_string);
    match &arena.description {
        Ok(described) => vec![
            described.name.clone(),
            described.backing.clone(),
            described.slots.to_string(),
            described.taken.to_string(),
            described.series.to_string(),
            described.keeper_pid.to_string(),
            if described.metrics.is_empty() { unknown() } else { described.metrics.join(",") },
            address.unwrap_or_else(unknown),
        ],
        Err(error) => {
            let name = arena.name.clone().unwrap_or_else(unknown);
            let backing = if arena.address.is_none() { "posix".to_owned() } else { unknown() };
            let keeper = arena.keeper.map_or_else(unknown, |pid| pid.to_string());
            let [slots, taken, series, metrics] = [(); 4].map(|()| unknown());
            // Which address did not answer stands in the error.
            vec![name, backing, slots, taken, series, keeper, metrics, format!("({error})")]
        }
    }
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

/// Columns as wide as their widest cell, numbers to the right.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let numeric = |column: usize| {
        rows.len() > 1
            && rows[1..].iter().all(|row| {
                row[column] == "-" || row[column].starts_with(|c: char| c.is_ascii_digit())
            })
    };
    let numeric: Vec<bool> = (0..widths.len()).map(numeric).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).zip(&numeric);
        let cells: Vec<String> = cells
            .map(|((cell, &width), &right)| match right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn write_json(objects: Vec<Value>) -> Result<ExitCode> {
    write(format!("{:#}\n", Value::from(objects)).as_bytes())
}

/// Writes to standard output. A reader that has seen enough is no error.
pub fn write(bytes: &[u8]) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
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
    fn a_table_is_aligned_and_an_arena_without_supervisor_says_so() {
        let left = Found {
            address: None,
            description: Err("no supervisor".into()),
            name: Some("left".into()),
            keeper: None,
        };
        let rows = vec![arena_row(&left)];
        let head = ["NAME", "BACKING", "SLOTS", "TAKEN", "SERIES", "KEEPER", "METRICS", "ADDRESS"];
        assert_eq!(
            table(&head, rows),
            "NAME  BACKING  SLOTS  TAKEN  SERIES  KEEPER  METRICS  ADDRESS\n\
             left  posix        -      -       -       -        -  (no supervisor)\n"
        );
        assert_eq!(table(&["A", "B"], Vec::new()), "A  B\n");
        assert_eq!(arena_object(&left)["error"], "no supervisor");
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
