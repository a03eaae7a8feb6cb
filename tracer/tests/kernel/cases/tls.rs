//! Handshakes that come to nothing: the edge is rustls, the origins are nginx and haproxy.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use lab::{Conn, EDGE_A, EDGE_B, Exchange, Lab, Nginx, NginxOptions, Seen};
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, Stream, SupportedProtocolVersion as Version,
};

use super::{READ, Stopped, TIMEOUT, haproxy};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_handshake_that_either_side_refuses,
        a_client_certificate_that_is_not_sent,
        a_handshake_that_freezes_halfway,
    ]
}

/// The origin's name.
const NAME: &str = "www.example.com";
/// The edge takes what it reads for this, whatever the bytes: what matters is what the agent makes of it.
const BROKEN: Seen = Seen::Partial;

/// A certificate that its own key has signed.
pub(super) struct Certificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Both in one file, as haproxy wants them.
    both: PathBuf,
}

impl Certificate {
    pub(super) fn make(lab: &Lab) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let [certificate, key, both] = ["site.crt", "site.key", "site.pem"].map(|name| lab.dir().join(name));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        fs::write(&both, made.cert.pem() + &made.signing_key.serialize_pem())?;
        Ok(Self { certificate, key, both })
    }

    /// nginx's lines for a site that has it.
    pub(super) fn site(&self) -> String {
        format!(
            "ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 ok; }}",
            self.certificate.display(),
            self.key.display()
        )
    }

    /// The only one that an edge trusts.
    pub(super) fn trusted(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate)?)?;
        Ok(roots)
    }
}

/// Asks over TLS, which must fail: what the edge saw. It stays until the origin has hung up.
fn refused_and_waited(lab: &Lab, port: u16, version: &'static Version, roots: RootCertStore) -> Result<Exchange> {
    let (mut conn, exchange) = ask(lab, port, version, roots)?;
    std::io::copy(conn.stream()?, &mut std::io::sink()).context("waiting for the origin to hang up")?;
    Ok(exchange)
}

/// Asks over TLS, which must fail: what the edge saw. It leaves at once.
fn refused(lab: &Lab, port: u16, version: &'static Version, roots: RootCertStore) -> Result<Exchange> {
    ask(lab, port, version, roots).map(|(_, exchange)| exchange)
}

/// The edge's side of a handshake.
pub(super) fn client(version: &'static Version, roots: RootCertStore) -> Result<ClientConnection> {
    client_with(version, roots, &[])
}

/// The same where the edge offers these protocols (ALPN).
pub(super) fn client_with(
    version: &'static Version,
    roots: RootCertStore,
    protocols: &[&[u8]],
) -> Result<ClientConnection> {
    let mut config = config(version, roots)?.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(ClientConnection::new(Arc::new(config), ServerName::try_from(NAME)?)?)
}

/// The same where the edge has a certificate of its own, and shows it if it is asked for.
pub(super) fn client_that_shows(
    version: &'static Version,
    roots: RootCertStore,
    own: &Certificate,
) -> Result<ClientConnection> {
    let chain = vec![CertificateDer::from_pem_file(&own.certificate)?];
    let config = config(version, roots)?.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&own.key)?)?;
    Ok(ClientConnection::new(Arc::new(config), ServerName::try_from(NAME)?)?)
}

fn config(version: &'static Version, roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_protocol_versions(&[version])?.with_root_certificates(roots))
}

fn ask(lab: &Lab, port: u16, version: &'static Version, roots: RootCertStore) -> Result<(Conn, Exchange)> {
    let mut conn = lab.connect(if version.version == TLS12.version { EDGE_A } else { EDGE_B }, port)?;
    let mut tls = client(version, roots)?;
    let exchange = conn.exchange(BROKEN);
    let mut stream = Stream::new(&mut tls, conn.stream()?);
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    let answered = asked.and_then(|()| stream.read(&mut [0; 1024]));
    ensure!(!answered.is_ok_and(|count| count > 0), "the origin answered inside TLS");
    Ok((conn, exchange))
}

fn a_handshake_that_either_side_refuses() -> Result<()> {
    const PLAIN: u16 = 80;
    const OLD: u16 = 443;
    const BOTH: u16 = 444;
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let site = certificate.site();
    let http = format!(
        "server {{ listen {PLAIN}; location / {{ return 200 ok; }} }}\n\
         server {{ listen {OLD} ssl; ssl_protocols TLSv1.2; {site} }}\n\
         server {{ listen {BOTH} ssl; ssl_protocols TLSv1.2 TLSv1.3; {site} }}\n"
    );
    let options = NginxOptions { http: &http, ports: &[PLAIN, OLD, BOTH], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let pid = nginx.workers().first().copied().context("nginx without a worker")?;
    let agent = Agent::start(&[])?;
    let nobody = RootCertStore::empty;
    let plain = refused(&lab, PLAIN, &TLS13, nobody())?;
    let version = refused(&lab, OLD, &TLS13, certificate.trusted()?)?;
    let in_the_clear = refused(&lab, BOTH, &TLS12, nobody())?;
    let encrypted = refused(&lab, BOTH, &TLS13, nobody())?;
    let origin_first = refused_and_waited(&lab, BOTH, &TLS13, nobody())?;
    let want = |exchange: &Exchange, cause, status: u16, symptom, certainty: &str| {
        Want::new(exchange, cause, status, symptom).process("nginx", pid).with("certainty", certainty)
    };
    let wants = [
        want(&plain, "tls_to_plain_port", 525, "tls_garbage", "certain").with("tls_sni", NAME),
        want(&version, "tls_handshake_failed", 525, "tls_alert", "certain"),
        want(&in_the_clear, "cert_invalid", 526, "tls_edge_alert", "certain"),
        want(&encrypted, "cert_invalid", 526, "tls_edge_alert", "likely"),
        want(&origin_first, "cert_invalid", 526, "tls_edge_alert", "likely"),
    ];
    check(agent, &lab, &wants)
}

fn a_client_certificate_that_is_not_sent() -> Result<()> {
    const PORT: u16 = 443;
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let frontend = format!(
        "bind :{PORT} ssl crt {} ca-file {} verify required\n  http-request return status 200\n",
        certificate.both.display(),
        certificate.certificate.display()
    );
    let origin = haproxy(&lab, PORT, &frontend)?;
    let agent = Agent::start(&[])?;
    // In TLS 1.2 the handshake fails; in TLS 1.3 the edge has finished its part and learns of it with its request.
    let old = refused(&lab, PORT, &TLS12, certificate.trusted()?)?;
    let new = refused(&lab, PORT, &TLS13, certificate.trusted()?)?;
    let want = |exchange: &Exchange, status: u16, symptom, certainty: &str| {
        let want = Want::new(exchange, "tls_client_cert_required", status, symptom);
        want.process("haproxy", origin.pid()).with("certainty", certainty)
    };
    let wants = [want(&old, 525, "tls_alert", "certain"), want(&new, 520, "tls_alert_late", "likely")];
    check(agent, &lab, &wants)
}

fn a_handshake_that_freezes_halfway() -> Result<()> {
    const PORT: u16 = 443;
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let http = format!("server {{ listen {PORT} ssl; ssl_protocols TLSv1.2; {} }}\n", certificate.site());
    let options = NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let pid = nginx.workers().first().copied().context("nginx without a worker")?;
    let agent = Agent::start(&[READ])?;
    let mut answers = Vec::new();
    let mut edges = [lab.connect(EDGE_A, PORT)?, lab.connect(EDGE_B, PORT)?];
    for conn in &mut edges {
        answers.push(half(conn, client(&TLS12, certificate.trusted()?)?)?);
    }
    let _stopped = Stopped::new(pid)?;
    for (conn, answer) in edges.iter_mut().zip(&answers) {
        conn.stream()?.write_all(answer)?;
    }
    // One edge gives up, the other one stays.
    std::thread::sleep(TIMEOUT);
    let [leaves, stays] = edges;
    let exchanges = [leaves.exchange(BROKEN), stays.exchange(BROKEN)];
    leaves.abort()?;
    let wants = exchanges.map(|exchange| {
        let want = Want::new(&exchange, "tls_handshake_failed", 525, "tls_no_answer").process("nginx", pid);
        let want = want.with("certainty", "certain").saying("left the edge's answer unread");
        want.saying(format!("nginx[{pid}] does not run: it is stopped"))
    });
    check(agent, &lab, &wants)
}

/// The edge's side of a handshake up to its answer to the origin's first messages, which is not sent yet.
fn half(conn: &mut Conn, mut tls: ClientConnection) -> Result<Vec<u8>> {
    let stream = conn.stream()?;
    tls.write_tls(stream)?;
    while !tls.wants_write() {
        ensure!(tls.read_tls(stream)? > 0, "the origin closed");
        tls.process_new_packets()?;
    }
    let mut answer = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut answer)?;
    }
    Ok(answer)
}
