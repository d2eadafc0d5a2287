//! The thread that asks callbacks and collectors for the slot, in each process that has any.
//!
//! It is not inherited by a forked child, which starts its own at its first use. A child that is
//! forked while it is busy finds nothing of this crate held: the registry's lock is taken around
//! every fork, and the allocator's is the C library's to care for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tallyboard_segment::process::spawn_quiet;

use crate::registry::questions::Asker;
use crate::registry::registry::{About, Registry};

impl Registry {
    /// Has each process that finds something to ask start the thread, at its first use.
    pub(crate) fn keep_refreshing(&'static self) {
        let start = || Arc::new(move || self.start_refreshing()) as Arc<dyn Fn() + Send + Sync>;
        self.state.lock().questions.start.get_or_insert_with(start);
    }

    /// Starts the thread when there is something to ask and this process has none yet.
    fn start_refreshing(&'static self) {
        if self.address().is_none() {
            return;
        }
        let life = self.page.life();
        {
            let mut state = self.state.lock();
            if !state.questions.has_any() || state.questions.asker.life == life {
                return;
            }
            state.questions.asker = Asker { life, thread: None };
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
        let asker = self.state.lock().questions.asker.clone();
        if let Some(thread) = asker.thread.filter(|_| asker.life == self.page.life()) {
            thread.unpark();
        }
    }

    fn refresh(&'static self) {
        self.state.lock().questions.asker.thread = Some(thread::current());
        let (mut callbacks, mut collectors) = (BTreeSet::new(), BTreeSet::new());
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            if now >= due {
                due = now + self.configured.refresh_interval;
                callbacks.clear();
                collectors.clear();
            }
            self.run_callbacks(&mut callbacks);
            self.refresh_collected(&mut collectors);
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }
}
