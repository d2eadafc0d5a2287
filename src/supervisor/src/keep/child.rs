//! The supervisor that runs now, as its keeper has it, and when the next one is started.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tallyboard_segment::pass::Socket;
use tallyboard_segment::pidfd::Pidfd;

use crate::keep::link::{self, ToSupervisor};

/// A supervisor that dies before this age is not replaced at once.
const SHORT_LIFE: Duration = Duration::from_millis(100);
/// Shortest and longest time before a replacement.
const BACKOFF_FROM: Duration = Duration::from_millis(50);
const BACKOFF_TO: Duration = Duration::from_secs(5);

/// The supervisor that runs now.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) link: Socket,
    started: Instant,
    /// Whether it was asked for a sign of life and has not given one.
    is_asked: bool,
}

impl Child {
    /// One that was started just now.
    pub(crate) fn new(pid: u32, link: Socket) -> Self {
        let pid = Pid::from_raw(pid as i32);
        Self { pid, link, started: Instant::now(), is_asked: false }
    }

    /// How long it has lived.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks it for a sign of life.
    pub(crate) fn ask(&mut self) {
        if self.is_asked {
            tracing::warn!(
                pid = self.pid.as_raw(),
                "the supervisor gives no sign of life; the service manager is not told of any"
            );
            return;
        }
        match link::send(&self.link, ToSupervisor::Ask, None) {
            Ok(()) => self.is_asked = true,
            Err(error) => tracing::warn!(%error, "cannot ask the supervisor for a sign of life"),
        }
    }

    /// It has given one.
    pub(crate) fn has_answered(&mut self) {
        self.is_asked = false;
    }

    /// Asks it to end; ends it when it does not.
    pub(crate) fn stop(&self, limit: Duration) {
        let asked = link::send(&self.link, ToSupervisor::Stop, None);
        let deadline = Instant::now() + limit;
        let pidfd = Pidfd::open(self.pid.as_raw() as u32);
        if let (Ok(()), Ok(pidfd)) = (asked, &pidfd) {
            while !pidfd.is_dead() && Instant::now() < deadline {
                let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                let left = deadline.saturating_duration_since(Instant::now());
                let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                // Whatever it says, the loop looks again.
                let _ = poll(&mut polled, left);
            }
        }
        if pidfd.is_ok_and(|pidfd| !pidfd.is_dead()) {
            tracing::warn!(pid = self.pid.as_raw(), "the supervisor did not stop in time");
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let _ = waitpid(self.pid, None);
    }
}

/// When the next supervisor is started, after one has ended.
#[derive(Debug, Default)]
pub(crate) struct Restart {
    at: Option<Instant>,
    backoff: Duration,
}

impl Restart {
    /// When it is, if one is planned.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.at
    }

    /// Plans the next one: at once, unless the one before has died too young. Gives how long that is.
    pub(crate) fn plan(&mut self, lived: Duration) -> Duration {
        self.backoff = if lived >= SHORT_LIFE {
            Duration::ZERO
        } else {
            (self.backoff * 2).clamp(BACKOFF_FROM, BACKOFF_TO)
        };
        self.at = Some(Instant::now() + self.backoff);
        self.backoff
    }

    /// Whether it is time; then none is planned any more.
    pub(crate) fn is_due(&mut self) -> bool {
        self.at.take_if(|at| Instant::now() >= *at).is_some()
    }

    /// Plans it for later, because it cannot be started now.
    pub(crate) fn put_off(&mut self) {
        self.at = Some(Instant::now() + BACKOFF_TO);
    }
}
