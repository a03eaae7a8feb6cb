//! Whom the edge trusts: the authorities of this system, which stand for its own list, or those of a file.

use std::path::Path;

use anyhow::{Result, bail};
use jiff::Timestamp;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::{
    CertificateError, Error, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

use crate::config::{Invalid, read_text};

/// Certificates of a chain that are looked at.
const MAX_CHAIN: usize = 16;

/// Authorities.
#[derive(Debug)]
pub(super) struct Trust {
    roots: RootCertStore,
    /// Whose, in words.
    pub(super) whose: &'static str,
}

/// Why a chain leads to no trusted authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// No trusted authority has issued its last certificate.
    NoAuthority,
    /// A certificate other than the server's own is out of its dates.
    OutOfDate,
    /// Anything else, in words.
    Other(String),
}

impl Trust {
    /// The authorities of the file, else those of the system.
    pub(super) fn load(ca_file: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let Some(path) = ca_file else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(Self { roots, whose: "this system" });
        };
        let name = path.display();
        let pem = read_text(path).map_err(|why| Invalid::new(format!("--ca-file: {name}: {why}")))?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let found = found.map_err(|error| Invalid::new(format!("--ca-file: {name} is not PEM: {error}")))?;
        let (added, _) = roots.add_parsable_certificates(found);
        if added == 0 {
            bail!(Invalid::new(format!("--ca-file: {name} holds no certificate in PEM")));
        }
        Ok(Self { roots, whose: "--ca-file" })
    }

    /// Whether there is anybody to trust.
    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether the chain leads to an authority, at a time at which the server's own certificate holds.
    pub(super) fn vouches(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<(), Broken> {
        let Some((own, others)) = chain.split_first() else { return Err(Broken::Other("no certificate came".into())) };
        let others = &others[..others.len().min(MAX_CHAIN)];
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let own = ParsedCertificate::try_from(own).map_err(|error| Broken::Other(error.to_string()))?;
        let told = verify_server_cert_signed_by_trust_anchor(&own, &self.roots, others, at, algorithms.all);
        told.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Broken::NoAuthority,
            Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Broken::OutOfDate,
            other => Broken::Other(other.to_string()),
        })
    }
}

/// Whether the certificate is for this name.
pub(super) fn covers(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}
