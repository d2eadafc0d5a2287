//! `tallyboard textfile`: a snapshot for the node exporter's textfile collector.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tallyboard_bridges::Textfile;

use crate::repeat;
use crate::source::{SourceFlags, duration};

/// Flags of `textfile`.
#[derive(Args, Clone, Debug)]
pub struct TextfileFlags {
    /// The file, which ends in .prom where a node exporter is to read it.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Write again and again in this interval (15s, 1m), and a last time at SIGTERM or SIGINT.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceFlags,
}

/// Writes.
///
/// # Errors
/// When there is no snapshot, or the file cannot be replaced.
pub fn run(flags: &TextfileFlags) -> Result<ExitCode> {
    if flags.interval.is_some() {
        flags.source.must_repeat()?;
    }
    let file = Textfile::new(&flags.path)?;
    repeat::run(flags.interval, || send(file.clone(), flags.source.clone()))
}

async fn send(file: Textfile, source: SourceFlags) -> Result<()> {
    let families = tokio::task::spawn_blocking(move || source.families()).await??;
    Ok(file.write(&families).await?)
}
