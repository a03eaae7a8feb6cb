//! The edge's TLS: versions 1.2 and 1.3, sessions taken up again, HTTP/1.1 alone.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::rng::Rng;

const NAME: &str = "www.example.com";

/// One edge that speaks each version; all threads share the sessions.
pub(super) struct Edge([Arc<ClientConfig>; 2]);

impl Edge {
    /// Makes the certificate of all servers (`cert.pem`, `key.pem`, and both in `both.pem`), which this edge trusts.
    pub(super) fn with_certificate_in(dir: &Path) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()])?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        for (name, text) in
            [("cert.pem", &certificate), ("key.pem", &key), ("both.pem", &format!("{certificate}{key}"))]
        {
            std::fs::write(dir.join(name), text).with_context(|| format!("writing {name}"))?;
        }
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let config = |version| -> Result<Arc<ClientConfig>> {
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[version])?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Self([config(&TLS12)?, config(&TLS13)?]))
    }

    /// Shakes hands on a connection, with either version.
    pub(super) fn shake(&self, rng: &mut Rng, stream: &mut TcpStream) -> Result<Inside> {
        let mut tls = ClientConnection::new(Arc::clone(rng.pick(&self.0)), ServerName::try_from(NAME)?)?;
        while tls.is_handshaking() {
            tls.complete_io(stream).context("shaking hands")?;
        }
        Ok(Inside(Box::new(tls)))
    }
}

/// The inside of one connection.
#[derive(Debug)]
pub(super) struct Inside(Box<ClientConnection>);

impl Inside {
    /// As of a plain stream: the origin's end is 0 bytes, whether it has announced that or not.
    pub(super) fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        match Stream::new(&mut *self.0, stream).read(buffer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    pub(super) fn write_all(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut inside = Stream::new(&mut *self.0, stream);
        inside.write_all(bytes)?;
        inside.flush()
    }

    /// Announces the end.
    pub(super) fn close(&mut self, stream: &mut TcpStream) {
        self.0.send_close_notify();
        // The origin may be gone.
        let _ = self.0.write_tls(stream);
    }
}
