//! An HTTP receiver: where it is, how it is spoken to, and what it answered.
//!
//! | module | owns |
//! |---|---|
//! | `secret` | a text that nothing prints |
//! | `error` | what is no receiver |
//! | `address` | URLs: where a receiver is, and what of that may be written down |
//! | `answer` | what came of something that was sent |
//! | `said` | what a receiver said, as it may be shown |

mod address;
mod answer;
mod error;
mod said;
mod secret;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tokio_rustls::rustls::ClientConfig;

use self::address::{Address, has_scheme, resolved, url_of, without_query};
use crate::http::{self, Failure, Limits, Target};
use crate::tls::{Tls, TlsError};

pub use self::address::shown;
pub use self::answer::{Answer, SendError};
pub use self::error::ReceiverError;
pub(crate) use self::said::one_line;
pub use self::secret::Secret;

/// How long a receiver may take for all of an exchange, unless something else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may be, unless something else is said.
const MOST_BYTES: usize = 20 << 20;
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
/// How often a redirect is followed.
const MOST_REDIRECTS: usize = 10;

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

impl Receiver {
    /// A receiver at a URL, `http` or `https`. A name and a password before the `@` are sent as basic
    /// authentication.
    ///
    /// # Errors
    /// [`ReceiverError::Url`] says what is wrong with it.
    pub fn new(url: &str) -> Result<Self, ReceiverError> {
        let Address { target, credentials } = address::parse(url)?;
        let receiver = Self {
            target,
            headers: vec![(USER_AGENT, HeaderValue::from_static(AGENT))],
            authorization: None,
            limits: Limits { whole: DEFAULT_TIMEOUT, bytes: MOST_BYTES },
            follows_redirects: false,
            tls: Tls::default(),
            loaded: Arc::default(),
        };
        Ok(match credentials {
            None => receiver,
            Some((name, password)) => receiver.basic_auth(&name, &password),
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
            .map_err(|_| wrong("a name that no header can have".to_owned()))?;
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

    /// What a receiver said, in one line, without what nobody is to see.
    pub(crate) fn said(&self, body: &[u8]) -> String {
        let authorization = self.authorization.as_ref();
        said::without(&said::secrets(authorization, &self.headers, &self.target.path), body)
    }

    /// Its URL, without credentials.
    pub(crate) fn url(&self) -> String {
        url_of(&self.target)
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
        let url = resolved(&self.target, location);
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
}
