//! An edge's TLS session of which everything is known: its secrets, and the bytes that it sent.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use hkdf::Hkdf;
use lab::Conn;
use sha2::{Sha256, Sha384};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, KeyLog, Stream, SupportedProtocolVersion as Version};

use super::tls::Certificate;

/// Type of a TLS record that holds application data.
const APPLICATION_DATA: u8 = 23;

/// One connection of the edge's, after its handshake.
pub(super) struct Session {
    tls: ClientConnection,
    wire: Wire,
    logged: Arc<Logged>,
    ray: String,
}

/// The secrets that the client announces, each with its label.
#[derive(Debug, Default)]
struct Logged(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Logged {
    fn log(&self, label: &str, _random: &[u8], secret: &[u8]) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.push((label.to_owned(), secret.to_vec()));
    }
}

/// The connection, and what was written to it.
struct Wire {
    conn: Conn,
    sent: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.conn.stream().map_err(io::Error::other)?.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.conn.stream().map_err(io::Error::other)?.write(bytes)?;
        self.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    /// Does the handshake.
    pub(super) fn open(conn: Conn, version: &'static Version, certificate: &Certificate) -> Result<Self> {
        let logged = Arc::new(Logged::default());
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])?
            .with_root_certificates(certificate.trusted()?)
            .with_no_client_auth();
        config.key_log = logged.clone();
        let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("www.example.com")?)?;
        let ray =
            format!("{:016x}-AMS", u64::from(conn.from().port()) << 40 | u64::from(std::process::id()) << 8 | 0x9a);
        let mut wire = Wire { conn, sent: Vec::new() };
        while tls.is_handshaking() {
            tls.complete_io(&mut wire).context("the handshake")?;
        }
        Ok(Self { tls, wire, logged, ray })
    }

    /// Asks; the answer, as far as one read gives it, is empty where the origin hung up.
    pub(super) fn ask(&mut self, path: &str, more: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: {}\r\n{more}\r\n", self.ray);
        let mut stream = Stream::new(&mut self.tls, &mut self.wire);
        stream.write_all(request.as_bytes()).context("sending a request")?;
        let mut answer = [0; 4096];
        let count = match stream.read(&mut answer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => 0,
            count => count.context("reading the answer")?,
        };
        Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
    }

    /// The ray of its requests.
    pub(super) fn ray(&self) -> &str {
        &self.ray
    }

    /// Every secret of the session, and the keys that TLS 1.3 derives from them.
    pub(super) fn secrets(&self) -> Vec<Vec<u8>> {
        let logged = self.logged.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_traffic = |label: &str| label.contains("_TRAFFIC_SECRET");
        let keys = logged.iter().filter(|(label, _)| is_traffic(label)).filter_map(|(_, secret)| write_key(secret));
        logged.iter().map(|(_, secret)| secret.clone()).chain(keys).collect()
    }

    /// What the records of application data that were sent hold.
    pub(super) fn sealed(&self) -> Vec<&[u8]> {
        let mut bodies = Vec::new();
        let mut rest = &self.wire.sent[..];
        while let Some(([kind, _, _, high, low], after)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            if *kind == APPLICATION_DATA {
                bodies.push(&after[..len]);
            }
            rest = &after[len..];
        }
        bodies
    }
}

/// The key of a traffic secret (RFC 8446 §7.3), of AES-128 with SHA-256 and of AES-256 with SHA-384.
fn write_key(secret: &[u8]) -> Option<Vec<u8>> {
    let mut key = vec![0; if secret.len() == 48 { 32 } else { 16 }];
    let info = [&[0, key.len() as u8, 9][..], b"tls13 key", &[0]].concat();
    match secret.len() {
        48 => Hkdf::<Sha384>::from_prk(secret).ok()?.expand(&info, &mut key).ok()?,
        _ => Hkdf::<Sha256>::from_prk(secret).ok()?.expand(&info, &mut key).ok()?,
    }
    Some(key)
}
