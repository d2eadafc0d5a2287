//! `tallyboard check`: whether an exposition is a good one.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tallyboard_exposition::lint::lint;
use tallyboard_exposition::parse::{self, Options};

use crate::documents::document::{UNREADABLE, document};

/// Exit status when the document is an exposition of bad taste, as promtool has it.
const LINT: u8 = 3;

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckFlags {
    /// The document: a file, - for standard input, or where a server has it (http://).
    #[arg(value_name = "FILE|URL", default_value = "-")]
    pub source: String,
}

/// Reads a document as strictly as Prometheus does and says what is bad taste in it.
///
/// # Errors
/// None: what is wrong with the document is said, and is the exit status.
pub fn run(flags: &CheckFlags) -> Result<ExitCode> {
    let Some(bytes) = document(&flags.source) else { return Ok(UNREADABLE.into()) };
    let options = Options { exact: true, ..Options::default() };
    let families = match parse::parse_any(&bytes, &options).1 {
        Ok(families) => families,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let problems = lint(&families);
    for problem in &problems {
        eprintln!("{} {}", problem.metric, problem.text);
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { LINT.into() })
}
