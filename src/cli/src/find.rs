//! Which arena a question is about.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use tallyboard_proto::control::Description;
use tallyboard_segment::pass::Address;
use tallyboard_segment::trust::Trust;
use tallyboard_supervisor::ask;
use tallyboard_supervisor::prune::{self, Object, State};

use crate::flags::WhichFlags;
use crate::proc;

/// How long the supervisor of the arena that is meant may take for an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each supervisor may take to say who it is.
const DESCRIBE_TIMEOUT: Duration = Duration::from_millis(500);

/// An arena of this user, or what is left of one.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where its supervisor listens; `None` when it has none.
    pub address: Option<Address>,
    /// What its supervisor said, or why there is nothing to say.
    pub description: Result<Description, String>,
    /// Its name, as far as it is known without a supervisor.
    pub name: Option<String>,
    /// Pid of its keeper, where that is known without a supervisor's answer.
    pub keeper: Option<u32>,
}

impl Found {
    fn is_called(&self, name: &str) -> bool {
        self.description.as_ref().is_ok_and(|description| description.name == name)
    }
}

/// The arenas of this user: those whose supervisors listen, then named objects without one.
///
/// # Errors
/// When the kernel's list of sockets cannot be read.
pub fn arenas() -> Result<Vec<Found>> {
    let addresses = addresses(geteuid().as_raw()).context("cannot list sockets")?;
    let mut found: Vec<Found> = addresses.into_iter().map(describe).collect();
    let is_found = |arena: &str| {
        found.iter().any(|found| {
            found.is_called(arena)
                && found.description.as_ref().is_ok_and(|described| described.backing == "posix")
        })
    };
    let objects = prune::objects().unwrap_or_default().into_iter();
    let left: Vec<Found> = objects.filter_map(|object| left(object, is_found)).collect();
    found.extend(left);
    Ok(found)
}

/// The control addresses of this user's supervisors: sockets with a name that ours have, and those of
/// processes that have an arena, whatever they are called. No other socket is spoken to.
fn addresses(uid: u32) -> io::Result<Vec<Address>> {
    let sockets = fs::read("/proc/net/unix")?;
    let sockets = String::from_utf8_lossy(&sockets);
    let owner = |path: &Path| Some(fs::metadata(path).ok()?.uid());
    let mut addresses = Vec::new();
    let mut others = HashMap::new();
    for (inode, name) in proc::listening_seqpacket(&sockets) {
        match candidate(name, uid, owner) {
            Some(address) => addresses.push(address),
            None => drop(others.insert(inode, name)),
        }
    }
    if !others.is_empty() {
        for (pid, inode) in proc::sockets_beside(uid, is_object) {
            let Some(address) = others.remove(&inode).and_then(address_of) else { continue };
            addresses.push(as_seen_here(address, pid));
        }
    }
    addresses.sort_by_key(ToString::to_string);
    addresses.dedup();
    Ok(addresses)
}

/// Whether a process that has this open has an arena: its keeper has, and its supervisor.
fn is_object(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    path.starts_with(b"/memfd:tallyboard ") || path.starts_with(b"/dev/shm/tallyboard-")
}

/// What is to be said of an object whose supervisor was not found.
fn left(object: Object, is_found: impl Fn(&str) -> bool) -> Option<Found> {
    // One that is held and has no name yet is about to get it.
    let is_begun = object.arena.is_none();
    let name = object.arena.unwrap_or_else(|| object.name.to_string());
    let mut keeper = None;
    let error = match object.state {
        State::Held(_) if is_begun || is_found(&name) => return None,
        State::Held(pid) => {
            keeper = u32::try_from(pid).ok().filter(|&pid| pid != 0);
            "a supervisor has it, which does not answer here; say where it listens with --control"
                .to_owned()
        }
        State::Good => format!(
            "no supervisor; `tallyboard serve --name {name}` goes on with it, `tallyboard prune \
             {name}` removes it"
        ),
        State::Others(why) => {
            format!("no supervisor here, and another one may go on with it: {why}")
        }
        State::Useless(why) => {
            format!("nobody can go on with it: {why}; `tallyboard prune` removes it")
        }
        State::NoArena(why) => why,
    };
    Some(Found { address: None, description: Err(error), name: Some(name), keeper })
}

/// The control address of the arena that is meant.
///
/// # Errors
/// When none is, or more than one.
pub fn address(which: &WhichFlags) -> Result<Address> {
    if let Some(control) = &which.control {
        return Ok(control.clone());
    }
    if let Some(pid) = which.pid {
        return of_process(pid);
    }
    if let Some(name) = &which.name {
        return pick(arenas()?, Some(name));
    }
    match std::env::var("TALLYBOARD") {
        Ok(address) if !address.is_empty() => Ok(address.parse()?),
        _ => pick(arenas()?, None),
    }
}

/// The address behind the name of a listening socket, when that is the name of a supervisor of `uid`.
fn candidate(name: &str, uid: u32, owner: impl Fn(&Path) -> Option<u32>) -> Option<Address> {
    let is_ours = match name.strip_prefix('@') {
        Some(name) => {
            let ours = name.strip_prefix("tallyboard/").and_then(|rest| rest.split('/').next());
            ours == Some(&uid.to_string())
        }
        None => name.contains("tallyboard") && owner(Path::new(name)) == Some(uid),
    };
    is_ours.then(|| address_of(name)).flatten()
}

/// The address with this name in the kernel's list; one that was bound as no absolute path has none.
fn address_of(name: &str) -> Option<Address> {
    match name.strip_prefix('@') {
        Some(name) => Some(Address::Abstract(name.to_owned())),
        None => Some(Address::Path(PathBuf::from(name))).filter(|_| name.starts_with('/')),
    }
}

fn describe(address: Address) -> Found {
    // Anybody may listen under a name that looks like one of this user's.
    let description = ask::describe_to(Trust::default(), &address, DESCRIBE_TIMEOUT);
    let description = description.map_err(|error| error.to_string());
    let name = description.as_ref().ok().map(|description| description.name.clone());
    Found { address: Some(address), description, name, keeper: None }
}

/// The arena that the process `pid` counts in, or supervises.
fn of_process(pid: u32) -> Result<Address> {
    let environ = fs::read(format!("/proc/{pid}/environ"))
        .with_context(|| format!("cannot look at process {pid}; name its arena with --control"))?;
    if let Some(address) = proc::variable(&environ, "TALLYBOARD") {
        let address = address.parse().with_context(|| format!("TALLYBOARD of process {pid}"))?;
        return Ok(as_seen_here(address, pid));
    }
    // Its address may have been configured by other means; then a supervisor knows the process.
    for arena in arenas()? {
        let (Some(address), Ok(description)) = (arena.address, arena.description) else { continue };
        let supervises = [description.keeper_pid, description.supervisor_pid].contains(&pid);
        let holds = || {
            let slots = ask::slots(&address, DESCRIBE_TIMEOUT).unwrap_or_default();
            slots.iter().any(|slot| slot.pid == u64::from(pid))
        };
        if supervises || holds() {
            return Ok(address);
        }
    }
    bail!(
        "expected TALLYBOARD in the environment of process {pid}, or a slot of it in an arena of \
         this user, found neither; name its arena with --control"
    )
}

/// A socket file as this process reaches it: through the root of `pid` when that has another one.
fn as_seen_here(address: Address, pid: u32) -> Address {
    let elsewhere = address.path().filter(|path| !path.exists()).map(|path| {
        let inside: PathBuf = path.components().skip(1).collect();
        Path::new(&format!("/proc/{pid}/root")).join(inside)
    });
    match elsewhere.filter(|path| path.exists()) {
        Some(path) => Address::Path(path),
        None => address,
    }
}

/// The arena called `name`; without a name the only one, else the one called `default`.
fn pick(found: Vec<Found>, name: Option<&str>) -> Result<Address> {
    let living: Vec<&Found> = found.iter().filter(|arena| arena.description.is_ok()).collect();
    let names = || {
        let names: Vec<&str> = living.iter().filter_map(|arena| arena.name.as_deref()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let called = |name: &str| {
        let mut called = living.iter().filter(|arena| arena.is_called(name));
        (called.next(), called.count())
    };
    let picked = match (name, &living[..]) {
        (Some(name), _) => match called(name) {
            (Some(arena), 0) => *arena,
            (Some(_), more) => bail!(
                "expected one arena called {name:?}, found {}; name its socket with --control, see \
                 `tallyboard ls`",
                more + 1
            ),
            (None, _) => bail!(
                "expected an arena called {name:?}, found {}; see `tallyboard ls`, or name its \
                 socket with --control",
                names()
            ),
        },
        (None, [only]) => *only,
        (None, []) => bail!(
            "expected a supervisor of uid {}, found none; start one with `tallyboard serve` or \
             `tallyboard exec -- COMMAND`, or name its socket with --control",
            geteuid()
        ),
        (None, _) => match called("default") {
            (Some(arena), 0) => *arena,
            _ => bail!(
                "expected one arena, found several ({}); choose with --name, --pid or --control",
                names()
            ),
        },
    };
    picked.address.clone().context("the arena has no control address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_can_be_ours_are_asked() {
        let owner =
            |path: &Path| path.to_str().map(|path| if path.contains("own") { 7 } else { 8 });
        for (name, expect) in [
            ("@tallyboard/7/00ff", Some("unix:@tallyboard/7/00ff")),
            ("@tallyboard/77/00ff", None),
            ("@tallyboard", None),
            ("@other/7/x", None),
            ("/run/tallyboard/own.sock", Some("unix:/run/tallyboard/own.sock")),
            ("/tmp/own-tallyboard", Some("unix:/tmp/own-tallyboard")),
            ("/run/tallyboard/foreign.sock", None),
            ("/run/own.sock", None),
        ] {
            let found = candidate(name, 7, owner).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expect, "{name}");
        }
    }

    fn arena(name: &str) -> Found {
        Found {
            address: Some(Address::Abstract(format!("tallyboard/{name}"))),
            description: Ok(Description {
                name: name.split('#').next().unwrap().to_owned(),
                backing: "memfd".into(),
                arena_id: 1,
                keeper_pid: 2,
                supervisor_pid: 3,
                slots: 4,
                taken: 0,
                metrics: Vec::new(),
                series: 0,
            }),
            name: Some(name.to_owned()),
            keeper: None,
        }
    }

    #[test]
    fn an_arena_is_picked_by_name_or_because_there_is_no_other() {
        let dead = || Found {
            address: None,
            description: Err("no supervisor".into()),
            name: Some("dead".into()),
            keeper: None,
        };
        for (names, name, expect) in [
            (&["a"][..], None, "unix:@tallyboard/a"),
            (&["a", "b"], Some("b"), "unix:@tallyboard/b"),
            (&["a", "default"], None, "unix:@tallyboard/default"),
            (&[], None, "found none; start one with"),
            (&["a", "b"], None, "found several (a, b)"),
            (&["a"], Some("b"), "an arena called \"b\", found a;"),
            (&[], Some("b"), "an arena called \"b\", found none;"),
            (&["a"], Some("dead"), "an arena called \"dead\", found a;"),
            (&["b#1", "b#2"], Some("b"), "one arena called \"b\", found 2;"),
        ] {
            let mut arenas: Vec<Found> = names.iter().map(|name| arena(name)).collect();
            arenas.push(dead());
            let found = match pick(arenas, name) {
                Ok(address) => address.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expect), "{names:?} {name:?}: {found}");
        }
    }

    #[test]
    fn a_process_without_an_arena_is_an_error_that_says_so() {
        let mut child = std::process::Command::new("sleep").arg("60").env_clear().spawn().unwrap();
        let error = of_process(child.id()).unwrap_err().to_string();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(error.contains("found neither; name its arena with --control"), "{error}");
        let error = of_process(child.id()).unwrap_err().to_string();
        assert!(error.contains("cannot look at process"), "{error}");
    }
}
