//! Handshakes.

use super::around::unaccepted;
use crate::{
    diagnose::{Cause, Evidence, context::is_unaccepted, handshake::left_by_origin, units::span},
    tls::{Answer, Handshake},
};

/// The TLS handshake came to nothing.
pub(super) fn tls(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::TlsHandshakeFailed if is_unaccepted(e) => unaccepted(e, who),
        Cause::TlsHandshakeFailed
            if left_by_origin(e) && e.handshake.as_ref().is_some_and(|h| h.hello_cut.is_some()) =>
        {
            format!(
                "{who} closed before the whole ClientHello had come: what looks into it wants it in one piece. Hellos \
                 with a post-quantum key share are longer than a packet: wait for the rest (HAProxy: `tcp-request \
                 inspect-delay 5s` before rules on req.ssl_…; else a router by server name or a middlebox)."
            )
        }
        Cause::TlsHandshakeFailed if !left_by_origin(e) && e.handshake.as_ref().is_some_and(is_frozen) => format!(
            "{who} began the TLS handshake and did nothing more for {}: look for what keeps it from running (a process \
             that is stopped, a lock, memory that is swapped, a key in a slow module).",
            span(e.waited)
        ),
        Cause::TlsToPlainPort => format!(
            "port {} speaks plain HTTP: turn TLS on there (`listen 443 ssl`), or set Cloudflare's encryption mode to \
             what this origin offers.",
            e.local.1
        ),
        Cause::TlsClientCertRequired => format!(
            "{who} demands a client certificate: turn on Authenticated Origin Pulls in Cloudflare, or make the \
             certificate optional here."
        ),
        Cause::CertInvalid => format!(
            "the edge does not accept the certificate of {who}: renew it, or install one that covers the name and that \
             Cloudflare trusts (an Origin CA certificate will do)."
        ),
        _ => format!(
            "{who} does not complete the TLS handshake: compare its versions, ciphers and server names with what the \
             edge offers; Cloudflare needs TLS 1.2 or later for most settings."
        ),
    }
}

/// The origin has begun, and nobody has refused the other.
fn is_frozen(h: &Handshake) -> bool {
    h.answer == Answer::Tls && h.origin_alert.is_none() && h.edge_alert.is_none()
}
