//! `tls_server_config`: certificate, key and the clients' authority from their files to a server that speaks TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;
use serde::Deserialize;
use serde_saphyr::Spanned;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::place::Named;
use super::stamp::Stamps;
use crate::config::{Invalid, read_text};

/// Permission bits of everybody who is neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// What `client_auth_type` may be: a certificate that is not verified proves nothing, so the other two are not offered.
const CLIENT_AUTH_TYPES: &str = "NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert";

const REQUIRED: &str = "RequireAndVerifyClientCert";

type Text = Option<Spanned<String>>;

/// The keys of the section.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    cert_file: Text,
    key_file: Text,
    client_ca_file: Text,
    client_auth_type: Text,
    min_version: Text,
    max_version: Text,
}

impl Section {
    /// Whether a client without a certificate is refused.
    pub(super) fn asks_clients(&self) -> bool {
        self.client_auth_type.as_ref().is_some_and(|kind| kind.value == REQUIRED)
    }
}

/// One key of the section: its name, its value, and where it stands.
struct Key<'a> {
    file: Named<'a>,
    key: &'static str,
    value: &'a Spanned<String>,
}

impl Key<'_> {
    fn wrong(&self, why: impl AsRef<str>) -> Invalid {
        self.file.wrong(self.value.referenced.line(), self.key, why.as_ref())
    }

    fn text(&self) -> &str {
        &self.value.value
    }

    /// The file that the key names; a relative path begins at the web config file's folder.
    fn read(&self, stamps: &mut Stamps) -> Result<(PathBuf, String), Invalid> {
        let path = self.file.folder().join(self.text());
        stamps.take(&path);
        let text = read_text(&path).map_err(|why| self.wrong(format!("{}: {why}", path.display())))?;
        Ok((path, text))
    }
}

/// The server; `None` where the section is empty, which is plain HTTP.
pub(super) fn server(
    file: Named<'_>,
    section: &Section,
    stamps: &mut Stamps,
) -> Result<Option<Arc<ServerConfig>>, Invalid> {
    let key = |key, value| Key { file, key, value };
    let (cert, private) = match (&section.cert_file, &section.key_file) {
        (Some(cert), Some(private)) => (key("cert_file", cert), key("key_file", private)),
        (Some(cert), None) => return Err(key("cert_file", cert).wrong("needs a key_file with its private key")),
        (None, Some(private)) => return Err(key("key_file", private).wrong("needs a cert_file with its certificate")),
        (None, None) => return without_certificate(file, section).map_or(Ok(None), Err),
    };
    let chain = certificates(&cert, stamps)?;
    let (path, pem) = private.read(stamps)?;
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| private.wrong(format!("{} holds no private key in PEM", path.display())))?;
    let provider = Arc::new(ring::default_provider());
    let (low, high) = (section.min_version.as_ref(), section.max_version.as_ref());
    let versions = versions(low.map(|value| key("min_version", value)), high.map(|value| key("max_version", value)))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| cert.wrong(error.to_string()))?;
    let builder = match clients(file, section, &provider, stamps)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(chain, der)
        .map_err(|error| private.wrong(format!("{} can't serve {}: {error}", path.display(), cert.text())))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    warn_if_open(&path);
    Ok(Some(Arc::new(server)))
}

/// The key that makes no sense without a certificate.
fn without_certificate(file: Named<'_>, section: &Section) -> Option<Invalid> {
    let rest = [
        ("client_ca_file", &section.client_ca_file),
        ("client_auth_type", &section.client_auth_type),
        ("min_version", &section.min_version),
        ("max_version", &section.max_version),
    ];
    let (key, value) = rest.into_iter().find_map(|(key, value)| Some((key, value.as_ref()?)))?;
    Some(Key { file, key, value }.wrong("needs cert_file and key_file: without them there is no TLS"))
}

fn certificates(key: &Key<'_>, stamps: &mut Stamps) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let (path, pem) = key.read(stamps)?;
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| key.wrong(format!("{} is not PEM: {error}", path.display())))?;
    if chain.is_empty() {
        return Err(key.wrong(format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(chain)
}

fn versions(low: Option<Key<'_>>, high: Option<Key<'_>>) -> Result<Vec<&'static SupportedProtocolVersion>, Invalid> {
    let known = [("TLS12", &TLS12), ("TLS13", &TLS13)];
    let place = |key: &Key<'_>| {
        let found = known.iter().position(|(name, _)| *name == key.text());
        found.ok_or_else(|| key.wrong(format!("{:?} is not spoken here (TLS12 and TLS13 are)", key.text())))
    };
    let first = low.as_ref().map_or(Ok(0), place)?;
    let last = high.as_ref().map_or(Ok(known.len() - 1), place)?;
    match high {
        Some(high) if first > last => Err(high.wrong("is below min_version")),
        _ => Ok(known[first..=last].iter().map(|(_, version)| *version).collect()),
    }
}

/// Who checks the clients' certificates, if they are asked for any.
fn clients(
    file: Named<'_>,
    section: &Section,
    provider: &Arc<CryptoProvider>,
    stamps: &mut Stamps,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Invalid> {
    let authority = section.client_ca_file.as_ref().map(|value| Key { file, key: "client_ca_file", value });
    let kind = section.client_auth_type.as_ref().map(|value| Key { file, key: "client_auth_type", value });
    let Some(kind) = kind.filter(|kind| !matches!(kind.text(), "" | "NoClientCert")) else {
        let useless = authority.map(|key| key.wrong("has no effect without a client_auth_type that verifies"));
        return useless.map_or(Ok(None), Err);
    };
    let may_be_absent = match kind.text() {
        "VerifyClientCertIfGiven" => true,
        REQUIRED => false,
        other => return Err(kind.wrong(format!("{other:?} is not offered (there are {CLIENT_AUTH_TYPES})"))),
    };
    let Some(authority) = authority else { return Err(kind.wrong("needs a client_ca_file")) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&authority, stamps)? {
        roots.add(certificate).map_err(|error| authority.wrong(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if may_be_absent { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| authority.wrong(error.to_string()))
}

fn warn_if_open(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode());
    if mode & OTHERS != 0 {
        warn!("private key {} is open to everybody (mode {:03o}): chmod 0640 it", path.display(), mode & 0o777);
    }
}
