//! What a process knows of itself, and how it makes others.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::time::{ClockId, clock_gettime};
use tallyboard_proto::layout::fnv;
use thiserror::Error;

/// Nanoseconds of the monotonic clock: the same in all processes of a time namespace, never 0.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    (now.as_nanos() as u64).max(1)
}

/// Milliseconds of Unix time.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

/// Number of the calling thread.
#[must_use]
pub fn thread_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}

/// Hash that names this execution of a program: the same in a forked child, another after exec.
/// `proto/README.md` specifies it.
#[must_use]
pub fn image() -> u64 {
    // SAFETY: reads the auxiliary vector of this process.
    let random = unsafe { libc::getauxval(libc::AT_RANDOM) } as *const [u8; 16];
    // SAFETY: AT_RANDOM is the address of 16 bytes that live as long as the process, or 0.
    let random = unsafe { random.as_ref() }.copied().unwrap_or_default();
    let words: [u64; 2] =
        [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| random[at + byte])));
    fnv(&[u64::from_le_bytes(*b"tallybrd"), words[0], words[1]])
}

/// A random number that is not 0.
///
/// # Errors
/// What `getrandom` says.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    loop {
        // SAFETY: the buffer has the length given.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match Errno::result(got) {
            Ok(8) if bytes != [0; 8] => return Ok(u64::from_le_bytes(bytes)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where the kernel lists the threads of this process.
const THREADS: &str = "/proc/self/task";

/// How many threads this process has.
///
/// # Errors
/// What reading `/proc/self/task` says.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir(THREADS)?.count())
}

/// Starts a thread that no signal is delivered to, so that the application's handlers never run on
/// it.
///
/// # Errors
/// What the system says when it has no thread to give.
pub fn spawn_quiet(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // The thread inherits the mask that its maker has while it makes it.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    before.thread_set_mask()?;
    spawned.map(drop)
}

/// Writes a line to standard error without the lock that the standard library has there: a child that
/// is forked while another thread holds that one could not write to it for ever.
pub fn say(line: &str) {
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(io::stderr(), rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Takes over a descriptor that a service manager passed by its number, closed on exec.
///
/// # Errors
/// EBADF when the number is no open descriptor.
pub fn passed_descriptor(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: duplicating takes integers and gives a new descriptor or -1.
    let fd = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the descriptor was made above and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of the first descriptor that a service manager passes (sd_listen_fds(3)).
const FIRST_PASSED: i32 = 3;

/// Closes this process's copies of the descriptors that were passed to it for another one: the first
/// `count` from number 3 on, up to one that is not open. Those that are closed on exec stay, because
/// nothing that was passed is.
pub fn close_passed(count: u32) {
    let end = FIRST_PASSED.saturating_add_unsigned(count);
    for number in FIRST_PASSED..end {
        // SAFETY: asking for flags takes integers and changes nothing.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags < 0 {
            return;
        }
        if flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: whatever this program opens is closed on exec from its first moment, so this
            // one was there before the program was executed, and nothing in it owns it.
            unsafe { libc::close(number) };
        }
    }
}

/// A process that cannot be forked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForkError {
    /// Other threads would be missing in the child, with the locks they hold.
    #[error(
        "forking needs a process with 1 thread, found {found}; do it before threads or a runtime start"
    )]
    Threads {
        /// How many threads there are.
        found: usize,
    },
    /// Nobody says how many threads there are.
    #[error(
        "forking needs a process with 1 thread, and {THREADS} does not say how many there are: {0}; mount /proc (mount -t proc proc /proc)"
    )]
    Uncounted(io::Error),
    /// The system refused.
    #[error(
        "cannot fork: {0}; see whether the limit of processes (ulimit -u, TasksMax=) or memory is reached"
    )]
    System(#[from] io::Error),
}

/// Forks a child that runs `body` and ends with the status it gives; gives the child's pid. The
/// child runs no exit handlers and flushes nothing.
///
/// # Errors
/// [`ForkError`] when this process has threads or the system refuses.
pub fn fork_child(body: impl FnOnce() -> i32) -> Result<u32, ForkError> {
    match threads().map_err(ForkError::Uncounted)? {
        1 => {}
        found => return Err(ForkError::Threads { found }),
    }
    // SAFETY: with one thread the child is a whole copy: no lock is held by a thread it lacks.
    let pid = unsafe { libc::fork() };
    if Errno::result(pid).map_err(io::Error::from)? != 0 {
        return Ok(pid as u32);
    }
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
    // SAFETY: ends this process, which is a child that nothing waits for but its parent.
    unsafe { libc::_exit(status) }
}

/// The controlling terminal on standard input, when this process's group is in its foreground.
#[must_use]
pub fn foreground_terminal() -> Option<BorrowedFd<'static>> {
    // SAFETY: descriptor 0 is only looked at; were it closed, the calls below would say EBADF.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let group = nix::unistd::tcgetpgrp(stdin).ok()?;
    (group == nix::unistd::getpgrp()).then_some(stdin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_rises_and_images_and_random_numbers_are_not_zero() {
        let before = monotonic_ns();
        assert!(monotonic_ns() >= before && before > 0);
        assert_ne!(image(), 0);
        assert_ne!(random_u64().unwrap(), random_u64().unwrap());
    }

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let error = fork_child(|| 0).unwrap_err();
        assert!(matches!(error, ForkError::Threads { found } if found > 1), "{error}");
    }
}
