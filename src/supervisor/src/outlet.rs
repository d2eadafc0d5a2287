//! Those who take families out of a supervisor again and again, to send them elsewhere.
//!
//! Rules. 1: an outlet has a thread of its own, with whatever runtime it likes: nothing that it does
//! is done in the thread of the loop, but for making families. 2: it asks the loop through the channel
//! that all events come by, one snapshot at a time. 3: it knows its supervisor and dies with it: the
//! next supervisor starts it anew. 4: without outlets there is no thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tallyboard_exposition::sample::{FamilySamples, add_families};
use tallyboard_segment::process::spawn_quiet;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::serve::supervise::{Event, Events};

/// How long an outlet may take when its supervisor stops.
pub const LAST_EXPORT: Duration = Duration::from_secs(3);

/// Somebody who sends families elsewhere. It is made before anything forks, and each supervisor has
/// it as it was then.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// What its thread is called, in 15 bytes at most.
    fn name(&self) -> &'static str;

    /// Takes snapshots and sends them, until it is told to stop and has sent the last one, for which
    /// it has [`LAST_EXPORT`].
    fn run(&self, snapshots: Snapshots);

    /// What it has counted, as families that the page shows as the supervisor's own: their names
    /// begin with `tallyboard_`. Called in the thread of the loop, so it does not wait. Families of one
    /// name that several outlets have are shown as one.
    fn families(&self) -> Vec<FamilySamples>;
}

/// Where an outlet has its snapshots from.
#[derive(Debug)]
pub struct Snapshots {
    events: Events,
    stop: watch::Receiver<bool>,
}

impl Snapshots {
    /// The families of the arena as they are now; `None` when the supervisor has ended.
    pub async fn take(&self) -> Option<Arc<Vec<FamilySamples>>> {
        let (answer, answered) = oneshot::channel();
        self.events.send(Event::Snapshot(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Waits until the supervisor stops.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move {
            // A supervisor that is gone has stopped.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

/// The outlets that run.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<bool>);

impl Running {
    /// Starts each outlet in a thread of its own.
    pub(crate) fn start(outlets: &[Arc<dyn Outlet>], events: &Events) -> Self {
        let stop = watch::Sender::new(false);
        for outlet in outlets {
            let snapshots = Snapshots { events: events.clone(), stop: stop.subscribe() };
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
