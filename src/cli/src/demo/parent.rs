//! The parent of the demo: one thread, no runtime. It forks workers, replaces those that leave, kills
//! one a second, and in the end compares what others have counted.
//!
//! The order of a run is what makes its numbers comparable: requests, then no more requests, then
//! every answer taken, then every worker reaped, then the count, then the last look of the watch.

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tallyboard::Registry;
use tallyboard_segment::process::random_u64;

use crate::demo::application::{self, RECYCLED};
use crate::demo::children::{self, Bell, Reports};
use crate::demo::flags::DemoFlags;
use crate::demo::load::{self, Loaded};
use crate::demo::page::{self, METRICS};
use crate::demo::verdict::Numbers;
use crate::demo::watch::{self, Watched};

/// How long the first use in a process may wait for the supervisor. What a process counts without
/// one is lost to the check, so this is long.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each kind of process may take to end once it was told to.
const END_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the metrics may take in the end.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two kills.
const KILL_EVERY: Duration = Duration::from_secs(1);

/// Runs the demo to its end; says whether its numbers hold.
///
/// # Errors
/// When it cannot be set up, or is interrupted twice.
pub fn run(
    flags: &DemoFlags,
    address: &str,
    metrics: SocketAddr,
    listener: TcpListener,
) -> Result<bool> {
    let installed = Registry::builder().address(address).attach_timeout(ATTACH_TIMEOUT).install();
    installed.context("the demo's metrics")?;
    let mut parent = Parent::new(flags, metrics, listener)?;
    let outcome = parent.live();
    parent.progress.clear();
    parent.end();
    outcome
}

/// A child with work of its own, which reports.
struct Side<T> {
    name: &'static str,
    pid: u32,
    ended: bool,
    bell: Bell,
    reports: Reports<T>,
}

struct Parent<'a> {
    flags: &'a DemoFlags,
    served: SocketAddr,
    listener: TcpListener,
    application: SocketAddr,
    signals: SignalFd,
    bell: Bell,
    workers: Vec<u32>,
    /// Whether workers that end are replaced; otherwise they were told to.
    replacing: bool,
    load: Option<Side<Loaded>>,
    watch: Option<Side<Watched>>,
    next_kill: Option<Instant>,
    interruptions: u32,
    started: Instant,
    numbers: Numbers,
    progress: Progress,
}

impl<'a> Parent<'a> {
    fn new(flags: &'a DemoFlags, served: SocketAddr, listener: TcpListener) -> Result<Self> {
        let mask: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
        mask.thread_block().context("cannot block signals")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        Ok(Self {
            flags,
            served,
            application: listener.local_addr()?,
            listener,
            signals: signals.context("cannot take signals")?,
            bell: Bell::new()?,
            workers: Vec::new(),
            replacing: true,
            load: None,
            watch: None,
            next_kill: None,
            interruptions: 0,
            started: Instant::now(),
            numbers: Numbers::default(),
            progress: Progress::new(),
        })
    }

    fn live(&mut self) -> Result<bool> {
        eprintln!(
            "application on http://{}/, its metrics on http://{}{METRICS}",
            self.application, self.served
        );
        self.watch = Some(self.start_watch()?);
        (0..self.flags.workers).try_for_each(|_| self.start_worker())?;
        self.load = Some(self.start_load()?);
        self.send_requests()?;
        self.take_answers()?;
        self.reap_workers()?;
        self.count();
        self.look_back()?;
        self.progress.clear();
        let holds = self.say();
        if self.flags.serve_after && self.interruptions == 0 {
            self.serve()?;
        }
        Ok(holds)
    }

    /// Requests are sent, workers are killed and replaced.
    fn send_requests(&mut self) -> Result<()> {
        self.started = Instant::now();
        self.next_kill = Some(self.started + KILL_EVERY);
        let end = self.started + Duration::from_secs(self.flags.seconds);
        self.until(Some(end), |parent| parent.interruptions > 0 || parent.is_broken())?;
        self.next_kill = None;
        self.numbers.seconds = self.started.elapsed().as_secs();
        Ok(())
    }

    /// No more requests; those that were sent are answered, also by workers that are born for it.
    fn take_answers(&mut self) -> Result<()> {
        let Some(load) = &self.load else { return Ok(()) };
        load.bell.ring();
        let ended = |parent: &Self| parent.load.as_ref().is_none_or(Side::has_ended);
        self.until(Some(Instant::now() + END_TIMEOUT), ended)?;
        let loaded = self.load.as_ref().and_then(|load| load.reports.newest()).copied();
        match loaded {
            Some(loaded) if loaded.done => {
                (self.numbers.sent, self.numbers.answered) = (loaded.sent, loaded.answered);
            }
            _ => self.numbers.troubles.push("the load process did not end its report".to_owned()),
        }
        Ok(())
    }

    fn reap_workers(&mut self) -> Result<()> {
        self.replacing = false;
        self.bell.ring();
        let end = Instant::now() + END_TIMEOUT;
        if !self.until(Some(end), |parent| parent.workers.is_empty())? {
            let slow = format!("{} workers did not leave in time", self.workers.len());
            self.numbers.troubles.push(slow);
            self.end_workers();
        }
        Ok(())
    }

    fn count(&mut self) {
        match page::scrape(self.served, METRICS, COUNT_TIMEOUT) {
            Ok(page) => self.numbers.counted = page.counted(),
            Err(error) => self.numbers.troubles.push(format!("cannot read the count: {error:#}")),
        }
    }

    fn look_back(&mut self) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        watch.bell.ring();
        let ended = |parent: &Self| parent.watch.as_ref().is_none_or(Side::has_ended);
        self.until(Some(Instant::now() + END_TIMEOUT), ended)?;
        match self.watch.as_ref().and_then(|watch| watch.reports.newest()) {
            Some(watched) if watched.done => self.numbers.watched = watched.clone(),
            _ => self.numbers.troubles.push("the watch did not end its report".to_owned()),
        }
        Ok(())
    }

    /// Says what the run came to, and whether it holds.
    fn say(&self) -> bool {
        let text = match self.flags.json {
            true => format!("{}\n", self.numbers.object()),
            false => self.numbers.table(),
        };
        let mut out = std::io::stdout().lock();
        // Nobody may be reading; the exit status says the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.numbers.faults().is_empty()
    }

    /// Serves visitors until interrupted.
    fn serve(&mut self) -> Result<()> {
        eprintln!(
            "serving http://{}/ and http://{}{METRICS} until interrupted",
            self.application, self.served
        );
        self.bell = Bell::new()?;
        self.replacing = true;
        (0..self.flags.workers).try_for_each(|_| self.start_worker())?;
        self.until(None, |parent| parent.interruptions > 0 || parent.workers.is_empty())?;
        self.replacing = false;
        self.bell.ring();
        self.until(Some(Instant::now() + END_TIMEOUT), |parent| parent.workers.is_empty())?;
        Ok(())
    }

    /// Acts on whatever happens until `done` or `end`; says whether it is done.
    fn until(&mut self, end: Option<Instant>, done: impl Fn(&Self) -> bool) -> Result<bool> {
        loop {
            if done(self) {
                return Ok(true);
            }
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return Ok(false);
            }
            if self.next_kill.is_some_and(|at| at <= now) {
                self.next_kill = Some(now + KILL_EVERY);
                self.kill_one();
            }
            self.show_progress(now);
            let wake = [end, self.next_kill, self.load.is_some().then_some(self.progress.next)];
            self.wait(wake.into_iter().flatten().min())?;
        }
    }

    /// Waits until something happens, or until `wake`, and takes it in.
    fn wait(&mut self, wake: Option<Instant>) -> Result<()> {
        let load = self.load.as_ref().and_then(|load| load.reports.descriptor());
        let watch = self.watch.as_ref().and_then(|watch| watch.reports.descriptor());
        let fds = [Some(self.signals.as_fd()), load, watch];
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        let timeout = wake.map_or(PollTimeout::NONE, |wake| {
            let left = wake.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for what happens"),
        }
        let mut ready = polled.iter().map(|fd| fd.any().unwrap_or(false));
        let mut next = |is_polled: bool| is_polled && ready.next().unwrap_or(false);
        let (signals, load, watch) = (next(true), next(load.is_some()), next(watch.is_some()));
        if signals {
            self.take_signals()?;
        }
        if let (true, Some(load)) = (load, &mut self.load) {
            load.reports.receive()?;
        }
        if let (true, Some(watch)) = (watch, &mut self.watch) {
            watch.reports.receive()?;
        }
        Ok(())
    }

    fn take_signals(&mut self) -> Result<()> {
        while let Some(info) = self.signals.read_signal().context("cannot read signals")? {
            if info.ssi_signo as i32 != Signal::SIGCHLD as i32 {
                self.interruptions += 1;
            }
        }
        if self.interruptions > 1 {
            bail!("interrupted before the numbers were there");
        }
        self.reap()
    }

    /// Reaps by pid: this process may have children that are not the demo's.
    fn reap(&mut self) -> Result<()> {
        for pid in self.workers.clone() {
            let status = status_of(pid)?;
            if status == WaitStatus::StillAlive {
                continue;
            }
            self.workers.retain(|&worker| worker != pid);
            if self.file(status) && self.replacing {
                self.start_worker()?;
            }
        }
        reap_side(&mut self.load, &mut self.numbers)?;
        reap_side(&mut self.watch, &mut self.numbers)
    }

    /// Files how a worker ended; says whether it was one of the ways that are meant to be.
    fn file(&mut self, status: WaitStatus) -> bool {
        match status {
            WaitStatus::Exited(_, RECYCLED) => self.numbers.recycled += 1,
            WaitStatus::Exited(_, 0) if !self.replacing => {}
            WaitStatus::Signaled(_, Signal::SIGKILL | Signal::SIGTERM, _) => {
                self.numbers.killed += 1;
            }
            other => {
                self.numbers.crashed += 1;
                self.numbers.troubles.push(format!("a worker ended by itself: {other:?}"));
                return false;
            }
        }
        true
    }

    /// Whether the run cannot go on.
    fn is_broken(&self) -> bool {
        self.workers.is_empty()
            || self.load.as_ref().is_some_and(|load| load.ended)
            || self.watch.as_ref().is_some_and(|watch| watch.ended)
    }

    fn kill_one(&mut self) {
        let Ok(number) = random_u64() else { return };
        let Some(&pid) = self.workers.get(number as usize % self.workers.len().max(1)) else {
            return;
        };
        // A worker that has just left by itself is a zombie, and does not mind.
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
    }

    fn start_worker(&mut self) -> Result<()> {
        let orders = application::Orders {
            listener: &self.listener,
            bell: &self.bell,
            recycle_after: self.flags.recycle_after,
            inject: self.flags.inject,
        };
        let pid = children::fork(|| application::work(&orders))?;
        self.workers.push(pid);
        self.numbers.born += 1;
        Ok(())
    }

    fn start_load(&self) -> Result<Side<Loaded>> {
        let bell = Bell::new()?;
        let (reporter, reports) = children::line()?;
        let orders = load::Orders {
            application: self.application,
            bell: &bell,
            reporter: &reporter,
            rate: self.flags.rate,
            connections: self.flags.connections,
        };
        let pid = children::fork(|| load::run(&orders))?;
        Ok(Side { name: "the load process", pid, ended: false, bell, reports })
    }

    fn start_watch(&self) -> Result<Side<Watched>> {
        let bell = Bell::new()?;
        let (reporter, reports) = children::line()?;
        let orders = watch::Orders {
            metrics: self.served,
            bell: &bell,
            reporter: &reporter,
            inject: self.flags.inject,
        };
        let pid = children::fork(|| watch::run(&orders))?;
        Ok(Side { name: "the watch", pid, ended: false, bell, reports })
    }

    fn show_progress(&mut self, now: Instant) {
        if self.load.as_ref().is_none_or(|load| load.ended) || now < self.progress.next {
            return;
        }
        let load = self.load.as_ref().and_then(|load| load.reports.newest());
        let watch = self.watch.as_ref().and_then(|watch| watch.reports.newest());
        let (load, watch) = (load.copied().unwrap_or_default(), watch.cloned().unwrap_or_default());
        self.progress.show(
            now,
            &format!(
                "{}/{} s  sent {}  answered {}  born {}  killed {}  scrapes {}  down {}",
                self.started.elapsed().as_secs_f64().round(),
                self.flags.seconds,
                load.sent,
                load.answered,
                self.numbers.born,
                self.numbers.killed,
                watch.scrapes,
                watch.decreases,
            ),
        );
    }

    /// Ends whatever still runs.
    fn end(&mut self) {
        self.end_workers();
        let load = self.load.as_ref().filter(|load| !load.ended).map(|load| load.pid);
        let watch = self.watch.as_ref().filter(|watch| !watch.ended).map(|watch| watch.pid);
        load.into_iter().chain(watch).for_each(end_now);
    }

    fn end_workers(&mut self) {
        self.workers.drain(..).for_each(end_now);
    }
}

impl<T: DeserializeOwned> Side<T> {
    /// Whether it has ended, and everything it reported was heard.
    fn has_ended(&self) -> bool {
        self.ended && self.reports.descriptor().is_none()
    }
}

fn reap_side<T>(side: &mut Option<Side<T>>, numbers: &mut Numbers) -> Result<()> {
    let Some(side) = side.as_mut().filter(|side| !side.ended) else { return Ok(()) };
    let status = status_of(side.pid)?;
    side.ended = status != WaitStatus::StillAlive;
    if side.ended && !matches!(status, WaitStatus::Exited(_, 0)) {
        numbers.troubles.push(format!("{} ended early: {status:?}", side.name));
    }
    Ok(())
}

fn status_of(pid: u32) -> Result<WaitStatus> {
    let status = waitpid(Pid::from_raw(pid as i32), Some(WaitPidFlag::WNOHANG));
    status.with_context(|| format!("cannot wait for process {pid}"))
}

/// Kills and reaps a child.
fn end_now(pid: u32) {
    let pid = Pid::from_raw(pid as i32);
    // It is a child that was not reaped: nobody else has its pid.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}

/// How far the run is, on standard error: one line that changes on a terminal, a line each second
/// elsewhere.
struct Progress {
    is_terminal: bool,
    /// Whether the line on the terminal is ours.
    is_shown: bool,
    every: Duration,
    next: Instant,
}

impl Progress {
    fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let every = Duration::from_millis(if is_terminal { 200 } else { 1000 });
        Self { is_terminal, is_shown: false, every, next: Instant::now() + every }
    }

    fn show(&mut self, now: Instant, line: &str) {
        self.next = now + self.every;
        self.is_shown = self.is_terminal;
        match self.is_terminal {
            true => eprint!("\r{line}\x1b[K"),
            false => eprintln!("{line}"),
        }
    }

    /// Leaves an empty line for what comes next.
    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            eprint!("\r\x1b[K");
        }
    }
}
