//! The small web surface: metrics, readiness, health and a page. Bounded in time, connections and bytes; read-only.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::{debug, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::{negotiate, page};
use crate::diagnose::Diagnosis;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Failures that the page shows.
const RECENT: usize = 50;
/// Connections served at once; more wait in the accept queue.
const MAX_CONNECTIONS: usize = 64;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Time for a client to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole connection: one request, one response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for responses under way when the server is told to stop.
const DRAIN: Duration = Duration::from_millis(500);
/// Pause after a failed accept (out of file descriptors), so that it is not tried in a circle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the web surface shows.
pub struct Web {
    metrics: Metrics,
    /// What is attached and what is not, in words.
    probes: String,
    ready: AtomicBool,
    recent: Mutex<VecDeque<Diagnosis>>,
}

impl Web {
    /// Not ready yet. `probes` says what is attached and what is not, parts separated by `; `.
    #[must_use]
    pub fn new(metrics: Metrics, probes: impl Into<String>) -> Self {
        Self { metrics, probes: probes.into(), ready: AtomicBool::new(false), recent: Mutex::default() }
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
        recent.truncate(RECENT - 1);
        recent.push_front(diagnosis.clone());
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn page(&self) -> String {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        page::render(self.is_ready(), &self.probes, recent.iter())
    }

    fn metrics_response(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (kind, text) = if negotiate::wants_openmetrics(accepts) {
            (OPENMETRICS, self.metrics.openmetrics())
        } else {
            (TEXT_0_0_4, self.metrics.text())
        };
        match text {
            Ok(text) => response(StatusCode::OK, kind, text),
            Err(error) => {
                warn!("a scrape failed: {error:#}");
                response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error:#}\n"))
            }
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/" | "/metrics" | "/-/ready" | "/-/healthy") {
            return response(
                StatusCode::NOT_FOUND,
                TEXT,
                "not found; there are /, /metrics, /-/ready and /-/healthy\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are allowed here\n");
            refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/metrics" => self.metrics_response(request.headers()),
            "/-/healthy" => response(StatusCode::OK, TEXT, "healthy\n"),
            "/-/ready" if self.is_ready() => response(StatusCode::OK, TEXT, "ready\n"),
            "/-/ready" => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
            _ => response(StatusCode::OK, HTML, self.page()),
        }
    }
}

/// Serves until `shutdown`, then lets responses under way end, for at most half a second.
pub async fn serve(listener: TcpListener, web: Arc<Web>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ended = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&web)));
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

async fn connection(stream: TcpStream, web: Arc<Web>) {
    let service = service_fn(|request| {
        let response = web.answer(&request);
        async { Ok::<_, Infallible>(response) }
    });
    // One request a connection: a kept-alive one would time out just as a scraper with the same interval reuses it.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("serving a connection: {error}"),
        Err(_elapsed) => debug!("serving a connection: it took more than {} s", CONNECTION_TIMEOUT.as_secs()),
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
