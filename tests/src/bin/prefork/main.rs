//! A prefork server under test: a parent with one thread, workers that it forks, and no mercy.
//!
//! Each part prints one JSON object and ends with status 0 when what it found is what must be.
//! The tests run it as a process of its own, because a test binary has threads and cannot fork.

#![forbid(unsafe_code)]

mod board;
mod clients;
mod consistent;
mod cycles;
mod features;
mod flags;
mod guards;
mod halfway;
mod hands;
mod late;
mod ledger;
mod preload;
mod replaced;
mod settings;
mod silence;
mod stage;
mod torture;

use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    if let Err(error) = board::end_with_parent() {
        eprintln!("a test that is killed leaves this process behind: {error}");
    }
    let part = std::env::args().nth(1).unwrap_or_default();
    let found: Result<Value, String> = match part.as_str() {
        "torture" => torture::run(),
        "preload" => preload::run(),
        "forks" => preload::forks(),
        "guards" => guards::run(),
        "late" => late::run(),
        "noticed" => replaced::noticed(),
        "heirs" => replaced::heirs(),
        "asks" => replaced::asks(),
        "lives" => cycles::lives(),
        "images" => cycles::images(),
        "image" => cycles::image(),
        "clients" => clients::run(),
        "features" => features::run(),
        "labelled" => features::labelled(),
        "default-mode" => features::default_mode(),
        "spent" => features::spent(),
        "consistent" => consistent::run(),
        "zombie" => hands::zombie(),
        "stopped" => hands::stopped(),
        "grandchild" => hands::grandchild(),
        "commands" => hands::commands(),
        "daemon" => hands::daemon(),
        "stalled" => silence::stalled(),
        "mute" => silence::mute(),
        "halfway" => halfway::run(),
        other => Err(format!("expected the name of a part, found {other:?}")),
    };
    match found {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", json!({ "error": error }));
            ExitCode::FAILURE
        }
    }
}
