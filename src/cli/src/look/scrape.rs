//! `tallyboard scrape`: the exposition of an arena.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::negotiation::Negotiated;
use tallyboard_supervisor::ask;

use crate::find::{self, ANSWER_TIMEOUT};
use crate::flags::{FormatFlag, WhichFlags, escaping};
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
    /// How names are written that are not made of letters, digits, _ and :. As they are, in quotes, no
    /// two of them are alike.
    #[arg(long, value_name = "SCHEME", default_value = "allow-utf-8", value_parser = escaping())]
    pub escaping: Escaping,
}

/// Writes the exposition of an arena.
///
/// # Errors
/// When no arena is meant, or its supervisor does not answer.
pub fn run(flags: &ScrapeFlags) -> Result<ExitCode> {
    let address = find::address(&flags.which)?;
    let format = flags.format.format().unwrap_or_default();
    let wanted = Negotiated { format, escaping: flags.escaping };
    let accept = wanted.content_type();
    write(&ask::scrape_accepting(&address, &flags.metrics, &accept, ANSWER_TIMEOUT)?)
}
