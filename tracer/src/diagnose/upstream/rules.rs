//! How an upstream connection failed: it could not be opened, its process ended, or a living one hung up.

use super::{
    super::{Certainty, End, origin::OriginCause, rules::ended_by},
    seen::{Connect, Hangup, Upstream},
};
use crate::http::Section;

/// No verdict is surer than the tie between the exchange and the connection.
pub(in crate::diagnose) fn floor(upstream: &Upstream) -> Certainty {
    if upstream.ambiguous { Certainty::Likely } else { Certainty::Certain }
}

/// The connection could not be opened.
pub(in crate::diagnose) fn unreached(upstream: &Upstream) -> Option<(OriginCause, Certainty)> {
    match upstream.connect {
        Connect::Established => None,
        Connect::Refused => Some((OriginCause::UpstreamRefused, Certainty::Certain)),
        Connect::Unreachable(_) => Some((OriginCause::UpstreamUnreachable, Certainty::Certain)),
        Connect::Unanswered if upstream.is_local => Some((OriginCause::UpstreamRefused, Certainty::Likely)),
        Connect::Unanswered => Some((OriginCause::UpstreamUnreachable, Certainty::Certain)),
    }
}

/// The connection broke before the answer was complete.
pub(in crate::diagnose) fn broken(upstream: &Upstream) -> Option<(OriginCause, Certainty)> {
    if is_answered(upstream) { None } else { hung_up(upstream) }
}

/// The server ended the connection, whatever it had said before.
pub(in crate::diagnose) fn hung_up(upstream: &Upstream) -> Option<(OriginCause, Certainty)> {
    if matches!(upstream.hangup, Hangup::Closed | Hangup::Reset)
        && let Some(verdict) = ended(upstream)
    {
        return Some(verdict);
    }
    match upstream.hangup {
        Hangup::Reset => Some((OriginCause::UpstreamReset, Certainty::Certain)),
        Hangup::Closed => {
            let certainty = if upstream.received == 0 { Certainty::Certain } else { Certainty::Likely };
            Some((OriginCause::UpstreamClosed, certainty))
        }
        Hangup::Nobody | Hangup::Owner => None,
    }
}

/// The end of the process, where that is why the connection broke.
fn ended(upstream: &Upstream) -> Option<(OriginCause, Certainty)> {
    let (cause, certainty) = ended_by(upstream.end, upstream.oom, upstream.signal.as_ref())?;
    let name = cause.name();
    let cause = OriginCause::ALL.iter().copied().find(|cause| cause.name() == name)?;
    Some((cause, certainty))
}

/// Whether the upstream's answer is complete as far as a gateway waits for it.
fn is_answered(upstream: &Upstream) -> bool {
    match upstream.answer {
        Some(answer) => answer.section == Section::Whole,
        // Unseen: what dies or is reset after some bytes of an answer may have said all.
        None => upstream.received > 0 && !is_broken_off(upstream),
    }
}

/// Whether it was reset, or its process ended other than in good order.
pub(in crate::diagnose) fn is_broken_off(upstream: &Upstream) -> bool {
    let in_order = matches!(upstream.end, End::Running | End::Exited(0) | End::ExitedAfter(0));
    upstream.hangup == Hangup::Reset || !in_order
}
