//! Deaths that explain a failure without coinciding with it: of the process that hung up, moments later; and of the one
//! that held the request, before the edge gave up.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tracer_common::{ProcessRecord, limits};

use super::ends::end_of;
use crate::diagnose::{End, Evidence, OomScope, Sender, Signal, Trigger};

/// `SIGPIPE`: a process dies of it because the edge has left, not the other way round.
const SIGPIPE: u8 = 13;

/// The end of a process that had read from edge connections.
#[derive(Clone)]
pub(super) struct Death {
    pub(super) end: End,
    pub(super) signal: Option<Signal>,
    pub(super) oom: bool,
    pub(super) oom_scope: Option<OomScope>,
    /// Turns that it had begun.
    pub(super) turns: u32,
    pub(super) time_ns: u64,
}

impl Death {
    pub(super) fn new(record: &ProcessRecord, oom_scope: Option<OomScope>) -> Self {
        let (end, signal) = end_of(record);
        let oom = record.task.oom != 0;
        Self { end, signal, oom, oom_scope, turns: record.turns, time_ns: record.header.time_ns }
    }

    /// The signal that explains it, as seen from this moment.
    fn signal_before(&self, at_ns: u64) -> Option<Signal> {
        let signal = self.signal.clone()?;
        let since_death = Duration::from_nanos(self.time_ns.saturating_sub(at_ns));
        Some(Signal { before: signal.before.saturating_sub(since_death), ..signal })
    }
}

/// A verdict that waits to see whether the process is ending.
pub(super) struct Held {
    pub(super) evidence: Evidence,
    /// The process that hung up; where the edge left, the one that held the request. And its start.
    pub(super) process: (u32, u64),
    /// Turns that it had begun by then.
    pub(super) turns: u32,
    /// When the connection ended, kernel time.
    pub(super) at_ns: u64,
    pub(super) until_ns: u64,
    pub(super) server: Option<Server>,
}

/// The process of an upstream that hung up before the connection ended, and may be ending.
#[derive(Clone, Copy)]
pub(super) struct Server {
    /// Its pid and start.
    pub(super) process: (u32, u64),
    /// Turns that it had begun when it read the request.
    pub(super) turns: u32,
}

impl Held {
    /// The process has ended while the verdict waited. Adds that to the evidence, if it explains the failure.
    ///
    /// It does not if the process had begun another request since.
    pub(super) fn join(&mut self, death: &Death) {
        if death.turns != self.turns {
            return;
        }
        let signal = death.signal_before(self.at_ns);
        let told_before = |signal: &Signal| {
            let by_others =
                matches!(signal.sender, Sender::Master { .. } | Sender::OrderedMaster { .. } | Sender::Other { .. });
            by_others && !signal.before.is_zero()
        };
        let origin_left = matches!(self.evidence.trigger, Trigger::Fin | Trigger::Rst);
        let end = match death.end {
            // Unwinding: it had closed its connections, and left.
            End::Exited(status) if origin_left => {
                self.evidence.end = End::ExitedAfter(status);
                return;
            }
            // The edge may have made it exit, or die of a broken pipe. What had told it to stop before did not.
            End::Exited(status) if signal.as_ref().is_some_and(told_before) => End::ExitedAfter(status),
            End::Signaled(SIGPIPE) if !origin_left => return,
            // Struck by a signal after it had hung up by itself: that is another story, unless one had told it to stop
            // before, or it died of its own fault.
            End::Signaled(_) if origin_left => {
                let own = death.oom || signal.as_ref().is_some_and(|signal| signal.sender == Sender::Kernel);
                if !own && !self.evidence.signal.as_ref().is_some_and(told_before) {
                    return;
                }
                death.end
            }
            End::Signaled(_) => death.end,
            End::Exited(_) | End::ExitedAfter(_) | End::Running => return,
        };
        self.evidence.end = end;
        self.evidence.signal = signal;
        self.evidence.oom = death.oom;
        self.evidence.oom_scope = death.oom_scope;
    }
}

/// The latest deaths, by pid and start.
#[derive(Default)]
pub(super) struct Deaths {
    by_process: BTreeMap<(u32, u64), Death>,
    in_order: VecDeque<(u32, u64)>,
}

impl Deaths {
    pub(super) fn remember(&mut self, process: (u32, u64), death: Death) {
        if self.in_order.len() >= limits::OWNERS as usize
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.by_process.remove(&oldest);
        }
        self.in_order.push_back(process);
        self.by_process.insert(process, death);
    }

    /// The end of this process, if it is among the latest.
    pub(super) fn of(&self, process: (u32, u64)) -> Option<&Death> {
        self.by_process.get(&process)
    }

    /// The edge has given up on a request at `now_ns`. If the process that had read it died before, and the socket
    /// lived on in another one, adds that to the evidence.
    pub(super) fn explain(&self, evidence: &mut Evidence, reader: (u32, u64), now_ns: u64) {
        if !matches!(evidence.trigger, Trigger::EdgeFin | Trigger::EdgeRst | Trigger::Overdue) {
            return;
        }
        let Some(death) = self.by_process.get(&reader) else { return };
        let since_request = u64::try_from(evidence.waited.as_nanos()).unwrap_or(u64::MAX);
        // One that leaves in good order may have handed the request over.
        if death.end == End::Exited(0) || death.time_ns < now_ns.saturating_sub(since_request) {
            return;
        }
        evidence.end = death.end;
        evidence.signal.clone_from(&death.signal);
        evidence.oom = death.oom;
        evidence.oom_scope = death.oom_scope;
        evidence.outlived = true;
    }
}
