//! Pushing at intervals: one task takes snapshots, another one sends them, and what is between them
//! is bounded.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tallyboard_exposition::sample::FamilySamples;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use super::lines::Lines;
use super::receiver::{A_YEAR, Graphite, GraphiteError, check_prefix};
use super::waiting::{Counts, Shared, Status};
use crate::backoff::Backoff;
use crate::blocking;

/// The first pause after a failure, where the interval is not shorter.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, where the interval is not shorter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Graphite {
    /// Pushes what `source` says now and then at each interval, until it is stopped. `source` may block:
    /// it has a thread of its own.
    ///
    /// # Errors
    /// [`GraphiteError::Prefix`] and [`GraphiteError::Interval`] for what is none. A source that fails
    /// is asked again at the next interval.
    pub fn regular<S, E>(
        &self,
        interval: Duration,
        prefix: &str,
        source: S,
    ) -> Result<Regular<S>, GraphiteError>
    where
        S: FnMut() -> Result<Vec<FamilySamples>, E> + Send + 'static,
        E: fmt::Display,
    {
        check_prefix(prefix)?;
        if interval.is_zero() {
            return Err(GraphiteError::Interval { found: interval });
        }
        Ok(Regular::new(self.clone(), interval, prefix, source))
    }

    /// The same on a thread of its own, which needs no runtime of the program's.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use std::time::Duration;
    /// use tallyboard_bridges::graphite::Graphite;
    /// # let gather = || Vec::new();
    ///
    /// let graphite = Graphite::new("graphite.example:2003")?;
    /// let source = move || Ok::<_, Infallible>(gather());
    /// let pushes = graphite.start(Duration::from_secs(15), "servers.web-1", source)?;
    /// // The work of the program.
    /// println!("{:?}", pushes.status().counts());
    /// pushes.stop()?;
    /// # Ok::<(), tallyboard_bridges::graphite::GraphiteError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::regular`]; [`GraphiteError::Thread`] when there is no thread to be had.
    pub fn start<S, E>(
        &self,
        interval: Duration,
        prefix: &str,
        source: S,
    ) -> Result<Started, GraphiteError>
    where
        S: FnMut() -> Result<Vec<FamilySamples>, E> + Send + 'static,
        E: fmt::Display + 'static,
    {
        let regular = self.regular(interval, prefix, source)?;
        regular.start().map_err(|error| self.threadless(&error))
    }
}

/// Pushes at intervals, before they begin.
#[derive(Debug)]
#[must_use = "nothing is pushed before it runs"]
pub struct Regular<S> {
    graphite: Graphite,
    interval: Duration,
    prefix: Arc<str>,
    /// Only one snapshot is taken at a time; the last one waits for the one before.
    source: Arc<Mutex<S>>,
    shared: Arc<Shared>,
}

/// Pushes at intervals, on a thread of their own. Dropping it stops them as well, without waiting for
/// what is sent last.
#[derive(Debug)]
#[must_use = "dropping it stops the pushes"]
pub struct Started {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), GraphiteError>>,
    status: Status,
    receiver: String,
}

impl Started {
    /// A view of what happens.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Takes a last snapshot, sends what waits, and ends: after the timeout of a push at the latest,
    /// unless the source hangs.
    ///
    /// # Errors
    /// Why something was left, which is dropped and counted.
    pub fn stop(self) -> Result<Counts, GraphiteError> {
        let Self { stop, thread, status, receiver } = self;
        // A thread that has ended hears nothing, which joining it shows.
        let _ = stop.send(());
        let ended = thread.join().map_err(|_| GraphiteError::Thread {
            receiver,
            why: "the thread that sends has panicked".to_owned(),
        })?;
        ended.map(|()| status.counts())
    }
}

impl<S, E> Regular<S>
where
    S: FnMut() -> Result<Vec<FamilySamples>, E> + Send + 'static,
    E: fmt::Display,
{
    fn new(graphite: Graphite, interval: Duration, prefix: &str, source: S) -> Self {
        let shared = Shared::new(graphite.buffer_bytes);
        Self {
            graphite,
            interval,
            prefix: prefix.into(),
            source: Arc::new(Mutex::new(source)),
            shared: Arc::new(shared),
        }
    }

    /// A view of what happens.
    pub fn status(&self) -> Status {
        Status::new(Arc::clone(&self.shared))
    }

    /// Pushes until `stop` is ready; then takes a last snapshot, sends what waits, and ends, within the
    /// timeout of a push. It needs a runtime of tokio with time and input and output.
    ///
    /// # Errors
    /// Why something was left at the end, which is dropped and counted. What fails before is logged,
    /// once until it is over, and is in [`Status::counts`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), GraphiteError> {
        let mut stop = pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = self.take_regularly() => {}
            () = self.send_regularly() => {}
        }
        self.shared.buffer().put_back();
        let limit = self.graphite.timeout.min(A_YEAR);
        let last = async {
            // What waits is sent even when the source has nothing more to say, or hangs.
            let (taken, sent) = tokio::join!(self.take(), self.send_all());
            sent?;
            self.send_all().await?;
            taken
        };
        let ended = timeout(limit, last).await.unwrap_or_else(|_| {
            let (receiver, what) = (self.graphite.to_string(), "did not take what was left");
            Err(GraphiteError::Timeout { receiver, what, limit })
        });
        self.shared.buffer().give_up();
        ended
    }

    async fn take_regularly(&self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_missing = false;
        loop {
            ticks.tick().await;
            let taken = self.take().await;
            let receiver = &self.graphite;
            match &taken {
                Err(error) if !is_missing => {
                    warn!(%receiver, %error, "nothing is sent until there is a snapshot");
                }
                Ok(()) if is_missing => info!(%receiver, "there are snapshots again"),
                _ => {}
            }
            is_missing = taken.is_err();
        }
    }

    async fn send_regularly(&self) {
        let longest = LONGEST_PAUSE.min(self.interval.max(FIRST_PAUSE));
        let mut backoff = Backoff::new(FIRST_PAUSE.min(self.interval), longest);
        loop {
            let Some(lines) = self.shared.begin() else {
                self.shared.added.notified().await;
                continue;
            };
            let receiver = &self.graphite;
            match self.send(&lines).await {
                Ok(()) if backoff.failures() > 0 => {
                    let failures = backoff.failures();
                    info!(%receiver, failures, "snapshots are sent again");
                    backoff.succeeded();
                }
                Ok(()) => {}
                Err(error) => {
                    if backoff.failures() == 0 {
                        warn!(%receiver, %error, "snapshots wait until they can be sent");
                    }
                    sleep(backoff.failed(None)).await;
                }
            }
        }
    }

    async fn send_all(&self) -> Result<(), GraphiteError> {
        while let Some(lines) = self.shared.begin() {
            self.send(&lines).await?;
        }
        Ok(())
    }

    /// Sends the snapshot that is on its way.
    async fn send(&self, lines: &Lines) -> Result<(), GraphiteError> {
        let sent = self.graphite.send(&lines.text).await;
        let mut buffer = self.shared.buffer();
        match &sent {
            Ok(()) => buffer.sent(),
            Err(error) => {
                buffer.counts.failed += 1;
                buffer.counts.error = Some(error.to_string());
                buffer.put_back();
            }
        }
        sent
    }

    /// Takes a snapshot and puts it behind those that wait. One that was begun comes there even when
    /// nobody waits for it any more.
    async fn take(&self) -> Result<(), GraphiteError> {
        let (source, shared) = (Arc::clone(&self.source), Arc::clone(&self.shared));
        let (graphite, prefix) = (self.graphite.clone(), Arc::clone(&self.prefix));
        let taken = spawn_blocking(move || {
            // What a source that has panicked holds is its own affair.
            let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
            let families = source().map_err(|error| error.to_string())?;
            let lines = graphite.lines(&families, &prefix).map_err(|error| error.to_string())?;
            // With the source still locked, so that the next one comes behind it.
            shared.add(&graphite, lines);
            Ok(())
        });
        let taken = taken.await.unwrap_or_else(|error| Err(error.to_string()));
        let receiver = self.graphite.to_string();
        let taken = taken.map_err(|why| GraphiteError::Source { receiver, why });
        taken.inspect_err(|error| {
            let mut buffer = self.shared.buffer();
            buffer.counts.missed += 1;
            buffer.counts.error = Some(error.to_string());
        })
    }
}

impl<S, E> Regular<S>
where
    S: FnMut() -> Result<Vec<FamilySamples>, E> + Send + 'static,
    E: fmt::Display + 'static,
{
    fn start(self) -> io::Result<Started> {
        let (stop, stopped) = oneshot::channel();
        let (status, receiver) = (self.status(), self.graphite.to_string());
        let thread = thread::Builder::new().name("graphite".to_owned()).spawn(move || {
            blocking::run(self.run(async {
                // Nobody holds the other end any more: that is a stop too.
                let _ = stopped.await;
            }))?
        })?;
        Ok(Started { stop, thread, status, receiver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_nothing_is_refused() {
        let graphite = Graphite::new("graphite:2003").expect("an address");
        let source = || Ok::<_, String>(Vec::new());
        let error = graphite.start(Duration::ZERO, "", source).expect_err("no interval");
        assert!(error.to_string().contains("above zero"), "{error}");
        assert!(graphite.start(Duration::MAX, "a b", source).is_err());
    }
}
