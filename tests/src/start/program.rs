//! The program `tallyboard`, and others, by their command lines.

use std::process::Command;

use nix::unistd::geteuid;

use crate::build::tallyboard;
use crate::start::child::{Ended, Running};

/// The program with these words, and without what is said from outside.
#[must_use]
pub fn program(words: &[&str]) -> Command {
    program_of(&[], words)
}

/// The same as an argument of others: the words `before` run it.
#[must_use]
pub fn program_of(before: &[&str], words: &[&str]) -> Command {
    let mut command = match before.split_first() {
        None => Command::new(tallyboard()),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(tallyboard());
            command
        }
    };
    command.args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYBOARD") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn run(words: &[&str]) -> Ended {
    Running::start(&mut program(words)).end()
}

/// A /dev/shm of its own, in which nobody else starts anything, and removes what is dead.
pub const OWN_SHM: &str = "mount -t tmpfs none /dev/shm";

/// Runs `command` in a mount namespace of its own, behind `mounts`, a script.
#[must_use]
pub fn behind(mounts: &str, command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["sh", "-c", &format!("set -e; {mounts}; exec \"$@\""), "sh"]);
    unshare.arg(command.get_program()).args(command.get_args()).env_remove("TALLYBOARD");
    unshare
}
