//! An HTTP receiver: where it is, how it is spoken to, and what it answered.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, StatusCode, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use thiserror::Error;
use tokio_rustls::rustls::ClientConfig;

use crate::http::{self, Failure, Limits, Target};
use crate::tls::{Tls, TlsError};

/// How long a receiver may take for all of an exchange, unless something else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may be, unless something else is said.
const MOST_BYTES: usize = 20 << 20;
/// How much of what a receiver answered is in an error.
const MOST_SAID: usize = 500;
/// What a URL cannot have, and many a header `Location` has all the same.
const NOT_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// How much of what a receiver answered is searched for what it repeats.
const MOST_SEARCHED: usize = 1 << 16;
/// Letters of the shortest password, and of the shortest other value, that is taken for a secret where
/// a receiver repeats it: what is shorter is in many a word.
const SHORTEST_PASSWORD: usize = 4;
const SHORTEST_VALUE: usize = 8;
/// How often a redirect is followed.
const MOST_REDIRECTS: usize = 10;

/// A text that nothing prints: a password, a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Hides the text of a file; a line end behind it is none of it.
    ///
    /// # Errors
    /// When it cannot be read, or is no text.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Ok(Self::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// The text, for whoever sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl<S: Into<String>> From<S> for Secret {
    fn from(text: S) -> Self {
        Self::new(text)
    }
}

/// An HTTP receiver, and how it is spoken to.
///
/// ```
/// use std::time::Duration;
/// use tallyboard_bridges::Receiver;
///
/// let receiver = Receiver::new("https://user:secret@gateway.example:9091/base/")?
///     .timeout(Duration::from_secs(5))
///     .header("x-scope-orgid", "shop")?;
/// // Nobody sees the credentials.
/// assert_eq!(receiver.to_string(), "https://gateway.example:9091/base/");
/// # Ok::<(), tallyboard_bridges::receiver::ReceiverError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Receiver {
    target: Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    authorization: Option<HeaderValue>,
    limits: Limits,
    follows_redirects: bool,
    tls: Tls,
    /// The files of `tls`, read when they are first needed.
    loaded: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// What is no receiver.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// The URL is none that can be used.
    #[error("expected a URL like http://HOST:PORT/PATH, found {found}: {why}; correct it")]
    Url {
        /// The URL, without credentials and query.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header is none.
    #[error("expected a header NAME with a value of visible ASCII, found {found}; correct it")]
    Header {
        /// Its name, if that is one: what is none may be a secret.
        found: String,
    },
}

/// What a receiver answered: with a status from 200 to 299.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }
}

/// What came of something that was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody is there.
    #[error("cannot connect to {receiver}: {why}; see whether it runs and is reachable")]
    Connect {
        /// The receiver.
        receiver: String,
        /// What the system said.
        why: String,
    },
    /// It and this side do not agree on TLS.
    #[error(
        "cannot speak TLS with {receiver}: {why}; see whether its certificate is trusted here and is one for this host, and whether it trusts the one shown"
    )]
    Handshake {
        /// The receiver.
        receiver: String,
        /// What TLS said.
        why: String,
    },
    /// It takes too long.
    #[error(
        "{receiver} gave no {what} within {limit:?}; see whether it is overloaded, or allow more time"
    )]
    Timeout {
        /// The receiver.
        receiver: String,
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// What it says is no HTTP, or it hung up.
    #[error(
        "{receiver} gave no HTTP answer: {why}; see whether the URL leads to the right port, and whether it wants TLS"
    )]
    Exchange {
        /// The receiver.
        receiver: String,
        /// What came instead.
        why: String,
    },
    /// It refused.
    #[error("{receiver} answered {status}: {said}")]
    Refused {
        /// The receiver.
        receiver: String,
        /// The status.
        status: u16,
        /// What it said, cut, in one line.
        said: String,
        /// How long it wants not to be asked.
        retry_after: Option<Duration>,
    },
    /// It took what was sent for something else.
    #[error("{receiver} did not take what was sent: {why}")]
    Misread {
        /// The receiver.
        receiver: String,
        /// What shows that.
        why: String,
    },
    /// The files for TLS are no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl SendError {
    /// Whether the same may be taken when it is sent again: nobody answered, or the receiver is
    /// overloaded or broken.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Timeout { .. }
            | Self::Exchange { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Misread { .. } | Self::Tls(_) => false,
        }
    }

    /// How long the receiver wants not to be asked, if it said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Receiver {
    /// A receiver at a URL, `http` or `https`. A name and a password before the `@` are sent as basic
    /// authentication.
    ///
    /// # Errors
    /// [`ReceiverError::Url`] says what is wrong with it.
    pub fn new(url: &str) -> Result<Self, ReceiverError> {
        let wrong = |why: &str| ReceiverError::Url { found: bare(url), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(wrong("only http and https are spoken")),
            None => return Err(wrong("it begins with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let (credentials, address) = match authority.as_str().rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority.as_str()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = match address.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => {
                port.parse().map_err(|_| wrong("its port is none"))?
            }
            _ if is_secure => 443,
            _ => 80,
        };
        let authority = address.to_owned();
        let path = uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
        let receiver = Self {
            target: Target { is_secure, host, port, authority, path },
            headers: vec![(USER_AGENT, HeaderValue::from_static(AGENT))],
            authorization: None,
            limits: Limits { whole: DEFAULT_TIMEOUT, bytes: MOST_BYTES },
            follows_redirects: false,
            tls: Tls::default(),
            loaded: Arc::default(),
        };
        Ok(match credentials {
            None => receiver,
            Some(credentials) => {
                let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                receiver.basic_auth(&decode(name), &decode(password).into())
            }
        })
    }

    /// Sends a name and a password with every request (RFC 7617).
    #[must_use]
    pub fn basic_auth(mut self, name: &str, password: &Secret) -> Self {
        let pair = STANDARD.encode(format!("{name}:{}", password.reveal()));
        self.authorization = sensitive(&format!("Basic {pair}"));
        self
    }

    /// Sends a token with every request (RFC 6750).
    ///
    /// # Errors
    /// [`ReceiverError::Header`] for a token that cannot stand in a header.
    pub fn bearer(mut self, token: &Secret) -> Result<Self, ReceiverError> {
        let value = sensitive(&format!("Bearer {}", token.reveal()));
        let wrong = || ReceiverError::Header { found: "other letters in a token".to_owned() };
        self.authorization = Some(value.ok_or_else(wrong)?);
        Ok(self)
    }

    /// Sends a header with every request; its value is not printed. A second one of the same name
    /// replaces the first.
    ///
    /// # Errors
    /// [`ReceiverError::Header`] for what cannot be a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ReceiverError> {
        let wrong = |found| ReceiverError::Header { found };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong("a name that is none".to_owned()))?;
        let letters = || wrong(format!("other letters in that of {name:?}"));
        let value = sensitive(value).ok_or_else(letters)?;
        if name == AUTHORIZATION {
            self.authorization = Some(value);
            return Ok(self);
        }
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value));
        Ok(self)
    }

    /// How long an exchange may take, with connecting, sending and reading the answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.whole = timeout;
        self
    }

    /// How many bytes of an answer are read.
    #[must_use]
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Follows redirects with the same method and body, ten at most. Credentials and headers go to
    /// the first receiver alone.
    #[must_use]
    pub fn follow_redirects(mut self) -> Self {
        self.follows_redirects = true;
        self
    }

    /// How connections with TLS are made.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self.loaded = Arc::default();
        self
    }

    /// Reads the files for TLS now, if this receiver wants it: so that a bad one is found at once.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what was expected of it.
    pub fn prepare(&self) -> Result<(), TlsError> {
        if self.target.is_secure { self.client_config().map(drop) } else { Ok(()) }
    }

    /// The receiver at a path below this one, which is written as it is; a `/` at the end of this
    /// one is left out.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let mut receiver = self.clone();
        let (own, query) = match self.target.path.split_once('?') {
            Some((own, query)) => (own, format!("?{query}")),
            None => (&*self.target.path, String::new()),
        };
        let own = own.trim_end_matches('/');
        receiver.target.path = format!("{own}{path}{query}");
        receiver
    }

    /// Sends something, and gives the answer if it has a status from 200 to 299.
    ///
    /// # Errors
    /// [`SendError`] says what came instead.
    pub async fn send(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, SendError> {
        let body = Bytes::from(body);
        let mut at = self.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answered = at.exchange(method, headers, body.clone()).await?;
            let status = answered.status.as_u16();
            if answered.status.is_success() {
                return Ok(answer_of(&answered));
            }
            let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
            let location = answered.headers.get(LOCATION);
            let location =
                location.map(|to| percent_encode(to.as_bytes(), NOT_IN_URLS).to_string());
            match location.as_deref().filter(|_| is_redirect && self.follows_redirects) {
                Some(location) => at = at.redirected(location)?,
                None => return Err(at.refusal(&answer_of(&answered))),
            }
        }
        let said = format!("the {MOST_REDIRECTS}th redirect; see where they lead");
        let (receiver, retry_after) = (self.to_string(), None);
        Err(SendError::Refused { receiver, status: 310, said, retry_after })
    }

    /// Sends something, and gives the answer whatever its status; a redirect is one.
    ///
    /// # Errors
    /// [`SendError`] when there is none.
    pub async fn ask(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, SendError> {
        self.exchange(method, headers, body).await.map(|answered| answer_of(&answered))
    }

    async fn exchange(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<http::Answered, SendError> {
        let receiver = || self.to_string();
        let wrong = |why: String| SendError::Exchange { receiver: receiver(), why };
        let method = Method::from_bytes(method.as_bytes());
        let method = method.map_err(|error| wrong(error.to_string()))?;
        let mut all: Vec<(HeaderName, HeaderValue)> = self.own_headers().collect();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value);
            let (Ok(name), Ok(value)) = (name, value) else { continue };
            all.push((name, value));
        }
        let tls = if self.target.is_secure { Some(self.client_config()?) } else { None };
        let mut target = self.target.clone();
        if !target.path.starts_with('/') {
            target.path.insert(0, '/');
        }
        let sent = http::send(&target, tls.as_ref(), self.limits, (method, &all, body)).await;
        sent.map_err(|failure| match failure {
            Failure::Connect(why) => SendError::Connect { receiver: receiver(), why },
            Failure::Handshake(why) => SendError::Handshake { receiver: receiver(), why },
            Failure::Timeout(what, limit) => {
                SendError::Timeout { receiver: receiver(), what, limit }
            }
            Failure::Exchange(why) => wrong(why),
        })
    }

    /// The headers of every request.
    fn own_headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let authorization = self.authorization.iter().map(|value| (AUTHORIZATION, value.clone()));
        self.headers.iter().cloned().chain(authorization)
    }

    /// The headers of every request, for whoever sends it in another way.
    pub(crate) fn header_texts(&self) -> impl Iterator<Item = (String, String)> {
        let text = |value: HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.own_headers().map(move |(name, value)| (name.to_string(), text(value)))
    }

    /// What a receiver said, in one line, without what nobody is to see: some repeat all that they
    /// were sent.
    pub(crate) fn said(&self, body: &[u8]) -> String {
        // More than is shown, so that no secret is cut in two before it is found.
        let body = &body[..body.len().min(MOST_SEARCHED)];
        let mut said = String::from_utf8_lossy(body).into_owned();
        for secret in self.secrets() {
            said = said.replace(&secret, "***");
        }
        one_line(said.as_bytes())
    }

    /// What nobody is to see: credentials, and values of headers and of the query that are too long for
    /// words.
    fn secrets(&self) -> Vec<String> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut secrets = Vec::new();
        if let Some(value) = self.authorization.as_ref().map(text) {
            let token = value.split_once(' ').map_or(&*value, |(_, token)| token);
            let pair = STANDARD.decode(token).ok().and_then(|pair| String::from_utf8(pair).ok());
            let password = pair.as_deref().and_then(|pair| pair.split_once(':'));
            secrets.extend(password.map(|(_, password)| password.to_owned()));
            secrets.push(token.to_owned());
            secrets.push(value);
        }
        secrets.retain(|secret| secret.len() >= SHORTEST_PASSWORD);
        let query = self.target.path.split_once('?').map_or("", |(_, query)| query);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        let values = values.flat_map(|value| [value.to_owned(), decoded(value)]);
        let own = self.headers.iter().filter(|(name, _)| *name != USER_AGENT);
        let own = own.map(|(_, value)| text(value));
        secrets.extend(values.chain(own).filter(|value| value.len() >= SHORTEST_VALUE));
        // The longest first: a shorter one may be a part of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Its URL, without credentials.
    pub(crate) fn url(&self) -> String {
        let Target { is_secure, authority, path, .. } = &self.target;
        let path = if path == "/" { "" } else { path };
        format!("http{}://{authority}{path}", if *is_secure { "s" } else { "" })
    }

    /// How long an exchange may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limits.whole
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.target.is_secure
    }

    fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = self.tls.load()?;
        Ok(Arc::clone(self.loaded.get_or_init(|| loaded)))
    }

    /// Where a redirect leads: to another URL, or to another path.
    fn redirected(&self, location: &str) -> Result<Self, SendError> {
        let Target { is_secure, authority, path, .. } = &self.target;
        let scheme = if *is_secure { "https" } else { "http" };
        let url = match location {
            _ if has_scheme(location) => location.to_owned(),
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            _ => {
                let parent = path.split('?').next().and_then(|path| path.rsplit_once('/'));
                let parent = parent.map_or("", |(parent, _)| parent);
                format!("{scheme}://{authority}{parent}/{location}")
            }
        };
        let to = Self::new(&url).map_err(|error| {
            let why = match error {
                ReceiverError::Url { found, why } => format!("a redirect to {found}: {why}"),
                other => other.to_string(),
            };
            SendError::Exchange { receiver: self.to_string(), why }
        })?;
        let target = to.target.clone();
        let is_same = (&target.host, target.port, target.is_secure)
            == (&self.target.host, self.target.port, self.target.is_secure);
        if is_same {
            return Ok(Self { target, ..self.clone() });
        }
        // Any header may be a token.
        Ok(Self { target, authorization: None, headers: to.headers, ..self.clone() })
    }

    /// What an answer of another status than 200 to 299 is as an error.
    #[must_use]
    pub fn refusal(&self, answer: &Answer) -> SendError {
        let to = answer.header("location").filter(|_| (300..400).contains(&answer.status));
        let to = to.map(|to| {
            let do_what = "give that address, or allow redirects";
            let to = if has_scheme(to) { shown(to) } else { without_query(to) };
            format!("a redirect to {}; {do_what}", self.said(to.as_bytes()))
        });
        let status = StatusCode::from_u16(answer.status).ok();
        let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("no reason");
        let said = self.said(&answer.body);
        let said = to.unwrap_or(if said.is_empty() { reason.to_owned() } else { said });
        // A date is left aside: no clock is compared with another one.
        let retry_after = answer.header("retry-after").and_then(|after| after.trim().parse().ok());
        SendError::Refused {
            receiver: self.to_string(),
            status: answer.status,
            said,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }
}

impl fmt::Display for Receiver {
    /// Its URL, without credentials, and without its query, which often has a token in it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&without_query(&self.url()))
    }
}

const AGENT: &str = concat!("tallyboard/", env!("CARGO_PKG_VERSION"));

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn answer_of(answered: &http::Answered) -> Answer {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Answer {
        status: answered.status.as_u16(),
        headers: answered.headers.iter().map(|(name, v)| (name.to_string(), text(v))).collect(),
        body: answered.body.to_vec(),
    }
}

/// What a receiver said, cut, in one line of characters that can be printed.
pub(crate) fn one_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MOST_SAID)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(MOST_SAID).collect()
}

/// A URL as it may be written down: without credentials, and without its query, which often has a
/// token in it.
#[must_use]
pub fn shown(url: &str) -> String {
    match Receiver::new(url) {
        Ok(receiver) => receiver.to_string(),
        Err(_) => bare(url),
    }
}

/// What may be shown of what is no URL, which may have an @ anywhere in its password.
fn bare(url: &str) -> String {
    let url = &url.replace("%40", "@");
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let Some((before, address)) = url.rsplit_once('@') else { return without_query(url) };
    // Of a query that goes on behind the last @ nothing else is shown.
    let address = match before.contains(['?', '#']) {
        true => address.split(['/', '?', '#', '&']).next().unwrap_or_default(),
        false => address,
    };
    match !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        true => without_query(&format!("{scheme}://{address}")),
        false => without_query(address),
    }
}

/// Whether a reference is a URL of its own, rather than a path that may have one in its query.
fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split_once("://").map(|(scheme, _)| scheme);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(is_letter))
}

fn without_query(url: &str) -> String {
    match url.find(['?', '#']) {
        Some(end) => format!("{}?…", &url[..end]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_where_a_receiver_is_and_who_asks() {
        for (url, expect) in [
            ("http://gateway:9091", Some("http://gateway:9091")),
            ("http://gateway:9091/", Some("http://gateway:9091")),
            ("https://u:p@gateway/base/?tenant=1", Some("https://gateway/base/?…")),
            ("http://a/x/", Some("http://a/x/")),
            ("http://[::1]:9091/x", Some("http://[::1]:9091/x")),
            ("http://[::1]/x", Some("http://[::1]/x")),
            ("gateway:9091", None),
            ("ftp://gateway", None),
            ("http://", None),
            ("http://u:p@", None),
            ("http://gateway:port", None),
            ("http://gateway:99999", None),
            ("http://a b/", None),
        ] {
            let found = Receiver::new(url).map(|receiver| receiver.to_string());
            assert_eq!(found.as_deref().ok(), expect, "{url}: {found:?}");
        }
        let error = Receiver::new("ftp://user:secret@gateway/").expect_err("another scheme");
        assert!(!error.to_string().contains("secret"), "{error}");
        for url in [
            "http://u:secret/x@gateway/",
            "http://u:sec#ret@gateway/",
            "u:secret@gateway",
            "http://u:secret @gateway",
            "http://u:secret://x @gateway",
            "http://gateway:port/?secret",
            "http://u:secret%40gateway:1",
            "http://gateway:port/?mail=a@gateway&token=secret",
        ] {
            let error = Receiver::new(url).expect_err("no URL").to_string();
            let is_hidden = ["secret", "sec#", "ret@"].iter().all(|part| !error.contains(part));
            assert!(error.contains("gateway") && is_hidden, "{error}");
            assert!(!shown(url).contains("sec"), "{}", shown(url));
        }
        assert_eq!(shown("http://u:p@gateway/x@y?a=b@c"), "http://gateway/x@y?…");
    }

    #[test]
    fn a_path_is_put_behind_that_of_the_receiver_and_before_its_query() {
        let at = |url: &str| Receiver::new(url).expect("a URL").at("/v1/x").url();
        assert_eq!(at("http://a"), "http://a/v1/x");
        assert_eq!(at("http://a/b/"), "http://a/b/v1/x");
        assert_eq!(at("http://a/b/?c=d"), "http://a/b/v1/x?c=d");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let receiver = Receiver::new("http://user:se%3Acret@a").expect("a URL");
        let receiver = receiver.header("x-token", "secret-too").expect("a header");
        let receiver = receiver.bearer(&"secret-three".into()).expect("a token");
        let printed = format!("{receiver} {receiver:?} {:?}", Secret::new("secret-four"));
        for secret in ["secret", "se%3Acret", "se:cret", &STANDARD.encode("user:se:cret")] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn a_redirect_leads_to_another_url_or_path_and_takes_no_credentials_elsewhere() {
        let from = Receiver::new("http://user:pass@a:1/b/c?d=e").expect("a URL");
        let from = from.header("x-token", "t").expect("a header");
        for (location, expect, keeps) in [
            ("http://a:1/x", "http://a:1/x", true),
            ("https://a:1/x", "https://a:1/x", false),
            ("//other/x", "http://other/x", false),
            ("/x?y", "http://a:1/x?y", true),
            ("x", "http://a:1/b/x", true),
            ("/b/c/", "http://a:1/b/c/", true),
            ("/x?to=http://b/", "http://a:1/x?to=http://b/", true),
            ("x?to=http://b/", "http://a:1/b/x?to=http://b/", true),
        ] {
            let to = from.redirected(location).expect("a URL");
            assert_eq!((&*to.url(), to.authorization.is_some()), (expect, keeps));
            let has_token = to.headers.iter().any(|(name, _)| name == "x-token");
            assert_eq!((has_token, to.headers.len() > 1), (keeps, keeps));
        }
        assert!(from.redirected("ftp://a/").is_err());
    }

    #[test]
    fn what_a_receiver_repeats_of_a_secret_is_not_shown() {
        let receiver = Receiver::new("http://alice:s3cret-password@a").expect("a URL");
        let receiver = receiver.header("x-token", "token-42").expect("a header");
        let receiver = receiver.header("x-scope-orgid", "shop").expect("a header");
        let pair = STANDARD.encode("alice:s3cret-password");
        let body = format!("authorization: Basic {pair}\nx-token: token-42 s3cret-password");
        assert_eq!(receiver.said(body.as_bytes()), "authorization: *** x-token: *** ***");
        // Wherever it stands, but for what is a word.
        let body = format!("shop_requests{}Basic {pair}", " ".repeat(1975));
        assert_eq!(receiver.said(body.as_bytes()), "shop_requests ***");
        let query = Receiver::new("http://a/x?key=a-secret%2Bkey&p=1").expect("a URL");
        assert_eq!(
            query.said(b"no /x?key=a-secret%2Bkey&p=1 (a-secret+key)"),
            "no /x?key=***&p=1 (***)"
        );
        let bearer = Receiver::new("http://a").expect("a URL").bearer(&"abcdef".into());
        assert_eq!(bearer.expect("a token").said(b"not abcdef"), "not ***");
    }

    #[test]
    fn what_a_receiver_said_is_one_line_that_is_not_long() {
        assert_eq!(one_line(b" a\r\n  b\tc\x1b[0m\n"), "a b c[0m");
        assert_eq!(one_line(&[b'x'; 10_000]).len(), MOST_SAID);
        assert_eq!(one_line(b"\xff"), "\u{fffd}");
    }
}
