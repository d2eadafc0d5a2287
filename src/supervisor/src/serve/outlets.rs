//! The outlets of a supervisor, as it runs them.
//!
//! Rules. 1: an outlet has a thread of its own, with whatever runtime it likes: nothing that it does
//! is done in the thread of the loop, but for making families. 2: what it asks becomes an event as
//! everything does, one snapshot at a time. 3: it knows its supervisor and dies with it: the next
//! supervisor starts it anew. 4: without outlets there is no thread.

use std::sync::Arc;

use tallyboard_exposition::sample::{FamilySamples, add_families};
use tallyboard_segment::process::spawn_quiet;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::outlet::{Ask, LAST_EXPORT, Outlet, Snapshots};
use crate::serve::events::{Event, Events};

/// The outlets that run.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<bool>);

impl Running {
    /// Starts each outlet in a thread of its own.
    pub(crate) fn start(outlets: &[Arc<dyn Outlet>], events: &Events) -> Self {
        let stop = watch::Sender::new(false);
        let (asks, asked) = mpsc::channel(outlets.len().max(1));
        spawn_local(pass_on(asked, events.clone()));
        for outlet in outlets {
            let snapshots = Snapshots::new(asks.clone(), stop.subscribe());
            let (name, outlet) = (outlet.name(), Arc::clone(outlet));
            let until_stopped = stop.subscribe();
            let started = spawn_quiet(name, move || {
                let end = End { name, until_stopped };
                outlet.run(snapshots);
                drop(end);
            });
            if let Err(error) = started {
                tracing::error!(%error, name, "cannot start an export");
            }
        }
        Self(stop)
    }

    /// Tells the outlets to stop, and waits until they have.
    pub(crate) async fn stop(&self) {
        self.0.send_replace(true);
        if timeout(LAST_EXPORT, self.0.closed()).await.is_err() {
            tracing::warn!(limit = ?LAST_EXPORT, "an export did not end in time");
        }
    }
}

/// Passes on to the loop what outlets ask.
async fn pass_on(mut asked: mpsc::Receiver<Ask>, events: Events) {
    while let Some(answer) = asked.recv().await {
        if events.send(Event::Snapshot(answer)).await.is_err() {
            return;
        }
    }
}

/// The end of an outlet, which is seen when it comes too early.
struct End {
    name: &'static str,
    until_stopped: watch::Receiver<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        if !*self.until_stopped.borrow() {
            tracing::error!(name = self.name, "an export has ended before its supervisor");
        }
    }
}

/// What all outlets have counted: one family for each name.
pub(crate) fn families(outlets: &[Arc<dyn Outlet>]) -> Vec<FamilySamples> {
    let mut all = Vec::new();
    add_families(&mut all, outlets.iter().flat_map(|outlet| outlet.families()));
    all
}
