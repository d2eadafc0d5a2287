//! The runtime of one thread, and the descriptors that it waits for.

use std::io;
use std::os::fd::AsRawFd;

use tallyboard_segment::pass::{Listener, Socket};
use tallyboard_segment::pidfd::Pidfd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::LocalSet;

/// Runs what a supervisor does, in a runtime of one thread; gives the status to end with.
pub(crate) fn run_until(
    served: impl Future<Output = io::Result<()>>,
    tell_left_out: fn(bool),
) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return 1;
        }
    };
    let tasks = LocalSet::new();
    let served = runtime.block_on(tasks.run_until(served));
    if let Err(error) = &served {
        tracing::error!(%error, "the supervisor cannot go on");
    }
    tell_left_out(true);
    i32::from(served.is_err())
}

/// A type that owns one descriptor from its making to its drop and never exchanges it: what the
/// runtime must be able to rely on.
pub(crate) trait OwnsDescriptor: AsRawFd {}

impl OwnsDescriptor for Listener {}
impl OwnsDescriptor for Pidfd {}
impl OwnsDescriptor for Socket {}

/// Has the runtime wait for `descriptor`.
// The successor of this call is unsafe, because any type may lie about its descriptor. The trait
// above names the three that do not, and this crate is free of unsafe code.
#[allow(deprecated)]
pub(crate) fn register<T: OwnsDescriptor>(
    descriptor: T,
    interest: Interest,
) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Has the runtime wait until `descriptor` can be read or written.
pub(crate) fn both<T: OwnsDescriptor>(descriptor: T) -> io::Result<AsyncFd<T>> {
    register(descriptor, Interest::READABLE | Interest::WRITABLE)
}
