//! Snapshots on their way to a receiver, again and again.
//!
//! Rules. 1: collecting never waits for sending: a receiver that is slow or gone costs a queue, which
//! is bounded, and nothing else. 2: what is sent again is the same bytes. 3: a snapshot is later than
//! the one before it, by a millisecond at least, whatever the clock does. 4: what is not taken is
//! counted, as failed when the receiver has refused it and as dropped when there was no more room or
//! time for it. 5: a line that would come with each snapshot is logged once in a while, and says how
//! often it was not.
//!
//! | module | owns |
//! |---|---|
//! | [`figures`] | what is known of an export, as metrics |
//! | `queue` | what waits to be sent |
//! | `said` | lines of the log that would come again and again |
//! | `target` | where snapshots are from, and what they become |

pub mod figures;
mod queue;
mod said;
mod target;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tallyboard_exposition::sample::FamilySamples;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use self::figures::Figures;
use self::queue::Queue;
use self::said::Said;
pub use self::target::{Batch, FULL_BYTES, MOST_SAMPLES, Outcome, Parted, Source, Target};
use crate::backoff::Backoff;
use crate::receiver::SendError;

/// First and longest pause after a request that may be taken later.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often a batch is answered with [`Outcome::Doubtful`] before it is given up.
const MOST_DOUBTFUL: u32 = 5;

/// Takes a snapshot from `source` at once and then at every interval, and sends each to `target`. When
/// `stopped` is there, or no snapshot comes any more, a last one is sent, for which there is the time
/// `last`.
pub async fn run<T: Target>(
    mut source: impl Source,
    target: &T,
    interval: Duration,
    figures: &Figures,
    (stopped, last): (impl Future<Output = ()>, Duration),
) {
    let export = Export {
        target,
        figures,
        queue: RefCell::new(Queue::new(T::MOST_SNAPSHOTS)),
        last_ms: Cell::new(0),
        is_filled: Notify::new(),
        is_wanted: Notify::new(),
        left_out: Said::default(),
        refused: Said::default(),
    };
    tokio::select! {
        () = export.collect(&mut source, interval) => {}
        never = pin!(export.deliver()) => match never {},
        () = stopped => {}
    }
    if timeout(last, export.finish(&mut source)).await.is_err() {
        tracing::warn!(to = T::KIND, limit = ?last, "no time is left to send the last snapshot");
    }
}

struct Export<'a, T> {
    target: &'a T,
    figures: &'a Figures,
    queue: RefCell<Queue>,
    /// When the last snapshot was taken.
    last_ms: Cell<i64>,
    /// Something waits to be sent.
    is_filled: Notify,
    /// A snapshot is wanted before its time.
    is_wanted: Notify,
    /// That something was left out, and that something was refused.
    left_out: Said,
    refused: Said,
}

/// What is to be done with a request after it was sent.
enum Next {
    Go,
    Wait(Duration),
    Anew,
}

/// How what is sent has fared until now.
struct Attempts {
    backoff: Backoff,
    /// How many of the batch in front were doubtful.
    doubts: u32,
}

impl Attempts {
    fn new() -> Self {
        Self { backoff: Backoff::new(PAUSES.0, PAUSES.1), doubts: 0 }
    }

    fn ended(&mut self) {
        self.backoff.succeeded();
        self.doubts = 0;
    }
}

impl<T: Target> Export<'_, T> {
    async fn collect(&self, source: &mut impl Source, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.is_wanted.notified() => {}
            }
            let Some(families) = source.snapshot().await else { return };
            self.take(&families);
        }
    }

    /// Encodes a snapshot, and lets it wait to be sent.
    fn take(&self, families: &[FamilySamples]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let at_ms = now.max(self.last_ms.get().saturating_add(1));
        self.last_ms.set(at_ms);
        let batches = self.target.encode(families, at_ms);
        let mut queue = self.queue.borrow_mut();
        let dropped = queue.push(at_ms, batches);
        self.figures.dropped(dropped);
        self.figures.waiting(&queue);
        self.is_filled.notify_one();
    }

    /// Sends what waits, in order, for ever.
    async fn deliver(&self) -> Infallible {
        let mut attempts = Attempts::new();
        let mut before = None;
        loop {
            let Some((number, batch)) = self.front() else {
                self.is_filled.notified().await;
                continue;
            };
            // Another one may have taken the place of the last one.
            if before.replace(number) != Some(number) {
                attempts.doubts = 0;
            }
            let outcome = self.target.send(&batch).await;
            if let Next::Wait(pause) = self.settle(number, &batch, outcome, &mut attempts) {
                sleep(pause).await;
            }
        }
    }

    /// Takes a last snapshot and sends all that waits, once; where the receiver wants it in another
    /// form, once again.
    async fn finish(&self, source: &mut impl Source) {
        for _ in 0..2 {
            if let Some(families) = source.snapshot().await {
                self.take(&families);
            }
            if !self.send_all().await {
                return;
            }
        }
    }

    /// Sends all that waits, until something is not taken; whether it is wanted in another form.
    async fn send_all(&self) -> bool {
        let mut attempts = Attempts::new();
        while let Some((number, batch)) = self.front() {
            let outcome = self.target.send(&batch).await;
            match self.settle(number, &batch, outcome, &mut attempts) {
                Next::Go => {}
                Next::Wait(_) => return false,
                Next::Anew => return true,
            }
        }
        false
    }

    fn front(&self) -> Option<(u64, Rc<Batch>)> {
        self.queue.borrow_mut().send()
    }

    /// Counts what came of a request, and says what is to be done next.
    fn settle(
        &self,
        number: u64,
        batch: &Batch,
        outcome: Outcome,
        attempts: &mut Attempts,
    ) -> Next {
        let taken = match &outcome {
            Outcome::Taken { left_out, .. } => batch.samples.saturating_sub(*left_out),
            Outcome::Parted(parted) => parted.taken,
            _ => 0,
        };
        match &outcome {
            Outcome::Parted(parted) => {
                self.figures.requests(parted.requests, parted.requests_failed);
            }
            _ => self.figures.requests(1, u64::from(taken == 0)),
        }
        let mut queue = self.queue.borrow_mut();
        let next = match outcome {
            Outcome::Taken { left_out, said } => {
                queue.ended(number, taken > 0);
                self.figures.taken(taken, left_out);
                if let Some((said, again)) = said.zip(self.left_out.again()) {
                    tracing::warn!(
                        to = T::KIND,
                        left_out,
                        said,
                        again,
                        "the receiver has left out something"
                    );
                }
                if attempts.backoff.failures() > 0 {
                    tracing::info!(to = T::KIND, "the receiver takes samples again");
                }
                attempts.ended();
                Next::Go
            }
            Outcome::Parted(parted) => self.settle_parts(&mut queue, number, *parted, attempts),
            Outcome::Doubtful(error) if attempts.doubts + 1 >= MOST_DOUBTFUL => {
                self.give_up(&mut queue, number, batch, &error);
                attempts.ended();
                Next::Go
            }
            Outcome::Never(error) => {
                self.give_up(&mut queue, number, batch, &error);
                attempts.ended();
                Next::Go
            }
            Outcome::Later(ref error) | Outcome::Doubtful(ref error) => {
                attempts.doubts += u32::from(matches!(outcome, Outcome::Doubtful(_)));
                queue.put_back(number);
                self.wait(error, attempts)
            }
            Outcome::Anew(error) => {
                let dropped = queue.clear();
                self.figures.dropped(dropped);
                tracing::warn!(to = T::KIND, %error, "encoding in another form from now on");
                self.is_wanted.notify_one();
                Next::Anew
            }
        };
        self.figures.waiting(&queue);
        next
    }

    fn settle_parts(
        &self,
        queue: &mut Queue,
        number: u64,
        parted: Parted,
        attempts: &mut Attempts,
    ) -> Next {
        let Parted { taken, given_up, said, rest, .. } = parted;
        let samples = given_up.values().sum();
        self.figures.taken(taken, samples);
        self.figures.given_up(&given_up);
        if let Some(again) = self.refused.again().filter(|_| samples > 0) {
            let most = given_up.iter().max_by_key(|(_, samples)| **samples);
            let metric = most.map_or("", |(metric, _)| metric);
            tracing::error!(
                to = T::KIND, error = %said, samples, metrics = given_up.len(), metric, taken, again,
                "the receiver has refused samples, and the rest of their request was sent without them"
            );
        }
        match rest {
            None => {
                queue.ended(number, taken > 0);
                attempts.ended();
                Next::Go
            }
            Some((rest, error)) => {
                queue.shrink(number, rest, taken > 0);
                self.wait(&error, attempts)
            }
        }
    }

    fn wait(&self, error: &SendError, attempts: &mut Attempts) -> Next {
        let pause = attempts.backoff.failed(None);
        let pause = error.retry_after().map_or(pause, |after| after.max(pause));
        let pause = pause.min(LONGEST_PAUSE);
        tracing::warn!(to = T::KIND, %error, ?pause, "cannot export; trying again");
        Next::Wait(pause)
    }

    fn give_up(&self, queue: &mut Queue, number: u64, batch: &Batch, error: &SendError) {
        queue.ended(number, false);
        self.figures.failed(batch.samples);
        if let Some(again) = self.refused.again() {
            tracing::error!(
                to = T::KIND, %error, samples = batch.samples, again,
                "the receiver has refused samples"
            );
        }
    }
}
