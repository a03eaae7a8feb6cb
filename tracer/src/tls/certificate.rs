//! What a server's certificate says of itself (RFC 5280). Whether to believe it is not decided here. Hostile input:
//! bounded, no panic.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate, X509Name};

/// Largest certificate that is read, in bytes.
const MAX_DER: usize = 64 * 1024;
/// Names that are kept, and characters of one, or of an issuer.
const MAX_NAMES: usize = 20;
const MAX_TEXT: usize = 200;

/// A certificate's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The hosts that it is for (the first of them), of its extension: Cloudflare, like browsers, does not look at the
    /// common name.
    pub names: Vec<String>,
    /// How many further ones there are.
    pub more_names: usize,
    /// Who it says has issued it.
    pub issuer: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// The issuer has the name of Cloudflare's Origin CA. Anybody can write that name.
    pub origin_ca: bool,
    /// It says where its issuer's certificate can be fetched, as those of public authorities do.
    pub names_issuers_place: bool,
}

impl Certificate {
    /// Reads the first certificate of `der`; `None`: it is none, or one that is too large.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        if der.len() > MAX_DER {
            return None;
        }
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let all = certificate.subject_alternative_name().ok().flatten();
        let all = all.map_or(&[][..], |extension| &extension.value.general_names);
        let names: Vec<_> = all.iter().take(MAX_NAMES).map(name).collect();
        Some(Self {
            more_names: all.len() - names.len(),
            names,
            issuer: text(&certificate.issuer().to_string()),
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            self_issued: certificate.issuer().as_raw() == certificate.subject().as_raw(),
            origin_ca: is_origin_ca(certificate.issuer()),
            names_issuers_place: certificate
                .extensions()
                .iter()
                .any(|one| matches!(one.parsed_extension(), ParsedExtension::AuthorityInfoAccess(_))),
        })
    }
}

/// A distinguished name as text; `None`: it is none.
#[must_use]
pub fn distinguished_name(der: &[u8]) -> Option<String> {
    if der.len() > MAX_DER {
        return None;
    }
    let (_, name) = X509Name::from_der(der).ok()?;
    Some(text(&name.to_string()))
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => text(name),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        GeneralName::IPAddress(bytes) => <[u8; 16]>::try_from(*bytes)
            .map_or_else(|_| "(no address)".to_owned(), |bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        _ => "(no host)".to_owned(),
    }
}

fn text(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// `O=CloudFlare, Inc., OU=CloudFlare Origin SSL Certificate Authority`, or `… SSL ECC …`.
fn is_origin_ca(issuer: &X509Name<'_>) -> bool {
    let has = |mut values: Vec<&str>, begins: &str, ends: &str| {
        values.retain(|value| {
            let value = value.to_ascii_lowercase();
            value.starts_with(begins) && value.ends_with(ends)
        });
        !values.is_empty()
    };
    let organizations = issuer.iter_organization().filter_map(|value| value.as_str().ok()).collect();
    let units = issuer.iter_organizational_unit().filter_map(|value| value.as_str().ok()).collect();
    has(organizations, "cloudflare", "") && has(units, "cloudflare origin ssl", "certificate authority")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn made(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_dates_are_read() {
        let der = made(&["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 2);
            params.not_after = rcgen::date_time_ymd(2021, 3, 4);
        });
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.names, ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(read.not_before.to_string(), "2020-01-02T00:00:00Z");
        assert_eq!(read.not_after.to_string(), "2021-03-04T00:00:00Z");
        assert!(read.self_issued && !read.origin_ca && !read.names_issuers_place);
        let many: Vec<_> = (0..50).map(|n| format!("n{n}.example")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let read = Certificate::read(&made(&many, |_| ())).unwrap();
        assert_eq!((read.names.len(), read.more_names), (MAX_NAMES, 30));
    }

    #[test]
    fn the_origin_ca_is_known_by_organization_and_unit() {
        let of = |organization: &str, unit: &str| {
            let der = made(&["a.example"], |params| {
                params.distinguished_name.push(DnType::OrganizationName, organization);
                params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
            });
            Certificate::read(&der).unwrap().origin_ca
        };
        assert!(of("CloudFlare, Inc.", "CloudFlare Origin SSL Certificate Authority"));
        assert!(of("CloudFlare, Inc.", "CloudFlare Origin SSL ECC Certificate Authority"));
        assert!(!of("CloudFlare, Inc.", "Origin Pull"));
        assert!(!of("Example", "CloudFlare Origin SSL Certificate Authority"));
    }

    #[test]
    fn every_prefix_and_any_wrong_byte_is_refused_or_read() {
        let der = made(&["a.example"], |_| ());
        for len in 0..der.len() {
            assert_eq!(Certificate::read(&der[..len]), None, "{len}");
        }
        for at in 0..der.len() {
            let mut wrong = der.clone();
            wrong[at] ^= 0xff;
            let _ = Certificate::read(&wrong);
            let _ = distinguished_name(&wrong[at..]);
        }
    }
}
