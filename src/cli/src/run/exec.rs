//! `tallyboard exec`: a supervisor around one application.
//!
//! This process is the keeper and the application's parent, so a supervisor that ends takes nothing
//! of the application with it. The application has a process group of its own, and the terminal when
//! this process had it: what a terminal sends reaches the application once, from the kernel, and
//! what somebody else sends to this process is forwarded to one process, the one that is followed.
//! That is the command at first; when it ends and leaves behind an adopted process that counts here
//! or executes the same program (gunicorn's USR2), it is the oldest such process. SIGTERM means the
//! whole application, as a service manager and a container's runtime mean it: what is left behind
//! after it is told too, and the status to end with is that of the process that was told first.
//!
//! Under a service manager this process is the service's main one and stays it, whichever process is
//! followed. All else that the service manager gives is the application's. Descriptors that it passed
//! are inherited, and neither this process nor a supervisor keeps them, so a socket that the
//! application closes is closed. The variables that name whom they are for name the command
//! ([`Passed`]). `NOTIFY_SOCKET` is the command's too, and this process says nothing there: only the
//! application knows when it is ready, and says it where `NotifyAccess=all` lets it; so it is with
//! `WATCHDOG=1`.
//!
//! Reaping is the keeper's alone ([`Keeper::wait`]), so a pid that was not reported as ended still
//! names the same process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Args;
use nix::fcntl::OFlag;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill, killpg, raise};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, geteuid, getpgrp, getpid, pipe2, setpgid, tcgetpgrp, tcsetpgrp};
use tallyboard_segment::pass::Address;
use tallyboard_segment::process::{close_passed, foreground_terminal, fork_child};
use tallyboard_segment::trust;
use tallyboard_supervisor::{Config, Happening, Keeper, random_address};
use tracing::{info, warn};

use crate::errors::text_of;
use crate::flags::arena_name;
use crate::proc::{self, Executable};
use crate::run::flags::ArenaFlags;
use crate::run::passed::Passed;
use crate::run::swept;
use crate::send::export::Service;

/// The supervisor could not be started: as env(1) and timeout(1) say that they failed themselves.
const FAILED: u8 = 125;
/// The command cannot be executed (POSIX, Shell Command Language, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
/// The command is not found (the same).
const NOT_FOUND: u8 = 127;

/// Flags of `exec`.
#[derive(Args, Clone, Debug)]
pub struct ExecFlags {
    /// Name of the arena [default: exec-PID].
    #[arg(long, value_name = "NAME", value_parser = arena_name)]
    pub name: Option<String>,
    /// Where workers attach, unix:/path or unix:@name [default: a random abstract name].
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<Address>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub arena: ArenaFlags,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// Runs a command to its end, and says what it came to.
pub fn run(flags: &ExecFlags) -> ExitCode {
    let passed = Passed::to_this_process();
    // What the command finds must be what this program found, before the keeper blocks signals.
    let outcome = SigSet::thread_get_mask()
        .context("cannot read the signal mask")
        .and_then(|mask| Ok((open(flags, passed)?, mask)));
    let (keeper, mask) = match outcome {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("tallyboard: {}", text_of(&error));
            return ExitCode::from(FAILED);
        }
    };
    swept::sweep();
    let status = Application::run(keeper, &flags.command, mask, passed);
    swept::sweep();
    ExitCode::from(status)
}

/// What a supervisor is started with for these flags.
///
/// # Errors
/// When two of them exclude each other, or something cannot be had.
pub fn config(flags: &ExecFlags) -> Result<Config> {
    let name = flags.name.clone().unwrap_or_else(|| format!("exec-{}", std::process::id()));
    let control = match &flags.control {
        Some(control) => control.clone(),
        None => random_address().context("cannot make a control address")?,
    };
    let mut config = flags.arena.config(&name, control, false)?;
    config.is_ephemeral = flags.name.is_none();
    // A command of root's becomes another user, and stays this application; whom flags name is enough.
    config.admits_own = geteuid().is_root() && config.worker_uids.is_empty();
    Ok(config)
}

fn open(flags: &ExecFlags, passed: Passed) -> Result<Keeper> {
    let mut config = config(flags)?;
    config.passed_descriptors = passed.descriptors;
    let service = flags.name.clone().unwrap_or_else(|| unknown_service(&flags.command));
    config.outlets = flags.arena.export.outlets(&Service::new(service, &config.name))?;
    let mut keeper = Keeper::open(config)?;
    if let Err(error) = keeper.start() {
        keeper.stop();
        return Err(error).context("cannot start the supervisor");
    }
    Ok(keeper)
}

/// What OpenTelemetry calls a service that has no name.
fn unknown_service(command: &[OsString]) -> String {
    let program = command.first().and_then(|program| Path::new(program).file_name());
    let program = program.map(|program| program.to_string_lossy().into_owned());
    format!("unknown_service:{}", program.unwrap_or_default())
}

/// The application, and the keeper around it.
struct Application {
    keeper: Keeper,
    /// The process whose end is the application's, and that signals are forwarded to.
    followed: u32,
    /// What it executes; `None` when this process may not know.
    executable: Option<Executable>,
    /// Who was told to end by SIGTERM; nobody while the application is to go on.
    told: Vec<u32>,
    /// The process group that the command leads.
    group: Pid,
    /// The terminal that was given to the group.
    terminal: Option<BorrowedFd<'static>>,
}

impl Application {
    /// Starts the command, follows it to its end, and gives the status to end with.
    fn run(keeper: Keeper, command: &[OsString], mask: SigSet, passed: Passed) -> u8 {
        if let Err(error) = set_child_subreaper(true) {
            warn!(%error, "descendants that lose their parent will not be adopted");
        }
        let terminal = foreground_terminal();
        let address = keeper.address().to_string();
        let pid = match start(command, &address, mask, terminal, passed) {
            Ok(pid) => pid,
            Err(error) => {
                take_back(terminal);
                keeper.stop();
                return report(command, &error);
            }
        };
        close_passed(passed.descriptors);
        let group = Pid::from_raw(pid as i32);
        // A command that has ended already no longer says what it executed.
        let executable = Executable::of(pid).or_else(|| {
            let search = std::env::var_os("PATH").unwrap_or_default();
            Executable::resolve(command.first()?, &search)
        });
        let mut application =
            Self { keeper, followed: pid, executable, told: Vec::new(), group, terminal };
        let status = application.follow();
        take_back(application.terminal);
        application.keeper.stop();
        status
    }

    fn follow(&mut self) -> u8 {
        let mut stopped = None;
        loop {
            match self.keeper.wait() {
                Ok(Happening::Signal(signal)) => self.forward(signal),
                Ok(Happening::Exited { pid, status }) if pid == self.followed => {
                    if !self.told.is_empty() {
                        stopped.get_or_insert(status);
                    }
                    let left = self.left();
                    match left.first() {
                        Some(&next) => {
                            info!(ended = pid, %status, "the application goes on as process {next}");
                            self.go_on(next, &left);
                        }
                        None => return code_of(stopped.unwrap_or(status)),
                    }
                }
                Ok(Happening::Stopped { pid, .. }) if pid == self.followed => self.pause(),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("tallyboard: the keeper cannot wait for what happens: {error}");
                    return FAILED;
                }
            }
        }
    }

    /// Follows `next`. When the application is to end, all that are `left` of it are told so once.
    fn go_on(&mut self, next: u32, left: &[u32]) {
        self.followed = next;
        self.executable = Executable::of(next);
        if self.told.is_empty() {
            return;
        }
        for &pid in left {
            if !self.told.contains(&pid) {
                self.told.push(pid);
                send(pid, Signal::SIGTERM);
            }
        }
    }

    fn forward(&mut self, signal: i32) {
        // The command may have been a wrapper that has executed the application since, and this
        // signal may be the one that makes it start its successor and end.
        self.executable = Executable::of(self.followed).or(self.executable.take());
        let Ok(signal) = Signal::try_from(signal) else { return };
        if signal == Signal::SIGTERM {
            self.told.push(self.followed);
        }
        send(self.followed, signal);
    }

    /// The adopted processes that count here or execute the same program, oldest first.
    fn left(&mut self) -> Vec<u32> {
        let supervisor = self.keeper.supervisor_pid();
        let holders = self.keeper.slot_holders();
        let children = proc::children_of(std::process::id()).unwrap_or_else(|error| {
            warn!(%error, "cannot look for processes that the application has left");
            Vec::new()
        });
        let is_left = |pid: u32| {
            let is_same = || {
                let program = Executable::of(pid);
                program.zip(self.executable.as_ref()).is_some_and(|(one, other)| one.is(other))
            };
            Some(pid) != supervisor && (holders.contains(&pid) || is_same())
        };
        children.iter().map(|child| child.pid).filter(|&pid| is_left(pid)).collect()
    }

    /// The application was stopped. At a terminal that is the job control of a shell, which knows
    /// this process only: stop as well, and go on together.
    fn pause(&mut self) {
        let Ok(()) = tcgetpgrp(io::stdin()).map(drop) else { return };
        take_back(self.terminal);
        // In a group that no shell controls the kernel drops the signal, and both go on at once.
        let stop = SigSet::from(Signal::SIGTSTP);
        let stopped = raise(Signal::SIGTSTP)
            .and_then(|()| stop.thread_unblock())
            .and_then(|()| stop.thread_block());
        if let Err(error) = stopped {
            warn!(%error, "cannot stop with the application");
        }
        self.terminal = foreground_terminal();
        if let Some(terminal) = self.terminal {
            // A terminal that cannot be given is the application's to miss.
            let _ = tcsetpgrp(terminal, self.group);
        }
        // The group may be gone when another process is followed by now.
        let _ = killpg(self.group, Signal::SIGCONT);
        let _ = kill(Pid::from_raw(self.followed as i32), Signal::SIGCONT);
    }
}

fn send(pid: u32, signal: Signal) {
    if let Err(error) = kill(Pid::from_raw(pid as i32), signal) {
        warn!(%signal, pid, %error, "cannot forward a signal");
    }
}

/// Makes this process's group the foreground group again.
fn take_back(terminal: Option<BorrowedFd<'static>>) {
    if let Some(terminal) = terminal {
        // The keeper blocks SIGTTOU, so a group in the background may do this. A terminal that has
        // hung up meanwhile has no foreground.
        let _ = tcsetpgrp(terminal, getpgrp());
    }
}

/// Starts `command` with its own process group, the terminal, and the signal mask that this program
/// was started with. It has been executed when this returns.
fn start(
    command: &[OsString],
    address: &str,
    mask: SigSet,
    terminal: Option<BorrowedFd<'static>>,
    passed: Passed,
) -> io::Result<u32> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prepared = Command::new(program);
    prepared.args(arguments).env("TALLYBOARD", address);
    // For processes of the command that become another user.
    prepared.env(trust::VARIABLE, geteuid().to_string());
    // Closed by a successful exec; else it brings the error.
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let mut write = Some(File::from(write));
    let mut read = Some(read);
    let pid = fork_child(|| {
        drop(read.take());
        passed.pass_on(&mut prepared);
        let error = execute(&mut prepared, mask, terminal);
        let code = error.raw_os_error().unwrap_or(nix::libc::EINVAL);
        // The parent can only be told this way, or be gone.
        let _ = write.take().map(|mut write| write.write_all(&code.to_ne_bytes()));
        i32::from(NOT_FOUND)
    });
    let pid = pid.map_err(io::Error::other)?;
    drop(write);
    let mut code = Vec::new();
    read.map(|read| File::from(read).read_to_end(&mut code)).transpose()?;
    match <[u8; 4]>::try_from(&code[..]) {
        Ok(code) => {
            waitpid(Pid::from_raw(pid as i32), None)?;
            Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)))
        }
        Err(_) => Ok(pid),
    }
}

/// Becomes the command; returns only with an error. SIGTTOU is blocked here, as the keeper blocks
/// it, so that a group in the background may take the terminal.
fn execute(
    command: &mut Command,
    mask: SigSet,
    terminal: Option<BorrowedFd<'static>>,
) -> io::Error {
    let prepared = setpgid(Pid::from_raw(0), Pid::from_raw(0)).and_then(|()| {
        if let Some(terminal) = terminal {
            // A terminal that cannot be taken is no reason not to start.
            let _ = tcsetpgrp(terminal, getpid());
        }
        mask.thread_set_mask()
    });
    match prepared {
        Ok(()) => command.exec(),
        Err(error) => error.into(),
    }
}

/// Says why the command does not run, and gives the status for it.
fn report(command: &[OsString], error: &io::Error) -> u8 {
    let program = command.first().map_or(String::new(), |name| name.display().to_string());
    let (status, advice) = match error.kind() {
        io::ErrorKind::NotFound => (NOT_FOUND, "check its name, its interpreter and PATH"),
        _ => (NOT_EXECUTABLE, "check that it is a program and may be executed"),
    };
    eprintln!("tallyboard: cannot execute {program:?}: {error}; {advice}");
    status
}

/// The exit status that stands for how a process ended: its code, or 128 and its signal.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_a_signal_is_128_and_its_number() {
        for (raw, expect) in [(0, 0), (7 << 8, 7), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(code_of(ExitStatus::from_raw(raw)), expect);
        }
    }

    #[test]
    fn a_command_that_does_not_run_is_told_apart() {
        let command = [OsString::from("x")];
        for (errno, expect) in [
            (nix::libc::ENOENT, NOT_FOUND),
            (nix::libc::EACCES, NOT_EXECUTABLE),
            (nix::libc::ENOEXEC, NOT_EXECUTABLE),
            (nix::libc::EISDIR, NOT_EXECUTABLE),
        ] {
            assert_eq!(report(&command, &io::Error::from_raw_os_error(errno)), expect);
        }
    }
}
