//! A GET request and its answer, with nothing but a socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer to a request, whose body is text unless it was asked for as bytes.
#[derive(Clone, Debug)]
pub struct Answer<B = String> {
    /// Status code.
    pub status: u16,
    /// Header lines, in lower case.
    pub headers: String,
    /// Body.
    pub body: B,
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
    let Answer { status, headers, body } = get_bytes(address, path, accept)?;
    let body = String::from_utf8(body).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("expected a text: {error}"))
    })?;
    Ok(Answer { status, headers, body })
}

/// The same for a body of any bytes.
///
/// # Errors
/// As [`get`].
pub fn get_bytes(address: SocketAddr, path: &str, accept: &str) -> io::Result<Answer<Vec<u8>>> {
    let mut stream = TcpStream::connect(address)?;
    // Where nobody listens yet, a socket may be given the port that it asks for, and hear itself.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
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

fn parse(bytes: &[u8]) -> Option<Answer<Vec<u8>>> {
    let (head, body) = split_once(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(head).ok()?;
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

fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, rest) = split_once(chunks, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn split_once<'a>(bytes: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((&bytes[..at], &bytes[at + by.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let check = |text: &str, expect: Option<(u16, &str)>| {
            let found = parse(text.as_bytes());
            let text = |body: &Vec<u8>| String::from_utf8(body.clone()).expect("a text");
            let found = found.as_ref().map(|answer| (answer.status, text(&answer.body)));
            let expect = expect.map(|(status, body)| (status, body.to_owned()));
            assert_eq!(found, expect);
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
