//! A runtime for one call, for programs that have none.

use std::future::Future;
use std::io;

use thiserror::Error;
use tokio::runtime::{Builder, Handle};

/// A call that cannot wait.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// The thread belongs to a runtime, whose other tasks would wait as well.
    #[error(
        "expected a thread without a runtime, found one of an async runtime; await the async method, or call this in a thread of its own (std::thread::spawn)"
    )]
    InRuntime,
    /// The system gives no runtime.
    #[error("cannot start what waits for the network: {0}; see whether descriptors are short")]
    Start(io::Error),
}

/// Waits for a future in a runtime of its own, which ends with it. It has no thread of its own, so
/// the process may fork before and after it; only a name look-up has one, which is not waited for
/// when the future gave up on it.
///
/// # Errors
/// [`BlockingError`] in a thread of an async runtime, those of `spawn_blocking` included.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T, BlockingError> {
    if Handle::try_current().is_ok() {
        return Err(BlockingError::InRuntime);
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BlockingError::Start)?;
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_a_runtime_waits() {
        assert_eq!(run(async { 7 }).expect("a runtime"), 7);
        // And is without one again.
        assert!(Handle::try_current().is_err());
    }

    #[test]
    fn a_thread_of_a_runtime_is_refused_and_not_panicked() {
        let in_task = run(async { run(async {}) }).expect("a runtime");
        assert!(matches!(in_task, Err(BlockingError::InRuntime)));
        let beside = run(async { tokio::task::spawn_blocking(|| run(async {})).await });
        let beside = beside.expect("a runtime").expect("no panic");
        let error = beside.expect_err("a thread of a runtime").to_string();
        assert!(error.contains("await the async method"), "{error}");
        let apart = run(async { std::thread::spawn(|| run(async { 7 })).join() });
        assert_eq!(apart.expect("a runtime").expect("no panic").expect("no runtime"), 7);
    }
}
