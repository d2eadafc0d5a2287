//! A prefork server of one's own: workers accept on one socket, each counts in shared memory of its own,
//! and any of them serves the metrics of all under `/metrics`.
//!
//! ```sh
//! tallyboard exec --web.listen-address none -- cargo run --package tallyboard --example prefork
//! ```

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, fork};
use tallyboard::{Counter, Family, Histogram, Timed};

const WORKERS: usize = 2;

#[derive(Clone, Copy)]
struct Metrics {
    answers: Family<Counter>,
    seconds: Histogram,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address)?;
    // Made once, before the fork, and used after it in every worker.
    let answers = Counter::builder("shop_answers_total", "Requests answered.");
    let metrics = Metrics {
        answers: answers.labels(&["status"]).family()?,
        seconds: Histogram::new("shop_answer_seconds", "Time to answer a request.")?,
    };
    for _ in 0..WORKERS {
        // SAFETY: no thread of this process holds anything that a worker needs.
        if let ForkResult::Child = unsafe { fork()? } {
            set_pdeathsig(Signal::SIGTERM)?;
            return work(&listener, metrics);
        }
    }
    println!("listening on http://{}", listener.local_addr()?);
    while wait().is_ok() {}
    Ok(())
}

fn work(listener: &TcpListener, metrics: Metrics) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept()?;
        if let Err(error) = serve(&stream, metrics) {
            eprintln!("{error}");
        }
    }
}

/// Reads a request and answers it.
fn serve(mut stream: &TcpStream, metrics: Metrics) -> io::Result<()> {
    let lines = BufReader::new(stream).lines();
    let head: Vec<String> = lines
        .take_while(|line| !matches!(line, Ok(line) if line.is_empty()))
        .collect::<Result<_, _>>()?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let (status, content_type, body) = match path {
        "/metrics" => match tallyboard::exposition("") {
            Ok((content_type, page)) => ("200", content_type, page),
            Err(error) => ("503", "text/plain".to_owned(), error.to_string().into_bytes()),
        },
        _ => metrics.seconds.time(|| answer(path, metrics)),
    };
    write!(
        stream,
        "HTTP/1.1 {status} \r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

fn answer(path: &str, metrics: Metrics) -> (&'static str, String, Vec<u8>) {
    let (status, body) = if path == "/" { ("200", "tea, coffee\n") } else { ("404", "") };
    if let Ok(answers) = metrics.answers.with(&[status]) {
        answers.inc();
    }
    (status, "text/plain".to_owned(), body.into())
}
