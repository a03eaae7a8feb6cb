//! What to look at or change first: one or two sentences, with the measured value where there is one.

mod around;
mod behind;
mod close;
mod network;
mod process;
mod response;
mod tls;

use super::{
    Cause, Evidence, Process,
    behind::Part,
    context::{full_disk, halted},
    lost::Loss,
    upstream,
};
use around::{let_run, make_room};
use behind::{idle_behind, waits_for};
use close::{keepalive, listener, request_cut, unanswered};
use network::{firewall, lost_on_the_way};
use process::{ended, killed, oom, supervisor};
use response::{cut, slow, stream, unreadable};
use tls::tls;

/// The advice for a verdict. `part`: what happened behind.
pub(super) fn advice(cause: Cause, e: &Evidence, loss: Loss, part: Option<Part<'_>>) -> String {
    let who = e.process.as_ref().map_or("the process", |process| process.name.as_str());
    if let Some(halted) = halted(e, loss) {
        return let_run(halted, who);
    }
    let usual = match part {
        Some(part) if part.is_awaited() => waits_for(part.upstream, who, &usual(cause, e, who)),
        Some(part) if part.is_idle_close(loss) => idle_behind(e, part.upstream, who),
        Some(part) => upstream::advice(in_front(e, part), None, part.cause, part.upstream),
        None => usual(cause, e, who),
    };
    match full_disk(e, loss).filter(|_| !is_by_others(cause)) {
        Some(disk) => make_room(disk, &usual),
        None => usual,
    }
}

/// The process that had opened the connection on which it happened.
fn in_front<'a>(e: &'a Evidence, part: Part<'_>) -> Option<&'a Process> {
    if part.is_next { e.behind.as_ref()?.upstream.process.as_ref() } else { e.process.as_ref() }
}

/// Whether the process was ended, so that it did not fail in writing.
fn is_by_others(cause: Cause) -> bool {
    matches!(cause, Cause::OomKill | Cause::SupervisorKill | Cause::ProcessKilled | Cause::Crash)
}

/// The advice for a cause, in a server that is called `who`.
#[must_use]
pub fn usual(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::OomKill => oom(e, who),
        Cause::SupervisorKill => supervisor(e, who),
        Cause::ProcessKilled => killed(e, who),
        Cause::Crash | Cause::ProcessExit => ended(cause, e, who),
        Cause::KeepaliveRace => keepalive(e),
        Cause::ListenerClosed | Cause::PortClosed | Cause::ListenOverflow => listener(cause, e, who),
        Cause::ClosedBeforeRequest | Cause::ClosedUnread | Cause::AppReset | Cause::EmptyReply => {
            unanswered(cause, e, who)
        }
        Cause::RequestCut => request_cut(e, who),
        Cause::TruncatedHeaders | Cause::TruncatedBody | Cause::ResetMidResponse | Cause::SilentDrop => cut(cause, who),
        Cause::Http2ProtocolError => stream(e, who),
        Cause::MalformedResponse | Cause::HeadersTooLarge => unreadable(cause, e, who),
        Cause::ResponseTimeout | Cause::ResponseStalled | Cause::RequestStalled => slow(cause, e, who),
        Cause::FirewallDrop | Cause::FirewallReject => firewall(e),
        Cause::ReplyLost => lost_on_the_way(e),
        Cause::TlsToPlainPort | Cause::TlsClientCertRequired | Cause::CertInvalid | Cause::TlsHandshakeFailed => {
            tls(cause, e, who)
        }
        Cause::Unexplained => {
            "the evidence is incomplete: see tracer_events_lost_total and `tracer doctor`.".to_owned()
        }
    }
}
