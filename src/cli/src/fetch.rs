//! A document from a file, from standard input, or from a server over HTTP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Longest document that is read.
const MOST_BYTES: u64 = 1 << 30;
/// How long a server may take for all of its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// What is asked for: the formats whose rules are the strictest first.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Reads `-`, a URL or a file.
///
/// # Errors
/// When it cannot be read, or a server does not answer with status 200.
pub fn read(source: &str) -> Result<Vec<u8>> {
    if source == "-" {
        return take(&mut io::stdin().lock()).context("cannot read standard input");
    }
    if source.starts_with("https://") {
        bail!(
            "expected a URL with http://, found {:?}; pipe what another program fetches",
            shown(source)
        );
    }
    match source.strip_prefix("http://") {
        Some(rest) => get(rest).with_context(|| format!("cannot get {}", shown(source))),
        None => {
            let open = || take(&mut std::fs::File::open(source)?);
            open().with_context(|| format!("cannot read {source}"))
        }
    }
}

/// What a source is called where it is written down: a URL without its credentials.
pub fn shown(source: &str) -> String {
    match source.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
        Some((scheme, Some((_, rest)))) => format!("{scheme}://{rest}"),
        _ => source.to_owned(),
    }
}

fn take(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks with HTTP/1.0, which ends an answer with its connection.
fn get(url: &str) -> Result<Vec<u8>> {
    let (host, path) = match url.find(['/', '?']) {
        Some(at) if url[at..].starts_with('?') => (&url[..at], format!("/{}", &url[at..])),
        Some(at) => (&url[..at], url[at..].to_owned()),
        None => (url, "/".to_owned()),
    };
    ensure!(!host.is_empty() && !path.contains(['\r', '\n', ' ']), "expected http://HOST/PATH");
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let deadline = Instant::now() + LIMIT;
    let mut stream = connect(&address)?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {ACCEPT}\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot ask")?;
    let mut answer = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "expected an answer within {LIMIT:?}");
        ensure!(answer.len() as u64 <= MOST_BYTES, "expected at most {MOST_BYTES} bytes");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part).context("cannot read the answer")? {
            0 => return body(answer),
            length => answer.extend_from_slice(&part[..length]),
        }
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let mut last = None;
    for address in address.to_socket_addrs().context("cannot find the host")? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error).context("cannot connect"),
        None => bail!("the host has no address"),
    }
}

/// The body of an answer of status 200 that came whole.
fn body(mut answer: Vec<u8>) -> Result<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.context("the answer has no end of headers")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "expected status 200, found {status:?}");
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
    });
    if let Some(length) = length {
        let found = body.len().to_string();
        ensure!(found == length, "expected {length} bytes, found {found}");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_of_status_200_has_a_body() {
        let good = |answer: &str| body(answer.into()).expect("a body");
        assert_eq!(good("HTTP/1.1 200 OK\r\nA: b\r\n\r\na 1\n"), b"a 1\n");
        assert_eq!(good("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"), b"a 1\n");
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na 1\n",
        ] {
            assert!(body(answer.into()).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (source, expect) in [
            ("https://example.org/metrics", "http://"),
            ("no/such/file", "cannot read no/such/file"),
            ("http:///metrics", "cannot get http:///metrics"),
            ("http://me:secret@:x/", "cannot get http://:x/"),
            ("https://me:secret/too@host", "https://host"),
        ] {
            let error = format!("{:#}", read(source).expect_err("an error"));
            assert!(error.contains(expect) && !error.contains("secret"), "{error}");
        }
    }
}
