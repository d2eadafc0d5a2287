//! `tallyboard doctor`: what `exec` with the same words would find, a line each, with what to do about
//! what is wrong. It starts no application, and makes no arena.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use nix::unistd::geteuid;
use tallyboard_segment::pass::Address;
use tallyboard_segment::trust::Trust;
use tallyboard_supervisor::{Backing, Foreseen, ListenAddress, ask};

use crate::find::ANSWER_TIMEOUT;
use crate::look::python::{Python, Said};
use crate::output::{table, write};
use crate::proc::in_search_path;
use crate::run::exec::{self, ExecFlags};

/// What a line comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is to be done.
    Good,
    /// It may be as it is meant.
    Note,
    /// Nothing would be counted, or served.
    Bad,
}

/// What was looked at, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    verdict: Verdict,
    what: &'static str,
    text: String,
}

impl Line {
    fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, what, text: text.into() }
    }

    fn note(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, what, text: text.into() }
    }

    fn bad(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, what, text: text.into() }
    }
}

/// Looks at everything, and ends with an error when something is bad.
///
/// # Errors
/// When the flags exclude each other, or cannot be written about.
pub fn run(flags: &ExecFlags) -> Result<ExitCode> {
    let named = match (&flags.control, std::env::var("TALLYBOARD")) {
        (Some(control), _) => Some(Ok(control.clone())),
        (None, Ok(text)) if !text.is_empty() => Some(text.parse().map_err(|error| (text, error))),
        _ => None,
    };
    let mut lines = interpreter(flags);
    match named {
        Some(Ok(address)) => lines.extend(living(&address)),
        Some(Err((text, error))) => {
            lines.push(Line::bad("address", format!("TALLYBOARD is {text:?}: {error}")));
        }
        None => lines.extend(foreseen(flags)?),
    }
    let is_bad = lines.iter().any(|line| line.verdict == Verdict::Bad);
    let rows = lines.into_iter().map(|Line { verdict, what, text }| {
        let verdict = match verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "BAD",
        };
        vec![verdict.to_owned(), what.to_owned(), text]
    });
    write(table(&["", "WHAT", "FOUND"], rows.collect()).as_bytes())?;
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The interpreter, the wheel in it, and the hook.
fn interpreter(flags: &ExecFlags) -> Vec<Line> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let name = flags.command.first().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let Some(python) = Python::of(&flags.command, &search) else {
        return vec![match in_search_path(name.as_ref(), &search) {
            None => Line::bad(
                "interpreter",
                format!("there is no program {name:?}; check its name and PATH"),
            ),
            Some(path) => Line::note(
                "interpreter",
                format!(
                    "{} is no interpreter of Python, nor a script for one; where it starts one, \
                     say `tallyboard doctor -- PYTHON` for that",
                    path.display()
                ),
            ),
        }];
    };
    match python.ask("unix:@tallyboard/doctor") {
        Ok(said) => described(&python, &said, std::env::var("TALLYBOARD_DISABLE").ok()),
        Err(error) => vec![Line::bad(
            "interpreter",
            format!(
                "{} does not say what it is ({error}); see whether it runs: Python 3.10 or newer",
                python.program.display()
            ),
        )],
    }
}

fn described(python: &Python, said: &Said, disable: Option<String>) -> Vec<Line> {
    let program = python.program.display();
    let by = python.script.as_ref().map(|script| format!(", of {}", script.display()));
    let text = format!("{program} {}{}", said.version, by.unwrap_or_default());
    let mut lines = vec![Line::good("interpreter", text)];
    let own = env!("CARGO_PKG_VERSION");
    let Some(wheel) = &said.wheel else {
        lines.push(Line::bad(
            "wheel",
            match said.has_no_site {
                true => "its option -S leaves out site-packages, and the wheel there: leave -S out"
                    .to_owned(),
                false => format!(
                    "tallyboard is not installed for this interpreter: {program} -m pip install \
                     tallyboard"
                ),
            },
        ));
        return lines;
    };
    let client = said.client.as_deref().unwrap_or("not installed");
    let text = format!("tallyboard {wheel}, prometheus_client {client}");
    lines.push(match (wheel == own, &said.client) {
        (false, _) => Line::bad(
            "wheel",
            format!(
                "{text}, and this program is {own}: they may refuse each other; use one version"
            ),
        ),
        (true, None) => {
            Line::note("wheel", format!("{text}: what counts with it needs that: install it"))
        }
        (true, Some(_)) => Line::good("wheel", text),
    });
    lines.push(hook(said, disable));
    lines
}

/// Whether `prometheus_client` is patched, and why not.
fn hook(said: &Said, disable: Option<String>) -> Line {
    let is_disabled = disable.is_some_and(|disable| !matches!(&*disable, "" | "0"));
    let why = match said {
        said if said.is_hooked => {
            return Line::good("hook", "prometheus_client is patched when it is imported");
        }
        _ if is_disabled => "TALLYBOARD_DISABLE is set: unset it",
        said if said.has_no_site => {
            "its option -S leaves out site-packages, where the hook is: leave it out, or call \
             tallyboard.install()"
        }
        _ => {
            "nothing is patched when it starts: see whether tallyboard.pth stands beside the package, \
             or call tallyboard.install()"
        }
    };
    Line::bad("hook", why)
}

/// What is known of a supervisor that has to run already.
fn living(address: &Address) -> Vec<Line> {
    let uid = geteuid();
    // As a worker would: root may ask anybody, and maps nothing of strangers.
    let described = match ask::describe_to(Trust::of_environment(), address, ANSWER_TIMEOUT) {
        Ok(described) => described,
        Err(ask::AskError::Refused(refused)) => {
            return vec![
                Line::good("address", format!("{address}: a supervisor listens")),
                Line::bad("uid", format!("uid {uid} is refused: {refused}")),
            ];
        }
        Err(error) => return vec![Line::bad("address", error.to_string())],
    };
    let free = described.slots.saturating_sub(described.taken);
    let room = format!("{free} of {} slots are free", described.slots);
    vec![
        Line::good("address", format!("{address}: the arena {}", described.name)),
        Line::good("uid", format!("uid {uid} is let in")),
        Line::good("backing", described.backing),
        match free {
            0 => Line::bad("room", format!("{room}: raise --slots")),
            _ => Line::good("room", room),
        },
    ]
}

/// What `exec` would make.
fn foreseen(flags: &ExecFlags) -> Result<Vec<Line>> {
    let config = exec::config(flags)?;
    let uid = geteuid();
    let Foreseen { backing, reason, first_bytes, room } = Foreseen::of(&config);
    let others = match (config.admits_own, &config.worker_uids[..]) {
        (true, _) => "; what the command starts is let in whatever user it becomes".to_owned(),
        (false, []) => {
            "; workers of another one are refused unless --worker-uid names it".to_owned()
        }
        (false, uids) => format!("; workers of {uids:?} are let in too"),
    };
    let mut lines = vec![
        Line::good("address", "exec sets TALLYBOARD for the command".to_owned()),
        Line::good("uid", format!("uid {uid}{others}")),
        Line::good("backing", format!("{backing}: {reason}")),
        match backing {
            Backing::Posix => of_mount(first_bytes, room),
            _ => of_memory(first_bytes, memory_left()),
        },
    ];
    lines.extend(config.listen.iter().map(metrics));
    Ok(lines)
}

/// Whether metrics could be served at an address.
fn metrics(address: &ListenAddress) -> Line {
    match address.candidates().and_then(|at| TcpListener::bind(&at[..])) {
        Ok(_) => Line::good("metrics", format!("{address} is free")),
        Err(error) => Line::note(
            "metrics",
            format!(
                "{address}: {error}; exec would try again every 5 s, or choose another --web.listen-address"
            ),
        ),
    }
}

/// Whether /dev/shm has what the slots take at first.
fn of_mount(needed: u64, room: Option<u64>) -> Line {
    match room {
        None => Line::bad("room", "no /dev/shm is mounted; use --backing memfd"),
        Some(room) if room < needed => Line::bad(
            "room",
            format!(
                "/dev/shm has {room} bytes free, all slots take {needed} at first; make it larger, or use \
                 --backing memfd"
            ),
        ),
        Some(room) => Line::good(
            "room",
            format!("/dev/shm has {room} bytes free, all slots take {needed} at first"),
        ),
    }
}

/// Whether there is memory for what the slots take at first.
fn of_memory(needed: u64, left: Option<u64>) -> Line {
    match left {
        None => Line::note("room", format!("all slots take {needed} bytes at first")),
        Some(left) if left < needed => Line::bad(
            "room",
            format!(
                "{left} bytes of memory are left, all slots take {needed} at first; raise the limit, or \
                 choose fewer --slots"
            ),
        ),
        Some(left) => Line::good(
            "room",
            format!("{left} bytes of memory are left, all slots take {needed} at first"),
        ),
    }
}

/// Bytes of memory that this process may still take, as its host and its control groups have it.
fn memory_left() -> Option<u64> {
    let host = fs::read_to_string("/proc/meminfo").ok()?;
    let host = host.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let host = host.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let number = |path: &Path, name: &str| {
        fs::read_to_string(path.join(name)).ok().and_then(|text| text.trim().parse::<u64>().ok())
    };
    let root = Path::new("/sys/fs/cgroup");
    let folder = root.join(group);
    let limits =
        folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(|at| {
            Some(number(at, "memory.max")?.saturating_sub(number(at, "memory.current")?))
        });
    Some(limits.fold(host, u64::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_interpreter_is_said_with_what_to_do() {
        let python = Python {
            program: "/venv/bin/python".into(),
            options: Vec::new(),
            script: Some("/venv/bin/gunicorn".into()),
        };
        let own = env!("CARGO_PKG_VERSION");
        let good = Said {
            version: "3.11.2".to_owned(),
            wheel: Some(own.to_owned()),
            client: Some("0.26.0".to_owned()),
            is_hooked: true,
            has_no_site: false,
        };
        let unhooked = || Said { is_hooked: false, ..good.clone() };
        for (said, disable, what, verdict, part) in [
            (good.clone(), None, "interpreter", Verdict::Good, "3.11.2, of /venv/bin/gunicorn"),
            (good.clone(), None, "wheel", Verdict::Good, "prometheus_client 0.26.0"),
            (good.clone(), Some("0"), "hook", Verdict::Good, "is patched"),
            (Said { wheel: None, ..good.clone() }, None, "wheel", Verdict::Bad, "-m pip install"),
            (
                Said { wheel: None, has_no_site: true, ..good.clone() },
                None,
                "wheel",
                Verdict::Bad,
                "leave -S out",
            ),
            (
                Said { wheel: Some("0.0.1".to_owned()), ..good.clone() },
                None,
                "wheel",
                Verdict::Bad,
                "use one version",
            ),
            (Said { client: None, ..good.clone() }, None, "wheel", Verdict::Note, "install it"),
            (unhooked(), None, "hook", Verdict::Bad, "tallyboard.pth"),
            (unhooked(), Some("1"), "hook", Verdict::Bad, "TALLYBOARD_DISABLE is set"),
            (Said { has_no_site: true, ..unhooked() }, None, "hook", Verdict::Bad, "-S"),
        ] {
            let lines = described(&python, &said, disable.map(str::to_owned));
            let line = lines.iter().find(|line| line.what == what).expect("a line of it");
            assert_eq!(line.verdict, verdict, "{line:?}");
            assert!(line.text.contains(part), "{part:?} is not in {line:?}");
        }
    }

    #[test]
    fn room_is_what_slots_take_and_what_there_is() {
        for (line, verdict, part) in [
            (of_mount(10, None), Verdict::Bad, "--backing memfd"),
            (of_mount(10, Some(9)), Verdict::Bad, "has 9 bytes free"),
            (of_mount(10, Some(10)), Verdict::Good, "take 10 at first"),
            (of_memory(10, None), Verdict::Note, "take 10 bytes"),
            (of_memory(10, Some(9)), Verdict::Bad, "fewer --slots"),
            (of_memory(10, Some(10)), Verdict::Good, "10 bytes of memory are left"),
        ] {
            assert_eq!(line.verdict, verdict, "{line:?}");
            assert!(line.text.contains(part), "{line:?}");
        }
        assert!(memory_left().is_some_and(|left| left > 0));
    }
}
