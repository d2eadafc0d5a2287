//! What threads of this client do in the background, and how they leave before a fork.
//!
//! A program may fork whatever they do: a child needs nothing of theirs. But an interpreter counts the
//! threads of its process as it forks, and warns of what it finds. So a binding may have them leave
//! first, and go on with what they had left to do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tallyboard_segment::process::{spawn_quiet, thread_id};

use super::detached::{Late, attach, check, run_dry};
use super::registry::{About, Registry};

/// Something that a thread does.
pub(crate) enum Task {
    /// The first use of this process.
    Begin,
    /// To ask for a slot until there is one, first after this pause.
    Attach(Duration),
    /// To ask whether the arena was replaced.
    Check,
    /// To move what comes late.
    Pump(Late),
}

/// The threads of a process.
#[derive(Default)]
pub(crate) struct Background {
    /// The process that all of this is of.
    life: u64,
    /// Those that run, by their numbers.
    threads: BTreeMap<u32, Thread>,
    /// Whether they are to leave.
    is_leaving: bool,
    /// What those that left had to do still.
    left: Vec<Task>,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Background {
    /// That of the process `life`: a child has none of its parent's threads.
    fn of(&mut self, life: u64) -> &mut Self {
        if self.life != life {
            *self = Self { life, ..Self::default() };
        }
        self
    }
}

impl Registry {
    /// Has a thread of its own do something.
    pub(crate) fn in_background(&'static self, task: Task) -> io::Result<()> {
        spawn_quiet("tallyboard", move || {
            let (life, number) = (self.page.life(), thread_id());
            self.state.lock().background.of(life).threads.insert(number, thread::current());
            let left = match task {
                Task::Begin => {
                    drop(self.first_use());
                    None
                }
                Task::Attach(pause) => attach(self, pause),
                Task::Check => check(self),
                Task::Pump(late) => run_dry(self, late),
            };
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_thread_leaves_before_a_fork_and_goes_on_after_it() {
        let nobody = format!("unix:@tallyboard/test/background-{}", std::process::id());
        let registry = Registry::builder().address(&nobody).on_warning(|_| {}).build();
        assert!(registry.attach().is_err());
        let living = || {
            let mut state = registry.state.lock();
            let background = state.background.of(registry.page.life());
            background.threads.keys().next().copied()
        };
        let mut before = None;
        for _ in 0..3 {
            let number = loop {
                match living() {
                    Some(number) if before != Some(number) => break number,
                    _ => thread::yield_now(),
                }
            };
            assert_eq!(registry.leave_background(), [number]);
            while Path::new(&format!("/proc/self/task/{number}")).exists() {
                thread::yield_now();
            }
            assert_eq!((living(), registry.leave_background()), (None, vec![]));
            assert!(!registry.rest(Duration::MAX));
            registry.enter_background();
            assert!(registry.rest(Duration::from_millis(1)));
            before = Some(number);
        }
    }
}
