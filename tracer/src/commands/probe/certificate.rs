//! What the edge would say to a certificate: name, dates, chain. Revocation is not asked about.

use jiff::{SignedDuration, Timestamp};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::{
    finding::Finding,
    trust::{Broken, Trust, covers},
};
use crate::{diagnose::Cause, tls::Certificate};

const NAME: &str = "certificate name";
const DATES: &str = "certificate dates";
const CHAIN: &str = "certificate chain";

/// What Full (strict) answers where it does not accept a certificate.
pub(super) const REFUSED: u16 = 526;

/// Less than this before the end of its dates, a certificate should have been renewed.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Names of a certificate that a finding shows.
const SHOWN: usize = 5;

/// Holds the chain against the name, the time and the authorities. `advice`: that of a certificate that is refused.
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    trust: &Trust,
    now: Timestamp,
    advice: &str,
) -> Vec<Finding> {
    let refused = |what, seen: String| Finding::would_be(what, REFUSED, seen, advice).told_as(Cause::CertInvalid);
    let Some((own, read)) = chain.first().and_then(|own| Some((own, Certificate::read(own)?))) else {
        return vec![refused(NAME, "what the origin sent can't be read as a certificate".to_owned())];
    };
    let for_ = names(&read);
    let asked = name.to_str();
    let by_name = if covers(own, name) {
        Finding::ok(NAME, format!("{asked} is among its names ({for_})"))
    } else {
        refused(NAME, format!("{asked} is not among its names ({for_})"))
    };
    vec![by_name, dates(&read, now, refused), of_chain(chain, &read, trust, now, refused)]
}

fn names(certificate: &Certificate) -> String {
    if certificate.names.is_empty() {
        return "it has none: a common name does not count".to_owned();
    }
    let shown = certificate.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = (certificate.names.len() + certificate.more_names).saturating_sub(SHOWN);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take("2026-01-01".len()).collect()
}

fn dates(read: &Certificate, now: Timestamp, refused: impl Fn(&'static str, String) -> Finding) -> Finding {
    let (from, until) = (day(read.not_before), day(read.not_after));
    let left = read.not_after.duration_since(now);
    let days = left.as_hours().unsigned_abs() / 24;
    if now < read.not_before {
        return refused(DATES, format!("not valid before {from}, by this host's clock"));
    }
    if left.is_negative() {
        return refused(DATES, format!("expired on {until}, {days} days ago"));
    }
    if left < SOON {
        let advice = "renew it, and find out why that did not happen by itself: Full (strict) answers 526 from then on";
        let soon = Finding::at_risk(DATES, format!("expires on {until}, in {days} days"), advice);
        return Finding { edge_status: Some(REFUSED), ..soon }.told_as(Cause::CertInvalid);
    }
    Finding::ok(DATES, format!("from {from} to {until}, {days} days left"))
}

fn of_chain(
    chain: &[CertificateDer<'_>],
    read: &Certificate,
    trust: &Trust,
    now: Timestamp,
    refused: impl Fn(&'static str, String) -> Finding,
) -> Finding {
    let (whose, issuer) = (trust.whose, &read.issuer);
    // A certificate that is out of its dates is told apart: here it is held against the time at which it was good.
    let at = now.clamp(read.not_before, read.not_after.max(read.not_before));
    match trust.vouches(chain, at) {
        Ok(()) => Finding::ok(CHAIN, format!("leads to an authority that {whose} trusts; issuer {issuer}")),
        Err(_) if read.origin_ca => Finding::ok(
            CHAIN,
            "likely Cloudflare's Origin CA, which Full (strict) trusts: the issuer has its name (which anybody can \
             write; the signature was not checked)",
        ),
        Err(_) if read.self_issued => refused(CHAIN, format!("self-signed: it names itself as its issuer ({issuer})")),
        Err(_) if trust.is_empty() => Finding::unknown(
            CHAIN,
            format!("issuer {issuer}; this system trusts no authority that it could be held against"),
            "install ca-certificates, or give --ca-file",
        ),
        Err(Broken::NoAuthority) => {
            let last = chain.last().and_then(|last| Certificate::read(last));
            let (sent, last) = (chain.len(), last.map_or_else(String::new, |last| last.issuer));
            let guess = if read.names_issuers_place && sent == 1 {
                "most likely an intermediate certificate is missing (install the full chain)"
            } else {
                "an intermediate certificate is missing, or the authority is not public"
            };
            refused(CHAIN, format!("{sent} sent, and {whose} does not trust {last}: {guess}"))
        }
        Err(Broken::OutOfDate) => refused(CHAIN, "a certificate above the origin's own is out of its dates".to_owned()),
        Err(Broken::Other(why)) => refused(CHAIN, why),
    }
}
