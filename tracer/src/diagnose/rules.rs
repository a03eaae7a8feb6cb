//! The product: from evidence to verdict. Reads from top to bottom: was a request lost; if so, did a process end; if not,
//! which mechanism closed the connection.

use std::time::Duration;

use super::{
    Cause, Certainty, Diagnosis, End, Evidence, Protocol, Sender, Symptom, Trigger, advice,
    signal::{self, is_fault},
    words,
};
use tracer_common::limits::MAX_TLS_ALERT;

use crate::http::Progress;

/// Data that follows an origin's close within this time may still belong to the request before.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// What the edge was left without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its connection attempt was refused.
    Refused,
    /// Nobody had accepted the connection.
    Unaccepted,
    /// Its request met a connection that the origin had closed.
    Late,
    /// The connection was reset before the request came.
    Fresh,
    /// No byte of a response.
    Unanswered,
    /// Part of the response's header section.
    Head,
    /// The whole header section and part of the body.
    Body,
}

/// The verdict on one connection; `None`: nothing failed, or only unseen bytes could tell.
#[must_use]
pub fn diagnose(e: &Evidence) -> Option<Diagnosis> {
    let loss = loss(e)?;
    let (cause, certainty) = root(e, loss).or_else(|| mechanism(e, loss))?;
    let certainty = certainty.max(floor(e, loss));
    Some(words::record(e, loss, cause, certainty, advice::advice(cause, e)))
}

/// What the edge lost, if anything.
fn loss(e: &Evidence) -> Option<Loss> {
    match e.trigger {
        Trigger::Refused => Some(Loss::Refused),
        _ if !e.accepted => Some(Loss::Unaccepted),
        Trigger::Late { .. } => late(e).then_some(Loss::Late),
        Trigger::Fin | Trigger::Rst => match e.protocol {
            Protocol::Http => match e.response.progress {
                Progress::Nothing => Some(Loss::Unanswered),
                Progress::InHead => Some(Loss::Head),
                Progress::InBody => Some(Loss::Body),
                // Only the end of the connection ends such a body: cut if the process died, whole if it closed.
                Progress::UntilClose => dies(e).then_some(Loss::Body),
                Progress::Whole | Progress::Upgraded | Progress::Unknown => None,
            },
            Protocol::Tls | Protocol::Other | Protocol::Opaque => opaque(e),
        },
    }
}

/// Whether bytes after the origin's FIN are a request, and not the rest of one that was answered early.
fn late(e: &Evidence) -> bool {
    // Closed while shaking hands: what follows is the rest of the handshake.
    if e.protocol == Protocol::Tls && e.exchanges == 0 {
        return false;
    }
    e.request.method.is_some() || e.exchanges == 0 || e.bodyless || e.idle.is_some_and(|idle| idle >= SAME_REQUEST)
}

/// A connection whose bytes can't be read: the direction of the last data decides.
fn opaque(e: &Evidence) -> Option<Loss> {
    if e.bytes_received == 0 && !e.seeded {
        return (e.trigger == Trigger::Rst).then_some(Loss::Fresh);
    }
    // Another protocol has its own ways to end a connection.
    if e.protocol == Protocol::Other && e.request.method.is_none() {
        return None;
    }
    // Still shaking hands, or refused at its end (a client certificate that was not there): no request was in hand, unless
    // the process died of something that has nothing to do with the handshake.
    let handshake = if dies(e) { 1 } else { 2 };
    if e.protocol == Protocol::Tls && (e.turns <= handshake || e.turn_out <= MAX_TLS_ALERT) {
        return None;
    }
    // After an answer, bytes that came in may be a new request or the rest of an upload that was answered early: only the
    // end of its process tells that something was lost.
    let first = e.turns <= if e.protocol == Protocol::Tls { 3 } else { 1 };
    let ending = e.oom || e.end != End::Running;
    (e.since_read == 0 && (first || ending)).then_some(Loss::Unanswered)
}

/// Whether the process was ending by a signal or with an error.
fn dies(e: &Evidence) -> bool {
    e.oom || matches!(e.end, End::Signaled(_) | End::Exited(1..))
}

/// The end of a process, where that is why the connection closed.
fn root(e: &Evidence, loss: Loss) -> Option<(Cause, Certainty)> {
    if loss == Loss::Refused {
        return None;
    }
    let verdict = match e.end {
        _ if e.oom => Some((Cause::OomKill, Certainty::Certain)),
        End::Signaled(number) => Some(killed(e, number)),
        End::Exited(status) => Some(exited(e, status)),
        // Unwinding: told to stop, or failing. A process that leaves in good order had closed for reasons of its own.
        End::ExitedAfter(status) => {
            let (cause, _) = exited(e, status);
            (cause != Cause::ProcessExit || status != 0).then_some((cause, Certainty::Likely))
        }
        End::Running => None,
    }?;
    let mechanism_says_more = match loss {
        // The queue of a listener that was stopped: what lost the requests is the listener.
        Loss::Unaccepted => !matches!(verdict.0, Cause::OomKill | Cause::Crash),
        // An idle connection of a process that retired in good order.
        Loss::Late => e.end == End::Exited(0) && verdict.0 == Cause::ProcessExit,
        _ => false,
    };
    (!mechanism_says_more).then_some(verdict)
}

/// The process died of a signal: its own fault, its master's doing, or somebody else's.
fn killed(e: &Evidence, number: u8) -> (Cause, Certainty) {
    let sender = e.signal.as_ref().filter(|signal| signal.number == number).map(|signal| &signal.sender);
    match sender {
        Some(Sender::Master { .. }) => (Cause::SupervisorKill, Certainty::Certain),
        Some(Sender::OrderedMaster { .. } | Sender::MasterTold { .. }) => (Cause::ProcessKilled, Certainty::Likely),
        Some(Sender::Other { .. }) => (Cause::ProcessKilled, Certainty::Certain),
        Some(Sender::Own | Sender::Kernel) if is_fault(number) => (Cause::Crash, Certainty::Certain),
        Some(Sender::Own) => (Cause::ProcessExit, Certainty::Certain),
        Some(Sender::Kernel) => (Cause::ProcessKilled, Certainty::Likely),
        None if is_fault(number) => (Cause::Crash, Certainty::Certain),
        None => (Cause::ProcessKilled, Certainty::Likely),
    }
}

/// The process left by `exit`: told to by a signal that it handled, after a fault that it handled, or of its own accord.
fn exited(e: &Evidence, status: u8) -> (Cause, Certainty) {
    let Some(signal) = &e.signal else { return (Cause::ProcessExit, Certainty::Certain) };
    match signal.sender {
        Sender::Master { .. } => (Cause::SupervisorKill, Certainty::Likely),
        Sender::OrderedMaster { .. } | Sender::Other { .. } => (Cause::ProcessKilled, Certainty::Likely),
        Sender::MasterTold { .. } if status == 0 => (Cause::ProcessKilled, Certainty::Likely),
        Sender::Kernel if is_fault(signal.number) && status != 0 => (Cause::Crash, Certainty::Likely),
        Sender::Own | Sender::Kernel | Sender::MasterTold { .. } => (Cause::ProcessExit, Certainty::Certain),
    }
}

/// How the connection closed, where no process ended. A response that was cut short is not judged by this alone.
fn mechanism(e: &Evidence, loss: Loss) -> Option<(Cause, Certainty)> {
    let cause = match loss {
        Loss::Refused => Cause::PortClosed,
        Loss::Unaccepted => Cause::ListenerClosed,
        Loss::Late if e.exchanges == 0 && !e.seeded => Cause::ClosedBeforeRequest,
        Loss::Late => Cause::KeepaliveRace,
        Loss::Fresh => Cause::AppReset,
        Loss::Unanswered if e.trigger == Trigger::Fin => Cause::EmptyReply,
        Loss::Unanswered if e.unread > 0 => Cause::ClosedUnread,
        Loss::Unanswered => Cause::AppReset,
        Loss::Head | Loss::Body => return None,
    };
    Some((cause, Certainty::Certain))
}

/// No verdict is surer than what was seen of the connection.
fn floor(e: &Evidence, loss: Loss) -> Certainty {
    let seen = match loss {
        Loss::Refused | Loss::Unaccepted => true,
        Loss::Late | Loss::Fresh => e.request.method.is_some(),
        Loss::Unanswered => e.protocol == Protocol::Http,
        Loss::Head => true,
        Loss::Body => e.response.progress == Progress::InBody,
    };
    if seen && !e.seeded { Certainty::Certain } else { Certainty::Likely }
}

/// What was on the wire.
pub(super) fn symptom(e: &Evidence, loss: Loss) -> Symptom {
    let reset = e.trigger == Trigger::Rst;
    match loss {
        Loss::Refused => Symptom::Refused,
        Loss::Late => Symptom::FinBeforeRequest,
        Loss::Fresh => Symptom::RstBeforeRequest,
        Loss::Unaccepted if e.bytes_received == 0 => Symptom::RstBeforeRequest,
        Loss::Unaccepted => Symptom::RstNoResponse,
        Loss::Unanswered if reset => Symptom::RstNoResponse,
        Loss::Unanswered => Symptom::FinNoResponse,
        Loss::Head | Loss::Body if reset => Symptom::RstInResponse,
        Loss::Head | Loss::Body => Symptom::FinInResponse,
    }
}

/// The 52x that the visitor most likely saw; a body cut after its head reaches him as the origin's own status.
pub(super) fn edge_status(loss: Loss) -> Option<u16> {
    match loss {
        Loss::Refused => Some(521),
        Loss::Body => None,
        _ => Some(520),
    }
}

/// `oom`, `crash`, `killed`, `exit`: the word for an end, for metrics and records.
#[must_use]
pub(super) fn end_word(cause: Cause) -> &'static str {
    match cause {
        Cause::OomKill => "oom",
        Cause::Crash => "crash",
        Cause::ProcessKilled | Cause::SupervisorKill => "killed",
        _ => "exit",
    }
}

/// The word for the end of a process, from how it ended alone.
#[must_use]
pub fn classify_end(end: End, oom: bool, signal: Option<&super::Signal>) -> &'static str {
    match (end, signal.map(|signal| &signal.sender)) {
        _ if oom => "oom",
        (End::Signaled(number), None | Some(Sender::Own | Sender::Kernel)) if is_fault(number) => "crash",
        (End::Signaled(_), Some(Sender::Own)) => "exit",
        (End::Signaled(_), _) => "killed",
        (End::Exited(1..), Some(Sender::Kernel)) if signal.is_some_and(|signal| is_fault(signal.number)) => "crash",
        (End::Exited(0), Some(Sender::MasterTold { .. })) => "killed",
        (_, Some(Sender::Master { .. } | Sender::OrderedMaster { .. } | Sender::Other { .. })) => "killed",
        _ => "exit",
    }
}

/// Name of the signal that a process died of.
pub(super) fn end_signal(end: End) -> Option<String> {
    match end {
        End::Signaled(number) => Some(signal::name(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
