//! HTTP/2 inside TLS, with its secrets: each failed stream is told, and none of those beside it. The edge is rustls
//! with a few frames written by hand, the origin is nginx.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::Spec;
use lab::{Conn, EDGE_A, EDGE_B, Exchange, Lab, Nginx, NginxOptions, Seen};
use serde_json::Value;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream};

use super::http2::{BEHIND, PREFACE, frame, kill, send, settings};
use super::tls::{Certificate, client_with};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![inside_tls_each_failed_stream_is_told_with_its_ray]
}

pub(super) const PORT: u16 = 443;

/// A string of HPACK (RFC 7541 §5.2), without Huffman coding.
fn string(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap_or(u8::MAX)], text.as_bytes()].concat()
}

/// HEADERS of a GET, complete.
fn get(stream: u32, path: &str, ray: &str) -> Vec<u8> {
    // Of the static table: :method GET, :scheme https; the names :path and :authority with a literal; a new name.
    let block = [
        vec![0x82, 0x87, 0x04],
        string(path),
        vec![0x01],
        string("www.example.com"),
        vec![0x00],
        string("cf-ray"),
        string(ray),
    ];
    frame(1, 0x05, stream, &block.concat())
}

/// One request on a connection, with a ray of its own.
pub(super) fn ask(conn: &mut Conn, tls: &mut ClientConnection, stream: u32, path: &str) -> Result<Exchange> {
    let mut exchange = conn.exchange(Seen::Empty);
    let port = exchange.from.port();
    exchange.ray = format!("{:016x}-AMS", (u64::from(port) << 32) + u64::from(stream));
    send(conn, tls, &[get(stream, path, &exchange.ray)])?;
    Ok(exchange)
}

/// A connection with its first, empty settings sent.
pub(super) fn connect(lab: &Lab, certificate: &Certificate, is_tls13: bool) -> Result<(Conn, ClientConnection)> {
    let (from, version) = if is_tls13 { (EDGE_A, &TLS13) } else { (EDGE_B, &TLS12) };
    let mut conn = lab.connect(from, PORT)?;
    let mut tls = client_with(version, certificate.trusted()?, &[b"h2"])?;
    send(&mut conn, &mut tls, &[[PREFACE, &settings(0)].concat()])?;
    Ok((conn, tls))
}

fn want(exchange: &Exchange, stream: u32, path: &str, cause: &'static str, symptom: &str) -> Want {
    let want = Want::new(exchange, cause, 520, symptom).with("stream_id", stream).with("http_version", "2");
    want.with("ray", exchange.ray.as_str()).with("path", path).with("method", "GET").with("host", "www.example.com")
}

fn inside_tls_each_failed_stream_is_told_with_its_ray() -> Result<()> {
    let lab = Lab::new()?;
    let _behind = lab.start_origin(&Spec::new(BEHIND), None)?;
    let certificate = Certificate::make(&lab)?;
    let site = certificate.site();
    let http = format!(
        "server {{ listen {PORT} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; {site}
           location /nothing {{ return 444; }}
           location /hang {{ proxy_pass http://127.0.0.1:{BEHIND}; }} }}"
    );
    let options = NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let agent = Agent::fresh(&["--tls-sight"])?;
    let (mut wants, mut open) = (Vec::new(), Vec::new());
    for is_tls13 in [true, false] {
        let (mut conn, mut tls) = connect(&lab, &certificate, is_tls13)?;
        for stream in [1, 5, 9, 13] {
            ask(&mut conn, &mut tls, stream, "/")?;
            let reset = ask(&mut conn, &mut tls, stream + 2, "/nothing")?;
            let want = want(&reset, stream + 2, "/nothing", "http2_protocol_error", "h2_broken");
            wants.push(want.with("h2_error_by", "origin").with("process", "nginx"));
            std::thread::sleep(Duration::from_millis(50));
            let count = Stream::new(&mut tls, conn.stream()?).read(&mut [0; 4096])?;
            ensure!(count > 0, "nginx hung up");
        }
        let held = [101, 103].map(|stream| (ask(&mut conn, &mut tls, stream, "/hang"), stream));
        for (exchange, stream) in held {
            wants.push(want(&exchange?, stream, "/hang", "process_killed", "fin_no_response"));
        }
        open.push((conn, tls));
    }
    // nginx has read all of it by then.
    std::thread::sleep(Duration::from_millis(200));
    let pid = kill(&nginx)?;
    let wants: Vec<_> = wants.into_iter().map(|want| want.with("pid", Value::from(pid))).collect();
    check(agent, &lab, &wants)
}
