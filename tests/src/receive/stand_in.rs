//! One who stands in for a receiver, or for a server of pages: it does as a test says, well or badly,
//! and remembers what it was sent.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::start::child::until;

/// The stand-in. It answers as many as come, all at once, until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What it was sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first line.
    pub line: String,
    /// Names and values, as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it had come.
    pub at: Instant,
}

impl Request {
    /// The value of a header; nothing if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// What it does with who comes.
#[derive(Clone, Debug)]
pub enum Says {
    /// An HTTP answer: status, header lines, body.
    Answer(u16, &'static str, &'static [u8]),
    /// These bytes, and no more.
    Bytes(&'static str),
    /// The same of bytes that were made for this request.
    Made(Vec<u8>),
    /// Nothing, for as long as it is there.
    Nothing,
    /// The first, and then the second for ever.
    ForEver(&'static str, &'static str),
    /// The first, and then the second for ever, slowly.
    Drips(&'static str, &'static str),
    /// It hangs up; as what is [always](StandIn::always) done, before it has read anything.
    HangsUp,
    /// It says this, and hangs up; as what is [always](StandIn::always) done, before it has read much.
    Interrupts(&'static str),
}

impl Says {
    /// The answer that serves a page.
    #[must_use]
    pub fn page(content_type: &str, body: &[u8]) -> Self {
        let headers = format!("Content-Type: {content_type}\r\n");
        Self::Made(answer(200, &headers, body))
    }

    /// What goes over the wire first, and then for ever.
    fn bytes(&self) -> (Vec<u8>, &'static str) {
        match self {
            Self::Answer(status, headers, body) => (answer(*status, headers, body), ""),
            Self::Bytes(text) | Self::Interrupts(text) => (text.as_bytes().to_vec(), ""),
            Self::Made(bytes) => (bytes.clone(), ""),
            Self::Nothing | Self::HangsUp => (Vec::new(), ""),
            Self::ForEver(first, then) | Self::Drips(first, then) => {
                (first.as_bytes().to_vec(), then)
            }
        }
    }
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl StandIn {
    /// Listens on a port of its own. `says` gets the number of each request, from 0 on.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(says: impl Fn(usize, &Request) -> Says + Send + Sync + 'static) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), None, says)
    }

    /// The same at this address.
    ///
    /// # Panics
    /// When it is taken.
    #[must_use]
    pub fn start_at(
        address: SocketAddr,
        says: impl Fn(usize, &Request) -> Says + Send + Sync + 'static,
    ) -> Self {
        Self::listen(address, None, says)
    }

    /// One that does the same with all who come.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn always(says: Says) -> Self {
        let unread = Some(says.clone());
        let unread = unread.filter(|says| matches!(says, Says::HangsUp | Says::Interrupts(_)));
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), unread, move |_, _| says.clone())
    }

    fn listen(
        address: SocketAddr,
        unread: Option<Says>,
        says: impl Fn(usize, &Request) -> Says + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (seen, held, is_over) = Default::default();
        let shared = Arc::new(Shared { says: Box::new(says), unread, seen, held, is_over });
        let serving = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // One that says nothing must not keep out the others.
                std::thread::spawn(move || {
                    // What cannot be read or written shows at the other side.
                    let served = serving.serve(stream);
                    served.unwrap_or_else(|error| eprintln!("a request to {address}: {error}"));
                });
            }
        });
        Self { address, shared, listening: Some(listening) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent so far, and has read.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.shared.seen).clone()
    }

    /// Waits until it was sent so many requests, and gives them.
    pub fn after(&self, requests: usize) -> Vec<Request> {
        until(|| Some(self.seen()).filter(|seen| seen.len() >= requests))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // So that it looks.
        TcpStream::connect(self.address).ok();
        if let Some(listening) = self.listening.take() {
            listening.join().ok();
        }
        lock(&self.shared.held).clear();
    }
}

/// What a test says of a request, by its number.
type Script = dyn Fn(usize, &Request) -> Says + Send + Sync;

/// What the threads of one stand-in share.
struct Shared {
    says: Box<Script>,
    /// What is done with each that comes before it is read.
    unread: Option<Says>,
    seen: Mutex<Vec<Request>>,
    /// Those who are not answered, and not hung up on either.
    held: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let says = match &self.unread {
            Some(says) => {
                if matches!(says, Says::Interrupts(_)) {
                    stream.read_exact(&mut [0; 100])?;
                }
                says.clone()
            }
            None => {
                let request = read(&stream)?;
                let mut seen = lock(&self.seen);
                let says = (self.says)(seen.len(), &request);
                seen.push(request);
                says
            }
        };
        if matches!(says, Says::Nothing) {
            lock(&self.held).push(stream);
            return Ok(());
        }
        let (first, then) = says.bytes();
        stream.write_all(&first)?;
        // Whoever is in no hurry says little at once.
        let is_slow = matches!(says, Says::Drips(..));
        let then = if is_slow { then.to_owned() } else { then.repeat(1_000) };
        while !then.is_empty() && !self.is_over.load(Ordering::Relaxed) {
            stream.write_all(then.as_bytes())?;
            if is_slow {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads all of a request: who hangs up on what is unread takes the answer back.
fn read(stream: &TcpStream) -> io::Result<Request> {
    // Only for one that never says all of it.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let line = line.trim_end().to_owned();
    let mut request = Request { line, headers, body: Vec::new(), at: Instant::now() };
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut request.body)?;
    request.at = Instant::now();
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::http::get;

    #[test]
    fn it_does_as_it_is_told_and_lets_go_of_all_when_it_ends() {
        let stand_in = StandIn::start(|number, request| match number {
            0 => Says::page("text/plain", request.header("HOST").as_bytes()),
            _ => Says::Nothing,
        });
        let answer = get(stand_in.address(), "/a").unwrap();
        assert_eq!((answer.status, answer.body), (200, stand_in.address().to_string()));
        assert_eq!(stand_in.seen()[0].line, "GET /a HTTP/1.1");
        let mut waiting = TcpStream::connect(stand_in.address()).unwrap();
        waiting.write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab").unwrap();
        assert_eq!(stand_in.after(2)[1].body, b"ab");
        until(|| (lock(&stand_in.shared.held).len() == 1).then_some(()));
        drop(stand_in);
        assert_eq!(waiting.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn who_hangs_up_at_once_or_early_has_read_nothing_of_it() {
        let hangs_up = StandIn::always(Says::HangsUp);
        assert!(get(hangs_up.address(), "/").is_err());
        let early = StandIn::always(Says::Interrupts("HTTP/1.1 413 No\r\n\r\n"));
        let mut sending = TcpStream::connect(early.address()).unwrap();
        sending.write_all(&[b'a'; 100]).unwrap();
        let mut answer = String::new();
        sending.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HTTP/1.1 413 No\r\n\r\n");
        assert!(hangs_up.seen().is_empty() && early.seen().is_empty());
    }
}
