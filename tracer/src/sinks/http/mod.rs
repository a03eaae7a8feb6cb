//! The small web surface: metrics, readiness, health and a page. Bounded in time, connections and bytes; read-only.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use log::{debug, warn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::{Access, Policy};
use super::metrics::Metrics;
use super::{api, gzip, negotiate, page};
use crate::diagnose::{Diagnosis, origin::OriginError};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// No script, nothing from elsewhere, no form, no frame: the page's own style and nothing else.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Failures that the page shows.
const RECENT: usize = 50;
/// Failures that are kept for `/api/v1/records`, and as many of the origin's own answers of 5xx.
const KEPT: usize = 500;
/// What there is.
const PATHS: [&str; 5] = ["/", "/metrics", "/-/ready", "/-/healthy", "/api/v1/records"];
/// Connections served at once; more wait in the accept queue.
const MAX_CONNECTIONS: usize = 64;
/// Scrapes and pages under way at once; more are refused.
const MAX_SCRAPES: usize = 16;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Time for a client to send its request's head, and for the TLS handshake before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole connection: one request, one response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for responses under way when the server is told to stop.
const DRAIN: Duration = Duration::from_millis(500);
/// Pause after a failed accept (out of file descriptors), so that it is not tried in a circle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

type Answer = Response<Full<Bytes>>;

/// The last failures, the newest first, and how many there were.
#[derive(Default)]
struct Recent {
    failures: VecDeque<Diagnosis>,
    total: u64,
    /// Of these, those that came without their request because it was inside TLS.
    inside_tls: u64,
    /// The origin's own answers of 5xx, in the same way.
    origin_errors: VecDeque<OriginError>,
    origin_total: u64,
}

/// What the web surface shows.
pub struct Web {
    metrics: Metrics,
    /// What is attached and what is not, in words.
    probes: String,
    ready: AtomicBool,
    recent: Mutex<Recent>,
    scrapes: Semaphore,
    /// From then on failures are shown.
    started: Timestamp,
}

impl Web {
    /// Not ready yet. `probes` says what is attached and what is not, parts separated by `; `.
    #[must_use]
    pub fn new(metrics: Metrics, probes: impl Into<String>) -> Self {
        Self {
            metrics,
            probes: probes.into(),
            ready: AtomicBool::new(false),
            recent: Mutex::default(),
            scrapes: Semaphore::new(MAX_SCRAPES),
            started: Timestamp::now(),
        }
    }

    /// The counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether `/-/ready` answers 200.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Counts a failure and shows it on the page.
    pub fn record(&self, diagnosis: &Diagnosis) {
        self.metrics.failure(diagnosis);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.total += 1;
        recent.inside_tls += u64::from(diagnosis.inside_tls);
        recent.failures.truncate(KEPT - 1);
        recent.failures.push_front(diagnosis.clone());
    }

    /// Shows one of the origin's own answers of 5xx on the page.
    pub fn show_origin(&self, error: &OriginError) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.origin_total += 1;
        recent.origin_errors.truncate(KEPT - 1);
        recent.origin_errors.push_front(error.clone());
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn page(&self) -> String {
        let now = self.metrics.snapshot();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let state = page::Health {
            ready: self.is_ready(),
            probes: &self.probes,
            now: &now,
            failures: recent.total,
            inside_tls: recent.inside_tls,
            origin_errors: recent.origin_total,
        };
        page::render(&state, recent.failures.iter().take(RECENT), recent.origin_errors.iter().take(RECENT))
    }

    fn records(&self) -> serde_json::Result<String> {
        let lost = self.metrics.snapshot().lost;
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = recent.failures.iter().map(api::Kept::Failure);
        let origin_errors = recent.origin_errors.iter().map(api::Kept::OriginError);
        // What was before the oldest one that is kept may be gone.
        let full = [
            recent.failures.back().filter(|_| recent.total > KEPT as u64).map(|failure| failure.time),
            recent.origin_errors.back().filter(|_| recent.origin_total > KEPT as u64).map(|error| error.time),
        ];
        api::render(api::Records {
            schema: 1,
            version: env!("CARGO_PKG_VERSION"),
            begins: full.into_iter().flatten().chain([self.started]).max().unwrap_or(self.started),
            failures: recent.total,
            origin_errors: recent.origin_total,
            lost: lost.into_iter().collect(),
            records: failures.chain(origin_errors).collect(),
        })
    }

    fn last_records(&self, headers: &HeaderMap) -> Answer {
        match self.records() {
            Ok(text) => encoded(headers, response_of(StatusCode::OK, JSON), text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }

    fn scrape(&self, headers: &HeaderMap) -> Answer {
        let (kind, text) = if negotiate::wants_openmetrics(values(headers, &ACCEPT)) {
            (OPENMETRICS, self.metrics.openmetrics())
        } else {
            (TEXT_0_0_4, self.metrics.text())
        };
        match text {
            Ok(text) => encoded(headers, response_of(StatusCode::OK, kind), text),
            Err(error) => {
                warn!("a scrape failed: {error:#}");
                response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error:#}\n"))
            }
        }
    }

    /// What reads the counters: a bounded number at once. The connection keeps its place to its end.
    fn counted<'a>(&'a self, place: &OnceLock<SemaphorePermit<'a>>, answer: impl FnOnce() -> Answer) -> Answer {
        let Ok(permit) = self.scrapes.try_acquire() else {
            let why = format!("{MAX_SCRAPES} scrapes are under way already\n");
            return with(response(StatusCode::SERVICE_UNAVAILABLE, TEXT, why), RETRY_AFTER, "1");
        };
        // One request a connection: the place is empty.
        let _taken = place.set(permit);
        answer()
    }

    fn answer<'a, B>(&'a self, request: &Request<B>, place: &OnceLock<SemaphorePermit<'a>>) -> Answer {
        let path = request.uri().path();
        if !PATHS.contains(&path) {
            return response(StatusCode::NOT_FOUND, TEXT, format!("not found; there are {}\n", PATHS.join(", ")));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are allowed here\n");
            return with(refusal, ALLOW, "GET, HEAD");
        }
        match path {
            "/metrics" => self.counted(place, || self.scrape(request.headers())),
            "/api/v1/records" => self.counted(place, || self.last_records(request.headers())),
            "/-/healthy" => response(StatusCode::OK, TEXT, "healthy\n"),
            "/-/ready" if self.is_ready() => response(StatusCode::OK, TEXT, "ready\n"),
            "/-/ready" => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
            _ => self.counted(place, || encoded(request.headers(), response_of(StatusCode::OK, HTML), self.page())),
        }
    }
}

/// Serves whom `access` admits until `shutdown`, then lets responses under way end, for at most half a second.
pub async fn serve(listener: TcpListener, web: Arc<Web>, access: Arc<Access>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ended = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&web), Arc::clone(&access)));
                }
                Err(error) => {
                    warn!("accepting a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // What has not ended by then is cut when the set is dropped.
    let _late = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, web: Arc<Web>, access: Arc<Access>) {
    match timeout(CONNECTION_TIMEOUT, converse(stream, &web, &access)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("serving a connection: {error:#}"),
        Err(_elapsed) => debug!("serving a connection: it took more than {} s", CONNECTION_TIMEOUT.as_secs()),
    }
}

async fn converse(stream: TcpStream, web: &Web, access: &Arc<Access>) -> Result<()> {
    let policy = access.policy().await;
    let Some(tls) = &policy.tls else { return exchange(stream, web, &policy).await };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    let stream = timeout(HEAD_TIMEOUT, handshake).await.context("no TLS handshake in time")?;
    exchange(stream.context("the TLS handshake failed")?, web, &policy).await
}

/// One request, one response: a kept-alive connection would time out just as a scraper with the same interval reuses
/// it.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, web: &Web, policy: &Policy) -> Result<()> {
    let place = &OnceLock::new();
    let service = service_fn(|request| async move {
        let mut answer = if is_admitted(policy, &request).await {
            web.answer(&request, place)
        } else {
            with(response(StatusCode::UNAUTHORIZED, TEXT, "unauthorized\n"), WWW_AUTHENTICATE, "Basic realm=\"tracer\"")
        };
        for (name, value) in &policy.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        Ok::<_, Infallible>(answer)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .context("speaking HTTP")
}

async fn is_admitted<B>(policy: &Policy, request: &Request<B>) -> bool {
    let Some(users) = &policy.users else { return true };
    // Not held over the wait: the request's body is not shared between threads.
    let field = request.headers().get(AUTHORIZATION).cloned();
    users.admit(field.as_ref()).await
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// The text as the response's body, compressed where that is accepted.
fn encoded(headers: &HeaderMap, response: Answer, text: String) -> Answer {
    let response = with(response, VARY, "Accept, Accept-Encoding");
    if !negotiate::accepts_gzip(values(headers, &ACCEPT_ENCODING)) {
        return response.map(|_| Full::new(text.into()));
    }
    with(response, CONTENT_ENCODING, "gzip").map(|_| Full::new(gzip::compress(&text).into()))
}

fn with(mut response: Answer, name: HeaderName, value: &'static str) -> Answer {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    response_of(status, kind).map(|_| Full::new(body.into()))
}

/// A response without a body yet.
fn response_of(status: StatusCode, kind: &'static str) -> Answer {
    let mut response = Answer::default();
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
