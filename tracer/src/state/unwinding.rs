//! Verdicts on answers of 5xx that wait: to see whether the process behind, which hung up, is ending; or whether the
//! rest of the answer comes.

use tracer_common::{Conn, Upstream};

use super::deaths::Death;
use crate::diagnose::{
    End, Sender,
    origin::{OriginCause, OriginEvidence, origin_error},
    upstream::{self, Hangup},
};

/// An answer of which some has yet to come, or more to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The key of its connection, and when that was opened.
    pub(super) connection: (u64, u64),
    /// The number of the exchange or of the stream.
    pub(super) number: u32,
}

impl Unfinished {
    pub(super) fn new(conn: &Conn, stream: Option<u32>) -> Self {
        Self { connection: (conn.key, conn.opened_ns), number: stream.unwrap_or(conn.exchanges) }
    }
}

/// A verdict that waits to see whether the process behind is ending, or whether the answer fails.
pub(super) struct HeldOrigin {
    pub(super) evidence: Box<OriginEvidence>,
    /// That process, and its start.
    pub(super) server: Option<(u32, u64)>,
    /// Turns that it had begun when it read this request.
    turns: u32,
    pub(super) unfinished: Option<Unfinished>,
    pub(super) until_ns: u64,
}

impl HeldOrigin {
    /// Of an upstream that hung up, and lives as far as is known, or of an unfinished answer. Else there is nothing to
    /// wait for: gives the evidence back.
    pub(super) fn new(
        record: Option<&Upstream>,
        evidence: Box<OriginEvidence>,
        unfinished: Option<Unfinished>,
        until_ns: u64,
    ) -> Result<Self, Box<OriginEvidence>> {
        let ending = record.filter(|record| is_ending(record, &evidence));
        if ending.is_none() && unfinished.is_none() {
            return Err(evidence);
        }
        let server = ending.map(|record| (record.server.tgid, record.server.start_ns));
        let turns = ending.map_or(0, |record| record.server_turns);
        Ok(Self { evidence, server, turns, unfinished, until_ns })
    }

    /// The process has ended while the verdict waited: adds that to the evidence if it explains the answer.
    pub(super) fn join(&mut self, death: &Death) {
        if let Some(upstream) = &mut self.evidence.upstream {
            ended(upstream, self.turns, death);
        }
    }
}

/// Whether the upstream hung up, lives as far as is known, and may be ending.
fn is_ending(record: &Upstream, evidence: &OriginEvidence) -> bool {
    let Some(upstream) = &evidence.upstream else { return false };
    let hung_up = matches!(upstream.hangup, Hangup::Closed | Hangup::Reset);
    hung_up
        && upstream.end == End::Running
        && record.server.tgid != 0
        && matches!(
            origin_error(evidence).cause,
            OriginCause::UpstreamClosed | OriginCause::UpstreamReset | OriginCause::UpstreamInvalid
        )
}

/// The process of an upstream that hung up has ended since. Notes that, if it explains the hang-up. It does not if the
/// process had begun another request since (`turns`: those that it had begun by then), or was struck after it had hung
/// up by itself.
pub(super) fn ended(upstream: &mut upstream::Upstream, turns: u32, death: &Death) {
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
