//! An HTTP server for metrics that somebody else has: those of a process without a supervisor.

use std::io;
use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use tallyboard_exposition::negotiation::Negotiated;
use tallyboard_segment::process::spawn_quiet;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::config::DEFAULT_MAX_CONNECTIONS;
use crate::serve::events::Event;
use crate::serve::http::Http;

/// Requests that wait for the one under way.
const WAITING: usize = 64;

/// A server of metrics, in a thread of its own. It serves until it is stopped or the process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: mpsc::Sender<Event>,
}

impl Server {
    /// Where it serves: the port is the one that the system gave when none was named.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it. What is under way is answered.
    pub fn stop(self) {
        // A server whose thread has ended has stopped.
        let _ = self.stop.blocking_send(Event::Stopped);
    }
}

/// Serves `/metrics` on `address`. `page` makes an exposition of the families or samples that are
/// named, or of all when none is; when it has none just now, the request is answered with status
/// 503.
///
/// # Errors
/// What listening or starting a thread says.
pub fn serve(
    address: SocketAddr,
    page: impl Fn(&[String], Negotiated) -> Option<Vec<u8>> + Send + 'static,
) -> io::Result<Server> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, events) = mpsc::channel(WAITING);
    let sender = stop.clone();
    spawn_quiet("tallyboard-http", move || {
        let tasks = LocalSet::new();
        runtime.block_on(tasks.run_until(answer_all(listener, sender, events, page)));
    })?;
    Ok(Server { address, stop })
}

async fn answer_all(
    listener: TcpListener,
    sender: mpsc::Sender<Event>,
    mut events: mpsc::Receiver<Event>,
    page: impl Fn(&[String], Negotiated) -> Option<Vec<u8>>,
) {
    let http = Http::new("/metrics", DEFAULT_MAX_CONNECTIONS, sender);
    if let Err(error) = http.listen(listener) {
        return tracing::error!(%error, "cannot serve metrics");
    }
    while let Some(event) = events.recv().await {
        match event {
            Event::Scrape(scrape) if scrape.is_awaited() => {
                if let Some(page) = page(&scrape.wanted.metrics, scrape.wanted.negotiated) {
                    // A reader that has hung up meanwhile needs no page.
                    let _ = scrape.answer.send(Bytes::from(page));
                }
            }
            Event::Stopped => return http.drain().await,
            _ => {}
        }
    }
}
