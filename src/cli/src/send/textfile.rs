//! `tallyboard textfile`: a snapshot for the node exporter's textfile collector.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tallyboard_bridges::Textfile;
use tallyboard_bridges::neighbours::Differing;
use tallyboard_exposition::sample::FamilySamples;
use tracing::warn;

use crate::flags::duration;
use crate::send::repeat;
use crate::send::source::SourceFlags;

/// How many differences are said; the others are of the same kind.
const MOST_SAID: usize = 20;

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
    let said = Arc::new(Mutex::default());
    repeat::run(flags.interval, || send(file.clone(), flags.source.clone(), Arc::clone(&said)))
}

async fn send(file: Textfile, source: SourceFlags, said: Arc<Mutex<Said>>) -> Result<()> {
    let families = tokio::task::spawn_blocking(move || source.families()).await??;
    file.write(&families).await?;
    Ok(tokio::task::spawn_blocking(move || warn_of_neighbours(&file, &families, &said)).await?)
}

/// What was said of other files.
type Said = HashSet<Differing>;

/// Says once what other files that an exporter reads with this one describe differently.
fn warn_of_neighbours(file: &Textfile, families: &[FamilySamples], said: &Mutex<Said>) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    for found in file.differing(families) {
        if said.len() < MOST_SAID && said.insert(found.clone()) {
            warn!(
                "{found}: a node exporter shows the series of one of these files alone; describe the \
                 metric alike, or rename it"
            );
        }
    }
}
