//! A document from a file, from standard input, or from a server over HTTP.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tallyboard_bridges::{Receiver, blocking, receiver};

/// Longest document that is read.
const MOST_BYTES: usize = 1 << 30;
/// How long a server may take for all of its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// What is asked for: the formats whose rules are the strictest first.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Reads `-`, a URL or a file. It waits: call it where a thread may block.
///
/// # Errors
/// When it cannot be read, or a server does not answer with a status from 200 to 299.
pub fn read(source: &str) -> Result<Vec<u8>> {
    if source == "-" {
        return take(&mut io::stdin().lock()).context("cannot read standard input");
    }
    if is_url(source) {
        return get(source).with_context(|| format!("cannot get {}", shown(source)));
    }
    let open = || take(&mut std::fs::File::open(source)?);
    open().with_context(|| format!("cannot read {}", shown(source)))
}

/// Whether a source is one that a server has.
pub fn is_url(source: &str) -> bool {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}

/// What a source is called where it is written down: a URL without its credentials.
pub fn shown(source: &str) -> String {
    // Somebody may have forgotten to say http:// first.
    let before = source.split_once(['@', '?']).map_or("", |(before, _)| before);
    let is_meant = before.contains(':');
    match source.contains("://") || is_meant {
        true => receiver::shown(source),
        false => source.to_owned(),
    }
}

fn take(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn get(url: &str) -> Result<Vec<u8>> {
    let receiver = Receiver::new(url)?.timeout(LIMIT).most_bytes(MOST_BYTES).follow_redirects();
    // In a thread that has no runtime, whatever that of the caller has.
    let sent = thread::scope(|scope| {
        let get = receiver.send("GET", &[("accept", ACCEPT)], Vec::new());
        scope.spawn(|| blocking::run(get)).join()
    });
    Ok(sent.map_err(|_| anyhow!("the thread that asks has panicked"))???.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        for (source, expect) in [
            ("no/such/file", "cannot read no/such/file"),
            ("http:///metrics", "cannot get http:///metrics: expected a URL"),
            ("http://me:secret@:x/", "cannot get http://:x/: expected a URL"),
            ("https://me:secret/too@host", "cannot get https://host: expected a URL"),
            ("HTTPS://me:secret/too@host", "cannot get HTTPS://host: expected a URL"),
            ("me:secret@host/metrics", "cannot read host/metrics"),
            ("me:sec/ret@host/metrics", "cannot read host/metrics"),
            ("host:9100/metrics?token=secret", "cannot read host:9100/metrics?…"),
            ("no/such?file", "cannot read no/such?file"),
            ("no/such@file", "cannot read no/such@file"),
        ] {
            let error = format!("{:#}", read(source).expect_err("an error"));
            assert!(error.contains(expect) && !error.contains("secret"), "{error}");
        }
    }
}
