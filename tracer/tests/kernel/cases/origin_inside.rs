//! The origin's own answers of 5xx inside TLS, with its secrets: in HTTP/1.1 and on streams of HTTP/2. The server is
//! nginx, before an upstream of ours.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, Exchange, Lab, Nginx, NginxOptions, Process, Seen};
use serde_json::Value;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream};

use super::http2::BEHIND;
use super::origin::{UPSTREAM, told};
use super::streams::{PORT, ask, connect};
use super::tls::{Certificate, client};
use super::{successor, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::Want;

pub(super) fn cases() -> Vec<Case> {
    cases![inside_tls_an_answer_of_5xx_is_told, inside_tls_each_stream_with_an_answer_of_5xx_is_told]
}

/// What is asked for, the status of the answer, its cause, and whether a process stands behind it.
const ANSWERS: [(&str, u16, &str, bool); 6] = [
    ("/empty", 502, "upstream_closed", true),
    ("/own", 503, "application_error", false),
    ("/status?code=500", 500, "application_error", true),
    ("/refused", 502, "upstream_refused", false),
    ("/linger", 502, "upstream_reset", true),
    ("/cut-head", 502, "upstream_closed", true),
];

fn staged(lab: &Lab, certificate: &Certificate) -> Result<(Nginx, Process)> {
    let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
    let site = certificate.site();
    let http = format!(
        "server {{ listen {PORT} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; {site}
           location ~ ^/(empty|status|linger|cut-head|segv)$ {{ proxy_pass http://127.0.0.1:{BEHIND}; }} location /own {{ return 503; }}
           location /sound {{ return 200 sound; }} location /refused {{ proxy_pass http://127.0.0.1:9; }} }}"
    );
    let nginx =
        Nginx::start(lab, &NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() })?;
    Ok((nginx, upstream))
}

/// The origin error of an exchange.
fn want(exchange: &Exchange, path: &str, (cause, status): (&'static str, u16), behind: Option<u32>) -> Want {
    let want = Want::new(exchange, cause, status, "complete").with("kind", "origin_error").with("process", "nginx");
    let path = path.split('?').next().unwrap_or(path);
    let want = want.with("response_status", status).with("ray", exchange.ray.as_str()).with("path", path);
    want.with("upstream_process", behind.map_or(Value::Null, |_| UPSTREAM.into()))
        .with("upstream_pid", behind.map_or(Value::Null, Into::into))
}

/// Asks for a path in HTTP/1.1, and reads the whole answer.
fn get(
    stream: &mut Stream<'_, ClientConnection, std::net::TcpStream>,
    path: &str,
    ray: &str,
    status: u16,
) -> Result<()> {
    // As long as an edge's requests are at least: a shorter record may be something else.
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: www.example.com\r\nCF-RAY: {ray}\r\nCF-Connecting-IP: 203.0.113.9\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).with_context(|| format!("asking for {path}"))?;
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut bytes).with_context(|| format!("the answer to {path}"))?;
        ensure!(count > 0, "{path}: nginx hung up");
        seen.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        if length.is_none_or(|length| body.len() >= length) {
            ensure!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
            return Ok(());
        }
    }
}

fn inside_tls_an_answer_of_5xx_is_told() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let (_nginx, upstream) = staged(&lab, &certificate)?;
    let agent = Agent::fresh(&["--tls-sight"])?;
    let mut wants = Vec::new();
    for (from, version) in [(EDGE_A, &TLS13), (EDGE_B, &TLS12)] {
        let mut conn = lab.connect(from, PORT)?;
        let mut tls = client(version, certificate.trusted()?)?;
        let mut number = u64::from(conn.from().port()) << 32;
        let blank = conn.exchange(Seen::Complete(502));
        let mut next = || {
            number += 1;
            Exchange { ray: format!("{number:016x}-AMS"), ..blank.clone() }
        };
        let mut stream = Stream::new(&mut tls, conn.stream()?);
        let behind = worker(&upstream)?;
        for (path, status, cause, is_served) in ANSWERS {
            let exchange = next();
            get(&mut stream, path, &exchange.ray, status)?;
            wants.push(want(&exchange, path, (cause, status), is_served.then_some(behind)));
            get(&mut stream, "/sound", "0000000000000000-AMS", 200)?;
        }
        let crash = next();
        get(&mut stream, "/segv", &crash.ray, 502)?;
        successor(&upstream, behind)?;
        wants.push(want(&crash, "/segv", ("crash", 502), Some(behind)).with("upstream_end_how", "crash"));
    }
    told(agent, &lab, &wants)
}

fn inside_tls_each_stream_with_an_answer_of_5xx_is_told() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let (_nginx, upstream) = staged(&lab, &certificate)?;
    let agent = Agent::fresh(&["--tls-sight"])?;
    let mut wants = Vec::new();
    for is_tls13 in [true, false] {
        let (mut conn, mut tls) = connect(&lab, &certificate, is_tls13)?;
        let behind = worker(&upstream)?;
        let mut step = |path: &str, stream: u32| -> Result<Exchange> {
            ask(&mut conn, &mut tls, stream, "/sound")?;
            let exchange = ask(&mut conn, &mut tls, stream + 2, path)?;
            std::thread::sleep(Duration::from_millis(50));
            let count = Stream::new(&mut tls, conn.stream()?).read(&mut [0; 16_384])?;
            ensure!(count > 0, "nginx hung up");
            Ok(exchange)
        };
        for ((path, status, cause, is_served), stream) in ANSWERS.into_iter().zip((1..).step_by(4)) {
            let want = want(&step(path, stream)?, path, (cause, status), is_served.then_some(behind));
            wants.push(want.with("stream_id", stream + 2).with("http_version", "2"));
        }
        let crash = step("/segv", 101)?;
        successor(&upstream, behind)?;
        wants.push(want(&crash, "/segv", ("crash", 502), Some(behind)).with("stream_id", 103));
    }
    told(agent, &lab, &wants)
}
