//! A Pushgateway (<https://github.com/prometheus/pushgateway>), which keeps what batch jobs push for
//! a Prometheus that scrapes it.
//!
//! What is pushed together is a group, under the name of a job and the labels of a grouping key. The
//! gateway puts these on every sample of the group.
//!
//! | module | owns |
//! |---|---|
//! | `error` | what came of something that was to be pushed |
//! | `group` | where a group is in a gateway |
//! | `request` | what is sent, for a handler of one's own |

mod error;
mod group;
mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tallyboard_exposition::escaping::{Escaping, is_legacy_label};
use tallyboard_exposition::sample::FamilySamples;
use tokio::time::timeout;

use self::group::path;
use self::request::Handler;
use crate::blocking;
use crate::page::{CONTENT_TYPE, page};
use crate::receiver::{Receiver, SendError};

pub use self::error::{HandlerError, PushError};
pub use self::group::instance_ip_grouping_key;
pub use self::request::PushRequest;

/// Level of gzip, by the measurements of the supervisor's pages.
const GZIP_LEVEL: u32 = 2;

/// A group of metrics in a Pushgateway.
///
/// ```no_run
/// use tallyboard_bridges::Pushgateway;
/// use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
///
/// let mut done = FamilySamples::new(Type::Gauge, "backup_files", "Files in the last backup.");
/// done.samples.push(Sample::new("", Vec::new(), Value::Whole(1200)));
/// let gateway = Pushgateway::new("http://gateway.example:9091", "backup")?
///     .grouping("disk", "/dev/sda")?;
/// gateway.blocking_push(&[done])?;
/// # Ok::<(), tallyboard_bridges::PushError>(())
/// ```
///
/// Another way to speak to the gateway (time, authentication, certificates, redirects) is that of
/// its [`Receiver`]:
///
/// ```
/// use std::time::Duration;
/// use tallyboard_bridges::{Pushgateway, Receiver, Tls};
///
/// let receiver = Receiver::new("https://gateway.example:9091")?
///     .timeout(Duration::from_secs(5))
///     .basic_auth("shop", &std::env::var("GATEWAY_PASSWORD").unwrap_or_default().into())
///     .tls(Tls::default().trust("ca.pem").identity("client.pem", "client.key"))
///     .follow_redirects();
/// let gateway = Pushgateway::at(receiver, "backup")?.gzip();
/// assert_eq!(gateway.to_string(), "https://gateway.example:9091/metrics/job/backup");
/// # Ok::<(), tallyboard_bridges::PushError>(())
/// ```
#[derive(Clone)]
pub struct Pushgateway {
    receiver: Receiver,
    job: String,
    grouping: BTreeMap<String, String>,
    is_gzipped: bool,
    escaping: Escaping,
    handler: Option<Arc<Handler>>,
}

impl Pushgateway {
    /// The group of a job in the gateway at a URL; `HOST:PORT` alone is spoken to with HTTP.
    ///
    /// # Errors
    /// [`PushError::Receiver`] for what is no URL, [`PushError::NoJob`] for a job without a name.
    pub fn new(url: &str, job: &str) -> Result<Self, PushError> {
        let receiver = match url.contains("://") {
            true => Receiver::new(url)?,
            false => Receiver::new(&format!("http://{url}"))?,
        };
        Self::at(receiver, job)
    }

    /// The group of a job in the gateway that is this receiver.
    ///
    /// # Errors
    /// [`PushError::NoJob`] for a job without a name.
    pub fn at(receiver: Receiver, job: &str) -> Result<Self, PushError> {
        if job.is_empty() {
            return Err(PushError::NoJob);
        }
        let (job, grouping) = (job.to_owned(), BTreeMap::new());
        let escaping = Escaping::default();
        Ok(Self { receiver, job, grouping, is_gzipped: false, escaping, handler: None })
    }

    /// The group with one more label in its grouping key. The value may be any text.
    ///
    /// # Errors
    /// [`PushError::Grouping`] for what is no label name, begins with `__`, is the job, or was given
    /// before.
    pub fn grouping(mut self, name: &str, value: &str) -> Result<Self, PushError> {
        let why = match name {
            "job" => Some("which is the name of the job"),
            _ if !is_legacy_label(name) => {
                Some("which is not made of letters, digits and underscores, with no digit first")
            }
            _ if name.starts_with("__") => Some("which begins with __ as Prometheus' own do"),
            _ if self.grouping.contains_key(name) => Some("which is in it already"),
            _ => None,
        };
        if let Some(why) = why {
            return Err(PushError::Grouping { found: name.to_owned(), why });
        }
        self.grouping.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    /// Sends what is pushed with gzip.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.is_gzipped = true;
        self
    }

    /// Writes names as this scheme has them; otherwise underscores stand for what old readers do not
    /// know. A gateway takes names as they are from 1.11 on, where it is told to
    /// (`--push.enable-utf8-names`).
    #[must_use]
    pub fn escaping(mut self, scheme: Escaping) -> Self {
        self.escaping = scheme;
        self
    }

    /// Has somebody else send what is pushed: a client that knows a proxy, or another
    /// authentication. It is called instead of the [`Receiver`], whose limit of time still holds.
    ///
    /// ```
    /// use tallyboard_bridges::pushgateway::{PushRequest, Pushgateway};
    ///
    /// let gateway = Pushgateway::new("gateway:9091", "backup")?.handler(|request: PushRequest| async move {
    ///     assert_eq!(request.method, "DELETE");
    ///     Err(format!("nobody to send to {}", request.url).into())
    /// });
    /// let error = gateway.blocking_delete().unwrap_err().to_string();
    /// assert!(error.ends_with("nobody to send to http://gateway:9091/metrics/job/backup"));
    /// # Ok::<(), tallyboard_bridges::PushError>(())
    /// ```
    #[must_use]
    pub fn handler<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(PushRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.handler = Some(Arc::new(move |request| Box::pin(handler(request))));
        self
    }

    /// Replaces the group with these families (PUT).
    ///
    /// They are sent as text 0.0.4: names are [escaped](Self::escaping), infos and statesets are gauges, and created times and exemplars are left out. A gateway refuses timestamps, so they
    /// are removed, and of a series that has several the newest is sent; when it was pushed is a
    /// metric of the gateway's own, `push_time_seconds`.
    ///
    /// # Errors
    /// [`PushError`] says what the gateway answered. Then the group is as it was.
    pub async fn push(&self, families: &[FamilySamples]) -> Result<(), PushError> {
        self.send("PUT", Some(page(families, self.escaping))).await
    }

    /// Replaces of the group what has the names of these families (POST), as
    /// [`push`](Self::push) does.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub async fn push_add(&self, families: &[FamilySamples]) -> Result<(), PushError> {
        self.send("POST", Some(page(families, self.escaping))).await
    }

    /// Removes the group (DELETE). One that is not there is no error.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub async fn delete(&self) -> Result<(), PushError> {
        self.send("DELETE", None).await
    }

    /// [`push`](Self::push) for a program without a runtime.
    ///
    /// # Errors
    /// As there, and [`PushError::Blocking`] in a thread of an async runtime.
    pub fn blocking_push(&self, families: &[FamilySamples]) -> Result<(), PushError> {
        blocking::run(self.push(families))?
    }

    /// [`push_add`](Self::push_add) for a program without a runtime.
    ///
    /// # Errors
    /// As for [`blocking_push`](Self::blocking_push).
    pub fn blocking_push_add(&self, families: &[FamilySamples]) -> Result<(), PushError> {
        blocking::run(self.push_add(families))?
    }

    /// [`delete`](Self::delete) for a program without a runtime.
    ///
    /// # Errors
    /// As for [`blocking_push`](Self::blocking_push).
    pub fn blocking_delete(&self) -> Result<(), PushError> {
        blocking::run(self.delete())?
    }

    async fn send(&self, method: &'static str, page: Option<Vec<u8>>) -> Result<(), PushError> {
        let receiver = self.receiver.at(&path(&self.job, &self.grouping));
        let mut headers = Vec::new();
        if page.is_some() {
            headers.push(("content-type", CONTENT_TYPE));
        }
        let mut body = page.unwrap_or_default();
        if let Some(coded) = gzip(&body).filter(|_| self.is_gzipped && !body.is_empty()) {
            headers.push(("content-encoding", "gzip"));
            body = coded;
        }
        let Some(handler) = &self.handler else {
            receiver.send(method, &headers, body).await?;
            return Ok(());
        };
        let own = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers = receiver.header_texts().chain(own).collect();
        let (url, limit) = (receiver.to_string(), receiver.limit());
        let request = PushRequest { method, url: receiver.url(), headers, body, timeout: limit };
        match timeout(limit, handler(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(PushError::Handler { gateway: url, source }),
            Err(_) => {
                let what = "end of its handler";
                Err(SendError::Timeout { receiver: url, what, limit }.into())
            }
        }
    }
}

impl fmt::Display for Pushgateway {
    /// The URL of the group, without credentials and query.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.receiver.at(&path(&self.job, &self.grouping)).fmt(out)
    }
}

impl fmt::Debug for Pushgateway {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Pushgateway");
        out.field("receiver", &self.receiver).field("job", &self.job);
        out.field("grouping", &self.grouping).field("is_gzipped", &self.is_gzipped);
        out.field("has_handler", &self.handler.is_some()).finish()
    }
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::blocking::BlockingError;

    fn gateway(job: &str, grouping: &[(&str, &str)]) -> Result<Pushgateway, PushError> {
        let gateway = Pushgateway::new("gateway:9091/base/", job)?;
        grouping.iter().try_fold(gateway, |gateway, (name, value)| gateway.grouping(name, value))
    }

    #[test]
    fn a_group_has_a_path_that_says_what_it_is_and_nothing_else() {
        let check = |job: &str, grouping: &[(&str, &str)], expect: &str| {
            let url = gateway(job, grouping).expect("a group").to_string();
            assert_eq!(url, format!("http://gateway:9091/base/metrics/{expect}"));
        };
        check("batch", &[], "job/batch");
        check("batch", &[("b", "2"), ("a", "1")], "job/batch/a/1/b/2");
        check("a b", &[], "job/a%20b");
        check("a/b", &[], "job@base64/YS9i");
        check("/", &[("l", "//")], "job@base64/Lw/l@base64/Ly8");
        check("j", &[("l", "")], "job/j/l@base64/=");
        check("j", &[("l", ""), ("m", "n")], "job/j/l@base64/=/m/n");
        check(".", &[("l", "..")], "job@base64/Lg/l@base64/Li4");
        check("...", &[("l", "a.b")], "job/.../l/a.b");
        check("ä", &[("l", "日本")], "job/%C3%A4/l/%E6%97%A5%E6%9C%AC");
        check("ä/日", &[], "job@base64/w6Qv5pel");
        check("?#%+", &[("l", "a:b@c&d=e;f")], "job/%3F%23%25%2B/l/a%3Ab%40c%26d%3De%3Bf");
        check("\0\n\\\"", &[], "job/%00%0A%5C%22");
        check("???/>>>", &[], "job@base64/Pz8_Lz4-Pg");
        check("base64", &[("a_", "_-~")], "job/base64/a_/_-~");
    }

    #[test]
    fn what_a_gateway_refuses_is_refused_before_anything_is_sent() {
        let refuses = |found: Result<Pushgateway, PushError>, expect: &str| {
            let error = found.expect_err(expect).to_string();
            assert!(error.starts_with("expected") && error.contains(expect), "{error}");
        };
        refuses(gateway("", &[]), "found an empty text");
        refuses(gateway("j", &[("job", "other")]), "found \"job\", which is the name of the job");
        refuses(gateway("j", &[("a", "1"), ("a", "1")]), "found \"a\", which is in it already");
        for name in ["", "1x", "x-y", "x.y", "x:y", "ä", "a b", "a/b", "a@base64", "a\0"] {
            refuses(gateway("j", &[(name, "1")]), "which is not made of letters");
        }
        for name in ["__x", "__name__", "__"] {
            refuses(gateway("j", &[(name, "1")]), "which begins with __");
        }
        refuses(Pushgateway::new("ftp://gateway", "j"), "only http and https");
        refuses(Pushgateway::new("", "j"), "expected a URL");
        refuses(Pushgateway::new("me:secret@gateway:x", "j"), "its port is no number up to 65535");
        let error = Pushgateway::new("http://me:secret@gateway:x", "j").expect_err("no port");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }

    #[test]
    fn a_handler_is_given_what_would_have_been_sent() {
        let families =
            [FamilySamples::new(tallyboard_exposition::sample::Type::Gauge, "a", "Help.")];
        let sent: Arc<Mutex<Vec<PushRequest>>> = Arc::default();
        let to = Arc::clone(&sent);
        let gateway = Pushgateway::new("http://me:secret@gateway", "j").expect("a gateway");
        let gateway = gateway.handler(move |request| {
            to.lock().expect("one thread").push(request);
            std::future::ready(Ok(()))
        });
        gateway.blocking_push(&families).expect("it is taken");
        gateway.clone().gzip().blocking_push_add(&families).expect("it is taken");
        gateway.clone().gzip().blocking_delete().expect("it is taken");
        let sent = sent.lock().expect("one thread");
        let methods: Vec<&str> = sent.iter().map(|request| request.method).collect();
        assert_eq!(methods, ["PUT", "POST", "DELETE"]);
        let has = |at: usize, name: &str, value: &str| {
            sent[at].headers.iter().any(|(own, of)| own == name && of == value)
        };
        assert!(has(0, "content-type", CONTENT_TYPE) && has(1, "content-encoding", "gzip"));
        assert!(!has(0, "content-encoding", "gzip") && !has(2, "content-type", CONTENT_TYPE));
        assert!(has(2, "authorization", "Basic bWU6c2VjcmV0"));
        assert_eq!(sent[0].body, b"# HELP a Help.\n# TYPE a gauge\n");
        assert!(sent[1].body.starts_with(&[0x1f, 0x8b]) && sent[2].body.is_empty());
        let shown = format!("{:?} {gateway:?}", sent[0]);
        for secret in ["secret", "bWU6c2VjcmV0"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_handler_that_never_ends_is_given_up() {
        let limit = Duration::from_millis(20);
        let receiver = Receiver::new("http://gateway").expect("a URL").timeout(limit);
        let gateway = Pushgateway::at(receiver, "j").expect("a gateway");
        let gateway = gateway.handler(|_| std::future::pending());
        let error = gateway.blocking_delete().expect_err("no end").to_string();
        assert!(error.contains("http://gateway/metrics/job/j gave no end"), "{error}");
    }

    #[test]
    fn a_blocking_push_in_a_runtime_is_an_error() {
        let gateway = Pushgateway::new("gateway", "j").expect("a gateway");
        let found = blocking::run(async { gateway.blocking_delete() }).expect("a runtime");
        assert!(matches!(found, Err(PushError::Blocking(BlockingError::InRuntime))));
    }
}
