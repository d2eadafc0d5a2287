//! The HTTP server beside clients that are slow, silent, gone, or say what is no request: a scraper that
//! comes back on a kept connection never notices.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, until};

/// Clients of each kind, about twice as many as have room.
const CLIENTS: usize = 1000;
/// Scrapes beside them, one each 200 ms.
const SCRAPES: usize = 25;
/// Requests that a client which never reads sends, enough to fill what the system keeps for it.
const UNREAD: usize = 4000;

/// `tallyboard serve` with metrics.
fn serve(name: &str, more: &[&str]) -> (Running, SocketAddr) {
    let Served { running, metrics, .. } = Served::start(&format!("http-{name}"), more);
    (running, metrics)
}

/// A reader that keeps its connection.
struct Kept {
    stream: BufReader<TcpStream>,
}

impl Kept {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        // Only for a server that never answers.
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Status and body of the next answer.
    fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: metrics\r\n\r\n")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<(u16, String)> {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(found) = line.strip_prefix("http/1.1 ") {
                status = found[..3].parse().expect("a status");
            }
            if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).expect("text")))
    }
}

/// Scrapes on one connection, one each 200 ms; gives how long each took, from the shortest on.
fn scrape(kept: &mut Kept) -> Vec<Duration> {
    let mut taken: Vec<Duration> = (0..SCRAPES)
        .map(|_| {
            let begin = Instant::now();
            let (status, page) = kept.get("/metrics").expect("the connection is kept");
            let took = begin.elapsed();
            assert_eq!(status, 200);
            assert!(page.contains("tallyboard_build_info"), "{page}");
            std::thread::sleep(Duration::from_millis(200).saturating_sub(took));
            took
        })
        .collect();
    taken.sort();
    taken
}

/// What a client does that is not served for its own sake.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// It says nothing.
    Silent,
    /// It says half a request.
    HalfSaid,
    /// It asks again and again and reads nothing.
    NeverReads,
    /// It asks once, reads the answer, and stays.
    Stays,
}

impl Slow {
    /// Such a client; it may have been hung up on already.
    fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        match self {
            Self::Silent => {}
            Self::HalfSaid => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: met")?,
            Self::NeverReads => {
                setsockopt(&stream, sockopt::RcvBuf, &4096).expect("a small buffer");
                stream.set_nonblocking(true)?;
                let requests = "GET /metrics HTTP/1.1\r\nHost: metrics\r\n\r\n".repeat(UNREAD);
                // As many as are taken.
                let _ = stream.write(requests.as_bytes());
            }
            Self::Stays => {
                stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: metrics\r\n\r\n")?;
                stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                let _ = stream.read(&mut [0; 1024])?;
            }
        }
        Ok(stream)
    }
}

fn page(text: &str) -> Page {
    Page::parse(text).expect("a page")
}

fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
}

fn beside(kinds: &[Slow], name: &str) {
    let _watchdog = Watchdog::new("a scraper beside slow clients");
    raise_descriptor_limit();
    let (serving, metrics) = serve(name, &[]);
    let mut kept = Kept::new(metrics).expect("a connection");
    let quiet = scrape(&mut kept);
    let attack = std::thread::spawn({
        let kinds = kinds.to_owned();
        move || {
            let connect = |at: usize| kinds[at % kinds.len()].connect(metrics);
            (0..CLIENTS).map(connect).collect::<Vec<_>>()
        }
    });
    let beside = scrape(&mut kept);
    let clients = attack.join().expect("clients");
    // Nor is a new reader kept out while all of them stay, but for the second that those have who do not read.
    let found = page(&until(|| get(metrics, "/metrics").ok()).body);
    let worst = |taken: &[Duration]| taken[taken.len() * 99 / 100].as_secs_f64();
    println!(
        "{kinds:?}: {} clients, {} scrapes, 0 failed; p99 {:.1} x of {:.2} ms",
        clients.len(),
        beside.len(),
        worst(&beside) / worst(&quiet),
        1e3 * worst(&quiet),
    );
    let sum = |name: &str, label: &str, values: &[&str]| -> f64 {
        let value = |value: &&str| found.value(name, &[(label, value)]).expect("a sample");
        values.iter().map(value).sum()
    };
    let open = sum("tallyboard_web_connections", "state", &["new", "answering", "sending", "idle"]);
    let limit = found.value("tallyboard_web_connections_max", &[]);
    assert_eq!(limit, Some(512.0));
    assert!(open <= 512.0, "{open}");
    let reasons = ["silent", "stalled", "idle", "full"];
    let evicted = sum("tallyboard_web_connections_evicted_total", "reason", &reasons);
    // All had a place or had to make room; those that found none were refused.
    assert!(evicted >= (CLIENTS - 512) as f64, "{evicted} of {CLIENTS}, {open} are there");
    drop(clients);
    // Clients that go away are noticed: only who asks is left.
    drop(kept);
    let open = || {
        let found = page(&get(metrics, "/metrics").ok()?.body);
        let states = ["new", "answering", "sending", "idle"];
        let of = |state| found.value("tallyboard_web_connections", &[("state", state)]);
        Some(states.into_iter().filter_map(of).sum::<f64>())
    };
    until(|| open().filter(|open| *open == 1.0));
    drop(serving);
}

#[test]
fn a_scraper_never_fails_beside_clients_that_say_nothing() {
    beside(&[Slow::Silent], "silent");
}

#[test]
fn a_scraper_never_fails_beside_clients_that_say_half_a_request() {
    beside(&[Slow::HalfSaid], "half");
}

#[test]
fn a_scraper_never_fails_beside_clients_that_never_read() {
    beside(&[Slow::NeverReads], "unread");
}

#[test]
fn a_scraper_never_fails_beside_clients_that_stay_after_an_answer() {
    beside(&[Slow::Stays], "stay");
}

#[test]
fn a_scraper_never_fails_beside_slow_clients_of_all_kinds() {
    beside(&[Slow::Silent, Slow::HalfSaid, Slow::NeverReads, Slow::Stays], "all");
}

#[test]
fn a_client_that_reads_nothing_is_hung_up_on_although_there_is_room() {
    let _watchdog = Watchdog::new("a client that reads nothing");
    let (_serving, metrics) = serve("unread-alone", &[]);
    let client = Slow::NeverReads.connect(metrics).expect("a connection");
    let stuck = || {
        let found = page(&get(metrics, "/metrics").expect("an answer").body);
        found.value("tallyboard_web_connections", &[("state", "sending")])
    };
    until(|| (stuck() == Some(1.0)).then_some(()));
    until(|| (stuck() == Some(0.0)).then_some(()));
    drop(client);
}

#[test]
fn whoever_sends_no_more_is_answered_on_every_path() {
    let _watchdog = Watchdog::new("half-closed clients");
    let (_serving, metrics) = serve("half-closed", &[]);
    for (path, status) in
        [("/metrics", 200), ("/", 200), ("/-/healthy", 200), ("/-/ready", 200), ("/nothing", 404)]
    {
        let answered = (0..200).filter(|_| {
            let stream = TcpStream::connect(metrics).expect("a connection");
            let mut kept = Kept { stream: BufReader::new(stream) };
            let request = format!("GET {path} HTTP/1.1\r\nHost: metrics\r\n\r\n");
            kept.stream.get_mut().write_all(request.as_bytes()).expect("a request");
            kept.stream.get_mut().shutdown(Shutdown::Write).expect("an end");
            let answer = kept.answer().is_ok_and(|(found, _)| found == status);
            // And the server has nothing more to say.
            answer && kept.stream.read(&mut [0; 1]).is_ok_and(|read| read == 0)
        });
        assert_eq!(answered.count(), 200, "{path}");
    }
}

#[test]
fn a_request_names_its_host_once() {
    let _watchdog = Watchdog::new("headers of requests");
    let (_serving, metrics) = serve("host", &[]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(64));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(17 << 10));
    for (request, expect) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: [::1]:9500\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "200"),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "405"),
        (&long, "414"),
        (&many, "431"),
        (&large, "431"),
    ] {
        let mut stream = TcpStream::connect(metrics).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        let status = std::str::from_utf8(&answer[9..]).expect("a status");
        assert_eq!(status, expect, "{:?}", &request[..request.len().min(60)]);
    }
}

#[test]
fn the_limit_of_connections_is_a_flag() {
    let _watchdog = Watchdog::new("the limit of connections");
    let (_serving, metrics) = serve("limit", &["--web.max-connections", "2"]);
    let silent: Vec<TcpStream> =
        (0..8).map(|_| Slow::Silent.connect(metrics).expect("a connection")).collect();
    let found = page(&get(metrics, "/metrics").expect("an answer").body);
    assert_eq!(found.value("tallyboard_web_connections_max", &[]), Some(2.0));
    let evicted = found.value("tallyboard_web_connections_evicted_total", &[("reason", "silent")]);
    assert!(evicted >= Some(7.0), "{evicted:?}");
    drop(silent);
}
