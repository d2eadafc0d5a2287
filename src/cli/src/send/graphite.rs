//! `tallyboard graphite`: a snapshot on its way to Graphite, once or at intervals.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use tallyboard_bridges::Graphite;
use tallyboard_bridges::graphite::Status;
use tallyboard_exposition::sample::add_families;
use tracing::{info, warn};

use crate::errors::text_of;
use crate::flags::duration;
use crate::send::source::SourceFlags;

/// Flags of `graphite`.
#[derive(Args, Clone, Debug)]
pub struct GraphiteFlags {
    /// Where Graphite takes plaintext lines: a name or an address and a port, 2003 for carbon; an IPv6
    /// address stands in brackets.
    #[arg(value_name = "HOST:PORT", value_parser = Graphite::new)]
    pub receiver: Graphite,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceFlags,
    /// What stands before each name, with a dot behind it.
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Send labels as tags (Graphite 1.1 and later), not as parts of the name.
    #[arg(long)]
    pub tags: bool,
    /// Send again at each interval, for example 15s, until SIGTERM or SIGINT, and a last time then.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,
    /// How long a snapshot may take to be sent.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// Sends a snapshot, or one at each interval.
///
/// # Errors
/// When there is no snapshot, or it is not taken; at intervals only when that is so at the end.
pub fn run(flags: &GraphiteFlags) -> Result<ExitCode> {
    let graphite = flags.receiver.clone().tags(flags.tags).timeout(flags.timeout);
    match flags.interval {
        None => once(&graphite, flags)?,
        Some(interval) => regularly(&graphite, interval, flags)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn once(graphite: &Graphite, flags: &GraphiteFlags) -> Result<()> {
    let families = flags.source.families()?;
    let pushed = graphite.blocking_push(&families, &flags.prefix)?;
    if pushed.left_out.total() > 0 {
        warn!(receiver = %graphite, samples = %pushed.left_out, "samples are left out");
    }
    info!(receiver = %graphite, lines = pushed.lines, "sent");
    Ok(())
}

fn regularly(graphite: &Graphite, interval: Duration, flags: &GraphiteFlags) -> Result<()> {
    flags.source.must_repeat()?;
    // Blocked before there is a second thread, so that all of them leave signals to this one.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block().context("cannot block signals")?;
    let source = flags.source.clone();
    let status = Arc::new(OnceLock::<Status>::new());
    let known = Arc::clone(&status);
    let families = move || {
        let mut families = source.families().map_err(|error| text_of(&error))?;
        // Who names metrics wants no others. A supervisor has some of the same names.
        let own = known.get().filter(|_| source.metrics.is_empty()).map(Status::families);
        add_families(&mut families, own.into_iter().flatten());
        Ok::<_, String>(families)
    };
    let pushes = graphite.start(interval, &flags.prefix, families)?;
    status.get_or_init(|| pushes.status());
    let signal = signals.wait().context("cannot wait for signals")?;
    info!(signal = signal.as_str(), "stopping");
    // Whoever sends a second one does not want to wait for the last snapshot.
    signals.thread_unblock().context("cannot let signals through")?;
    let counts = pushes.stop()?;
    info!(
        receiver = %graphite,
        snapshots = counts.sent,
        lines = counts.sent_lines,
        dropped = counts.dropped,
        "stopped"
    );
    Ok(())
}
