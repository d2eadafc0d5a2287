//! `tallyboard prune`: removes the dead arenas of this user that nobody can go on with.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use tallyboard_supervisor::prune::{Object, State, objects, remove};

use crate::flags::arena_name;
use crate::output::{table, write};

/// Flags of `prune`.
#[derive(Args, Clone, Debug)]
pub struct PruneFlags {
    /// An arena to remove although `tallyboard serve` could go on with it, with what it has counted.
    #[arg(value_name = "NAME", value_parser = arena_name)]
    pub names: Vec<String>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Removes them, and those that are named, and says what became of each.
///
/// # Errors
/// When a name is that of no arena here, or something cannot be removed.
pub fn run(flags: &PruneFlags) -> Result<ExitCode> {
    let objects = objects()?;
    for name in &flags.names {
        if !objects.iter().any(|object| object.arena.as_ref() == Some(name)) {
            bail!(
                "expected an object in /dev/shm of an arena called {name:?}, found none; see \
                 `tallyboard prune --dry-run`"
            );
        }
    }
    let mut is_done = true;
    let rows: Vec<Vec<String>> = objects
        .iter()
        .map(|object| {
            let became = match wanted(object, &flags.names) {
                Ok(why) if flags.dry_run => format!("would be removed: {why}"),
                Ok(why) => removed(object, &why, &mut is_done),
                Err(Refusal { why, is_failure }) => {
                    is_done &= !is_failure;
                    format!("kept: {why}")
                }
            };
            vec![object.name.to_string(), object.bytes.to_string(), became]
        })
        .collect();
    write(table(&["OBJECT", "BYTES", "WHAT"], rows).as_bytes())?;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why an object stays.
struct Refusal {
    why: String,
    /// Whether it was asked for by name.
    is_failure: bool,
}

/// Why an object is to be removed, or why it stays.
fn wanted(object: &Object, names: &[String]) -> Result<String, Refusal> {
    let is_named = object.arena.as_ref().is_some_and(|arena| names.contains(arena));
    let arena = object.arena.as_deref().unwrap_or_default();
    let kept = |why| Err(Refusal { why, is_failure: is_named });
    match &object.state {
        State::Useless(why) => Ok(why.clone()),
        State::Held(0) => kept("a supervisor has it".to_owned()),
        State::Held(pid) => kept(format!("the supervisor with pid {pid} has it")),
        State::NoArena(why) => kept(why.clone()),
        State::Good | State::Others(_) if is_named => Ok("it was named".to_owned()),
        State::Good => kept(format!("`tallyboard serve --name {arena}` goes on with it")),
        State::Others(why) => kept(format!("another supervisor may go on with it: {why}")),
    }
}

/// Removes an object, and says what came of it.
fn removed(object: &Object, why: &str, is_done: &mut bool) -> String {
    match remove(object) {
        Ok(true) => format!("removed: {why}"),
        Ok(false) => "kept: it is another one by now".to_owned(),
        Err(error) => {
            *is_done = false;
            format!("kept: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use tallyboard_segment::posix::ObjectName;

    use super::*;

    #[test]
    fn only_what_is_useless_or_named_is_removed_and_nothing_that_is_held() {
        let useless = || State::Useless("it is empty".to_owned());
        let no_arena = || State::NoArena("its 5 bytes are no arena".to_owned());
        for (state, names, expect) in [
            (useless(), &[][..], Ok("it is empty")),
            (State::Good, &[], Err(("--name shop` goes on", false))),
            (State::Good, &["shop"], Ok("it was named")),
            (State::Others("x".to_owned()), &[], Err(("another supervisor may", false))),
            (State::Others("x".to_owned()), &["shop"], Ok("it was named")),
            (State::Held(7), &[], Err(("with pid 7 has it", false))),
            (State::Held(7), &["shop"], Err(("with pid 7 has it", true))),
            (State::Held(0), &["other"], Err(("a supervisor has it", false))),
            (no_arena(), &["shop"], Err(("no arena", true))),
        ] {
            let name = ObjectName::of_arena(7, "shop");
            let arena = Some("shop".to_owned());
            let object = Object { name, arena, bytes: 0, state };
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            match (wanted(&object, &names), expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect),
                (Err(found), Err((part, is_failure))) => {
                    assert!(found.why.contains(part), "{}", found.why);
                    assert_eq!(found.is_failure, is_failure);
                }
                (found, expect) => panic!("{object:?}: {:?}, expected {expect:?}", found.is_ok()),
            }
        }
    }
}
