//! The thread that asks callbacks and collectors for the slot, in each process that has any.
//!
//! It is not inherited by a forked child, which starts its own at its first use. A child that is
//! forked while it is busy finds nothing of this crate held: the registry's lock is taken around
//! every fork, and the allocator's is the C library's to care for.

use std::collections::BTreeSet;
use std::thread::{self, Thread};
use std::time::Instant;

use tallyboard_segment::process::spawn_quiet;

use crate::registry::registry::{About, Registry};

/// The thread of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refresher {
    /// The process that it is of.
    life: u64,
    /// Nothing until it runs.
    thread: Option<Thread>,
}

impl Registry {
    /// Starts the thread when there is something to ask and this process has none yet.
    pub(crate) fn start_refreshing(&'static self) {
        if self.address().is_none() {
            return;
        }
        let life = self.page.life();
        {
            let mut state = self.state.lock();
            let is_asked = !state.collectors.is_empty()
                || state.callbacks.values().any(|callback| callback.is_ours());
            if !is_asked || state.refresher.life == life {
                return;
            }
            state.refresher = Refresher { life, thread: None };
        }
        if let Err(error) = spawn_quiet("tallyboard", || self.refresh()) {
            self.warn(About::Threads, &format!(
                "no thread to ask callbacks and collectors: {error}; see whether the limit of threads is reached"
            ));
        }
    }

    /// Has what is new asked without delay.
    pub(crate) fn refresh_soon(&'static self) {
        self.start_refreshing();
        let refresher = self.state.lock().refresher.clone();
        if let Some(thread) = refresher.thread.filter(|_| refresher.life == self.page.life()) {
            thread.unpark();
        }
    }

    fn refresh(&'static self) {
        self.state.lock().refresher.thread = Some(thread::current());
        let (mut callbacks, mut collectors) = (BTreeSet::new(), BTreeSet::new());
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            if now >= due {
                due = now + self.refresh_interval;
                callbacks.clear();
                collectors.clear();
            }
            self.run_callbacks(&mut callbacks);
            self.refresh_collected(&mut collectors);
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }
}
