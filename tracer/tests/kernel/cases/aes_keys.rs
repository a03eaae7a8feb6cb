//! Sight inside TLS of rustls, which announces no secrets: the AES keys are taken as it sets them up. A failure is told
//! as if it were in the clear, and nothing of what is sound.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Conn, EDGE_A, EDGE_B, Exchange, Lab, Seen};
use serde_json::Value;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CipherSuite, ClientConfig, ClientConnection, DEFAULT_VERSIONS, Stream};

use super::http2::{PREFACE, send, settings};
use super::streams;
use super::tls::Certificate;
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::rustls_origin::{self, NAME};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        inside_tls_of_rustls_a_failure_is_told_with_its_ray,
        inside_tls_of_rustls_each_failed_stream_is_told_with_its_ray,
        inside_tls_of_rustls_chacha20_stays_opaque,
    ]
}

const SIGHT: &str = "--tls-sight";
const PORT: u16 = 443;
const GCM: [CipherSuite; 4] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

/// An edge on a connection of its own.
struct Edge {
    conn: Conn,
    tls: ClientConnection,
}

impl Edge {
    /// It offers this suite alone, and these protocols.
    fn connect(lab: &Lab, certificate: &Certificate, suite: CipherSuite, protocols: &[&[u8]]) -> Result<Self> {
        let mut provider: CryptoProvider = ring::default_provider();
        provider.cipher_suites.retain(|one| one.suite() == suite);
        let versions = DEFAULT_VERSIONS.iter().copied();
        let versions: Vec<_> =
            versions.filter(|version| provider.cipher_suites.iter().any(|suite| suite.version() == *version)).collect();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)?
            .with_root_certificates(certificate.trusted()?)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("www.example.com")?)?;
        Ok(Self { conn: lab.connect(if GCM.contains(&suite) { EDGE_A } else { EDGE_B }, PORT)?, tls })
    }

    /// Asks, and reads so many bytes, or until the origin has hung up.
    fn ask(&mut self, path: &str, seen: Seen, bytes: usize) -> Result<Exchange> {
        let exchange = self.conn.exchange(seen);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: {}\r\nCookie: {:0600}\r\n\r\n",
            exchange.ray, 0
        );
        let mut stream = Stream::new(&mut self.tls, self.conn.stream()?);
        stream.write_all(head.as_bytes())?;
        let (mut count, mut buffer) = (0, [0; 16384]);
        while count < bytes {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(more) => count += more,
            }
        }
        ensure!((count >= bytes) == matches!(seen, Seen::Complete(_)), "{path}: {count} bytes");
        Ok(exchange)
    }
}

/// What must be told of a request that was read.
fn read(exchange: &Exchange, cause: &'static str, status: impl Into<Value>, symptom: &str, path: &str) -> Want {
    let want = Want::new(exchange, cause, status, symptom).with("certainty", "certain").with("process", NAME);
    want.with("ray", exchange.ray.as_str()).with("host", "www.example.com").with("path", path).with("method", "GET")
}

fn inside_tls_of_rustls_a_failure_is_told_with_its_ray() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let origin = rustls_origin::start(&lab, PORT, &certificate.certificate, &certificate.key)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let mut wants = Vec::new();
    for suite in GCM {
        let connect = || Edge::connect(&lab, &certificate, suite, &[]);
        let mut edge = connect()?;
        let nothing = edge.ask("/nothing", Seen::Empty, 1)?;
        wants.push(read(&nothing, "empty_reply", 520, "fin_no_response", "/nothing"));
        let mut edge = connect()?;
        for (path, bytes) in [("/ok", 40), ("/long", 40_000), ("/ok", 40)] {
            edge.ask(path, Seen::Complete(200), bytes)?;
        }
        let nothing = edge.ask("/later", Seen::Empty, 1)?;
        wants.push(read(&nothing, "empty_reply", 520, "fin_no_response", "/later"));
        let cut = connect()?.ask("/cut", Seen::Partial, 90_000)?;
        wants.push(read(&cut, "truncated_body", Value::Null, "fin_in_response", "/cut").with("response_status", 200));
        let fields = connect()?.ask("/fields", Seen::Complete(200), 200_000)?;
        wants.push(read(&fields, "headers_too_large", 520, "headers_too_large", "/fields"));
        // Sound, but the origin closes.
        for (path, bytes) in [("/last", 59), ("/chunks", 45_000)] {
            let mut edge = connect()?;
            edge.ask("/ok", Seen::Complete(200), 40)?;
            edge.ask(path, Seen::Complete(200), bytes)?;
        }
    }
    let wants: Vec<_> = wants.into_iter().map(|want| want.with("pid", origin.pid())).collect();
    check(agent, &lab, &wants)
}

fn inside_tls_of_rustls_each_failed_stream_is_told_with_its_ray() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let _origin = rustls_origin::start(&lab, PORT, &certificate.certificate, &certificate.key)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let mut wants = Vec::new();
    for suite in GCM {
        let Edge { mut conn, mut tls } = Edge::connect(&lab, &certificate, suite, &[b"h2"])?;
        send(&mut conn, &mut tls, &[[PREFACE, &settings(0)].concat()])?;
        for stream in [1, 5, 9] {
            streams::ask(&mut conn, &mut tls, stream, "/sound")?;
            let reset = streams::ask(&mut conn, &mut tls, stream + 2, "/reset")?;
            let want = streams::want(&reset, stream + 2, "/reset", "http2_protocol_error", "h2_broken");
            wants.push(want.with("h2_error_by", "origin").with("process", NAME));
            std::thread::sleep(Duration::from_millis(50));
            let count = Stream::new(&mut tls, conn.stream()?).read(&mut [0; 4096])?;
            ensure!(count > 0, "the origin hung up");
        }
    }
    check(agent, &lab, &wants)
}

/// ChaCha20 takes no AES key: its failures are told as without sight.
fn inside_tls_of_rustls_chacha20_stays_opaque() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let origin = rustls_origin::start(&lab, PORT, &certificate.certificate, &certificate.key)?;
    let agent = Agent::fresh(&[SIGHT])?;
    let suite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    let mut edge = Edge::connect(&lab, &certificate, suite, &[])?;
    let nothing = edge.ask("/nothing", Seen::Empty, 1)?;
    let want = Want::new(&nothing, "empty_reply", 520, "fin_no_response").process(NAME, origin.pid());
    check(agent, &lab, &[want.with("certainty", "likely").with("ray", Value::Null)])
}
