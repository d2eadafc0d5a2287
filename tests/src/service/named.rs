//! `tallyboard serve` under a name, which can be killed and started again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tallyboard_proto::control::Description;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;

use crate::read::page::Page;
use crate::service::served::{answering, words};
use crate::start::child::{HANG, Running, free_address};
use crate::start::program::program;

/// Kills a keeper and its supervisor, which leaves a named object behind.
pub fn leave_behind(serve: Running, described: &Description) {
    for pid in [described.keeper_pid, described.supervisor_pid] {
        // The supervisor may have ended already, without its keeper.
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).ok();
    }
    drop(serve.end());
}

/// A `tallyboard serve` of a named arena that can be killed and started again.
#[derive(Debug)]
pub struct Named {
    /// Name of the arena.
    pub name: String,
    /// Path of its object.
    pub object: String,
    /// Where its workers attach.
    pub control: Address,
    listen: String,
    worker: &'static str,
}

impl Named {
    /// A name that no other test has, for workers of the program `worker`.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn new(name: &str, worker: &'static str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let control = Address::Abstract(format!("tallyboard/test/{name}"));
        let object = format!("/dev/shm/tallyboard-{}-{name}", geteuid());
        let listen = free_address().to_string();
        Self { name, object, control, listen, worker }
    }

    /// The command line that serves it, with more flags, or other ones.
    #[must_use]
    pub fn command(&self, more: &[&str]) -> Command {
        let words = words(&self.name, &self.control, "posix", &self.listen, more);
        program(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Serves it.
    ///
    /// # Panics
    /// When it ends before it answers.
    #[must_use]
    pub fn serve(&self, more: &[&str]) -> (Running, Description) {
        let serve = Running::start(&mut self.command(more));
        answering(serve, &self.control)
    }

    /// Starts a worker of it.
    #[must_use]
    pub fn worker(&self, words: &[&str]) -> Running {
        let mut worker = Command::new(self.worker);
        worker.args(words).env("TALLYBOARD", self.control.to_string());
        Running::start(worker.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60000"))
    }

    /// What its workers have counted.
    ///
    /// # Panics
    /// When nobody serves it.
    #[must_use]
    pub fn counted(&self) -> Option<f64> {
        let page = ask::scrape(&self.control, &[], HANG).expect("the supervisor answers");
        let page = Page::parse(&String::from_utf8_lossy(&page)).expect("a page");
        page.value("app_done_total", &[("by", "worker")])
    }

    /// Which object has its name.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        fs::metadata(&self.object).map(|object| object.ino()).ok()
    }
}
