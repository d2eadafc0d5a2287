//! An exposition as a stranger gets it: over HTTP, read from the text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>). This reader
//! is strict and shares no code with the writer that it checks.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::demo::application::{CLIENT, LOAD, REQUESTS};

/// Path of the metrics.
pub const METRICS: &str = "/metrics";
/// Longest answer that is read.
const MOST_BYTES: usize = 64 << 20;

/// A page of samples.
#[derive(Debug, Default)]
pub struct Page {
    kinds: HashMap<String, String>,
    samples: Vec<Sample>,
}

/// One line of it.
#[derive(Debug, PartialEq)]
pub struct Sample {
    /// Name and labels as they are written: what tells one series from another.
    pub series: String,
    /// Name.
    pub name: String,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// Value.
    pub value: f64,
}

/// Asks for a page over HTTP and reads it.
///
/// # Errors
/// Whatever keeps it from being a page: no answer, another status, a line that is none.
pub fn scrape(address: SocketAddr, path: &str, limit: Duration) -> Result<Page> {
    Page::parse(&get(address, path, limit)?)
}

/// Asks for `path` with HTTP/1.0, which ends an answer with its connection.
fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, limit).context("cannot connect")?;
    stream.set_write_timeout(Some(limit))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot ask")?;
    let mut answer = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "expected an answer within {limit:?}");
        ensure!(answer.len() < MOST_BYTES, "expected at most {MOST_BYTES} bytes");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part).context("cannot read the answer")? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    body_of(&String::from_utf8(answer).context("the answer is not UTF-8")?)
}

/// The body of an answer of status 200 that came whole.
fn body_of(answer: &str) -> Result<String> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "expected status 200, found {status:?}");
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    if let Some(length) = length {
        let found = body.len().to_string();
        ensure!(found == length, "expected {length} bytes, found {found}");
    }
    Ok(body.to_owned())
}

impl Page {
    /// Reads the text of a page.
    ///
    /// # Errors
    /// For a line that is no sample, a sample without type, or a series that comes twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut page = Self::default();
        let mut seen = HashSet::new();
        ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                page.comment(comment)?;
                continue;
            }
            let sample = Sample::parse(line).with_context(|| format!("no sample: {line:?}"))?;
            ensure!(page.kind_of(&sample.name).is_some(), "{} has no type", sample.name);
            ensure!(seen.insert(sample.series.clone()), "{} comes twice", sample.series);
            page.samples.push(sample);
        }
        Ok(page)
    }

    fn comment(&mut self, comment: &str) -> Result<()> {
        let mut words = comment.split_whitespace();
        if words.next() != Some("TYPE") {
            return Ok(());
        }
        let (Some(name), Some(kind), None) = (words.next(), words.next(), words.next()) else {
            bail!("expected a name and a type, found {comment:?}");
        };
        let before = self.kinds.insert(name.to_owned(), kind.to_owned());
        ensure!(before.is_none(), "{name} has two types");
        Ok(())
    }

    /// The type of the family that a sample of this name belongs to, and what the name has behind
    /// the family's.
    fn kind_of<'a>(&self, name: &'a str) -> Option<(&str, &'a str)> {
        if let Some(kind) = self.kinds.get(name) {
            return Some((kind, ""));
        }
        ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let kind = self.kinds.get(name.strip_suffix(suffix)?)?;
            let has = matches!(
                (kind.as_str(), *suffix),
                ("histogram", _) | ("summary", "_sum" | "_count")
            );
            has.then(|| (kind.as_str(), &name[name.len() - suffix.len()..]))
        })
    }

    /// The samples that never go down: counters, buckets, sums and counts.
    pub fn monotone(&self) -> impl Iterator<Item = &Sample> {
        // What one worker has taken goes with it.
        let lasts = |sample: &&Sample| !sample.name.starts_with("tallyboard_worker_");
        self.samples.iter().filter(lasts).filter(|sample| {
            matches!(
                self.kind_of(&sample.name),
                Some(("counter", "") | ("histogram" | "summary", "_bucket" | "_sum" | "_count"))
            )
        })
    }

    /// How many requests of the load were counted; `None` when the page has no such number.
    #[must_use]
    pub fn counted(&self) -> Option<u64> {
        let of_load = |sample: &&Sample| {
            sample.name == REQUESTS
                && sample.labels.iter().any(|(name, value)| name == CLIENT && value == LOAD)
        };
        let values: Vec<f64> = self.samples.iter().filter(of_load).map(|s| s.value).collect();
        let whole = values.iter().all(|value| value.fract() == 0.0 && *value >= 0.0);
        (whole && !values.is_empty()).then(|| values.iter().map(|&value| value as u64).sum())
    }
}

impl Sample {
    /// Reads a line: a name, labels or none, a value, a timestamp or none.
    fn parse(line: &str) -> Result<Self> {
        let end = line.find(['{', ' ']).context("no value")?;
        let (name, rest) = line.split_at(end);
        ensure!(!name.is_empty(), "no name");
        let (labels, values) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let series = line[..line.len() - values.len()].to_owned();
        let mut values = values.split_whitespace();
        let value = match values.next().context("no value")? {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            value => value.parse().with_context(|| format!("{value:?} is no number"))?,
        };
        let stamp = values.next().map(str::parse::<i64>).transpose();
        ensure!(stamp.is_ok() && values.next().is_none(), "something stands behind the value");
        Ok(Self { series, name: name.to_owned(), labels, value })
    }
}

/// Labels by name, with their escapes undone.
type Labels = Vec<(String, String)>;

/// Reads labels up to their closing brace; gives them and what follows.
fn parse_labels(mut rest: &str) -> Result<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once("=\"").context("a label without value")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().context("a label value without end")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, escaped @ ('\\' | '"'))) => escaped,
                    _ => bail!("an escape that is none"),
                }),
                (_, character) => value.push(character),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP demo_http_requests_total Requests {answered}.\n\
        # TYPE demo_http_requests_total counter\n\
        demo_http_requests_total{route=\"/\",status=\"200\",client=\"load\"} 40\n\
        demo_http_requests_total{route=\"a \\\"b\\\\,\\n}\",status=\"404\",client=\"load\"} 2\n\
        demo_http_requests_total{route=\"/\",status=\"200\",client=\"visitor\"} 7\n\
        # TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.5\nh_count 3\n\
        # TYPE s summary\ns_sum 1e-3\ns_count 1 1700000000000\n\
        # TYPE g gauge\ng -Inf\n# TYPE x_count gauge\nx_count 2\n";

    #[test]
    fn a_page_is_read_with_its_labels_and_types() {
        let page = Page::parse(PAGE).unwrap();
        assert_eq!(page.samples.len(), 10);
        assert_eq!(page.counted(), Some(42));
        assert_eq!(page.samples[1].labels[0].1, "a \"b\\,\n}");
        assert_eq!(page.samples[8].value, f64::NEG_INFINITY);
        let monotone: Vec<&str> = page.monotone().map(|sample| sample.name.as_str()).collect();
        assert_eq!(monotone[3..], ["h_bucket", "h_sum", "h_count", "s_sum", "s_count"]);
        assert_eq!(monotone.len(), 8);
        assert_eq!(Page::parse("").unwrap().counted(), None);
    }

    #[test]
    fn a_damaged_page_is_no_page() {
        for (damaged, expect) in [
            ("a 1\n", "has no type"),
            ("# TYPE a counter\na 1", "no end"),
            ("# TYPE a counter\na 1\na 1\n", "comes twice"),
            ("# TYPE a counter\n# TYPE a gauge\n", "two types"),
            ("# TYPE a\n", "a name and a type"),
            ("# TYPE a counter\na\n", "no sample"),
            ("# TYPE a counter\na one\n", "no sample"),
            ("# TYPE a counter\na 1 2 3\n", "no sample"),
            ("# TYPE a counter\na{b=\"c} 1\n", "no sample"),
            ("# TYPE a counter\na{b=\"\\x\"} 1\n", "no sample"),
            ("# TYPE a counter\na{b} 1\n", "no sample"),
            ("# TYPE a counter\na_bucket 1\n", "has no type"),
            ("# TYPE a summary\na_bucket 1\n", "has no type"),
        ] {
            let error = format!("{:#}", Page::parse(damaged).unwrap_err());
            assert!(error.contains(expect), "{damaged:?}: {error}");
        }
    }

    #[test]
    fn an_answer_is_whole_and_has_status_200() {
        let good = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab";
        assert_eq!(body_of(good).unwrap(), "ab");
        for (bad, expect) in [
            ("HTTP/1.0 503 Unavailable\r\n\r\n", "503"),
            ("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nab", "expected 3 bytes, found 2"),
            ("HTTP/1.0 200 OK\r\n", "no end of headers"),
        ] {
            let error = body_of(bad).unwrap_err().to_string();
            assert!(error.contains(expect), "{bad:?}: {error}");
        }
    }
}
