//! Counting how calls end: in an error, in a panic, in one of a certain kind.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;

use super::counter::Counter;

impl Counter {
    /// Counts a call that gives an error.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let errors = Counter::new("app_parse_errors_total", "What is no number.")?;
    /// assert_eq!(errors.count_errors(|| "12".parse::<u8>()), Ok(12));
    /// assert!(errors.count_errors(|| "a dozen".parse::<u8>()).is_err()); // counted
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    pub fn count_errors<T, E>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.count_errors_if(|_| true, call)
    }

    /// Counts a call that gives an error of one kind, which `is_counted` tells from the others.
    ///
    /// ```
    /// use std::io::{self, ErrorKind};
    /// use tallyboard::Counter;
    ///
    /// let missing = Counter::new("app_missing_files_total", "Files that are not there.")?;
    /// let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    /// let file = missing.count_errors_if(is_missing, || std::fs::File::open("/no/such/file"));
    /// assert!(file.is_err()); // counted
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    pub fn count_errors_if<T, E>(
        &self,
        is_counted: impl FnOnce(&E) -> bool,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.count_error(is_counted, call())
    }

    /// Counts a future that gives an error. The future that this gives borrows nothing, and can be
    /// spawned where `future` can.
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
    /// use tallyboard::Counter;
    ///
    /// let errors = Counter::new("app_parse_errors_total", "What is no number.")?;
    /// let number = errors.count_errors_async(async { "a dozen".parse::<u8>() });
    /// assert!(block_on(number).is_err()); // counted
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub async fn count_errors_async<T, E, F: Future<Output = Result<T, E>>>(
        self,
        future: F,
    ) -> Result<T, E> {
        self.count_error(|_| true, future.await)
    }

    /// Counts a future that gives an error of one kind, which `is_counted` tells from the others.
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
    /// use tallyboard::Counter;
    ///
    /// let late = Counter::new("app_late_answers_total", "Answers after more than a second.")?;
    /// let answer = async { Err::<(), u64>(1500) };
    /// let answer = late.count_errors_if_async(|waited_ms| *waited_ms > 1000, answer);
    /// assert!(block_on(answer).is_err()); // counted
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub async fn count_errors_if_async<T, E, F: Future<Output = Result<T, E>>>(
        self,
        is_counted: impl FnOnce(&E) -> bool,
        future: F,
    ) -> Result<T, E> {
        self.count_error(is_counted, future.await)
    }

    /// Counts a call that ends in a panic. The panic goes on.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let panics = Counter::new("app_panics_total", "Requests that were answered by a panic.")?;
    /// let number = std::panic::catch_unwind(|| {
    ///     panics.count_panics(|| "a dozen".parse::<u8>().unwrap()) // counted
    /// });
    /// assert!(number.is_err());
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[inline]
    pub fn count_panics<R>(&self, call: impl FnOnce() -> R) -> R {
        let unwinding = Unwinding(self);
        let result = call();
        std::mem::forget(unwinding);
        result
    }

    /// Counts a call that ends in a panic of one kind, which `is_counted` tells from the others by
    /// what it carries. The panic goes on.
    ///
    /// ```
    /// use std::panic::{catch_unwind, panic_any};
    /// use tallyboard::Counter;
    ///
    /// struct Cancelled;
    /// let cancelled = Counter::new("app_cancelled_total", "Requests that were cancelled.")?;
    /// let request = catch_unwind(|| {
    ///     cancelled.count_panics_if(|panic| panic.is::<Cancelled>(), || panic_any(Cancelled))
    /// });
    /// assert!(request.is_err()); // counted
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn count_panics_if<R>(
        &self,
        is_counted: impl FnOnce(&(dyn Any + Send)) -> bool,
        call: impl FnOnce() -> R,
    ) -> R {
        // What the call left half done is seen by nobody here: the panic goes on.
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            if is_counted(&*panic) {
                self.inc();
            }
            resume_unwind(panic)
        })
    }

    /// Counts a future that ends in a panic. The panic goes on. A future that is dropped before it
    /// is ready is not counted.
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
    /// use tallyboard::Counter;
    ///
    /// let panics = Counter::new("app_panics_total", "Requests that were answered by a panic.")?;
    /// assert_eq!(block_on(panics.count_panics_async(async { 6 * 7 })), 42);
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub async fn count_panics_async<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| self.count_panics(|| future.as_mut().poll(context))).await
    }

    #[inline]
    fn count_error<T, E>(
        &self,
        is_counted: impl FnOnce(&E) -> bool,
        result: Result<T, E>,
    ) -> Result<T, E> {
        result.inspect_err(|error| {
            if is_counted(error) {
                self.inc();
            }
        })
    }
}

/// Counts when it is dropped, which only a panic does.
struct Unwinding<'a>(&'a Counter);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    use super::*;
    use crate::registry::registry::Registry;

    /// Holds what `run` adds to a counter against `expect`.
    #[track_caller]
    fn check(expect: u64, run: impl FnOnce(Counter)) {
        let counter = Counter::builder("c", "").registry(Registry::builder().build());
        let counter = counter.register().expect("a good counter");
        run(counter);
        assert_eq!(counter.get(), expect as f64);
    }

    fn panics<R>(call: impl FnOnce() -> R) -> Box<dyn Any + Send> {
        catch_unwind(AssertUnwindSafe(call)).err().expect("a panic that goes on")
    }

    fn poll_once<F: Future>(future: F) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn an_error_is_counted_once_and_given_back() {
        check(0, |counter| assert_eq!(counter.count_errors(|| Ok::<_, u8>(1)), Ok(1)));
        check(1, |counter| assert_eq!(counter.count_errors(|| Err::<(), _>(2)), Err(2)));
        let is_two = |error: &u8| *error == 2;
        check(1, |counter| _ = counter.count_errors_if(is_two, || Err::<(), _>(2)));
        check(0, |counter| _ = counter.count_errors_if(is_two, || Err::<(), _>(3)));
        check(1, |counter| {
            assert!(poll_once(counter.count_errors_async(ready(Err::<(), u8>(2)))));
        });
        check(0, |counter| assert!(poll_once(counter.count_errors_async(ready(Ok::<(), u8>(()))))));
        check(0, |counter| {
            let error = ready(Err::<(), u8>(3));
            assert!(poll_once(counter.count_errors_if_async(is_two, error)));
        });
    }

    #[test]
    fn a_panic_is_counted_once_and_goes_on() {
        let two = || -> u8 { resume_unwind(Box::new(2_u8)) };
        check(0, |counter| assert_eq!(counter.count_panics(|| 1), 1));
        check(1, |counter| assert!(panics(|| counter.count_panics(two)).is::<u8>()));
        check(1, |counter| {
            let panic = panics(|| counter.count_panics_if(|panic| panic.is::<u8>(), two));
            assert_eq!(panic.downcast_ref(), Some(&2_u8));
        });
        check(0, |counter| {
            panics(|| counter.count_panics_if(|panic| panic.is::<String>(), two));
        });
        check(0, |counter| assert_eq!(counter.count_panics_if(|_| true, || 1), 1));
    }

    #[test]
    fn a_future_that_panics_is_counted_and_one_that_is_dropped_is_not() {
        let two = || -> u8 { resume_unwind(Box::new(2_u8)) };
        check(1, |counter| {
            panics(|| poll_once(counter.count_panics_async(async { two() })));
        });
        check(0, |counter| assert!(poll_once(counter.count_panics_async(ready(1)))));
        check(0, |counter| assert!(!poll_once(counter.count_panics_async(pending::<()>()))));
        // Dropped because something else panics.
        check(0, |counter| {
            panics(|| {
                let mut endless = Box::pin(counter.count_panics_async(pending::<()>()));
                let mut context = Context::from_waker(Waker::noop());
                assert!(endless.as_mut().poll(&mut context).is_pending());
                two()
            });
        });
    }
}
