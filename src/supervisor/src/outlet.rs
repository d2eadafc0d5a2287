//! Those who take families out of a supervisor again and again, to send them elsewhere: what one is,
//! and where it has its snapshots from. Who runs them is `serve/outlets.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tallyboard_exposition::sample::FamilySamples;
use tokio::sync::{mpsc, oneshot, watch};

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
    asks: mpsc::Sender<Ask>,
    stop: watch::Receiver<bool>,
}

/// That somebody wants all families, and where they go.
pub(crate) type Ask = oneshot::Sender<Arc<Vec<FamilySamples>>>;

impl Snapshots {
    /// Those of a loop that hears `asks`, until it says `stop`.
    pub(crate) fn new(asks: mpsc::Sender<Ask>, stop: watch::Receiver<bool>) -> Self {
        Self { asks, stop }
    }

    /// The families of the arena as they are now; `None` when the supervisor has ended.
    pub async fn take(&self) -> Option<Arc<Vec<FamilySamples>>> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(answer).await.ok()?;
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
