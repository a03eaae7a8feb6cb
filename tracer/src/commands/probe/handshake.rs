//! A TLS handshake as a client that takes any certificate and keeps it: whether to trust it is judged later. Whoever
//! signs the handshake must hold the certificate's key all the same.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
        client::{
            ResolvesClientCert, Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        sign::CertifiedKey,
    },
};

use super::link::Link;
use crate::tls::{Handshake, distinguished_name};

/// What the edge offers by ALPN.
pub(super) const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
pub(super) const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Authorities of client certificates that are named.
const MAX_AUTHORITIES: usize = 4;

/// What a handshake offers.
pub(super) struct Offer<'a> {
    pub(super) name: ServerName<'static>,
    pub(super) protocols: &'a [&'a [u8]],
    pub(super) versions: &'a [&'static SupportedProtocolVersion],
}

/// A handshake that was done.
#[derive(Debug)]
pub(super) struct Shaken {
    pub(super) stream: Box<TlsStream<Link>>,
    pub(super) version: &'static str,
    pub(super) speaks_http2: bool,
    /// The server's own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The client certificate that was asked for: names of authorities, perhaps none.
    pub(super) asked: Option<Vec<String>>,
    pub(super) took: Duration,
}

/// How a handshake ended that was not done.
#[derive(Debug)]
pub(super) enum Halt {
    /// No (further) byte came in this time.
    Silent(Duration),
    Closed,
    Reset,
    /// What came is no such handshake, or refuses it.
    Refused(String),
}

/// A handshake that was not done.
#[derive(Debug)]
pub(super) struct Unshaken {
    pub(super) halt: Halt,
    /// Bytes that came.
    pub(super) received: u64,
    /// What the first bytes of both sides say, by the parser of the verdicts.
    pub(super) outside: Handshake,
    pub(super) asked: Option<Vec<String>>,
}

/// Does the handshake over the connection.
pub(super) async fn shake(link: Link, offer: &Offer<'_>, patience: Duration) -> Result<Shaken, Box<Unshaken>> {
    let provider = Arc::new(ring::default_provider());
    let recorder =
        Arc::new(Recorder { algorithms: provider.signature_verification_algorithms, chain: Mutex::default() });
    let asked = Arc::new(Asked::default());
    let start = Instant::now();
    let unable = |error: Error| {
        Box::new(Unshaken {
            halt: Halt::Refused(error.to_string()),
            received: 0,
            outside: Handshake::default(),
            asked: None,
        })
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(offer.versions)
        .map_err(unable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_client_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesClientCert>);
    config.alpn_protocols = offer.protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    let trace = link.trace();
    let done = timeout(patience, TlsConnector::from(Arc::new(config)).connect(offer.name.clone(), link)).await;
    let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    let halt = match done {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let is_newest = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            return Ok(Shaken {
                version: if is_newest { "TLS 1.3" } else { "TLS 1.2" },
                speaks_http2: session.alpn_protocol() == Some(b"h2"),
                chain: recorder.taken(),
                asked: asked.authorities(),
                took: start.elapsed(),
                stream: Box::new(stream),
            });
        }
        Ok(Err(error)) => halt(&error, trace.closed),
        Err(_) => Halt::Silent(patience),
    };
    let (sent, received) = (&trace.sent, &trace.received);
    Err(Box::new(Unshaken {
        halt,
        received: received.len,
        outside: Handshake::read(&sent.first, &received.first, sent.len, received.len, [0; 8]),
        asked: asked.authorities(),
    }))
}

fn halt(error: &io::Error, closed: bool) -> Halt {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Halt::Reset,
        io::ErrorKind::UnexpectedEof => Halt::Closed,
        _ if closed => Halt::Closed,
        _ => Halt::Refused(error.to_string()),
    }
}

/// Takes any certificate and keeps it.
#[derive(Debug)]
struct Recorder {
    algorithms: WebPkiSupportedAlgorithms,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Recorder {
    fn taken(&self) -> Vec<CertificateDer<'static>> {
        std::mem::take(&mut self.chain.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let all = all.map(|certificate| certificate.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Has no client certificate, and notes that one was asked for.
#[derive(Debug, Default)]
struct Asked(OnceLock<Vec<String>>);

impl Asked {
    fn authorities(&self) -> Option<Vec<String>> {
        self.0.get().cloned()
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = authorities.iter().take(MAX_AUTHORITIES).filter_map(|name| distinguished_name(name));
        let _first = self.0.set(names.collect());
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}
