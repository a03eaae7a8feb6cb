//! ClientHello and ServerHello (RFC 8446 §4.1): the host, the versions and the protocols.

use std::{fmt, iter};

use tls_parser::{
    SNIType, TlsExtension, TlsVersion, parse_tls_extension, parse_tls_extension_unknown,
    parse_tls_handshake_client_hello, parse_tls_handshake_server_hello,
};

use super::record::Message;

/// Protocol names that are listed.
const MAX_ALPN: usize = 8;
/// Longest name in DNS, as text.
const MAX_NAME: usize = 253;

/// A version of the protocol, oldest first; what is none of them counts as newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Ssl3,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
    /// By its number on the wire.
    Other(u16),
}

/// What a ClientHello says, as far as it was kept.
#[derive(Default)]
pub(super) struct ClientHello {
    pub(super) sni: Option<String>,
    pub(super) offered: Vec<Version>,
    pub(super) alpn: Vec<String>,
    /// Data follows at once, under keys of an earlier connection (RFC 8446 §4.2.10).
    pub(super) early_data: bool,
}

impl ClientHello {
    pub(super) fn read(message: &Message<'_>) -> Self {
        let mut hello = Self::default();
        let Ok((rest, fields)) = parse_tls_handshake_client_hello(message.body) else { return hello };
        // Extensions that are cut short the parser leaves where they are, behind the two bytes of their length.
        let bytes = fields.ext.or(rest.get(2..)).unwrap_or_default();
        let mut versions = None;
        for extension in extensions(bytes) {
            match extension {
                TlsExtension::SNI(names) if hello.sni.is_none() => hello.sni = names.iter().find_map(host),
                TlsExtension::ALPN(names) if hello.alpn.is_empty() => hello.alpn = protocols(&names),
                TlsExtension::SupportedVersions(list) if versions.is_none() => versions = Some(list),
                TlsExtension::EarlyData(_) => hello.early_data = true,
                _ => {}
            }
        }
        hello.offered = match versions {
            Some(list) => newest_first(&list),
            None if message.whole => implied(fields.version),
            None => Vec::new(),
        };
        hello
    }
}

/// The version that a ServerHello, or the HelloRetryRequest that looks like one, decides on.
pub(super) fn agreed(message: &Message<'_>) -> Option<Version> {
    if !message.whole {
        return None;
    }
    let (_, fields) = parse_tls_handshake_server_hello(message.body).ok()?;
    let selected = extensions(fields.ext.unwrap_or_default()).find_map(|extension| match extension {
        TlsExtension::SupportedVersions(list) => list.first().copied(),
        _ => None,
    });
    Some(selected.unwrap_or(fields.version).into())
}

/// The extensions that are there whole; one that makes no sense is left out.
fn extensions(mut bytes: &[u8]) -> impl Iterator<Item = TlsExtension<'_>> {
    let whole = iter::from_fn(move || {
        let (rest, _) = parse_tls_extension_unknown(bytes).ok()?;
        Some(std::mem::replace(&mut bytes, rest))
    });
    whole.filter_map(|bytes| parse_tls_extension(bytes).ok()).map(|(_, extension)| extension)
}

fn host((kind, name): &(SNIType, &[u8])) -> Option<String> {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let host = *kind == SNIType::HostName && (1..=MAX_NAME).contains(&name.len()) && name.iter().all(valid);
    host.then(|| String::from_utf8_lossy(name).into_owned())
}

fn protocols(names: &[&[u8]]) -> Vec<String> {
    let printable = |name: &&&[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let real = |name: &&&[u8]| <[u8; 2]>::try_from(**name).map_or(true, |pair| !is_grease(u16::from_be_bytes(pair)));
    let names = names.iter().filter(printable).filter(real).take(MAX_ALPN);
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// What clients mix in so that servers learn to skip the unknown: 0x0a0a, 0x1a1a, … (RFC 8701).
const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn newest_first(list: &[TlsVersion]) -> Vec<Version> {
    let real = list.iter().filter(|version| !is_grease(version.0));
    let mut versions: Vec<_> = real.map(|version| Version::from(*version)).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    versions
}

/// A hello without a list offers its version and every older one of TLS (RFC 5246 §E.1): more than this it doesn't
/// tell.
fn implied(legacy: TlsVersion) -> Vec<Version> {
    let newest = Version::from(legacy);
    let older = [Version::Tls12, Version::Tls11, Version::Tls10].into_iter().filter(|version| *version < newest);
    iter::once(newest).chain(older).collect()
}

impl From<TlsVersion> for Version {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Ssl30 => Self::Ssl3,
            TlsVersion::Tls10 => Self::Tls10,
            TlsVersion::Tls11 => Self::Tls11,
            TlsVersion::Tls12 => Self::Tls12,
            TlsVersion::Tls13 => Self::Tls13,
            TlsVersion(number) => Self::Other(number),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssl3 => f.write_str("SSL 3.0"),
            Self::Tls10 => f.write_str("TLS 1.0"),
            Self::Tls11 => f.write_str("TLS 1.1"),
            Self::Tls12 => f.write_str("TLS 1.2"),
            Self::Tls13 => f.write_str("TLS 1.3"),
            Self::Other(number) => write!(f, "TLS {number:#06x}"),
        }
    }
}
