//! `tallyboard scrape`: the exposition of an arena.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tallyboard_supervisor::ask;

use crate::find::{self, ANSWER_TIMEOUT};
use crate::flags::{FormatFlag, WhichFlags};
use crate::output::write;

/// Flags of `scrape`.
#[derive(Args, Clone, Debug)]
pub struct ScrapeFlags {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: WhichFlags,
    /// Only this metric; repeatable.
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// What to write it in; auto is text.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: FormatFlag,
}

/// Writes the exposition of an arena.
///
/// # Errors
/// When no arena is meant, or its supervisor does not answer.
pub fn run(flags: &ScrapeFlags) -> Result<ExitCode> {
    let address = find::address(&flags.which)?;
    let format = flags.format.format().unwrap_or_default();
    write(&ask::scrape_as(&address, &flags.metrics, format, ANSWER_TIMEOUT)?)
}
