//! A preforking server on hyper: two workers accept on one socket, and any of them serves the
//! metrics of both under `/metrics`.
//!
//! ```sh
//! cargo run -p tallyboard-tests --example hyper -- 127.0.0.1:8000
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use tallyboard::{Counter, Family, Histogram, Registry, Timed};
use tallyboard_supervisor::Builder;

const WORKERS: usize = 2;

#[derive(Clone, Copy)]
struct Metrics {
    answers: Family<Counter>,
    seconds: Histogram,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)?;
    listener.set_nonblocking(true)?;
    // Before anything starts a thread: the keeper is forked off here.
    let board = Builder::new().spawn()?;
    Registry::builder().address(board.address()).install()?;
    let answers = Counter::builder("shop_answers_total", "Requests answered.");
    let metrics = Metrics {
        answers: answers.labels(&["status"]).family()?,
        seconds: Histogram::new("shop_answer_seconds", "Time to answer a request.")?,
    };
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGINT);
    stop.add(Signal::SIGTERM);
    stop.thread_block()?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        // SAFETY: this process has one thread.
        match unsafe { fork()? } {
            ForkResult::Child => {
                stop.thread_unblock()?;
                set_pdeathsig(Signal::SIGTERM)?;
                return work(listener, metrics);
            }
            ForkResult::Parent { child } => workers.push(child),
        }
    }
    println!("listening on http://{}", listener.local_addr()?);
    stop.wait()?;
    for &worker in &workers {
        end(worker)?;
    }
    board.stop();
    Ok(())
}

fn end(worker: Pid) -> nix::Result<()> {
    kill(worker, Signal::SIGTERM)?;
    waitpid(worker, None)?;
    Ok(())
}

fn work(listener: TcpListener, metrics: Metrics) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let service = service_fn(move |request| answer(request, metrics));
            tokio::spawn(async move {
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                if let Err(error) = served.await {
                    eprintln!("{error}");
                }
            });
        }
    })
}

async fn answer(
    request: Request<Incoming>,
    metrics: Metrics,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/metrics" {
        return Ok(exposition(&request).await);
    }
    let answer = metrics.seconds.time_async(async {
        match request.uri().path() {
            "/" => Response::new(Full::from("tea, coffee\n")),
            _ => empty(StatusCode::NOT_FOUND),
        }
    });
    let answer = answer.await;
    if let Ok(answers) = metrics.answers.with(&[answer.status().as_str()]) {
        answers.inc();
    }
    Ok(answer)
}

/// The metrics of all workers. The supervisor is waited for, so this is no work for the runtime's
/// own thread.
async fn exposition(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    match tokio::task::spawn_blocking(move || tallyboard::exposition(&accept)).await {
        Ok(Ok((content_type, page))) => {
            let answer = Response::builder().header(CONTENT_TYPE, content_type);
            let answer = answer.body(Full::from(page));
            answer.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            empty(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
