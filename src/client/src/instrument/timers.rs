//! Timers: how long something takes, observed or set when it ends.

use std::future::Future;
use std::time::{Duration, Instant};

use super::gauge::Gauge;
use super::histogram::Histogram;
use super::metric::Metric;
use super::native::NativeHistogram;
use super::summary::Summary;

/// A metric that something can be timed with. A [`Histogram`], a [`NativeHistogram`] and a
/// [`Summary`] observe the seconds that it took; a [`Gauge`] is set to those that it took last.
///
/// ```
/// use tallyboard::{Histogram, Timed};
///
/// let seconds = Histogram::new("app_query_seconds", "Time to answer a query.")?;
/// let timer = seconds.start_timer();
/// // The query.
/// drop(timer);
/// let answer = seconds.time(|| 6 * 7);
/// assert_eq!(answer, 42);
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
pub trait Timed: Metric + Copy {
    #[doc(hidden)]
    fn record(&self, elapsed: Duration);

    /// Begins to time; the timer ends when it is dropped, however that comes about.
    ///
    /// ```
    /// use tallyboard::{Summary, Timed};
    ///
    /// fn read(seconds: Summary) -> Result<u64, std::num::ParseIntError> {
    ///     let _timer = seconds.start_timer();
    ///     "12".parse()
    /// }
    /// read(Summary::new("app_read_seconds", "Time to read a number.")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    fn start_timer(self) -> Timer<Self> {
        Timer { metric: self, life: self.series().life(), started: Instant::now() }
    }

    /// Times a call, which may also end in a panic.
    ///
    /// ```
    /// use tallyboard::{Gauge, Timed};
    ///
    /// let last = Gauge::new("app_reload_seconds", "Time that the last reload took.")?;
    /// let lines = last.time(|| "a\nb\n".lines().count());
    /// assert_eq!(lines, 2);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    fn time<R>(self, call: impl FnOnce() -> R) -> R {
        let _timer = self.start_timer();
        call()
    }

    /// Times a future, from its first poll until it is ready or dropped. The future that this gives
    /// borrows nothing, and can be spawned where `future` can.
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         if let std::task::Poll::Ready(ready) = future.as_mut().poll(&mut context) {
    /// #             return ready;
    /// #         }
    /// #     }
    /// # }
    /// use tallyboard::{Histogram, Timed};
    ///
    /// async fn answer() -> u32 {
    ///     42
    /// }
    /// let seconds = Histogram::new("app_answer_seconds", "Time to answer.")?;
    /// assert_eq!(block_on(seconds.time_async(answer())), 42);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    fn time_async<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        async move {
            let _timer = self.start_timer();
            future.await
        }
    }
}

impl Timed for Histogram {
    #[inline]
    fn record(&self, elapsed: Duration) {
        self.observe(elapsed.as_secs_f64());
    }
}

impl Timed for NativeHistogram {
    #[inline]
    fn record(&self, elapsed: Duration) {
        self.observe(elapsed.as_secs_f64());
    }
}

impl Timed for Summary {
    #[inline]
    fn record(&self, elapsed: Duration) {
        self.observe(elapsed.as_secs_f64());
    }
}

impl Timed for Gauge {
    #[inline]
    fn record(&self, elapsed: Duration) {
        self.set(elapsed.as_secs_f64());
    }
}

/// Times until it is dropped. In a child that is forked meanwhile it does nothing: what its parent
/// began, its parent ends.
#[derive(Debug)]
#[must_use = "a timer that is dropped at once has timed nothing"]
pub struct Timer<M: Timed> {
    metric: M,
    started: Instant,
    /// Of the process that made it; 0 when it is done.
    life: u64,
}

impl<M: Timed> Timer<M> {
    /// How long it has run.
    ///
    /// ```
    /// use tallyboard::{Histogram, Timed};
    ///
    /// let timer = Histogram::new("app_seconds", "Time that it took.")?.start_timer();
    /// assert!(timer.elapsed() <= timer.elapsed());
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends it, and says what it recorded.
    ///
    /// ```
    /// use tallyboard::{Histogram, Timed};
    ///
    /// let timer = Histogram::new("app_seconds", "Time that it took.")?.start_timer();
    /// let took = timer.stop();
    /// println!("{} ms", took.as_millis());
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn stop(mut self) -> Duration {
        self.end()
    }

    /// Ends it without recording anything.
    ///
    /// ```
    /// use tallyboard::{Histogram, Timed};
    ///
    /// let timer = Histogram::new("app_seconds", "Time that it took.")?.start_timer();
    /// timer.discard();
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn discard(mut self) {
        self.life = 0;
    }

    #[inline]
    fn end(&mut self) -> Duration {
        let elapsed = self.elapsed();
        let life = std::mem::take(&mut self.life);
        if life == self.metric.series().life() {
            self.metric.record(elapsed);
        }
        elapsed
    }
}

impl<M: Timed> Drop for Timer<M> {
    #[inline]
    fn drop(&mut self) {
        if self.life != 0 {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::instrument::family::Builder;
    use crate::registry::registry::Registry;

    fn made<M: Metric>(builder: Builder<M>) -> M {
        builder.registry(Registry::builder().build()).register().expect("a good metric")
    }

    fn cell(metric: impl Metric, at: usize) -> u64 {
        metric.series().own_cells().expect("a process that counts")[at]
    }

    fn poll_once<F: Future>(future: F) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Holds every way to time against what `observed` says that it adds.
    fn check<M: Timed>(metric: M, observed: impl Fn() -> u64) {
        let expect = |times: u64, run: &dyn Fn()| {
            let before = observed();
            run();
            assert_eq!(observed() - before, times);
        };
        expect(1, &|| drop(metric.start_timer()));
        expect(1, &|| assert!(metric.start_timer().stop() < Duration::MAX));
        expect(0, &|| metric.start_timer().discard());
        expect(1, &|| assert_eq!(metric.time(|| 42), 42));
        expect(1, &|| {
            let panic = || metric.time(|| std::panic::resume_unwind(Box::new(())));
            assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
        });
        expect(1, &|| assert!(poll_once(metric.time_async(ready(())))));
        expect(1, &|| assert!(!poll_once(metric.time_async(pending::<()>()))));
        expect(0, &|| drop(metric.time_async(ready(()))));
    }

    #[test]
    fn a_timer_records_once_unless_it_is_discarded() {
        let summary = made(Summary::builder("s", ""));
        check(summary, || cell(summary, 0));
        let histogram = made(Histogram::builder("h", ""));
        check(histogram, || (0..=14).map(|bucket| cell(histogram, bucket)).sum());
        let gauge = made(Gauge::builder("g", ""));
        let took = gauge.start_timer().stop().as_secs_f64();
        assert_eq!(f64::from_bits(cell(gauge, 0)), took);
    }

    #[test]
    fn a_timer_that_another_process_began_records_nothing() {
        let summary = made(Summary::builder("s", ""));
        let inherited = || {
            let life = summary.series().life() + 1;
            Timer { metric: summary, started: Instant::now(), life }
        };
        drop(inherited());
        assert!(inherited().stop() < Duration::MAX);
        assert_eq!(cell(summary, 0), 0);
    }
}
