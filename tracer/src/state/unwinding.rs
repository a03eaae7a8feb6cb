//! Verdicts on answers of 5xx that wait to see whether the process behind, which hung up, is ending.

use tracer_common::OriginRecord;

use super::deaths::Death;
use crate::diagnose::{
    End, Sender,
    origin::{OriginCause, OriginEvidence, origin_error},
    upstream::{Hangup, Upstream},
};

/// A verdict that waits to see whether the process behind is ending.
pub(super) struct HeldOrigin {
    pub(super) evidence: OriginEvidence,
    /// That process, and its start.
    pub(super) server: (u32, u64),
    /// Turns that it had begun when it read this request.
    turns: u32,
    pub(super) until_ns: u64,
}

impl HeldOrigin {
    /// Of an upstream that hung up, and lives as far as is known. `None`: there is nothing to wait for.
    pub(super) fn new(record: &OriginRecord, evidence: OriginEvidence, until_ns: u64) -> Option<Self> {
        let upstream = evidence.upstream.as_ref()?;
        let hung_up = matches!(upstream.hangup, Hangup::Closed | Hangup::Reset);
        let may_be_ending = hung_up && upstream.end == End::Running && record.upstream.server.tgid != 0;
        let is_cut = matches!(
            origin_error(&evidence).cause,
            OriginCause::UpstreamClosed | OriginCause::UpstreamReset | OriginCause::UpstreamInvalid
        );
        let (server, turns) = (&record.upstream.server, record.upstream.server_turns);
        (may_be_ending && is_cut).then_some(Self { evidence, server: (server.tgid, server.start_ns), turns, until_ns })
    }

    /// The process has ended while the verdict waited: adds that to the evidence if it explains the answer.
    pub(super) fn join(&mut self, death: &Death) {
        if let Some(upstream) = &mut self.evidence.upstream {
            ended(upstream, self.turns, death);
        }
    }
}

/// The process of an upstream that hung up has ended since. Notes that, if it explains the hang-up. It does not if the
/// process had begun another request since (`turns`: those that it had begun by then), or was struck after it had hung
/// up by itself.
pub(super) fn ended(upstream: &mut Upstream, turns: u32, death: &Death) {
    if death.turns != turns {
        return;
    }
    let told_before = death.signal.as_ref().is_some_and(|signal| {
        matches!(signal.sender, Sender::Master { .. } | Sender::OrderedMaster { .. } | Sender::Other { .. })
    });
    let own = death.oom || death.signal.as_ref().is_some_and(|signal| signal.sender == Sender::Kernel);
    upstream.end = match death.end {
        End::Exited(status) => End::ExitedAfter(status),
        End::Signaled(_) if own || told_before && upstream.signal.is_some() => death.end,
        _ => return,
    };
    upstream.signal.clone_from(&death.signal);
    upstream.oom = death.oom;
    upstream.oom_scope = death.oom_scope;
}
