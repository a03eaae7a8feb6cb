//! Authorities and certificates for the tests, and servers that show them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use crate::asking::{HOST, head, serve};

pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// An authority, whose file the probe is told to trust, and another one below it.
pub(crate) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let root = CertifiedIssuer::self_signed(authority("Test Root"), KeyPair::generate().unwrap()).unwrap();
        let middle = authority("Test Intermediate");
        let middle = CertifiedIssuer::signed_by(middle, KeyPair::generate().unwrap(), &root).unwrap();
        let name = format!("tracer-probe-{}-{}.pem", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(name);
        fs::write(&file, root.pem()).unwrap();
        Self { root, middle, file }
    }

    pub(crate) fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// A certificate for the host, below both authorities; `change` makes it worse.
    pub(crate) fn shown(&self, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2090, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.middle).unwrap();
        Shown::new(vec![own.der().clone(), self.middle.der().clone()], &key)
    }

    /// What asks for client certificates of this authority's.
    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        Arc::new(roots)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// What a server shows, and speaks.
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: &'static [&'static str],
    clients: Option<(Arc<RootCertStore>, bool)>,
}

impl Shown {
    fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        let key = key.serialize_der();
        Self { chain, key, versions: vec![&TLS12, &TLS13], protocols: &["http/1.1"], clients: None }
    }

    /// A certificate that nobody else has signed.
    pub(crate) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self::new(vec![params.self_signed(&key).unwrap().der().clone()], &key)
    }

    /// Without the certificates above its own.
    pub(crate) fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }

    pub(crate) fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn offering(mut self, protocols: &'static [&'static str]) -> Self {
        self.protocols = protocols;
        self
    }

    /// Asks for client certificates of this authority's, and goes on without one unless it `demands` one.
    pub(crate) fn asking(mut self, authority: &Authority, demands: bool) -> Self {
        self.clients = Some((authority.roots(), demands));
        self
    }

    pub(crate) fn config(self) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&self.versions).unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some((roots, demands)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if demands { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(self.chain, PrivateKeyDer::try_from(self.key).unwrap()).unwrap();
        config.alpn_protocols = self.protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Serves each connection inside TLS by `inside`.
    pub(crate) fn serve(self, inside: impl Fn(Tls) + Clone + Send + 'static) -> u16 {
        let config = self.config();
        serve(move |stream| inside(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream)))
    }

    /// Serves a sound answer to each request.
    pub(crate) fn serve_soundly(self) -> u16 {
        self.serve(|mut stream| {
            while head(&mut stream).is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
            let _ = stream.read(&mut [0]);
        })
    }
}
