//! The product: from evidence to verdict. Reads from top to bottom: was a request lost; if so, did a process end; if not,
//! which mechanism closed the connection.

use std::time::Duration;

use super::{
    Attempt, Cause, Certainty, Diagnosis, End, Evidence, Limits, Missing, Protocol, Sender, Symptom, Taken, Trigger,
    advice,
    handshake::{self, Broken},
    signal::{self, is_fault},
    words,
};
use tracer_common::limits::MAX_TLS_ALERT;

use crate::http::{Fault, Progress};

/// Data that follows an origin's close within this time may still belong to the request before.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// An edge that can't read a response hangs up sooner than this.
const AT_ONCE: Duration = Duration::from_secs(1);

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
    /// What it got is no response.
    Malformed,
    /// A header section above its limit.
    TooLarge,
    /// No byte of a response in time.
    Waited,
    /// A response that stopped: in its header section, in its body.
    StalledHead,
    StalledBody,
    /// Its request could not be written.
    NotRead,
    /// The connection, without a packet: with no response, or within it.
    Vanished,
    VanishedInBody,
    /// The TLS handshake.
    Handshake(Broken),
    /// Its packets.
    Attempt(Attempt),
}

/// The verdict on one connection; `None`: nothing failed, or only unseen bytes could tell.
#[must_use]
pub fn diagnose(e: &Evidence) -> Option<Diagnosis> {
    let loss = loss(e)?;
    let (cause, certainty) = root(e, loss).unwrap_or_else(|| mechanism(e, loss));
    let certainty = certainty.max(floor(e, loss));
    Some(words::record(e, loss, cause, certainty, advice::advice(cause, e)))
}

/// What the edge lost, if anything.
fn loss(e: &Evidence) -> Option<Loss> {
    match e.trigger {
        Trigger::Refused { .. } => Some(Loss::Refused),
        Trigger::Attempt(attempt) => Some(Loss::Attempt(attempt)),
        Trigger::Fin | Trigger::Rst | Trigger::Late { .. } if !e.accepted => Some(Loss::Unaccepted),
        Trigger::Late { .. } => late(e).then_some(Loss::Late),
        Trigger::Silent => vanished(e),
        _ if not_read(e) => Some(Loss::NotRead),
        _ => match e.protocol {
            Protocol::Http => response(e),
            Protocol::Tls => match handshake::broken(e) {
                // That the process died says more than where in the handshake it did.
                Some(_) if dies(e) => Some(Loss::Unanswered),
                Some(broken) => Some(Loss::Handshake(broken)),
                None => opaque(e),
            },
            Protocol::Other | Protocol::Opaque => opaque(e),
        },
    }
}

/// The edge could not write its request: bytes lie unread, and the window is shut.
fn not_read(e: &Evidence) -> bool {
    let left = matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst | Trigger::Overdue);
    left && e.unread > 0 && e.window == 0 && e.waited >= Limits::nearly(e.limits.write)
}

/// What the bytes of the response say, together with who ended the connection.
fn response(e: &Evidence) -> Option<Loss> {
    let origin_left = matches!(e.trigger, Trigger::Fin | Trigger::Rst);
    if e.response.header_bytes.is_some_and(|bytes| bytes > e.limits.header) && (origin_left || minds(e)) {
        return Some(Loss::TooLarge);
    }
    match e.response.progress {
        Progress::Malformed => (origin_left || minds(e)).then_some(Loss::Malformed),
        Progress::Nothing if origin_left => Some(Loss::Unanswered),
        Progress::Nothing => (e.waited >= Limits::nearly(e.limits.read)).then_some(Loss::Waited),
        Progress::InHead if origin_left => Some(Loss::Head),
        Progress::InHead => stalled(e).then_some(Loss::StalledHead),
        Progress::InBody if origin_left => Some(Loss::Body),
        Progress::InBody => stalled(e).then_some(Loss::StalledBody),
        // Only the end of the connection ends such a body: cut if it was reset or the process died, whole if it closed.
        Progress::UntilClose => (e.trigger == Trigger::Rst || origin_left && dies(e)).then_some(Loss::Body),
        Progress::Whole | Progress::Upgraded | Progress::Unknown => None,
    }
}

/// Whether the edge waited in vain for the rest of a response. Of one that left, the clock may run from its request: it had
/// waited long enough for the response, and for nearly all of that time nothing came.
fn stalled(e: &Evidence) -> bool {
    let read = e.limits.read;
    let left = matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst);
    let quiet = if left { read - read / 8 } else { Limits::nearly(read) };
    e.waited >= Limits::nearly(read) && e.quiet >= quiet
}

/// Whether an edge that left did so because of what it had got: at once, or when it had waited in vain for the rest. One that
/// stayed longer had taken it.
fn minds(e: &Evidence) -> bool {
    let read = e.limits.read;
    let in_vain = e.quiet >= Limits::nearly(read) && e.quiet <= read + read / 8;
    matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst) && (e.quiet < AT_ONCE || in_vain)
}

/// The socket was closed without a packet: what was owed on it?
fn vanished(e: &Evidence) -> Option<Loss> {
    match (e.protocol, e.response.progress) {
        (Protocol::Http, Progress::InBody) => Some(Loss::VanishedInBody),
        (Protocol::Http, Progress::Nothing | Progress::InHead) => Some(Loss::Vanished),
        (Protocol::Http, _) => None,
        _ => (e.since_read == 0).then_some(Loss::Vanished),
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
    let origin_left = matches!(e.trigger, Trigger::Fin | Trigger::Rst);
    if e.bytes_received == 0 && !e.seeded {
        return (e.trigger == Trigger::Rst).then_some(Loss::Fresh);
    }
    // Another protocol has its own ways to end a connection.
    if e.protocol == Protocol::Other && e.request.method.is_none() {
        return None;
    }
    // Still shaking hands: no request was in hand, unless the process died of something that has nothing to do with it.
    if e.protocol == Protocol::Tls && e.exchanges == 0 && !(dies(e) && e.turns > 1) && !e.seeded {
        return None;
    }
    // The origin had said goodbye (an alert), and only read what still came.
    if e.protocol == Protocol::Tls && (1..=MAX_TLS_ALERT).contains(&e.turn_out) {
        return None;
    }
    // An alert is no answer. Later on it may follow one.
    let first = e.exchanges <= 1;
    let nothing = if e.protocol == Protocol::Tls && first { MAX_TLS_ALERT } else { 0 };
    if e.since_read > nothing {
        return None;
    }
    if !origin_left {
        return (e.since_read == 0 && e.waited >= Limits::nearly(e.limits.read)).then_some(Loss::Waited);
    }
    // After an answer, bytes that came in may be a new request or the rest of an upload that was answered early: only the
    // end of its process tells that something was lost.
    let ending = e.oom || e.end != End::Running;
    (first || ending).then_some(Loss::Unanswered)
}

/// Whether the process was ending by a signal or with an error.
fn dies(e: &Evidence) -> bool {
    e.oom || matches!(e.end, End::Signaled(_) | End::Exited(1..))
}

/// The end of a process, where that is why the connection closed.
fn root(e: &Evidence, loss: Loss) -> Option<(Cause, Certainty)> {
    if matches!(loss, Loss::Refused | Loss::Attempt(_)) {
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
        // It had said enough before it ended.
        Loss::Malformed | Loss::TooLarge | Loss::Handshake(_) => !dies(e),
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

/// How the connection failed, where no process ended.
fn mechanism(e: &Evidence, loss: Loss) -> (Cause, Certainty) {
    let cause = match loss {
        Loss::Refused => Cause::PortClosed,
        Loss::Unaccepted => Cause::ListenerClosed,
        Loss::Late if e.exchanges == 0 && !e.seeded => Cause::ClosedBeforeRequest,
        Loss::Late => Cause::KeepaliveRace,
        Loss::Fresh => Cause::AppReset,
        Loss::Unanswered if e.trigger == Trigger::Fin => Cause::EmptyReply,
        Loss::Unanswered if e.unread > 0 => Cause::ClosedUnread,
        Loss::Unanswered => Cause::AppReset,
        Loss::Head if e.trigger == Trigger::Fin => Cause::TruncatedHeaders,
        Loss::Body if e.trigger == Trigger::Fin => Cause::TruncatedBody,
        Loss::Head | Loss::Body => Cause::ResetMidResponse,
        Loss::Malformed => Cause::MalformedResponse,
        Loss::TooLarge => Cause::HeadersTooLarge,
        Loss::Waited => Cause::ResponseTimeout,
        Loss::StalledHead | Loss::StalledBody => Cause::ResponseStalled,
        Loss::NotRead => Cause::RequestStalled,
        Loss::Vanished | Loss::VanishedInBody => Cause::SilentDrop,
        Loss::Handshake(broken) => return (broken.cause, broken.certainty),
        Loss::Attempt(attempt) => match attempt.taken {
            Taken::Queue { .. } | Taken::QueueReset => Cause::ListenOverflow,
            Taken::Reset => Cause::FirewallReject,
            // An established connection goes on in spite of an ICMP error, in vain.
            Taken::Icmp { .. } if matches!(attempt.missing, Missing::Syn | Missing::SynAck) => Cause::FirewallReject,
            Taken::Icmp { .. } | Taken::Dropped => Cause::FirewallDrop,
        },
    };
    (cause, Certainty::Certain)
}

/// No verdict is surer than what was seen of the connection.
fn floor(e: &Evidence, loss: Loss) -> Certainty {
    let seen = match loss {
        Loss::Refused => e.trigger == Trigger::Refused { seen: true },
        Loss::Unaccepted | Loss::Handshake(_) | Loss::NotRead | Loss::Attempt(_) => true,
        Loss::Late | Loss::Fresh => e.request.method.is_some(),
        Loss::Unanswered | Loss::Waited | Loss::Vanished | Loss::VanishedInBody => e.protocol == Protocol::Http,
        Loss::Head | Loss::StalledHead | Loss::TooLarge => true,
        // Recipients differ in how much else they put up with.
        Loss::Malformed => e.response.fault == Some(Fault::StatusLine),
        Loss::Body | Loss::StalledBody => e.response.progress == Progress::InBody,
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
        Loss::Malformed => Symptom::BadResponse,
        Loss::TooLarge => Symptom::HeadersTooLarge,
        Loss::Waited | Loss::Vanished => Symptom::NoResponse,
        Loss::StalledHead | Loss::StalledBody | Loss::VanishedInBody => Symptom::StalledResponse,
        Loss::NotRead => Symptom::ZeroWindow,
        Loss::Handshake(broken) => broken.symptom,
        Loss::Attempt(attempt) => match (attempt.missing, attempt.taken) {
            (Missing::Data | Missing::Answer, Taken::Reset | Taken::QueueReset) => Symptom::RstNoResponse,
            (_, Taken::QueueReset) => Symptom::RstBeforeRequest,
            (_, Taken::Reset) => Symptom::Refused,
            (Missing::Syn | Missing::SynAck, Taken::Icmp { .. }) => Symptom::IcmpUnreachable,
            (Missing::Syn | Missing::SynAck, _) => Symptom::NoSynack,
            (Missing::Data | Missing::Answer, _) => Symptom::NoAck,
        },
    }
}

/// The 52x that the visitor most likely saw; a body cut after its head reaches him as the origin's own status.
pub(super) fn edge_status(e: &Evidence, loss: Loss) -> Option<u16> {
    match loss {
        Loss::Refused => Some(521),
        Loss::Body | Loss::StalledBody | Loss::VanishedInBody => None,
        Loss::Malformed if e.response.fault.is_some_and(Fault::is_in_body) => None,
        Loss::Waited | Loss::StalledHead | Loss::NotRead | Loss::Vanished => Some(524),
        Loss::Handshake(broken) => Some(broken.edge_status),
        Loss::Attempt(attempt) => Some(match (attempt.missing, attempt.taken) {
            (Missing::Data | Missing::Answer, Taken::Reset) | (_, Taken::QueueReset) => 520,
            (_, Taken::Reset) => 521,
            (Missing::Syn | Missing::SynAck, Taken::Icmp { v6, code, .. }) => {
                // Port unreachable reads as a refused connection, all others as no way to the host.
                if code == if v6 { 4 } else { 3 } { 521 } else { 523 }
            }
            _ => 522,
        }),
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
