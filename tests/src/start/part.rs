//! Parts of the program `prefork`, which forks as a test binary cannot: it has threads.

use std::process::Command;

use serde_json::Value;

use crate::build::tallyboard;
use crate::start::child::Running;

/// The word that tells a part which program serves.
///
/// # Panics
/// When its path is no text.
#[must_use]
pub fn serves() -> [&'static str; 2] {
    ["--program", tallyboard().to_str().expect("a path of this project is text")]
}

/// Starts a part of the program `prefork`.
#[must_use]
pub fn start(prefork: &str, words: &[&str]) -> Running {
    let mut command = Command::new(prefork);
    command.args(words).env_remove("TALLYBOARD").env_remove("TALLYBOARD_GAUGE_MODE");
    Running::start(&mut command)
}

/// What a part has found, at its end.
///
/// # Panics
/// When that is not what must be.
#[must_use]
pub fn end(words: &[&str], running: Running) -> Value {
    let ended = running.end();
    let line = ended.stdout.lines().last().unwrap_or_default();
    println!("{words:?}: {line}");
    let error = line.replace("\\n", "\n");
    assert!(ended.status.success(), "{}: {error}\n{}", ended.status, ended.stderr);
    serde_json::from_str(line).expect("the last line is JSON")
}

/// Runs a part of the program `prefork`, and gives what it found.
///
/// # Panics
/// As [`end`].
#[must_use]
pub fn run(prefork: &str, words: &[&str]) -> Value {
    end(words, start(prefork, words))
}
