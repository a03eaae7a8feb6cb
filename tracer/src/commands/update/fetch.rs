//! One small text over HTTPS: bounded in size and time, redirects too, from servers that a trusted authority vouches
//! for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio_rustls::rustls::crypto::ring;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error, Proxy};

use crate::config::{Invalid, read_text};

/// Longest answer that is read, in bytes; today's lists have some 250.
const MAX_ANSWER: u64 = 256 * 1024;
/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 3;
/// Longest header section of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Fetches with one set of trusted authorities.
pub(super) struct Fetcher {
    agent: Agent,
}

impl Fetcher {
    /// Trusts the authorities of the file, else those of the system. Takes the proxy from the environment.
    pub(super) fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self> {
        Ok(Self::with(authorities(ca_file)?, timeout, Proxy::try_from_env()))
    }

    pub(super) fn with(authorities: Vec<Certificate<'static>>, timeout: Duration, proxy: Option<Proxy>) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities)))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .https_only(true)
            .max_redirects(MAX_REDIRECTS)
            // A connection is used once: one that is kept may be closed by the server while the next request is on its
            // way.
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEAD)
            .timeout_global(Some(timeout))
            .proxy(proxy)
            .tls_config(tls)
            .user_agent(concat!("tracer/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent() }
    }

    /// The answer's text.
    pub(super) fn get(&self, url: &str) -> Result<String> {
        let bytes = self.bytes(url).with_context(|| format!("fetching {url}"))?;
        String::from_utf8(bytes).map_err(|_| anyhow!("{url}: the answer is not text"))
    }

    fn bytes(&self, url: &str) -> Result<Vec<u8>> {
        let mut answer = self.agent.get(url).call().map_err(in_words)?;
        // An answer that ends where the connection does can be cut off by anybody on the way.
        if ![CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|mark| answer.headers().contains_key(mark)) {
            bail!("the answer does not say where it ends, so it may be cut off");
        }
        answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(in_words)
    }
}

/// What the library says in a word, in more.
fn in_words(error: Error) -> anyhow::Error {
    match error {
        Error::StatusCode(status) => anyhow!("the server answered with status {status}"),
        Error::BodyExceedsLimit(_) => anyhow!("the answer is longer than {} KiB", MAX_ANSWER / 1024),
        Error::Timeout(phase) => anyhow!("it took too long ({phase}); see --timeout"),
        other => anyhow!(other),
    }
}

fn authorities(ca_file: Option<&Path>) -> Result<Vec<Certificate<'static>>> {
    match ca_file {
        Some(path) => from_file(path),
        None => from_system(),
    }
}

fn from_file(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let name = path.display();
    let pem = read_text(path).map_err(|why| Invalid::new(format!("--ca-file: {name}: {why}")))?;
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        let item = item.map_err(|error| Invalid::new(format!("--ca-file: {name} is not PEM: {error}")))?;
        if let PemItem::Certificate(certificate) = item {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        bail!(Invalid::new(format!("--ca-file: {name} holds no certificate in PEM")));
    }
    Ok(found)
}

fn from_system() -> Result<Vec<Certificate<'static>>> {
    let system = rustls_native_certs::load_native_certs();
    if system.certs.is_empty() {
        let why: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
        bail!("this system trusts no authority: install ca-certificates, or give --ca-file {}", why.join("; "));
    }
    Ok(system.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
