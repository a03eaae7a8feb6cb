//! Whether a TLS handshake failed, and at whose hands, from what is in the clear: records, alerts and their sizes.

use tracer_common::limits::{LOST_RETRANSMITS, MAX_TLS_ALERT};

use super::{Cause, Certainty, Evidence, Limits, Symptom, Trigger};
use crate::tls::{Answer, Handshake, Version};

/// A handshake that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) cause: Cause,
    pub(super) certainty: Certainty,
    pub(super) symptom: Symptom,
    pub(super) edge_status: u16,
}

/// An origin that closes while it waits for the edge's part of the handshake has waited longer than this, in
/// milliseconds.
const EDGES_TURN_MS: u128 = 1_000;

/// Whether the handshake failed, and at whose hands. `None`: it did not, or there is nothing to see.
pub(super) fn broken(e: &Evidence) -> Option<Broken> {
    let h = e.handshake.as_ref().filter(|h| h.hello)?;
    let refused =
        |symptom| Broken { cause: Cause::TlsHandshakeFailed, certainty: Certainty::Certain, symptom, edge_status: 525 };
    match h.answer {
        Answer::PlainHttp => return Some(Broken { cause: Cause::TlsToPlainPort, ..refused(Symptom::TlsGarbage) }),
        Answer::Garbage => return Some(refused(Symptom::TlsGarbage)),
        Answer::Unknown | Answer::Nothing | Answer::Tls => {}
    }
    if let Some(alert) = h.origin_alert.filter(|alert| alert.fatal) {
        let wanted = h.edge_certificate_empty || alert.name() == Some("certificate_required");
        let cause = if wanted { Cause::TlsClientCertRequired } else { Cause::TlsHandshakeFailed };
        return Some(Broken { cause, ..refused(Symptom::TlsAlert) });
    }
    if let Some(alert) = h.edge_alert {
        let cert = alert.name().is_some_and(|name| name.contains("certificate") || name == "unknown_ca");
        return Some(if cert {
            Broken { cause: Cause::CertInvalid, edge_status: 526, ..refused(Symptom::TlsEdgeAlert) }
        } else {
            Broken { certainty: Certainty::Likely, ..refused(Symptom::TlsEdgeAlert) }
        });
    }
    let edge_left = matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst);
    let origin_left = left_by_origin(e);
    // Encrypted: by its size. Both sides hang up on it, and either may be first.
    if h.edge_alert_encrypted && (edge_left || origin_left) {
        return Some(Broken {
            cause: Cause::CertInvalid,
            certainty: Certainty::Likely,
            symptom: Symptom::TlsEdgeAlert,
            edge_status: 526,
        });
    }
    if wants_certificate(e, h) {
        return Some(Broken {
            cause: Cause::TlsClientCertRequired,
            certainty: Certainty::Likely,
            symptom: Symptom::TlsAlertLate,
            edge_status: 520,
        });
    }
    let in_vain = !origin_left && e.exchanges == 0 && e.waited >= Limits::nearly(e.limits.read);
    if in_vain && owes_its_part(e, h) {
        return Some(refused(Symptom::TlsNoAnswer));
    }
    if e.exchanges > 0 || h.edge_finished {
        return None;
    }
    if origin_left {
        // The edge had its turn, and did not take it.
        let edges_turn = h.answer == Answer::Tls && e.since_read > MAX_TLS_ALERT;
        if edges_turn && e.idle.is_some_and(|idle| idle.as_millis() >= EDGES_TURN_MS) {
            return None;
        }
        return Some(refused(if e.trigger == Trigger::Rst { Symptom::TlsRst } else { Symptom::TlsFin }));
    }
    // The origin's part does not get through. The edge gives up on a handshake sooner than on a response.
    let read = Limits::nearly(e.limits.read);
    let enough = e.retransmits >= LOST_RETRANSMITS || e.stuck >= read / 2;
    let lost = e.is_unacknowledged() && enough && (edge_left || e.waited >= read);
    lost.then(|| Broken { cause: Cause::ReplyLost, ..refused(Symptom::TlsNoAnswer) })
}

/// Whether the next step is the origin's: it has sent nothing yet, or, in TLS 1.2 and before, not taken or not answered
/// the edge's key exchange. In TLS 1.3 the edge may have the last word after the origin's first flight.
fn owes_its_part(e: &Evidence, h: &Handshake) -> bool {
    let two_flights = h.agreed.is_some_and(|version| version < Version::Tls13) && !h.resumed;
    h.answer == Answer::Nothing || two_flights && (e.unread > 0 || e.since_read == 0)
}

/// Whether the origin ended the connection.
pub(super) const fn left_by_origin(e: &Evidence) -> bool {
    matches!(e.trigger, Trigger::Fin | Trigger::Rst)
}

/// TLS 1.3: the edge finished its part, with an empty certificate, and all that the origin said to that is an alert.
/// Once it has read on, that may have been a request, which another origin would have taken without a certificate.
fn wants_certificate(e: &Evidence, h: &Handshake) -> bool {
    let ended = !matches!(e.trigger, Trigger::Overdue);
    let last = if e.since_read > 0 { e.since_read } else { e.turn_out };
    let is_short = e.since_read <= MAX_TLS_ALERT && (e.exchanges == 0 || (1..=MAX_TLS_ALERT).contains(&last));
    let refused = h.origin_alert_encrypted || is_short;
    h.agreed == Some(Version::Tls13) && h.edge_certificate_empty && e.exchanges <= 1 && ended && refused
}
