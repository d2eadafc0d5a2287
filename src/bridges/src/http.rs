//! One request over a connection of its own, within limits.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::connect;

/// How much is read of why a request was refused, and how long that is waited for.
const MOST_REASON: usize = 1 << 14;
const LONGEST_REASON: Duration = Duration::from_secs(1);

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) is_secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the header `Host` says.
    pub(crate) authority: String,
    pub(crate) path: String,
}

pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How much of an exchange there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long all of it may take.
    pub(crate) whole: Duration,
    /// Longest answer that is read.
    pub(crate) bytes: usize,
}

/// How a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(String),
    Handshake(String),
    Timeout(&'static str, Duration),
    Exchange(String),
}

/// Sends a request and reads the answer. What is under way when a limit has passed is dropped, and
/// the connection with it.
pub(crate) async fn send(
    target: &Target,
    tls: Option<&Arc<ClientConfig>>,
    limits: Limits,
    (method, headers, body): (Method, &[(HeaderName, HeaderValue)], Bytes),
) -> Result<Answered, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::Exchange(chain(error));
    let mut request = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .body(Full::new(body))
        .map_err(|error| wrong(&error))?;
    // Each once: of two with one name the later one is sent.
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    let begun = Instant::now();
    // Half of what is left when a refusal comes, so that it is not lost for its reason.
    let patience = || limits.whole.saturating_sub(begun.elapsed()) / 2;
    let whole = async {
        let connected =
            within("connection", limits.whole, connect(target, tls, limits.whole)).await?;
        match connected {
            Connected::Plain(stream) => exchange(stream, request, limits.bytes, patience).await,
            Connected::Secure(stream) => exchange(*stream, request, limits.bytes, patience).await,
        }
    };
    within("answer", limits.whole, whole).await
}

async fn within<T>(
    what: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, future).await.unwrap_or(Err(Failure::Timeout(what, limit)))
}

enum Connected {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(
    target: &Target,
    tls: Option<&Arc<ClientConfig>>,
    limit: Duration,
) -> Result<Connected, Failure> {
    let stream = connect::connect(&target.host, target.port, limit).await;
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout("connection", limit),
        _ => Failure::Connect(chain(&error)),
    })?;
    // The request is written at once; a system that refuses only delays it.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls.filter(|_| target.is_secure) else {
        return Ok(Connected::Plain(stream));
    };
    let name = ServerName::try_from(target.host.clone());
    let name = name.map_err(|error| Failure::Handshake(error.to_string()))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| Failure::Handshake(chain(&error)))?;
    Ok(Connected::Secure(Box::new(stream)))
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    most_bytes: usize,
    patience: impl Fn() -> Duration,
) -> Result<Answered, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Failure::Exchange(chain(&error));
    let stream = TokioIo::new(Patient::new(stream));
    let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
    let mut answer = pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let (status, headers) = (head.status, head.headers);
        let body = if status.is_success() {
            let body = Limited::new(body, most_bytes).collect().await;
            body.map_err(|error| Failure::Exchange(chain(&*error)))?.to_bytes()
        } else {
            reason(body, patience()).await
        };
        Ok(Answered { status, headers, body })
    });
    // This task drives the connection, so that whatever ends the task ends it as well.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = connection => match (answer.await, ended) {
            // The answer may have come before the connection failed.
            (Err(_), Err(error)) => Err(failed(error)),
            (answer, _) => answer,
        },
    }
}

/// What comes soon of the body that says why a request was refused: that it was is known without it.
async fn reason(mut body: Incoming, patience: Duration) -> Bytes {
    let mut read = BytesMut::new();
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                read.extend_from_slice(data);
            }
            if read.len() >= MOST_REASON {
                break;
            }
        }
    };
    // What has come until then is all that is said.
    let _ = timeout(LONGEST_REASON.min(patience), all).await;
    read.truncate(MOST_REASON);
    read.freeze()
}

/// A stream whose other side may have answered before it has read everything, and closed: what cannot
/// be written any more is left out, so that the answer is read.
struct Patient<S> {
    stream: S,
    is_closed: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self { stream, is_closed: false }
    }

    /// What writing came to, when so much was to be written.
    fn written<T>(&mut self, found: Poll<io::Result<T>>, all: T) -> Poll<io::Result<T>> {
        match found {
            Poll::Ready(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                self.is_closed = true;
                Poll::Ready(Ok(all))
            }
            found => found,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let found = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(found, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        let found = Pin::new(&mut self.stream).poll_flush(context);
        self.written(found, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An error with its causes: those of the library hide what happened behind themselves.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
