//! Small servers: one with a page of given families, and one that stands between a reader and its
//! target. They answer one request after the other until the test binary ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tallyboard_exposition::negotiation::negotiate;
use tallyboard_exposition::sample::FamilySamples;

/// Serves these families in the format, and with the names, that the header `Accept` asks for.
#[must_use]
pub fn serve_families(families: Vec<FamilySamples>) -> SocketAddr {
    serve(move |head| {
        let negotiated = negotiate(header(head, "accept"));
        let escaped = negotiated.escaping.apply(&families);
        let page = negotiated.format.encode(&escaped.families);
        let (content_type, length) = (negotiated.content_type(), page.len());
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        Ok([head.as_bytes(), &page].concat())
    })
}

/// Stands between a reader and its target, and remembers what was asked and answered.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that came by, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the reader said that it accepts.
    pub accept: String,
    /// What it got.
    pub content_type: String,
}

impl Proxy {
    /// Passes on what comes, and the answer, as they are; with `accept` the target is told that
    /// the reader accepts that instead.
    #[must_use]
    pub fn new(target: SocketAddr, accept: Option<&'static str>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remember = Arc::clone(&seen);
        let address = serve(move |head| {
            let lines = head.lines().filter(|line| {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                !line.is_empty() && name != "connection" && (name != "accept" || accept.is_none())
            });
            let mut request: String = lines.map(|line| format!("{line}\r\n")).collect();
            request.extend(accept.map(|accept| format!("Accept: {accept}\r\n")));
            let mut stream = TcpStream::connect(target)?;
            stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            let answered = String::from_utf8_lossy(&answer[..end.unwrap_or(0)]);
            let content_type = header(&answered, "content-type").to_owned();
            let accept = header(head, "accept").to_owned();
            let mut seen = remember.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Seen { accept, content_type });
            Ok(answer)
        });
        Self { address, seen }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come by so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers each request, whose head it gives to `answer`, with all that goes over the wire.
fn serve(mut answer: impl FnMut(&str) -> io::Result<Vec<u8>> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // What is wrong with one request shows at its reader.
            let exchanged = stream.and_then(|stream| exchange(stream, &mut answer));
            exchanged.unwrap_or_else(|error| eprintln!("a request to {address}: {error}"));
        }
    });
    address
}

fn exchange(
    mut stream: TcpStream,
    mut answer: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    // A reader that connects and says nothing must not keep out the others.
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut head)? > 2 {}
    stream.write_all(&answer(&head)?)
}

/// The value of a header in the head of a request or of an answer; nothing if it is not there.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = headers.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::http::get_as;
    use tallyboard_exposition::sample::{Sample, Type, Value};

    #[test]
    fn a_proxy_passes_on_what_it_is_not_told_to_change() {
        let mut family = FamilySamples::new(Type::Gauge, "a.b", "A.");
        family.samples.push(Sample::new("", vec![], Value::Whole(3)));
        let target = serve_families(vec![family]);
        let asked = "text/plain;version=1.0.0;escaping=allow-utf-8";
        for (change, content_type, page) in [
            (None, "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8", "{\"a.b\"} 3"),
            (Some("text/plain;version=0.0.4"), "text/plain; version=0.0.4; charset=utf-8", "a_b 3"),
        ] {
            let proxy = Proxy::new(target, change);
            let answer = get_as(proxy.address(), "/metrics", asked).unwrap();
            assert!(answer.body.ends_with(&format!("{page}\n")), "{}", answer.body);
            let (accept, content_type) = (asked.to_owned(), content_type.to_owned());
            assert_eq!(proxy.seen(), [Seen { accept, content_type }]);
        }
    }
}
