//! Does what happened behind the process that held the connection explain the failure? A proxy that passes bytes on
//! hangs up because its upstream did, whenever that was: where the upstream's process ended, that is the root. One that
//! reads requests would answer 502, unless its own answer was under way: then it cut that answer, and what is behind is
//! named.

use super::{
    Cause, Certainty, Evidence, Trigger,
    lost::Loss,
    origin::OriginCause,
    upstream::{Behind, Connect, Hangup, Upstream, floor, hung_up, unreached},
};

/// Most bytes that a proxy puts before what it passes on: a PROXY header with all of its fields.
const MOST_AHEAD: u64 = 536;

/// What happened behind, where it has a part in the failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) cause: OriginCause,
    certainty: Certainty,
    /// The connection on which it happened.
    pub(super) upstream: &'a Upstream,
    /// That is one further behind.
    pub(super) is_next: bool,
    pub(super) tries: u32,
    /// The process passes on what comes from the edge, and what happened behind.
    passes_on: bool,
}

impl Part<'_> {
    /// The end of the upstream's process, where that is the root of the failure.
    pub(super) fn root(self, loss: Loss) -> Option<(Cause, Certainty)> {
        if !self.passes_on {
            return None;
        }
        let cause = match self.cause {
            OriginCause::OomKill => Cause::OomKill,
            OriginCause::Crash => Cause::Crash,
            OriginCause::SupervisorKill => Cause::SupervisorKill,
            OriginCause::ProcessKilled => Cause::ProcessKilled,
            // It retired in good order, with its connection idle.
            OriginCause::ProcessExit if loss == Loss::Late => return None,
            OriginCause::ProcessExit => Cause::ProcessExit,
            _ => return None,
        };
        Some((cause, self.certainty))
    }

    /// Whether the server closed the connection while it was idle, so that the proxy did, too.
    pub(super) fn is_idle_close(self, loss: Loss) -> bool {
        loss == Loss::Late && self.upstream.connect == Connect::Established && self.root(loss).is_none()
    }

    /// Whether the server only has yet to answer.
    pub(super) fn is_awaited(self) -> bool {
        self.cause == OriginCause::UpstreamTimeout
    }
}

/// What happened behind, if that has a part in the failure.
pub(super) fn part(e: &Evidence, loss: Loss) -> Option<Part<'_>> {
    let behind = e.behind.as_ref()?;
    let upstream = &behind.upstream;
    if matches!(loss, Loss::Waited | Loss::StalledHead | Loss::StalledBody) {
        let waits = behind.is_current
            && upstream.hangup == Hangup::Nobody
            && (upstream.received == 0) == (loss == Loss::Waited);
        return waits.then(|| part_of(behind, upstream, (OriginCause::UpstreamTimeout, floor(upstream))));
    }
    if !matches!(e.trigger, Trigger::Fin | Trigger::Rst | Trigger::Late { .. }) || e.destroyed {
        return None;
    }
    let in_answer = matches!(loss, Loss::Head | Loss::Body);
    let unanswered = match loss {
        Loss::Unanswered | Loss::Fresh | Loss::Late => true,
        // Of others the handshake itself says why.
        Loss::Handshake(broken) => broken.cause == Cause::TlsHandshakeFailed,
        _ => false,
    };
    if !(in_answer || unanswered) {
        return None;
    }
    if let Some(verdict) = unreached(upstream) {
        let meant = upstream.paired || behind.is_current && loss != Loss::Late;
        return (unanswered && meant).then(|| part_of(behind, upstream, verdict));
    }
    let passes_on = passes_on(e, upstream);
    if !(in_answer && behind.is_current || passes_on) {
        return None;
    }
    let (cause, certainty) = hung_up(upstream)?;
    let lives = matches!(cause, OriginCause::UpstreamClosed | OriginCause::UpstreamReset);
    // The process behind may have hung up for the same reason in turn.
    if lives
        && let Some(next) = &behind.next
        && let Some(verdict) = unreached(next).or_else(|| hung_up(next))
    {
        let part = part_of(behind, next, verdict);
        return Some(Part { certainty: part.certainty.max(floor(upstream)), is_next: true, passes_on, ..part });
    }
    Some(Part { passes_on, ..part_of(behind, upstream, (cause, certainty)) })
}

fn part_of<'a>(behind: &'a Behind, upstream: &'a Upstream, (cause, certainty): (OriginCause, Certainty)) -> Part<'a> {
    Part {
        cause,
        certainty: certainty.max(floor(upstream)),
        upstream,
        is_next: false,
        tries: behind.tries,
        passes_on: false,
    }
}

/// Whether the process passes on what comes from the edge, by what went through: as many bytes on either side. Where
/// the connection behind was opened before anything was read, a few more may have gone ahead of them, and a few may
/// have stayed on the way.
fn passes_on(e: &Evidence, upstream: &Upstream) -> bool {
    if upstream.connect != Connect::Established {
        return false;
    }
    let read = e.bytes_received.saturating_sub(e.unread.into());
    let (sent, received) = (upstream.sent_in_all, upstream.received_in_all);
    let exactly = sent > 0 && sent == read && received >= e.bytes_sent;
    let was_counted = sent + received > 0;
    let roughly = !was_counted || sent <= read + MOST_AHEAD && received >= e.bytes_sent;
    exactly || upstream.paired && !upstream.ambiguous && roughly
}
