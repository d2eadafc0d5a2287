//! What is in progress: a gauge that goes up while something runs.

use std::future::Future;

use super::gauge::Gauge;
use super::metric::Metric;

impl Gauge {
    /// Adds one now, and takes it away when the guard is dropped, however that comes about. The
    /// modes `livesum` and `sum` add up what all processes have in progress; of a process that is
    /// killed, `livesum` forgets it.
    ///
    /// ```
    /// use tallyboard::{Gauge, GaugeMode};
    ///
    /// let requests = Gauge::builder("app_requests_in_progress", "Requests being answered.")
    ///     .mode(GaugeMode::LiveSum)
    ///     .register()?;
    /// let request = requests.track_in_progress();
    /// // The request is answered.
    /// drop(request);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    pub fn track_in_progress(&self) -> InProgress {
        let is_counted = self.try_add(1.0);
        InProgress { gauge: *self, life: if is_counted { self.series().life() } else { 0 } }
    }

    /// Tracks a call, which may also end in a panic.
    ///
    /// ```
    /// use tallyboard::Gauge;
    ///
    /// let jobs = Gauge::new("app_jobs_in_progress", "Jobs being done.")?;
    /// assert_eq!(jobs.track(|| 6 * 7), 42);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    pub fn track<R>(&self, call: impl FnOnce() -> R) -> R {
        let _tracked = self.track_in_progress();
        call()
    }

    /// Tracks a future, from its first poll until it is ready or dropped. The future that this
    /// gives borrows nothing, and can be spawned where `future` can.
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
    /// use tallyboard::Gauge;
    ///
    /// let jobs = Gauge::new("app_jobs_in_progress", "Jobs being done.")?;
    /// assert_eq!(block_on(jobs.track_async(async { 6 * 7 })), 42);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub async fn track_async<F: Future>(self, future: F) -> F::Output {
        let _tracked = self.track_in_progress();
        future.await
    }
}

/// One thing in progress, until it is dropped. In a child that is forked meanwhile it does nothing:
/// what its parent began, its parent ends.
#[derive(Debug)]
#[must_use = "what is dropped at once is not in progress"]
pub struct InProgress {
    gauge: Gauge,
    /// Of the process that made it; 0 when it could not be counted.
    life: u64,
}

impl Drop for InProgress {
    #[inline]
    fn drop(&mut self) {
        if self.life == self.gauge.series().life() {
            self.gauge.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::pin::pin;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::{Context, Waker};

    use super::*;
    use crate::registry::registry::Registry;

    #[test]
    fn a_gauge_is_up_by_one_while_something_is_in_progress() {
        let gauge = Gauge::builder("g", "").registry(Registry::builder().build());
        let gauge = gauge.register().expect("a good gauge");
        let value = || {
            let words = gauge.series().words().expect("a process that counts");
            f64::from_bits(words.at(0).load(Relaxed))
        };
        let (first, second) = (gauge.track_in_progress(), gauge.track_in_progress());
        assert_eq!(value(), 2.0);
        drop(first);
        assert_eq!(value(), 1.0);
        drop(second);
        assert_eq!(value(), 0.0);
        // What another process began, it ends.
        drop(InProgress { gauge, life: gauge.series().life() + 1 });
        assert_eq!(value(), 0.0);
        assert_eq!(gauge.track(value), 1.0);
        let panic = || gauge.track(|| resume_unwind(Box::new(())));
        assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
        assert_eq!(value(), 0.0);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(gauge.track_async(ready(()))).poll(&mut context).is_ready());
        assert_eq!(value(), 0.0);
        let mut endless = Box::pin(gauge.track_async(pending::<()>()));
        assert_eq!(value(), 0.0);
        assert!(endless.as_mut().poll(&mut context).is_pending());
        assert_eq!(value(), 1.0);
        drop(endless);
        assert_eq!(value(), 0.0);
    }
}
