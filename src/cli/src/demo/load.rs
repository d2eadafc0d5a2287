//! The clients: real HTTP requests at a bounded rate over a bounded number of connections. A request
//! counts as sent before its first byte leaves and as answered once its last byte has come; it is
//! never sent again.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::demo::application::{CLIENT_HEADER, LOAD};
use crate::demo::children::{Bell, Reporter};

/// How many requests a client sends over one connection, so that workers born later get some too.
const REQUESTS_PER_CONNECTION: usize = 50;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the load reports.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// What is asked for, in turn.
const PATHS: [&str; 8] =
    ["/", "/items/1", "/items/2", "/report", "/", "/items/3", "/missing", "/broken"];

/// What the load has seen.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// Requests sent, answered or not.
    pub sent: u64,
    /// Requests answered in full.
    pub answered: u64,
    /// Whether nothing more comes.
    pub done: bool,
}

/// What the load is told.
#[derive(Debug)]
pub struct Orders<'a> {
    /// The application.
    pub application: SocketAddr,
    /// Rings when no more requests are to be sent.
    pub bell: &'a Bell,
    /// Where to report.
    pub reporter: &'a Reporter<Loaded>,
    /// Most requests a second.
    pub rate: u32,
    /// How many connections.
    pub connections: u32,
}

#[derive(Debug, Default)]
struct Figures {
    sent: Cell<u64>,
    answered: Cell<u64>,
    stopped: Cell<bool>,
}

/// The load's whole life; gives its exit status.
pub fn run(orders: &Orders<'_>) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, press(orders)));
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("tallyboard: the load of the demo: {error}");
            1
        }
    }
}

async fn press(orders: &Orders<'_>) -> std::io::Result<()> {
    let figures = Rc::new(Figures::default());
    let mut clients = JoinSet::new();
    let period = Duration::from_secs(1) * orders.connections / orders.rate;
    let begin = Instant::now();
    for client in 0..orders.connections {
        // The clients take turns within a period.
        let mut pace = interval_at(begin + period * client / orders.connections, period);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let client = Client {
            application: orders.application,
            turn: client as usize,
            pace,
            figures: Rc::clone(&figures),
        };
        clients.spawn_local(client.run());
    }
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    let mut rung = std::pin::pin!(orders.bell.rung());
    loop {
        tokio::select! {
            _ = ticks.tick() => orders.reporter.report(&figures.state(false))?,
            rung = &mut rung => break rung?,
        }
    }
    figures.stopped.set(true);
    // Each ends with the answer it waits for.
    while clients.join_next().await.is_some() {}
    orders.reporter.report(&figures.state(true))
}

impl Figures {
    fn state(&self, done: bool) -> Loaded {
        Loaded { sent: self.sent.get(), answered: self.answered.get(), done }
    }
}

struct Client {
    application: SocketAddr,
    turn: usize,
    pace: Interval,
    figures: Rc<Figures>,
}

impl Client {
    async fn run(mut self) {
        while !self.figures.stopped.get() {
            // Without a connection nothing is sent; the pace bounds how often it is tried.
            self.pace.tick().await;
            let Ok(Some(sender)) = timeout(ANSWER_TIMEOUT, connect(self.application)).await else {
                continue;
            };
            self.converse(sender).await;
        }
    }

    async fn converse(&mut self, mut sender: SendRequest<Empty<Bytes>>) {
        for _ in 0..REQUESTS_PER_CONNECTION {
            self.pace.tick().await;
            // Not ready: the worker has closed the connection.
            if self.figures.stopped.get() || sender.ready().await.is_err() {
                return;
            }
            let path = PATHS[self.turn % PATHS.len()];
            self.turn += 1;
            let request = Request::get(path)
                .header(HOST, "localhost")
                .header(CLIENT_HEADER, LOAD)
                .body(Empty::new());
            let Ok(request) = request else { return };
            self.figures.sent.set(self.figures.sent.get() + 1);
            let answer = async { sender.send_request(request).await?.into_body().collect().await };
            match timeout(ANSWER_TIMEOUT, answer).await {
                Ok(Ok(_)) => self.figures.answered.set(self.figures.answered.get() + 1),
                // The worker was killed, or is slow: this request stays unanswered.
                _ => return,
            }
        }
    }
}

async fn connect(application: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(application).await.ok()?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::task::spawn_local(connection);
    Some(sender)
}
