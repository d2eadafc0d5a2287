//! The program `tallyboard`: metrics of prefork servers in shared memory.
//!
//! | module | owns |
//! |---|---|
//! | [`line`] | the command line and its environment variables |
//! | [`log`] | where log lines go, in what form, and those that repeat |
//! | [`run`] | a supervisor of its own, or one around an application |
//! | [`look`] | what a supervisor answers, and what stands in an arena |
//! | [`documents`] | expositions that are read, for which nothing has to run |
//! | [`send`] | snapshots on their way to others |
//! | [`demo`] | a prefork application that checks its own counts |
//! | [`find`] | which arena a question is about |
//! | [`fetch`] | a document from a file or over HTTP |
//! | [`proc`] | what the kernel says of processes and sockets |

#![forbid(unsafe_code)]

mod demo;
mod documents;
mod fetch;
mod find;
mod line;
mod log;
mod look;
mod proc;
mod run;
mod send;

use std::process::ExitCode;

use documents::parse;
use line::{Command, Flags};
use log::repeats;
use look::{doctor, inspect, prune, show};
use run::{exec, serve};
use send::{graphite, push, textfile};

fn main() -> ExitCode {
    let flags = Flags::read();
    // Before anything forks: the supervisor writes its lines through the same subscriber.
    log::start(&flags);
    let outcome = match flags.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Exec(flags) => Ok(exec::run(&flags)),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Scrape(flags) => show::scrape(&flags),
        Command::Slots(flags) => show::slots(&flags),
        Command::Ls(flags) => show::ls(&flags),
        Command::Prune(flags) => prune::run(&flags),
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Parse(flags) => parse::parse(&flags),
        Command::Check(flags) => parse::check(&flags),
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
