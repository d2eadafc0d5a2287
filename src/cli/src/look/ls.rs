//! `tallyboard ls`: the arenas of this user, for people and for programs.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::find::{self, Found};
use crate::output::{table, write, write_json};

/// Flags of `ls`.
#[derive(Args, Clone, Debug)]
pub struct LsFlags {
    /// Write a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Lists the arenas of this user.
///
/// # Errors
/// When the kernel's list of sockets cannot be read.
pub fn run(flags: &LsFlags) -> Result<ExitCode> {
    let arenas = find::arenas()?;
    if flags.json {
        return write_json(arenas.iter().map(arena_object).collect());
    }
    let head = ["NAME", "BACKING", "SLOTS", "TAKEN", "SERIES", "KEEPER", "METRICS", "ADDRESS"];
    write(table(&head, arenas.iter().map(arena_row).collect()).as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
