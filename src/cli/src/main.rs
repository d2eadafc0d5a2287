//! The program `tallyboard`: metrics of prefork servers in shared memory.
//!
//! | module | owns |
//! |---|---|
//! | [`mod@line`] | the command line and its environment variables |
//! | [`log`] | where log lines go, in what form, and those that repeat |
//! | [`run`] | a supervisor of its own, or one around an application |
//! | [`look`] | what a supervisor answers, and what stands in an arena |
//! | [`documents`] | expositions that are read, for which nothing has to run |
//! | [`send`] | snapshots on their way to others |
//! | [`demo`] | a prefork application that checks its own counts |
//! | [`find`] | which arena a question is about |
//! | [`flags`] | what several commands can be told |
//! | [`output`] | what commands write, and in what columns |
//! | [`errors`] | an error as it is told |
//! | [`fetch`] | a document from a file or over HTTP |
//! | [`proc`] | what the kernel says of processes and sockets |

#![forbid(unsafe_code)]

mod demo;
mod documents;
mod errors;
mod fetch;
mod find;
mod flags;
mod line;
mod log;
mod look;
mod output;
mod proc;
mod run;
mod send;

use std::process::ExitCode;

use documents::{check, parse};
use line::{Command, Flags};
use look::{doctor, inspect, ls, prune, scrape, slots};
use run::{exec, serve};
use send::{graphite, push, textfile};

fn main() -> ExitCode {
    let flags = Flags::read();
    // Before anything forks: the supervisor writes its lines through the same subscriber.
    log::start(flags.log_level(), flags.log.format);
    let outcome = match flags.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Exec(flags) => Ok(exec::run(&flags)),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Scrape(flags) => scrape::run(&flags),
        Command::Slots(flags) => slots::run(&flags),
        Command::Ls(flags) => ls::run(&flags),
        Command::Prune(flags) => prune::run(&flags),
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Parse(flags) => parse::run(&flags),
        Command::Check(flags) => check::run(&flags),
        Command::Push(flags) => push::run(&flags),
        Command::Graphite(flags) => graphite::run(&flags),
        Command::Textfile(flags) => textfile::run(&flags),
        Command::Demo(flags) => demo::run(&flags),
    };
    log::repeats::tell(true);
    outcome.unwrap_or_else(|error| {
        eprintln!("tallyboard: {}", errors::text_of(&error));
        ExitCode::FAILURE
    })
}
