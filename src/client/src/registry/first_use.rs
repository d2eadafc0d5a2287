//! The first use in a process, and what asks again after it.

use std::time::{Duration, Instant};

use tallyboard_segment::fork::{FirstUse, ForkMutexGuard};
use tallyboard_segment::process;

use super::attach::AttachError;
use super::background::Task;
use super::detached::{PAUSE_FROM, attach, check, run_dry};
use super::pump::Late;
use super::registry::{About, Registry};
use super::state::{Attachment, State};

/// How long a process that is attached does not ask whether its arena was replaced.
const CHECK_PAUSE: Duration = Duration::from_secs(5);

impl Registry {
    /// Attaches now rather than at the first use, and says which slot this process has. A process
    /// that counts privately asks again at once. One that is attached finds out whether its arena
    /// was replaced, and moves into the new one with what it has counted; it keeps the slot that it
    /// has when nobody answers. Waits for the supervisor's answer, until the attach timeout at most.
    ///
    /// # Errors
    /// [`AttachError`] when it has none and counts privately.
    pub fn attach(&'static self) -> Result<Attachment, AttachError> {
        let attached = match self.first_use() {
            Some(attached) => attached,
            None => self.ask_again().map(|late| self.pump_late(late)),
        };
        match self.attachment() {
            Some(attachment) => Ok(attachment),
            None => Err(attached.err().unwrap_or(AttachError::NoAddress)),
        }
    }

    /// Makes sure that this process has a base, if only a private one. Gives what attaching came
    /// to when this call did it.
    pub(crate) fn first_use(&'static self) -> Option<Result<(), AttachError>> {
        if self.page.is_published() {
            return None;
        }
        match self.page.first_use() {
            FirstUse::Done => None,
            FirstUse::Reentered => None,
            FirstUse::Run(_turn) => {
                let attached = self.find_slot();
                if let Err(error) = &attached {
                    self.count_privately();
                    self.detach(error);
                }
                self.start_asking();
                Some(attached)
            }
        }
    }

    /// Says once why this process counts privately, and asks again in the background where that
    /// can help.
    fn detach(&'static self, error: &AttachError) {
        if self.configured.address.is_none() {
            return;
        }
        if error.is_final() {
            self.warn(About::Refused, &format!("{error}; this process counts privately"));
            return;
        }
        // One warning says both: a second would not be given.
        let until = match self.in_background(Task::new(move || attach(self, PAUSE_FROM))) {
            Ok(()) => "until a supervisor answers".to_owned(),
            Err(error) => format!("for good, without a thread to ask again with: {error}"),
        };
        let warning = format!("{error}; this process counts privately {until}");
        self.warn(About::Attaching, &warning);
    }

    /// Starts who asks, where this process has something to ask.
    fn start_asking(&self) {
        let start = self.state.lock().questions.start.clone();
        if let Some(start) = start {
            start();
        }
    }

    fn pump_late(&'static self, late: Option<Late>) {
        // With one thread nobody is between finding the old base and adding to it.
        let late = late.filter(|_| !process::threads().is_ok_and(|threads| threads == 1));
        if let Some(Err(error)) =
            late.map(|late| self.in_background(Task::new(move || run_dry(self, late))))
        {
            self.warn(About::Threads, &format!(
                "no thread to move what other threads are counting just now: {error}; see whether the limit of threads is reached"
            ));
        }
    }

    /// Has a thread ask whether the arena was replaced, when nobody has for a while. Called where
    /// a family or a series begins: there is no permanent thread to do it, and counting never asks.
    pub(crate) fn check_now_and_then(&'static self, mut state: ForkMutexGuard<'_, State>) {
        let is_due = !state.is_checking
            && self.attachment_in(&state).is_some()
            && state.checked_at.elapsed() >= CHECK_PAUSE;
        if !is_due {
            return;
        }
        state.is_checking = true;
        state.checked_at = Instant::now();
        drop(state);
        // Without a thread the old arena goes on being counted in, as when nobody answers.
        if self.in_background(Task::new(move || check(self))).is_err() {
            self.end_check();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;

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
