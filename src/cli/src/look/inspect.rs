//! `inspect`: what an arena's bytes say, and which of them nobody wrote.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use tallyboard_proto::layout::{DROP_REASONS, DropReason, Geometry};
use tallyboard_segment::posix::ObjectName;
use tallyboard_supervisor::inspect::{ArchiveFacts, Inspection, SlotFacts, inspect};

use crate::find;
use crate::output::{table, write};

/// Flags of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectFlags {
    /// Name of an arena of this user, or the path of an arena's object or of a copy of one
    /// (anything with a slash); /proc/PID/fd/NUMBER for an arena in anonymous memory.
    #[arg(value_name = "NAME|PATH")]
    pub arena: OsString,
    /// Write a JSON object instead of a report.
    #[arg(long)]
    pub json: bool,
}

/// Inspects an arena and reports.
///
/// # Errors
/// When no arena is meant, or it cannot be read.
pub fn run(flags: &InspectFlags) -> Result<ExitCode> {
    let inspection = inspect(&object(&flags.arena)?)?;
    let text = match flags.json {
        true => format!("{:#}\n", to_json(&inspection)),
        false => report(&inspection),
    };
    write(text.as_bytes())?;
    Ok(if inspection.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The object of the arena that is meant: a path has a slash, a name has none.
fn object(arena: &OsStr) -> Result<PathBuf> {
    let path = Path::new(arena);
    if path.components().count() != 1 || path.is_absolute() {
        return Ok(path.to_owned());
    }
    let name = arena.to_string_lossy();
    let named = ObjectName::of_arena(geteuid().as_raw(), &name).path();
    if named.exists() {
        return Ok(named);
    }
    // An arena in anonymous memory has no name of its own, but its keeper holds a descriptor.
    let arenas = find::arenas().unwrap_or_default();
    let described = arenas.into_iter().filter_map(|found| found.description.ok());
    let mut called = described.filter(|described| described.name == *name);
    match called.next().and_then(|described| anonymous(described.keeper_pid)) {
        Some(object) => Ok(object),
        None => bail!(
            "expected the object {} of an arena called {name:?}, found none; see `tallyboard ls`, \
             or name a file by a path with a slash",
            named.display()
        ),
    }
}

/// The arena that a keeper holds in anonymous memory.
fn anonymous(keeper: u32) -> Option<PathBuf> {
    let descriptors = std::fs::read_dir(format!("/proc/{keeper}/fd")).ok()?;
    let mut paths = descriptors.filter_map(|found| Some(found.ok()?.path()));
    let is_arena = |path: &PathBuf| {
        std::fs::read_link(path).is_ok_and(|to| to == Path::new("/memfd:tallyboard (deleted)"))
    };
    paths.find(is_arena)
}

fn report(found: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<9} {value}");
    };
    let header = &found.header;
    line(
        "arena",
        format!(
            "{}, id {:016x}, {} bytes, {} of them real",
            found.path.display(),
            header.arena_id,
            found.bytes,
            found.allocated_bytes
        ),
    );
    line("layout", format!("version {}, fingerprint {:016x}", header.version, header.fingerprint));
    line(
        "keeper",
        format!(
            "pid {} in pid namespace {}, uid {}, boot {:016x}{:016x}",
            header.keeper_pid,
            header.pid_namespace,
            header.uid,
            header.boot_id[0],
            header.boot_id[1]
        ),
    );
    if let Some(geometry) = header.geometry {
        text.push_str(&parts(found, &geometry));
    }
    text.push_str(&slots(&found.slots));
    for part in &found.unsettled {
        let _ = writeln!(text, "unsettled {part}: changed each time it was read; try again");
    }
    text.push_str(&damages(found));
    text
}

/// What is known of an arena whose sizes are known.
fn parts(found: &Inspection, geometry: &Geometry) -> String {
    let (catalog, archive) = (&found.catalog, &found.archive);
    format!(
        "geometry  {} slots, {} cells and {} log words each, {} dead rows of {} cells\n\
         catalog   {} families, {} series, {} cells, {} words{}\n\
         archive   {} commits, {} lives folded, bank {}, {} cells, {} dead rows and {} dropped, {} floors{}{}\n\
         slots     {} taken, {} free\n",
        geometry.slots,
        geometry.cells,
        geometry.log_words,
        geometry.ring_rows,
        geometry.row_cells,
        catalog.families,
        catalog.series,
        catalog.cells,
        catalog.words,
        uncommitted(catalog.uncommitted_bytes),
        archive.folds,
        archive.lives,
        archive.bank,
        archive.cells,
        archive.rows,
        archive.rows_dropped,
        archive.floors,
        lives(archive),
        not_counted(&archive.dropped),
        found.slots.len(),
        found.free,
    )
}

fn damages(found: &Inspection) -> String {
    let mut text = String::new();
    for damage in &found.damages {
        let _ = writeln!(text, "damage    {damage}");
    }
    let all = found.damages.len() as u64 + found.more_damages;
    let _ = match (all, found.unsettled.is_empty()) {
        (0, true) => writeln!(text, "sound"),
        (0, false) => writeln!(text, "sound, but for what was not settled"),
        (1, _) => writeln!(text, "1 damage"),
        (_, _) => writeln!(text, "{all} damages, {} of them above", found.damages.len()),
    };
    text
}

/// What removals and resets have left.
fn lives(archive: &ArchiveFacts) -> String {
    let ArchiveFacts { removed, hidden, renewed, .. } = archive;
    match removed + renewed {
        0 => String::new(),
        _ => format!(", {removed} series removed ({hidden} hidden), {renewed} renewed"),
    }
}

fn uncommitted(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(", {bytes} uncommitted bytes") }
}

fn not_counted(dropped: &[u64; DROP_REASONS]) -> String {
    let reasons = DropReason::ALL.iter().map(|reason| (reason.name(), dropped[*reason as usize]));
    reasons
        .filter(|(_, n)| *n != 0)
        .map(|(name, n)| format!(", {n} not counted ({name})"))
        .collect()
}

fn slots(slots: &[SlotFacts]) -> String {
    if slots.is_empty() {
        return String::new();
    }
    let head =
        ["SLOT", "GENERATION", "STATE", "PID", "UID", "PREFIX", "LOG", "SERIES", "CELLS", "NOTE"];
    table(&head, slots.iter().map(slot_row).collect())
}

fn slot_row(slot: &SlotFacts) -> Vec<String> {
    let mut notes = String::new();
    if !slot.has_begun && !slot.is_folded {
        notes.push_str(", not begun");
    }
    if slot.is_folded {
        notes.push_str(", folded");
    }
    if slot.removals != 0 {
        notes.push_str(&format!(", {} removals", slot.removals));
    }
    notes.push_str(&uncommitted(slot.uncommitted_bytes));
    notes.push_str(&not_counted(&slot.dropped));
    vec![
        slot.slot.to_string(),
        slot.generation.to_string(),
        slot.state.to_owned(),
        if slot.pid == 0 { "-".to_owned() } else { slot.pid.to_string() },
        slot.uid.to_string(),
        slot.prefix.to_string(),
        slot.log_words.to_string(),
        slot.series.to_string(),
        slot.cells.to_string(),
        notes.trim_start_matches(", ").to_owned(),
    ]
}

/// Numbers that may have more bits than a reader of JSON keeps are written in hex.
fn to_json(found: &Inspection) -> Value {
    let (header, catalog, archive) = (&found.header, &found.catalog, &found.archive);
    let hex = |word: u64| format!("{word:016x}");
    let geometry = header.geometry.map(|geometry| {
        json!({
            "slots": geometry.slots,
            "cells": geometry.cells,
            "log_words": geometry.log_words,
            "ring_rows": geometry.ring_rows,
            "row_cells": geometry.row_cells,
            "unit": geometry.unit,
        })
    });
    json!({
        "path": found.path.to_string_lossy(),
        "bytes": found.bytes,
        "allocated_bytes": found.allocated_bytes,
        "layout_version": header.version,
        "layout_fingerprint": hex(header.fingerprint),
        "arena_id": hex(header.arena_id),
        "boot_id": header.boot_id.map(hex).concat(),
        "pid_namespace": header.pid_namespace,
        "keeper_pid": header.keeper_pid,
        "uid": header.uid,
        "unix_offset_ms": header.unix_offset_ns / 1_000_000,
        "geometry": geometry,
        "catalog": {
            "words": catalog.words,
            "families": catalog.families,
            "series": catalog.series,
            "cells": catalog.cells,
            "uncommitted_bytes": catalog.uncommitted_bytes,
        },
        "archive": {
            "folds": archive.folds,
            "bank": archive.bank,
            "cells": archive.cells,
            "lives": archive.lives,
            "rows": archive.rows,
            "rows_dropped": archive.rows_dropped,
            "dropped": dropped(&archive.dropped),
            "floors": archive.floors,
            "removed": archive.removed,
            "hidden": archive.hidden,
            "renewed": archive.renewed,
        },
        "slots": found.slots.iter().map(slot_object).collect::<Vec<Value>>(),
        "free": found.free,
        "unsettled": found.unsettled,
        "damages": found.damages.iter().map(|damage| json!({
            "offset": damage.offset,
            "field": damage.field,
            "expected": damage.expected,
            "found": damage.found,
        })).collect::<Vec<Value>>(),
        "more_damages": found.more_damages,
        "sound": found.damages.is_empty(),
    })
}

fn slot_object(slot: &SlotFacts) -> Value {
    json!({
        "slot": slot.slot,
        "generation": slot.generation,
        "state": slot.state,
        "pid": slot.pid,
        "uid": slot.uid,
        "attached_at_ms": slot.attached_at_ms,
        "begun": slot.has_begun,
        "folded": slot.is_folded,
        "prefix": slot.prefix,
        "log_words": slot.log_words,
        "series": slot.series,
        "removals": slot.removals,
        "cells": slot.cells,
        "dropped": dropped(&slot.dropped),
        "uncommitted_bytes": slot.uncommitted_bytes,
    })
}

fn dropped(counts: &[u64; DROP_REASONS]) -> Value {
    DropReason::ALL.iter().map(|reason| (reason.name(), counts[*reason as usize])).collect()
}
