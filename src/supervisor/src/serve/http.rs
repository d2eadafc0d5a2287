//! The HTTP server: `/metrics`, `/-/healthy`, `/-/ready`, and a page that leads there. It parses
//! requests and asks the loop; it knows nothing of arenas.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, VARY,
};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tallyboard_exposition::negotiation::Encoding;
use tallyboard_exposition::sample::FamilySamples;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::timeout;

use crate::config::Config;
use crate::serve::coding::coded;
use crate::serve::connections::{Connections, Taken};
use crate::serve::events::{Event, Events, Scrape, Wanted};
use crate::serve::headers::Preferences;

/// How long the head of a request may take, on a new connection or a kept one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers that a request may have.
const MAX_HEADERS: usize = 64;
/// Bytes that the head of a request may have.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Bytes that a request's target may have.
const MAX_TARGET_BYTES: usize = 4 << 10;
/// Longest body that is coded in the thread of the loop, which takes less than a millisecond.
const CODED_AT_ONCE: usize = 64 << 10;
/// How long to wait before accepting again when that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests under way may take when a supervisor stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);
/// Bodies that are coded at once in other threads; others wait.
const MAX_CODERS: usize = 2;

/// The HTTP server, on any number of sockets.
pub(crate) struct Http {
    telemetry_path: String,
    /// Why there are no metrics, and will be none.
    lack: Option<&'static str>,
    events: Events,
    connections: Rc<Connections>,
    coders: Arc<Semaphore>,
    graceful: RefCell<Option<GracefulShutdown>>,
    stop: watch::Sender<bool>,
}

type Page = Response<Full<Bytes>>;

impl Http {
    pub(crate) fn new(telemetry_path: &str, max_connections: usize, events: Events) -> Rc<Self> {
        Self::with(telemetry_path, max_connections, None, events)
    }

    /// One that says why there are no metrics.
    pub(crate) fn lacking(config: &Config, why: &'static str, events: Events) -> Rc<Self> {
        Self::with(&config.telemetry_path, config.max_connections, Some(why), events)
    }

    fn with(
        telemetry_path: &str,
        max_connections: usize,
        lack: Option<&'static str>,
        events: Events,
    ) -> Rc<Self> {
        Rc::new(Self {
            telemetry_path: telemetry_path.to_owned(),
            lack,
            events,
            connections: Connections::new(max_connections),
            coders: Arc::new(Semaphore::new(MAX_CODERS)),
            graceful: RefCell::new(Some(GracefulShutdown::new())),
            stop: watch::Sender::new(false),
        })
    }

    /// Begins to serve connections on one socket, until the server drains.
    pub(crate) fn listen(self: &Rc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        spawn_local(Rc::clone(self).accept(TcpListener::from_std(listener)?));
        Ok(())
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let mut stop = self.stop.subscribe();
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    is_failing = false;
                    if let Some(taken) = self.connections.take(peer.ip()) {
                        self.serve(stream, taken);
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "cannot accept a metrics connection; trying again");
                    }
                    self.connections.make_room();
                    // Without a descriptor to spare, trying again at once would only spin.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(self: &Rc<Self>, stream: TcpStream, taken: Taken) {
        // A page is written at once; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let (http, taken) = (Rc::clone(self), Rc::new(taken));
        let io = TokioIo::new(taken.watch(stream));
        let asked = Rc::clone(&taken);
        let service = service_fn(move |request| {
            let (http, asked) = (Rc::clone(&http), Rc::clone(&asked));
            async move {
                asked.requested();
                let page = http.answer(request).await;
                asked.answered();
                Ok::<_, Infallible>(page)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            // A client that says that it will send no more still reads.
            .half_close(true)
            .serve_connection(io, service);
        let graceful = self.graceful.borrow();
        let Some(graceful) = graceful.as_ref() else { return };
        let connection = graceful.watch(connection);
        spawn_local(async move {
            tokio::select! {
                served = connection => if let Err(error) = served {
                    tracing::debug!(%error, "a metrics connection broke");
                },
                () = taken.ended() => {}
            }
        });
    }

    /// How many connections there are, as families.
    pub(crate) fn families(&self) -> [FamilySamples; 3] {
        self.connections.families()
    }

    /// Accepts nothing more, and waits until what is under way has been answered.
    pub(crate) async fn drain(&self) {
        self.stop.send_replace(true);
        let graceful = self.graceful.borrow_mut().take();
        if let Some(graceful) = graceful {
            graceful.shutdown().await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Page {
        if request.uri().to_string().len() > MAX_TARGET_BYTES {
            return plain(StatusCode::URI_TOO_LONG, "The address is longer than 4 KiB.\n");
        }
        if !names_one_host(&request) {
            return plain(StatusCode::BAD_REQUEST, "Expected one header Host that names a host.\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n");
            page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return page;
        }
        match request.uri().path() {
            path if path == self.telemetry_path => match self.lack {
                Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
                None => self.metrics(&request).await,
            },
            "/-/healthy" => plain(StatusCode::OK, "Healthy.\n"),
            "/-/ready" => match self.lack {
                Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
                None => plain(StatusCode::OK, "Ready.\n"),
            },
            "/" => self.landing_page(),
            _ => plain(StatusCode::NOT_FOUND, "Nothing is here; metrics are linked from /.\n"),
        }
    }

    /// The page, or status 503 when there is none in the time that the scraper waits.
    async fn metrics(&self, request: &Request<Incoming>) -> Page {
        let preferences = Preferences::of(request.headers());
        let query = form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
        let names = query.filter(|(name, _)| name == "name[]").map(|(_, value)| value.into_owned());
        let wanted = Wanted { metrics: names.collect(), negotiated: preferences.negotiated };
        let page = self.page(wanted, &preferences);
        let page = match preferences.timeout {
            Some(limit) => timeout(limit, page).await.unwrap_or(None),
            None => page.await,
        };
        page.unwrap_or_else(|| {
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "There are no metrics just now, or not in the time that you wait; try again.\n",
            )
        })
    }

    async fn page(&self, wanted: Wanted, preferences: &Preferences) -> Option<Page> {
        let deadline = preferences.timeout.map(|limit| Instant::now() + limit);
        let (answer, answered) = oneshot::channel();
        self.events.send(Event::Scrape(Scrape { wanted, deadline, answer })).await.ok()?;
        let body = answered.await.ok()?;
        let (body, encoding) = self.coded(body, preferences.encoding).await;
        let mut page = typed(StatusCode::OK, &preferences.negotiated.content_type(), body);
        let headers = page.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if encoding != Encoding::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        Some(page)
    }

    /// The body as it is to be coded, with its coding. What takes long is done in another thread; a
    /// scraper that hangs up while it waits for one costs nothing more.
    async fn coded(&self, body: Bytes, encoding: Encoding) -> (Bytes, Encoding) {
        if encoding == Encoding::Identity {
            return (body, encoding);
        }
        let found = if body.len() <= CODED_AT_ONCE {
            coded(&body, encoding)
        } else {
            let Ok(coder) = Arc::clone(&self.coders).acquire_owned().await else {
                return (body, Encoding::Identity);
            };
            let body = body.clone();
            let coding = spawn_blocking(move || {
                let _until_it_is_coded = coder;
                coded(&body, encoding)
            });
            coding.await.ok().flatten()
        };
        match found {
            Some(found) => (found.into(), encoding),
            None => (body, Encoding::Identity),
        }
    }

    fn landing_page(&self) -> Page {
        let path = &self.telemetry_path;
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Tallyboard</title></head>\n\
             <body>\n<h1>Tallyboard</h1>\n<p>The metrics of all workers of a service.</p>\n\
             <ul>\n<li><a href=\"{path}\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Health</a></li>\n\
             <li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n</body>\n</html>\n"
        );
        typed(StatusCode::OK, "text/html; charset=utf-8", page.into())
    }
}

/// Whether a request says once for which host it is, as RFC 9112 has it (section 3.2): from HTTP/1.1 on
/// it must, before that it may.
fn names_one_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // It may be empty, which names no host, but not what a URL cannot have there.
        (Some(host), None) => {
            host.is_empty()
                || Authority::try_from(host.as_bytes())
                    .is_ok_and(|host| !host.as_str().contains('@'))
        }
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

fn plain(status: StatusCode, text: &'static str) -> Page {
    typed(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn typed(status: StatusCode, content_type: &str, body: Bytes) -> Page {
    // Said here, so that an answer without body, to HEAD, says it too.
    let length = body.len().into();
    let mut page = Response::new(Full::new(body));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_LENGTH, length);
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        page.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    page
}
