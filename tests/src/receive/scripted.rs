//! A receiver over HTTP that answers as a test says, and remembers what it was sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::start::child::until;

/// The receiver. It answers until the test binary ends.
#[derive(Clone, Debug)]
pub struct Scripted {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// What it was sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first line.
    pub line: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it had come.
    pub at: Instant,
}

impl Request {
    /// The value of a header, by its name in lower case; nothing if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Says {
    /// An HTTP answer: status, header lines, body.
    Answer(u16, &'static str, &'static [u8]),
    /// These bytes, and no more.
    Bytes(&'static [u8]),
    /// Nothing, for as long as somebody waits.
    Nothing,
}

impl Scripted {
    /// Listens on a port of its own. `says` gets the number of each request, from 0 on.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(says: impl Fn(usize, &Request) -> Says + Send + Sync + 'static) -> Self {
        Self::listen(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"), says)
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
        Self::listen(TcpListener::bind(address).expect("the address is free"), says)
    }

    fn listen(
        listener: TcpListener,
        says: impl Fn(usize, &Request) -> Says + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::default();
        let (says, receiver) = (Arc::new(says), Self { address, seen });
        let this = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (says, this) = (Arc::clone(&says), this.clone());
                // One that says nothing must not keep out the others.
                std::thread::spawn(move || {
                    let answered = this.answer(stream, &*says);
                    answered
                        .unwrap_or_else(|error| eprintln!("a request was not answered: {error}"));
                });
            }
        });
        receiver
    }

    fn answer(
        &self,
        mut stream: TcpStream,
        says: &dyn Fn(usize, &Request) -> Says,
    ) -> io::Result<()> {
        let request = read(&stream)?;
        let mut seen = self.lock();
        let says = says(seen.len(), &request);
        seen.push(request);
        drop(seen);
        match says {
            Says::Bytes(bytes) => stream.write_all(bytes),
            Says::Nothing => {
                // Until the other side hangs up.
                stream.read(&mut [0]).map(drop)
            }
            Says::Answer(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status} Status\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), body].concat())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.lock().clone()
    }

    /// Waits until it was sent so many requests, and gives them.
    pub fn after(&self, requests: usize) -> Vec<Request> {
        until(|| Some(self.seen()).filter(|seen| seen.len() >= requests))
    }
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    // Only for one that never says all of it.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { line: line.trim_end().to_owned(), headers, body, at: Instant::now() })
}
