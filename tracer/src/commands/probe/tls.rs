//! What a handshake showed, or why there was none.

use std::net::SocketAddr;

use super::{
    finding::{Finding, Status},
    handshake::{Halt, Shaken, Unshaken},
    seen::{advise, evidence, span},
};
use crate::{
    diagnose::Cause,
    tls::{Answer, Version},
};
use tracer_common::cloudflare::CONNECT_TIMEOUT;

pub(super) const NAME: &str = "TLS";
pub(super) const CLIENT: &str = "client certificate";

/// What a handshake that was not done would be to the edge.
const UNSHAKEN: u16 = 525;

/// What the edge would make of a handshake that failed.
pub(super) fn unshaken(unshaken: &Unshaken, origin: SocketAddr) -> Finding {
    let (outside, alert) = (&unshaken.outside, unshaken.outside.origin_alert);
    let e = evidence(origin);
    let found = |cause, seen: String| Finding::would_be(NAME, UNSHAKEN, seen, advise(cause, &e)).told_as(cause);
    if outside.answer == Answer::PlainHttp {
        return found(Cause::TlsToPlainPort, "the port answers a TLS handshake in plain HTTP".to_owned());
    }
    if unshaken.asked.is_some() && !matches!(unshaken.halt, Halt::Silent(_)) {
        let alert = alert.map_or_else(String::new, |alert| format!(" (alert {alert})"));
        let seen = format!("the origin asked for a client certificate, got none, and ended the handshake{alert}");
        return found(Cause::TlsClientCertRequired, seen).risk_only();
    }
    if let Some(alert) = alert {
        return found(Cause::TlsHandshakeFailed, format!("the origin refused the handshake with alert {alert}"));
    }
    if let Some(version) = outside.agreed.filter(|version| *version < Version::Tls12) {
        let seen = format!("the origin chose {version}, which is older than TLS 1.2");
        return found(Cause::TlsHandshakeFailed, seen);
    }
    let received = unshaken.received;
    match &unshaken.halt {
        Halt::Silent(time) => {
            let seen = format!("the handshake stood still for {}, after {received} bytes from the origin", span(*time));
            let found = found(Cause::TlsHandshakeFailed, seen);
            // Shorter than that, silence proves little.
            if *time < CONNECT_TIMEOUT { found.risk_only() } else { found }
        }
        Halt::Closed => {
            found(Cause::TlsHandshakeFailed, format!("the origin closed within the handshake, after {received} bytes"))
        }
        Halt::Reset => found(
            Cause::TlsHandshakeFailed,
            format!("the origin reset the connection within the handshake, after {received} bytes"),
        ),
        Halt::Refused(why) => found(Cause::TlsHandshakeFailed, why.clone()),
    }
}

/// The handshake in words. `other`: the other version that was tried, and whether it was agreed upon.
pub(super) fn shaken(shaken: &Shaken, other: Option<(&str, bool)>) -> Finding {
    let protocol = if shaken.speaks_http2 { "HTTP/2 and HTTP/1.1" } else { "HTTP/1.1 alone" };
    let others = match other {
        Some((version, true)) => format!(", {version} as well"),
        Some((version, false)) => format!(", not {version}"),
        None => String::new(),
    };
    Finding::ok(NAME, format!("{}{others}; ALPN: {protocol}; done in {}", shaken.version, span(shaken.took)))
}

/// How the origin took a request without the client certificate that it had asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// It answered it.
    Answered,
    /// It answered with status 400, as nginx does where it demands one.
    BadRequest,
    /// It ended the connection.
    HungUp,
}

/// Whether a client certificate was asked for, and what happened without one.
pub(super) fn client_certificate(asked: Option<&[String]>, without: Without, origin: SocketAddr) -> Finding {
    let Some(authorities) = asked else {
        return Finding::ok(CLIENT, "not asked for: Authenticated Origin Pulls are not enforced here");
    };
    let of = if authorities.is_empty() { String::new() } else { format!(", of {}", authorities.join(" or ")) };
    let cause = Cause::TlsClientCertRequired;
    let advice = || advise(cause, &evidence(origin));
    match without {
        Without::Answered => Finding::ok(CLIENT, format!("asked for{of}, and not demanded")),
        Without::BadRequest => {
            let seen = format!("asked for{of}; without one, a request gets status 400: likely it is demanded");
            Finding::at_risk(CLIENT, seen, advice())
        }
        Without::HungUp => {
            let seen = format!("demanded{of}: with Authenticated Origin Pulls off, visitors would see a 520 or 525");
            let found = Finding::at_risk(CLIENT, seen, advice()).told_as(cause);
            Finding { edge_status: Some(520), ..found }
        }
    }
}

/// Whether the connection may have ended because a client certificate was missing.
pub(super) fn may_lack_certificate(finding: &Finding) -> bool {
    let ends = [Cause::TlsClientCertRequired, Cause::EmptyReply, Cause::AppReset];
    finding.status != Status::Ok && finding.cause.is_some_and(|cause| ends.contains(&cause))
}
