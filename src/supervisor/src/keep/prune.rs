//! Dead arenas: which of this user's there are in /dev/shm, and which of them nobody can go on with.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;
use tallyboard_segment::names::Removal;
use tallyboard_segment::posix::{Left, ObjectName, ReopenError, Taken};

use crate::board::origin::Origin;
use crate::keep::left::{Verdict, judge};
use crate::keep::made::origin;

/// What names of arenas begin with that were made up for one run, with a pid behind it.
const MADE_UP: [&str; 4] = ["demo-", "exec-", "gunicorn-", "spawn-"];

/// An object of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is called.
    pub name: ObjectName,
    /// The arena that it is the object of; none has one that was never given its name.
    pub arena: Option<String>,
    /// Bytes of memory that it takes.
    pub bytes: u64,
    /// What can be done with it.
    pub state: State,
}

/// What can be done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A supervisor has it; the pid of its keeper, or 0 when it cannot be read.
    Held(u64),
    /// `tallyboard serve` with its name goes on with it.
    Good,
    /// Another release goes on with it, or a supervisor in another pid namespace.
    Others(String),
    /// Nobody can go on with it.
    Useless(String),
    /// It is no arena.
    NoArena(String),
}

/// The objects of this user, in the order of their names.
///
/// # Errors
/// What the system says when it has no random number.
pub fn objects() -> io::Result<Vec<Object>> {
    let (uid, origin) = (geteuid().as_raw(), origin(None)?);
    let names = ObjectName::of_user(uid).into_iter();
    Ok(names.filter_map(|name| look(name, uid, &origin)).collect())
}

/// Looks at one object; nothing when it is gone by now, or cannot be looked at.
fn look(name: ObjectName, uid: u32, origin: &Origin) -> Option<Object> {
    let metadata = fs::symlink_metadata(name.path()).ok().filter(fs::Metadata::is_file)?;
    let bytes = metadata.blocks() * 512;
    let arena = name.arena(uid).map(str::to_owned);
    let state = match Left::look(&name) {
        Ok(left) => state(&left?, arena.as_deref(), origin).ok()?,
        Err(ReopenError::Taken(Taken::Held { pid, .. })) => State::Held(pid),
        Err(_) => return None,
    };
    Some(Object { name, arena, bytes, state })
}

fn state(left: &Left, arena: Option<&str>, origin: &Origin) -> Result<State, ReopenError> {
    let Some(arena) = arena else {
        return Ok(State::Useless("its creator was killed".to_owned()));
    };
    Ok(match judge(left, origin)? {
        Verdict::Good(_) | Verdict::Others { .. } if is_made_up(arena) => {
            State::Useless("its name was made up for one run".to_owned())
        }
        Verdict::Good(_) => State::Good,
        Verdict::Others { what, expected, found } => {
            State::Others(format!("its {what} is {found}, here it is {expected}"))
        }
        Verdict::Useless(why) => State::Useless(why),
        Verdict::NoArena(why) => State::NoArena(why),
    })
}

/// Whether the name of an arena was made of a pid, for one run.
fn is_made_up(arena: &str) -> bool {
    let pid = MADE_UP.iter().find_map(|prefix| arena.strip_prefix(prefix));
    pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Removes an object that nobody has. What is another by now stays.
///
/// # Errors
/// When somebody has it, or the system refuses.
pub fn remove(object: &Object) -> Result<bool, ReopenError> {
    let name = &object.name;
    let system = |source| ReopenError::System { name: name.to_string(), source };
    let Some(left) = Left::take(name)? else { return Ok(false) };
    let origin = origin(None).map_err(system)?;
    let is_same = state(&left, object.arena.as_deref(), &origin)? == object.state;
    Ok(is_same && left.remove().map_err(system)? == Removal::Removed)
}

/// Removes what nobody can go on with, and says so in the log. Whoever starts does this for all that
/// were killed before: what cannot be removed is no reason not to start.
pub(crate) fn clear() {
    let objects = objects().unwrap_or_default().into_iter();
    for object in objects {
        let State::Useless(why) = &object.state else { continue };
        match remove(&object) {
            Ok(true) => {
                let (bytes, object) = (object.bytes, &object.name);
                tracing::info!(%object, bytes, why, "removed a dead arena that nobody can go on with");
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "cannot remove a dead arena"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_made_of_a_pid_are_known() {
        for (name, expect) in [
            ("exec-7", true),
            ("spawn-4194304", true),
            ("gunicorn-1", true),
            ("exec-", false),
            ("exec-7b", false),
            ("shop", false),
            ("my-exec-7", false),
        ] {
            assert_eq!(is_made_up(name), expect, "{name}");
        }
    }
}
