//! The program `tallyboard`: metrics of prefork servers in shared memory.
//!
//! | module | owns |
//! |---|---|
//! | [`flags`] | the command line and its environment variables |
//! | [`logging`] | where log lines go, and in what form |
//! | [`repeats`] | lines of the log that repeat |
//! | [`serve`] | a supervisor of its own, for workers that are started elsewhere |
//! | [`exec`] | a supervisor around one application |
//! | [`passed`] | what a service manager has passed for that application |
//! | [`export`] | where metrics are sent from a supervisor |
//! | [`doctor`], [`python`] | what a command would find: its interpreter, the wheel, an arena |
//! | [`find`] | which arena a question is about |
//! | [`show`] | `scrape`, `slots`, `ls` |
//! | [`prune`] | dead arenas that are removed |
//! | [`inspect`] | an arena's bytes, and what is wrong with them |
//! | [`documents`] | `parse` and `check`, for which nothing has to run |
//! | [`push`] | a snapshot for a Pushgateway |
//! | [`graphite`] | snapshots for Graphite, once or at intervals |
//! | [`textfile`] | a snapshot for the node exporter |
//! | [`repeat`] | sending once, or again and again |
//! | [`source`] | a snapshot of families, from an arena or a document |
//! | [`swept`] | what killed processes of Python leave |
//! | [`fetch`] | a document from a file or over HTTP |
//! | [`proc`] | what the kernel says of processes and sockets |
//! | [`demo`] | a prefork application that checks its own counts |

#![forbid(unsafe_code)]

mod demo;
mod doctor;
mod documents;
mod exec;
mod export;
mod fetch;
mod find;
mod flags;
mod graphite;
mod inspect;
mod logging;
mod passed;
mod proc;
mod prune;
mod push;
mod python;
mod repeat;
mod repeats;
mod serve;
mod show;
mod source;
mod swept;
mod textfile;

use std::process::ExitCode;

use flags::{Command, Flags};

fn main() -> ExitCode {
    let flags = Flags::read();
    // Before anything forks: the supervisor writes its lines through the same subscriber.
    logging::start(&flags);
    let outcome = match flags.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Exec(flags) => Ok(exec::run(&flags)),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Scrape(flags) => show::scrape(&flags),
        Command::Slots(flags) => show::slots(&flags),
        Command::Ls(flags) => show::ls(&flags),
        Command::Prune(flags) => prune::run(&flags),
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Parse(flags) => documents::parse(&flags),
        Command::Check(flags) => documents::check(&flags),
        Command::Push(flags) => push::run(&flags),
        Command::Graphite(flags) => graphite::run(&flags),
        Command::Textfile(flags) => textfile::run(&flags),
        Command::Demo(flags) => demo::run(&flags),
    };
    repeats::tell(true);
    outcome.unwrap_or_else(|error| {
        eprintln!("tallyboard: {}", text_of(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes, each said once: most of ours name their cause themselves.
fn text_of(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_cause_once() {
        let cause = std::io::Error::from_raw_os_error(nix::libc::ENOENT);
        let plain = anyhow::Error::new(cause).context("cannot open x");
        assert_eq!(text_of(&plain), "cannot open x: No such file or directory (os error 2)");
        let named = plain.context("cannot open x: No such file or directory (os error 2); do y");
        assert_eq!(text_of(&named), "cannot open x: No such file or directory (os error 2); do y");
    }
}
