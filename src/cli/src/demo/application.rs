//! A worker: an HTTP server on the listening socket that all workers share, in a runtime of its own.
//! What it counts, it counts before the answer leaves.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tallyboard::{Counter, Family, Gauge, GaugeMode, Histogram, RegisterError};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::demo::children::Bell;
use crate::demo::flags::Inject;

/// Status of a worker that left because it has answered its share.
pub const RECYCLED: i32 = 3;
/// The counter that the check is about.
pub const REQUESTS: &str = "demo_http_requests_total";
/// Its label that tells the load's requests from a visitor's.
pub const CLIENT: &str = "client";
/// The header by which the load says who it is; its value is that of the label.
pub const CLIENT_HEADER: &str = "x-demo-client";
/// The value of the load.
pub const LOAD: &str = "load";

/// How long a worker that leaves waits for its answers to be taken.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The instruments. A worker makes its own, so that the parent, which counts nothing, has no slot:
/// an arena is not removed while a slot is held.
#[derive(Debug)]
struct Metrics {
    requests: Family<Counter>,
    in_flight: Gauge,
    seconds: Histogram,
}

/// What a worker is told.
#[derive(Debug)]
pub struct Orders<'a> {
    /// The socket that all workers accept on.
    pub listener: &'a TcpListener,
    /// Rings when workers are to leave.
    pub bell: &'a Bell,
    /// How many requests to answer before leaving.
    pub recycle_after: u64,
    /// What to falsify.
    pub inject: Option<Inject>,
}

struct Worker {
    metrics: Metrics,
    recycle_after: u64,
    inject: Option<Inject>,
    answered: Cell<u64>,
    used_up: Notify,
}

impl Metrics {
    fn register() -> Result<Self, RegisterError> {
        Ok(Self {
            requests: Counter::builder(REQUESTS, "Requests answered, by who sent them.")
                .labels(&["route", "status", CLIENT])
                .family()?,
            in_flight: Gauge::builder("demo_http_requests_in_flight", "Requests being answered.")
                .mode(GaugeMode::LiveSum)
                .register()?,
            seconds: Histogram::builder(
                "demo_http_request_duration_seconds",
                "Time to answer a request.",
            )
            .unit("seconds")
            .buckets(&[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1])
            .register()?,
        })
    }
}

/// A worker's whole life; gives its exit status.
pub fn work(orders: &Orders<'_>) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start a runtime: {error}")),
    };
    let metrics = match Metrics::register() {
        Ok(metrics) => metrics,
        Err(error) => return fail(&format!("cannot register its metrics: {error}")),
    };
    let worker = Rc::new(Worker {
        metrics,
        recycle_after: orders.recycle_after,
        inject: orders.inject,
        answered: Cell::new(0),
        used_up: Notify::new(),
    });
    let served = LocalSet::new().block_on(&runtime, serve(worker, orders));
    served.unwrap_or_else(|error| fail(&format!("cannot serve: {error}")))
}

fn fail(why: &str) -> i32 {
    eprintln!("tallyboard: a worker of the demo {why}");
    1
}

async fn serve(worker: Rc<Worker>, orders: &Orders<'_>) -> std::io::Result<i32> {
    let listener = tokio::net::TcpListener::from_std(orders.listener.try_clone()?)?;
    let graceful = GracefulShutdown::new();
    let mut rung = std::pin::pin!(orders.bell.rung());
    let status = loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A client that has gone again, or no descriptor left: others go on.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            () = worker.used_up.notified() => break RECYCLED,
            rung = &mut rung => {
                rung?;
                break 0;
            }
        };
        let _ = stream.set_nodelay(true);
        let worker = Rc::clone(&worker);
        let answer = service_fn(move |request| answer(Rc::clone(&worker), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer);
        // A connection that breaks is its client's affair.
        tokio::task::spawn_local(graceful.watch(connection));
    };
    // Others accept what comes now; what was accepted here is answered here.
    drop(listener);
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, graceful.shutdown()).await;
    Ok(status)
}

async fn answer(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let started = Instant::now();
    worker.metrics.in_flight.inc();
    let (route, status, body) = handle(&request).await;
    let client = match request.headers().get(CLIENT_HEADER) {
        Some(value) if value == LOAD => LOAD,
        _ => "visitor",
    };
    worker.count(route, status, client);
    worker.metrics.seconds.observe(started.elapsed().as_secs_f64());
    worker.metrics.in_flight.dec();
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    if worker.leaves_after_this() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

impl Worker {
    fn count(&self, route: &str, status: StatusCode, client: &str) {
        let turn = self.answered.get() + 1;
        self.answered.set(turn);
        let times = match self.inject {
            Some(Inject::LostCount) if turn.is_multiple_of(10) => 0,
            Some(Inject::DoubleCount) => 2,
            _ => 1,
        };
        // The label values are as many as the labels, and short.
        if let Ok(requests) = self.metrics.requests.with(&[route, status.as_str(), client]) {
            requests.inc_by(times);
        }
    }

    fn leaves_after_this(&self) -> bool {
        let leaves = self.answered.get() >= self.recycle_after;
        if leaves {
            self.used_up.notify_one();
        }
        leaves
    }
}

/// The application proper: the route that a path belongs to, and what there is to say.
async fn handle(request: &Request<Incoming>) -> (&'static str, StatusCode, &'static str) {
    match request.uri().path() {
        "/" => ("/", StatusCode::OK, "Every request to this server is counted.\n"),
        "/report" => {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ("/report", StatusCode::OK, "This took a while.\n")
        }
        "/broken" => ("/broken", StatusCode::INTERNAL_SERVER_ERROR, "This is always broken.\n"),
        path if path.starts_with("/items/") => ("/items/{id}", StatusCode::OK, "An item.\n"),
        _ => ("other", StatusCode::NOT_FOUND, "There is no such page.\n"),
    }
}
