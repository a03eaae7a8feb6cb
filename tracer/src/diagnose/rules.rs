//! Why it was lost: did a process end; if not, which mechanism closed the connection.

use std::time::Duration;

use super::{
    Cause, Certainty, End, Evidence, Missing, Protocol, Sender, Signal, StreamEnd, Taken, Trigger, loss::dies,
    lost::Loss, signal::is_fault,
};
use crate::http::{Fault, Progress};

/// The end of a process, where that is why the connection closed.
pub(super) fn root(e: &Evidence, loss: Loss) -> Option<(Cause, Certainty)> {
    if matches!(loss, Loss::Refused | Loss::Attempt(_)) {
        return None;
    }
    let verdict = ended_by(e.end, e.oom, e.signal.as_ref())?;
    let mechanism_says_more = match loss {
        // The queue of a listener that was stopped: what lost the requests is the listener.
        Loss::Unaccepted => !matches!(verdict.0, Cause::OomKill | Cause::Crash),
        // An idle connection of a process that retired in good order.
        Loss::Late => e.end == End::Exited(0) && verdict.0 == Cause::ProcessExit,
        // It had said enough before it ended.
        // A worker that its master aborts may write half a page of its own first.
        Loss::Malformed => !dies(e) && verdict.0 != Cause::SupervisorKill,
        Loss::TooLarge | Loss::Handshake(_) => !dies(e),
        _ => false,
    };
    (!mechanism_says_more).then_some(verdict)
}

/// Why a process ended.
pub(super) fn ended_by(end: End, oom: bool, signal: Option<&Signal>) -> Option<(Cause, Certainty)> {
    match end {
        _ if oom => Some((Cause::OomKill, Certainty::Certain)),
        End::Signaled(number) => Some(killed(signal, number)),
        End::Exited(status) => Some(exited(signal, status)),
        // Unwinding: told to stop, or failing. A process that leaves in good order had closed for reasons of its own.
        End::ExitedAfter(status) => {
            let (cause, _) = exited(signal, status);
            (cause != Cause::ProcessExit || status != 0).then_some((cause, Certainty::Likely))
        }
        End::Running => None,
    }
}

/// The process died of a signal: its own fault, its master's doing, or somebody else's.
fn killed(signal: Option<&Signal>, number: u8) -> (Cause, Certainty) {
    let sender = signal.filter(|signal| signal.number == number).map(|signal| &signal.sender);
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

/// The process left by `exit`: told to by a signal that it handled, after a fault that it handled, or of its own
/// accord.
fn exited(signal: Option<&Signal>, status: u8) -> (Cause, Certainty) {
    let Some(signal) = signal else { return (Cause::ProcessExit, Certainty::Certain) };
    match signal.sender {
        Sender::Master { .. } => (Cause::SupervisorKill, Certainty::Likely),
        Sender::OrderedMaster { .. } | Sender::Other { .. } => (Cause::ProcessKilled, Certainty::Likely),
        Sender::MasterTold { .. } if status == 0 => (Cause::ProcessKilled, Certainty::Likely),
        Sender::Kernel if is_fault(signal.number) && status != 0 => (Cause::Crash, Certainty::Likely),
        Sender::Own | Sender::Kernel | Sender::MasterTold { .. } => (Cause::ProcessExit, Certainty::Certain),
    }
}

/// How the connection failed, where no process ended.
pub(super) fn mechanism(e: &Evidence, loss: Loss) -> (Cause, Certainty) {
    let cause = match loss {
        Loss::Refused => Cause::PortClosed,
        Loss::Unaccepted => Cause::ListenerClosed,
        Loss::Late if e.exchanges == 0 && !e.seeded => Cause::ClosedBeforeRequest,
        Loss::Late => Cause::KeepaliveRace,
        Loss::Fresh => Cause::AppReset,
        // The one with nothing, the other with an interim response only.
        Loss::Unanswered | Loss::Head if is_cut(e) => Cause::RequestCut,
        Loss::Unanswered if e.trigger == Trigger::Fin => Cause::EmptyReply,
        Loss::Unanswered if e.unread > 0 => Cause::ClosedUnread,
        Loss::Unanswered => Cause::AppReset,
        Loss::Head if e.trigger == Trigger::Fin => Cause::TruncatedHeaders,
        Loss::Body if e.trigger == Trigger::Fin || is_short(e) => Cause::TruncatedBody,
        Loss::Head | Loss::Body => Cause::ResetMidResponse,
        Loss::Malformed => Cause::MalformedResponse,
        Loss::TooLarge => Cause::HeadersTooLarge,
        Loss::Waited => Cause::ResponseTimeout,
        Loss::StalledHead | Loss::StalledBody => Cause::ResponseStalled,
        Loss::NotRead => Cause::RequestStalled,
        Loss::Vanished | Loss::VanishedInBody => Cause::SilentDrop,
        Loss::Reply => Cause::ReplyLost,
        Loss::Stream => Cause::Http2ProtocolError,
        Loss::Handshake(broken) => return (broken.cause, broken.certainty),
        Loss::Attempt(attempt) => match attempt.taken {
            Taken::Queue { .. } | Taken::QueueReset | Taken::SynQueue { .. } => Cause::ListenOverflow,
            Taken::Lost => Cause::ReplyLost,
            Taken::Reset => Cause::FirewallReject,
            // An established connection goes on in spite of an ICMP error, in vain.
            Taken::Icmp { .. } if matches!(attempt.missing, Missing::Syn | Missing::SynAck) => Cause::FirewallReject,
            Taken::Icmp { .. } | Taken::Dropped => Cause::FirewallDrop,
        },
    };
    (cause, Certainty::Certain)
}

/// Whether the response ended, and had announced more.
fn is_short(e: &Evidence) -> bool {
    e.stream.is_some_and(|stream| stream.end == StreamEnd::Short)
}

/// Whether the origin hung up in the middle of a request. A tool that destroys the socket asks for no request's end.
/// While the rest was still flowing in, unread, the origin did not wait for it: it had stopped reading.
pub(super) fn is_cut(e: &Evidence) -> bool {
    let unread_in_flow = e.trigger == Trigger::Rst && e.unread > 0 && e.waited < IN_FLOW;
    e.unfinished.is_some() && !e.destroyed && !unread_in_flow
}

/// The parts of an upload follow each other sooner than this.
const IN_FLOW: Duration = Duration::from_millis(50);

/// No verdict is surer than what was seen of the connection.
pub(super) fn floor(e: &Evidence, loss: Loss) -> Certainty {
    let seen = match loss {
        Loss::Refused => e.trigger == Trigger::Refused { seen: true },
        Loss::Unaccepted | Loss::Handshake(_) | Loss::NotRead | Loss::Attempt(_) => true,
        Loss::Late | Loss::Fresh => e.request.method.is_some(),
        Loss::Unanswered | Loss::Waited | Loss::Vanished | Loss::VanishedInBody | Loss::Reply => {
            e.protocol == Protocol::Http
        }
        Loss::Head | Loss::StalledHead => true,
        // How far the response had got may not be known.
        Loss::Stream => e.response.progress != Progress::Unknown,
        // Of a header block that was not kept the size is known as it was compressed.
        Loss::TooLarge => e.response.header_bytes.is_some(),
        // Recipients differ in how much else they put up with.
        Loss::Malformed => e.response.fault == Some(Fault::StatusLine),
        Loss::Body | Loss::StalledBody => e.response.progress == Progress::InBody,
    };
    if seen && !e.seeded { Certainty::Certain } else { Certainty::Likely }
}
