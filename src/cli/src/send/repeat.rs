//! Sending once, or again and again until somebody says stop.

use std::future::Future;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use tallyboard_bridges::backoff::Backoff;
use tallyboard_bridges::{PushError, blocking};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::errors::text_of;

/// Pause after a first failure, unless the interval is shorter.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Pause after many failures, unless the interval is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sends once; with an interval again and again, and once more after SIGTERM or SIGINT. A failure is
/// logged and tried again. Gives success when the last one succeeded.
///
/// # Errors
/// What the last one failed with.
pub fn run<S, F>(interval: Option<Duration>, mut send: S) -> Result<ExitCode>
where
    S: FnMut() -> F,
    F: Future<Output = Result<()>>,
{
    match interval {
        None => blocking::run(send())??,
        Some(interval) => {
            let stops = stops()?;
            blocking::run(repeat(interval, stops, send))??;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What somebody says from outside: each SIGTERM and SIGINT.
fn stops() -> Result<UnboundedReceiver<Signal>> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    // Before any other thread is there: the ones to come inherit it.
    signals.thread_block().context("cannot block signals")?;
    let (sender, stops) = unbounded_channel();
    let forward = move || {
        while let Ok(signal) = signals.wait() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(forward).context("cannot take signals")?;
    Ok(stops)
}

async fn repeat<S, F>(
    interval: Duration,
    mut stops: UnboundedReceiver<Signal>,
    mut send: S,
) -> Result<()>
where
    S: FnMut() -> F,
    F: Future<Output = Result<()>>,
{
    let (shortest, longest) = (SHORTEST_PAUSE.min(interval), LONGEST_PAUSE.max(interval));
    let mut backoff = Backoff::new(shortest, longest);
    let mut is_well = false;
    let (mut count, mut failed) = (0_u64, 0_u64);
    loop {
        let begun = Instant::now();
        // What is under way when somebody says stop is dropped: the one that follows is newer.
        let sent = tokio::select! {
            biased;
            _ = stops.recv() => break,
            sent = send() => sent,
        };
        let pause = match sent {
            Ok(()) => {
                if !is_well {
                    info!(failures = backoff.failures(), "sent, and goes on every {interval:?}");
                }
                debug!(seconds = begun.elapsed().as_secs_f64(), "sent");
                backoff.succeeded();
                interval.saturating_sub(begun.elapsed())
            }
            Err(ref error) => {
                let pause = backoff.failed(retry_after(error));
                let error = text_of(error);
                warn!(failures = backoff.failures(), %error, "not sent; tries again in {pause:?}");
                pause
            }
        };
        is_well = sent.is_ok();
        if is_well {
            count += 1
        } else {
            failed += 1
        }
        tokio::select! {
            biased;
            _ = stops.recv() => break,
            () = sleep(pause) => {}
        }
    }
    info!(sent = count, failed, "sends a last time");
    tokio::select! {
        biased;
        _ = stops.recv() => bail!("a second signal came before the last snapshot was sent"),
        sent = send() => sent,
    }
}

/// How long the receiver wants not to be asked, if it said.
fn retry_after(error: &anyhow::Error) -> Option<Duration> {
    error.downcast_ref::<PushError>().and_then(PushError::retry_after)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::anyhow;

    use super::*;

    /// Runs until the nth attempt says stop, and fails at those for which `fails` holds; gives how
    /// many there were and what came of it.
    fn attempts(stop_at: u32, fails: impl Fn(u32) -> bool) -> (u32, Result<()>) {
        let (sender, stops) = unbounded_channel();
        let attempts = Cell::new(0);
        let send = || {
            attempts.set(attempts.get() + 1);
            let at = attempts.get();
            let failed = fails(at);
            if at == stop_at {
                sender.send(Signal::SIGTERM).unwrap();
            }
            async move { if failed { Err(anyhow!("attempt {at}")) } else { Ok(()) } }
        };
        let done = blocking::run(repeat(Duration::from_millis(1), stops, send)).unwrap();
        (attempts.get(), done)
    }

    #[test]
    fn what_failed_is_tried_again_and_only_the_last_counts() {
        let (count, done) = attempts(3, |_| false);
        assert_eq!((count, done.is_ok()), (4, true));
        let (count, done) = attempts(3, |at| at < 4);
        assert_eq!((count, done.is_ok()), (4, true));
        let (count, done) = attempts(3, |at| at == 4);
        assert_eq!((count, done.unwrap_err().to_string().as_str()), (4, "attempt 4"));
    }

    #[test]
    fn a_second_signal_ends_even_the_last_attempt() {
        let (sender, stops) = unbounded_channel();
        sender.send(Signal::SIGTERM).unwrap();
        sender.send(Signal::SIGINT).unwrap();
        let never = || std::future::pending();
        let done = blocking::run(repeat(Duration::from_millis(1), stops, never)).unwrap();
        assert!(done.unwrap_err().to_string().contains("a second signal"));
    }

    #[test]
    fn without_an_interval_there_is_one_attempt() {
        let mut attempts = 0;
        let done = run(None, || {
            attempts += 1;
            async { Err(anyhow!("no")) }
        });
        assert_eq!((attempts, done.unwrap_err().to_string().as_str()), (1, "no"));
    }
}
