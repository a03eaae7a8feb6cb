//! Sight inside TLS: a failure on an encrypted connection is told as if it were in the clear. The origin is nginx with
//! the distribution's own TLS library.

use std::io::{Read as _, Write as _};

use anyhow::{Result, ensure};
use lab::{EDGE_A, EDGE_B, Exchange, Lab, Nginx, NginxOptions, Seen};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream, SupportedProtocolVersion as Version};

use super::tls::{Certificate, client, client_that_shows};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        inside_tls_a_failure_is_told_with_its_ray,
        inside_tls_of_a_server_that_starts_later,
        inside_tls_of_an_edge_that_shows_a_certificate,
    ]
}

const SIGHT: &str = "--tls-sight";
const PORT: u16 = 443;

/// nginx, which answers `/` and hangs up on `/nothing`.
fn nginx(lab: &Lab, certificate: &Certificate) -> Result<Nginx> {
    let site = certificate.site();
    let http = format!(
        "server {{ listen {PORT} ssl; ssl_protocols TLSv1.2 TLSv1.3; {site} location /nothing {{ return 444; }}
           ssl_verify_client optional_no_ca; }}\n"
    );
    Nginx::start(lab, &NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() })
}

/// Two requests on one connection, of which the second one gets no answer: what the edge saw of that.
fn ask_in_vain(lab: &Lab, version: &'static Version, certificate: &Certificate) -> Result<Exchange> {
    ask_in_vain_as(lab, version, client(version, certificate.trusted()?)?)
}

/// The same as this edge.
fn ask_in_vain_as(lab: &Lab, version: &'static Version, mut edge: ClientConnection) -> Result<Exchange> {
    let mut conn = lab.connect(if version.version == TLS12.version { EDGE_A } else { EDGE_B }, PORT)?;
    let exchange = conn.exchange(Seen::Empty);
    let mut stream = Stream::new(&mut edge, conn.stream()?);
    let mut bytes = [0; 1024];
    // As long as the edge's are at least: what is shorter may be a control frame of HTTP/2.
    let address = "CF-Connecting-IP: 203.0.113.7\r\nCF-Visitor: {\"scheme\":\"https\"}";
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{address}\r\n\r\n").as_bytes())?;
    ensure!(stream.read(&mut bytes)? > 0, "the first request was not answered");
    let head =
        format!("GET /nothing HTTP/1.1\r\nHost: www.example.com\r\nCF-RAY: {}\r\n{address}\r\n\r\n", exchange.ray);
    stream.write_all(head.as_bytes())?;
    ensure!(!stream.read(&mut bytes).is_ok_and(|count| count > 0), "the second request was answered");
    Ok(exchange)
}

/// What must be told of it.
fn want(exchange: &Exchange, nginx: &Nginx) -> Want {
    let want = Want::new(exchange, "empty_reply", 520, "fin_no_response").process("nginx", nginx.workers()[0]);
    want.with("certainty", "certain").with("ray", exchange.ray.as_str()).with("path", "/nothing")
}

fn inside_tls_a_failure_is_told_with_its_ray() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let nginx = nginx(&lab, &certificate)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let mut wants = Vec::new();
    for version in [&TLS12, &TLS13] {
        wants.push(want(&ask_in_vain(&lab, version, &certificate)?, &nginx));
    }
    check(agent, &lab, &wants)
}

/// The library has its probe before the server that loads it is started: its very first connection is read.
fn inside_tls_of_a_server_that_starts_later() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let nginx = nginx(&lab, &certificate)?;
    let want = want(&ask_in_vain(&lab, &TLS13, &certificate)?, &nginx);
    check(agent, &lab, &[want])
}

/// Authenticated Origin Pulls: the edge's part of the handshake is longer, and here it is one record.
fn inside_tls_of_an_edge_that_shows_a_certificate() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let nginx = nginx(&lab, &certificate)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let mut wants = Vec::new();
    for version in [&TLS12, &TLS13] {
        let edge = client_that_shows(version, certificate.trusted()?, &certificate)?;
        wants.push(want(&ask_in_vain_as(&lab, version, edge)?, &nginx));
    }
    check(agent, &lab, &wants)
}
