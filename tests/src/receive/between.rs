//! Stand-ins for targets of a reader: one with a page of given families, and one that stands between
//! a reader and its target.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use tallyboard_exposition::negotiation::negotiate;
use tallyboard_exposition::sample::FamilySamples;

use crate::receive::stand_in::{Request, Says, StandIn};

/// Serves these families in the format, and with the names, that the header `Accept` asks for.
#[must_use]
pub fn serve_families(families: Vec<FamilySamples>) -> StandIn {
    StandIn::start(move |_, request| {
        let negotiated = negotiate(request.header("accept"));
        let escaped = negotiated.escaping.apply(&families);
        let page = negotiated.format.encode(&escaped.families);
        Says::page(&negotiated.content_type(), &page)
    })
}

/// Stands between a reader and its target, and remembers what was asked and answered.
#[derive(Debug)]
pub struct Proxy {
    stand_in: StandIn,
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
        let stand_in = StandIn::start(move |_, request| {
            let Ok(answer) = passed_on(target, request, accept) else { return Says::HangsUp };
            let accept = request.header("accept").to_owned();
            let content_type = content_type(&answer);
            let mut seen = remember.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Seen { accept, content_type });
            Says::Made(answer)
        });
        Self { stand_in, seen }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stand_in.address()
    }

    /// What has come by so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the target answers.
fn passed_on(target: SocketAddr, request: &Request, accept: Option<&str>) -> io::Result<Vec<u8>> {
    let is_passed_on = |(name, _): &&(String, String)| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        !is("connection") && (!is("accept") || accept.is_none())
    };
    let headers = request.headers.iter().filter(is_passed_on);
    let mut head = format!("{}\r\n", request.line);
    head.extend(headers.map(|(name, value)| format!("{name}: {value}\r\n")));
    head.extend(accept.map(|accept| format!("Accept: {accept}\r\n")));
    let mut stream = TcpStream::connect(target)?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The content type that an answer says it has; nothing if it says none.
fn content_type(answer: &[u8]) -> String {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head = String::from_utf8_lossy(&answer[..end.unwrap_or(0)]);
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    found.next().map_or_else(String::new, |(_, value)| value.trim().to_owned())
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
            let proxy = Proxy::new(target.address(), change);
            let answer = get_as(proxy.address(), "/metrics", asked).unwrap();
            assert!(answer.body.ends_with(&format!("{page}\n")), "{}", answer.body);
            let (accept, content_type) = (asked.to_owned(), content_type.to_owned());
            assert_eq!(proxy.seen(), [Seen { accept, content_type }]);
        }
    }
}
