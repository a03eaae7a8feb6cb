//! What showed: on the wire, to the visitor, and of the process.

use std::time::Duration;

use super::{
    Cause, End, EndHow, Evidence, Missing, Sender, Signal, StreamEnd, Symptom, Taken, Trigger,
    loss::head_got_through,
    lost::Loss,
    signal::{self, is_fault},
    stream_loss,
};
use crate::http::Fault;

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
        Loss::Head | Loss::Body if e.stream.is_some_and(|stream| stream.end != StreamEnd::Connection) => {
            Symptom::H2Broken
        }
        Loss::Head | Loss::Body if reset => Symptom::RstInResponse,
        Loss::Head | Loss::Body => Symptom::FinInResponse,
        Loss::Stream => Symptom::H2Broken,
        Loss::Malformed => Symptom::BadResponse,
        Loss::TooLarge => Symptom::HeadersTooLarge,
        Loss::Waited | Loss::Vanished => Symptom::NoResponse,
        Loss::StalledHead | Loss::StalledBody | Loss::VanishedInBody => Symptom::StalledResponse,
        Loss::NotRead => Symptom::ZeroWindow,
        Loss::Reply if e.acked == 0 => Symptom::NoResponse,
        Loss::Reply => Symptom::StalledResponse,
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
        Loss::Stream if stream_loss::is_in_body(e) => None,
        Loss::Reply if head_got_through(e) => None,
        Loss::Malformed if e.response.fault.is_some_and(Fault::is_in_body) => None,
        Loss::Waited | Loss::StalledHead | Loss::NotRead | Loss::Vanished | Loss::Reply => Some(524),
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

/// How long ago the last byte of the request that was lost had come. `None`: none was in hand.
pub(super) fn request_age(e: &Evidence, loss: Loss) -> Option<Duration> {
    let in_hand = match loss {
        Loss::Refused | Loss::Attempt(_) | Loss::Late | Loss::Fresh | Loss::Handshake(_) => false,
        _ => e.bytes_received > 0,
    };
    in_hand.then_some(e.waited)
}

/// How the process ended, where its end is the cause.
pub(super) fn end_how(cause: Cause) -> EndHow {
    match cause {
        Cause::OomKill => EndHow::Oom,
        Cause::Crash => EndHow::Crash,
        Cause::ProcessKilled | Cause::SupervisorKill => EndHow::Killed,
        _ => EndHow::Exit,
    }
}

/// How a process ended, from its end alone.
#[must_use]
pub fn classify_end(end: End, oom: bool, signal: Option<&Signal>) -> EndHow {
    match (end, signal.map(|signal| &signal.sender)) {
        _ if oom => EndHow::Oom,
        (End::Signaled(number), None | Some(Sender::Own | Sender::Kernel)) if is_fault(number) => EndHow::Crash,
        (End::Signaled(_), Some(Sender::Own)) => EndHow::Exit,
        (End::Signaled(_), _) => EndHow::Killed,
        (End::Exited(1..), Some(Sender::Kernel)) if signal.is_some_and(|signal| is_fault(signal.number)) => {
            EndHow::Crash
        }
        (End::Exited(0), Some(Sender::MasterTold { .. })) => EndHow::Killed,
        (_, Some(Sender::Master { .. } | Sender::OrderedMaster { .. } | Sender::Other { .. })) => EndHow::Killed,
        _ => EndHow::Exit,
    }
}

/// Name of the signal that a process died of.
pub(super) fn end_signal(end: End) -> Option<String> {
    match end {
        End::Signaled(number) => Some(signal::name(number)),
        _ => None,
    }
}
