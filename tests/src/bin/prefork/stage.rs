//! How a parent and its children tell each other how far they have come, and what both look up.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::{Acquire, Release};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd;
use tallyboard_tests::start::child::until;

/// Words that parent and children see. Each has one writer and only rises.
pub(crate) struct Stage {
    words: Arena,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, String> {
        let words = memfd::create(512).map_err(text)?;
        words.make_real(0..512).map_err(text)?;
        Ok(Self { words })
    }

    pub(crate) fn say(&self, at: usize, value: u64) {
        self.words.store(at, value, Release);
    }

    pub(crate) fn said(&self, at: usize) -> u64 {
        self.words.load(at, Acquire)
    }

    /// Waits until word `at` is at least `value`.
    pub(crate) fn wait(&self, at: usize, value: u64) {
        until(|| (self.said(at) >= value).then_some(()));
    }

    /// The same, while the child `pid` lives: one that ended instead is an error.
    pub(crate) fn wait_for(&self, pid: u32, at: usize, value: u64) -> Result<(), String> {
        until(|| {
            if self.said(at) >= value {
                return Some(Ok(()));
            }
            match waitpid(Pid::from_raw(pid as i32), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => None,
                other => Some(Err(format!("expected a child at {at} {value}, found {other:?}"))),
            }
        })
    }
}

/// What any error says.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn send(pid: u32, signal: Signal) -> Result<(), String> {
    kill(Pid::from_raw(pid as i32), signal).map_err(text)
}

/// Reaps a child that ended by itself with status 0.
pub(crate) fn ended(pid: u32) -> Result<(), String> {
    match waitpid(Pid::from_raw(pid as i32), None).map_err(text)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(format!("expected a child that ended well, found {other:?}")),
    }
}

/// Kills a child and reaps it.
pub(crate) fn killed(pid: u32) -> Result<(), String> {
    send(pid, Signal::SIGKILL)?;
    match waitpid(Pid::from_raw(pid as i32), None).map_err(text)? {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
        other => Err(format!("expected a child that was killed, found {other:?}")),
    }
}

/// The letter that /proc has for the state of a process.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Numbers of the open descriptors of a process, `self` for this one.
pub(crate) fn descriptors(process: &str) -> Result<BTreeSet<i32>, String> {
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).map_err(text)?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}
