//! A GET request and its answer, with nothing but a socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, in lower case.
    pub headers: String,
    /// Body.
    pub body: String,
}

/// Gets `path` from `address`.
///
/// # Errors
/// What the socket says, and `InvalidData` for what is no HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    get_as(address, path, "*/*")
}

/// The same, of a content type that the header `accept` names.
///
/// # Errors
/// As [`get`].
pub fn get_as(address: SocketAddr, path: &str, accept: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    // Only for a server that never answers: the error is what a test reports then.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("expected an HTTP answer: {text:?}"))
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = headers.to_ascii_lowercase();
    let body = if headers.contains("transfer-encoding: chunked") {
        joined(body)?
    } else {
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.map_or(Some(body.len()), |length| length.trim().parse().ok())?;
        // A body that ends early is no answer.
        body.get(..length)?.to_owned()
    };
    Some(Answer { status, headers, body })
}

fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let check = |text: &str, expect: Option<(u16, &str)>| {
            let found = parse(text.as_bytes());
            let found = found.as_ref().map(|answer| (answer.status, answer.body.as_str()));
            assert_eq!(found, expect, "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", Some((200, "ab")));
        check("HTTP/1.1 503 No\r\n\r\nab", Some((503, "ab")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            Some((200, "abc")),
        );
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", None);
        check("nonsense", None);
    }
}
