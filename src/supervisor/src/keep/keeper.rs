//! The keeper: the small parent of supervisors. It has one thread and no runtime, parses nothing
//! and serves nothing. It owns what must outlive a supervisor: the arena's object and lock, the
//! listening sockets, and a pidfd for each slot.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use sd_notify::NotifyState;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::names::Removal;
use tallyboard_segment::pass::{Address, Socket};
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::posix;
use tallyboard_segment::process::{ForkError, close_passed, fork_child};
use tallyboard_segment::reach::{NoDescriptor, is_out_of_descriptors};

use crate::config::Config;
use crate::keep::child::{Child, Restart};
use crate::keep::holders::{Holder, Holders};
use crate::keep::inheritance::{Inheritance, LOST, Run};
use crate::keep::link::{self, ToKeeper, ToSupervisor};
use crate::keep::listen::MetricsSocket;
use crate::keep::open::{Opened, open};
use crate::keep::prune;
use crate::keep::service::{self, Watchdog};
use crate::keep::unopened::OpenError;
use crate::outlet::LAST_EXPORT;
use crate::page::collector::Spent;

/// How often an address that is taken is tried again.
const LISTEN_RETRY: Duration = Duration::from_secs(5);
/// How long a supervisor may take to stop, beside what its outlets may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Signals that a keeper takes as messages rather than as interruptions.
const SIGNALS: [Signal; 11] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGTSTP,
    Signal::SIGCHLD,
];

/// What holds an arena together while supervisors come and go.
#[derive(Debug)]
pub struct Keeper {
    config: Config,
    run: Run,
    opened: Opened,
    signals: SignalFd,
    supervisor: Option<Child>,
    starts: u64,
    restart: Restart,
    holders: Holders,
    /// Processor time of the workers, as the last supervisor left it.
    spent: Spent,
    retry_at: Option<Instant>,
    watchdog: Option<Watchdog>,
    pending: VecDeque<Happening>,
    /// Whether somebody has cut off the arena's object.
    is_lost: bool,
}

/// What a keeper's owner has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A signal came.
    Signal(i32),
    /// A child that is not the supervisor has ended and was reaped.
    Exited {
        /// Its pid.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
    },
    /// A child that is not the supervisor was stopped by a signal.
    Stopped {
        /// Its pid.
        pid: u32,
        /// The signal.
        signal: i32,
    },
    /// Somebody has cut off the arena's object: nothing is counted any more, and whoever asks is told
    /// so until this keeper ends.
    ArenaLost,
    /// One of the descriptors given to [`Keeper::wait_for`] is readable; its place in the list.
    Readable(usize),
}

impl Keeper {
    /// As [`Keeper::open`], with what its supervisors are to do.
    pub(crate) fn open_for(config: Config, run: Run) -> Result<Self, OpenError> {
        // Before anything is made that must be removed: no signal ends this process in between.
        let mask: SigSet = SIGNALS.into_iter().collect();
        mask.thread_block().map_err(io::Error::from)?;
        // A file that would become too long is an error to whoever writes it, and no reason to end:
        // an arena, an answer, or the log. Supervisors inherit this.
        SigSet::from(Signal::SIGXFSZ).thread_block().map_err(io::Error::from)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&mask, flags).map_err(io::Error::from)?;
        let mut opened = open(&config)?;
        let served = opened.metrics.iter().filter_map(MetricsSocket::local_address);
        served.for_each(|at| tracing::info!("metrics on {}", config.metrics_url(at)));
        tracing::info!(
            arena = %config.name,
            backing = %opened.backing,
            reason = %opened.reason,
            control = %config.control,
            "opened the arena"
        );
        opened.warnings.drain(..).for_each(|warning| tracing::warn!("{warning}"));
        prune::clear();
        // What was kept before is kept still.
        if config.is_service
            && !opened.is_reopened
            && opened.object.is_none()
            && let Some(object) = opened.arena.as_ref().and_then(Arena::object)
        {
            service::keep(object);
        }
        Ok(Self {
            holders: Holders::of(opened.layout.geometry.slots),
            spent: Spent::default(),
            retry_at: None,
            watchdog: config.is_service.then(Watchdog::wanted).flatten(),
            pending: VecDeque::new(),
            is_lost: false,
            supervisor: None,
            starts: 0,
            restart: Restart::default(),
            config,
            run,
            opened,
            signals,
        })
    }

    /// Where workers attach.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.config.control
    }

    /// Where metrics are served now.
    #[must_use]
    pub fn metrics(&self) -> Vec<SocketAddr> {
        self.opened.metrics.iter().filter_map(|socket| socket.local_address()).collect()
    }

    /// Pid of the supervisor that runs now.
    #[must_use]
    pub fn supervisor_pid(&self) -> Option<u32> {
        self.supervisor.as_ref().map(|child| child.pid.as_raw() as u32)
    }

    /// Starts the supervisor.
    ///
    /// # Errors
    /// [`ForkError`] when this process has threads, or the system refuses.
    pub fn start(&mut self) -> Result<(), ForkError> {
        let (mine, theirs) = Socket::pair()?;
        self.starts += 1;
        let mut mine = Some(mine);
        let pid = fork_child(|| {
            // The copy of the keeper's end would keep the link open after the keeper's death.
            drop(mine.take());
            close_passed(self.config.passed_descriptors);
            // What is lost stays where it is, so that nothing of it is touched.
            let arena = if self.is_lost { None } else { self.opened.arena.take() };
            if arena.is_none() && !self.is_lost {
                return 1;
            }
            let inheritance = Inheritance {
                config: &self.config,
                arena,
                layout: self.opened.layout,
                origin: self.opened.origin,
                backing: self.opened.backing,
                reason: &self.opened.reason,
                control: &self.opened.control.listener,
                metrics: &self.opened.metrics,
                holders: std::mem::take(&mut self.holders),
                spent: self.spent,
                starts: self.starts,
                is_reopened: self.opened.is_reopened,
            };
            (self.run)(inheritance, theirs)
        })?;
        let Some(link) = mine else { return Ok(()) };
        self.supervisor = Some(Child::new(pid, link));
        self.retry_at = self
            .opened
            .metrics
            .iter()
            .any(|socket| socket.listener.is_none())
            .then(|| Instant::now() + LISTEN_RETRY);
        tracing::info!(pid, "started the supervisor");
        Ok(())
    }

    /// Waits for something that the owner has to act on.
    ///
    /// # Errors
    /// What `poll` or reading signals says.
    pub fn wait(&mut self) -> io::Result<Happening> {
        self.wait_for(&[])
    }

    /// As [`Keeper::wait`], with descriptors of the owner's that it wants to read.
    ///
    /// # Errors
    /// As [`Keeper::wait`].
    pub fn wait_for(&mut self, readable: &[BorrowedFd<'_>]) -> io::Result<Happening> {
        loop {
            if let Some(happening) = self.pending.pop_front() {
                return Ok(happening);
            }
            let ready = self.poll(readable)?;
            self.take_signals()?;
            self.take_messages();
            self.start_again();
            self.retry_listeners();
            self.ask();
            (self.config.tell_left_out)(false);
            self.pending.extend(ready.into_iter().map(Happening::Readable));
        }
    }

    /// Waits until a signal, a message, one of `readable` or the next retry; gives which of
    /// `readable` are.
    fn poll(&self, readable: &[BorrowedFd<'_>]) -> io::Result<Vec<usize>> {
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        polled.extend(readable.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let link = self.supervisor.as_ref().map(|child| child.link.as_fd());
        polled.extend(link.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let ask_at = self.watchdog.as_ref().map(Watchdog::due);
        let due = [self.retry_at, self.restart.due(), ask_at];
        let timeout = match due.into_iter().flatten().min() {
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = polled[1..=readable.len()].iter().enumerate();
        Ok(ready.filter(|(_, fd)| fd.any().unwrap_or(false)).map(|(at, _)| at).collect())
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let signal = info.ssi_signo as i32;
            if signal == Signal::SIGCHLD as i32 {
                self.reap();
            } else {
                self.pending.push_back(Happening::Signal(signal));
            }
        }
        Ok(())
    }

    /// Reaps every child that has ended.
    fn reap(&mut self) {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        loop {
            let (pid, raw) = match waitpid(Pid::from_raw(-1), Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    let (pid, signal) = (pid.as_raw() as u32, signal as i32);
                    self.pending.push_back(Happening::Stopped { pid, signal });
                    continue;
                }
                Err(Errno::EINTR) => continue,
                _ => return,
            };
            let status = ExitStatus::from_raw(raw);
            if self.supervisor.as_ref().is_some_and(|child| child.pid == pid) {
                self.mourn(status);
            } else {
                let pid = pid.as_raw() as u32;
                self.pending.push_back(Happening::Exited { pid, status });
            }
        }
    }

    /// Plans the next supervisor: at once, unless this one died too young.
    fn mourn(&mut self, status: ExitStatus) {
        // What it said before it died is still in the link: slots that it was about to assign.
        self.take_messages();
        let Some(child) = self.supervisor.take() else { return };
        self.see_loss();
        let backoff_ms = self.restart.plan(child.age()).as_millis();
        tracing::error!(%status, backoff_ms, "the supervisor has ended; starting another");
    }

    /// Looks whether the supervisor has ended because its arena is lost: the next one must not touch
    /// it.
    fn see_loss(&mut self) {
        let is_whole = self.opened.arena.as_ref().is_none_or(Arena::is_whole);
        if self.is_lost || is_whole {
            return;
        }
        self.is_lost = true;
        self.pending.push_back(Happening::ArenaLost);
        let object = self.opened.object.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(object, "{}", LOST.trim_end());
    }

    /// Starts another supervisor when it is time to.
    fn start_again(&mut self) {
        if self.restart.is_due()
            && let Err(error) = self.start()
        {
            tracing::error!(%error, "cannot start another supervisor yet");
            self.restart.put_off();
        }
    }

    /// Takes what the supervisor says.
    fn take_messages(&mut self) {
        loop {
            let Some(child) = &self.supervisor else { return };
            match link::receive::<ToKeeper>(&child.link) {
                Ok(Some((ToKeeper::Assigned { slot, generation, pid }, Some(fd)))) => {
                    let holder =
                        Holder { generation, pid: pid as u32, pidfd: Pidfd::from_passed(fd) };
                    self.holders.put(slot as usize, holder);
                }
                Ok(Some((ToKeeper::Ready, _))) => {
                    tracing::info!("the supervisor is ready");
                    self.say(NotifyState::Ready);
                    self.pat();
                }
                Ok(Some((ToKeeper::Alive, _))) => self.pat(),
                Ok(Some((ToKeeper::Spent(spent), _))) => self.spent = spent,
                Ok(Some(_)) => tracing::error!("the supervisor sent a pidfd that did not arrive"),
                Ok(None) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_descriptors(&error) => tracing::error!(
                    "cannot keep the pidfd of a worker for the next supervisor: {}",
                    NoDescriptor(&error)
                ),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%error, "the supervisor said what cannot be understood");
                }
                Err(error) => {
                    tracing::error!(%error, "the link to the supervisor is broken");
                    return;
                }
            }
        }
    }

    /// Asks the supervisor for a sign of life, when it is time to.
    fn ask(&mut self) {
        if !self.watchdog.as_mut().is_some_and(Watchdog::is_due) {
            return;
        }
        // Where there is none another one is about to start, which says that it is ready.
        if let Some(child) = &mut self.supervisor {
            child.ask();
        }
    }

    /// Passes a sign of life of the supervisor on to the service manager.
    fn pat(&mut self) {
        if let Some(child) = &mut self.supervisor {
            child.has_answered();
        }
        if self.watchdog.is_some() {
            service::say(NotifyState::Watchdog);
        }
    }

    /// Tells the service manager, when this is its service.
    fn say(&self, state: NotifyState<'_>) {
        if self.config.is_service {
            service::say(state);
        }
    }

    /// Tries again to bind the metrics addresses that were taken.
    fn retry_listeners(&mut self) {
        if self.retry_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.retry_at = None;
        for (index, socket) in self.opened.metrics.iter_mut().enumerate() {
            if socket.listener.is_some() {
                continue;
            }
            match socket.bind() {
                Ok(()) => {
                    if let Some(at) = socket.local_address() {
                        tracing::info!("metrics on {}", self.config.metrics_url(at));
                    }
                    let message = ToSupervisor::Listener { index: index as u64 };
                    let fd = socket.listener.as_ref().map(AsFd::as_fd);
                    if let Some(child) = &self.supervisor
                        && let Err(error) = link::send(&child.link, message, fd)
                    {
                        tracing::error!(%error, "cannot pass a metrics socket to the supervisor");
                    }
                }
                Err(error) => {
                    tracing::warn!(address = %socket.address, %error, "cannot serve metrics yet");
                    self.retry_at = Some(Instant::now() + LISTEN_RETRY);
                }
            }
        }
    }

    /// Pids of the living processes that hold a slot, as this process sees them; those that it does
    /// not see are left out.
    pub fn slot_holders(&mut self) -> Vec<u32> {
        self.living().map(|holder| holder.pid).filter(|&pid| pid != 0).collect()
    }

    /// The living processes that hold a slot.
    fn living(&mut self) -> impl Iterator<Item = &Holder> {
        self.take_messages();
        self.holders.living()
    }

    /// Stops the supervisor and removes what nobody needs any more: the socket file, and the named
    /// object unless workers still count in it or it is to be kept.
    pub fn stop(mut self) {
        self.say(NotifyState::Stopping);
        if let Some(child) = self.supervisor.take() {
            let has_outlets = !self.config.outlets.is_empty();
            let last = if has_outlets { LAST_EXPORT } else { Duration::ZERO };
            child.stop(STOP_TIMEOUT + last);
        }
        (self.config.tell_left_out)(true);
        self.opened.control.remove();
        // What is lost is of use to nobody.
        let is_wanted = !self.config.is_ephemeral && !self.is_lost;
        let in_use = is_wanted && self.living().next().is_some();
        let (Some(object), Some(lock)) = (&self.opened.object, &self.opened.lock) else {
            if self.config.is_service {
                service::forget();
            }
            return;
        };
        if is_wanted && (self.config.keep_arena || in_use) {
            tracing::info!(%object, in_use, "kept the arena");
            return;
        }
        match posix::remove(object, lock) {
            Ok(Removal::Removed | Removal::Gone) => {}
            Ok(Removal::Another) => {
                tracing::warn!(%object, "what has the name now is not the arena of this keeper; it is left alone");
            }
            Err(error) => tracing::error!(%object, %error, "cannot remove the arena"),
        }
    }
}
