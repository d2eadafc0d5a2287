//! The threads that do things in the background, and how they leave before a fork.

use std::io;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tallyboard_segment::process::{spawn_quiet, thread_id};

use super::background::Task;
use super::registry::{About, Registry};

impl Registry {
    /// Has a thread of its own do something.
    pub(crate) fn in_background(&'static self, task: Task) -> io::Result<()> {
        spawn_quiet("tallyboard", move || {
            let (life, number) = (self.page.life(), thread_id());
            self.state.lock().background.of(life).threads.insert(number, thread::current());
            let left = task.run();
            let mut state = self.state.lock();
            let background = state.background.of(life);
            background.threads.remove(&number);
            background.left.extend(left);
        })
    }

    /// A pause of a thread in the background; says whether it may go on.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        let (life, begun) = (self.page.life(), Instant::now());
        while !self.state.lock().background.of(life).is_leaving {
            match pause.checked_sub(begun.elapsed()) {
                Some(rest) if !rest.is_zero() => thread::park_timeout(rest),
                _ => return true,
            }
        }
        false
    }

    /// Tells the threads in the background to leave as soon as they wait for nobody; gives the numbers
    /// of those that run.
    pub(crate) fn leave_background(&self) -> Vec<u32> {
        let mut state = self.state.lock();
        let background = state.background.of(self.page.life());
        background.is_leaving = true;
        background.threads.values().for_each(Thread::unpark);
        background.threads.keys().copied().collect()
    }

    /// Goes on with what was left to do.
    pub(crate) fn enter_background(&'static self) {
        let left = {
            let mut state = self.state.lock();
            let background = state.background.of(self.page.life());
            background.is_leaving = false;
            std::mem::take(&mut background.left)
        };
        for task in left {
            if let Err(error) = self.in_background(task) {
                self.warn(About::Threads, &format!(
                    "no thread to go on with: {error}; see whether the limit of threads is reached"
                ));
            }
        }
    }
}
