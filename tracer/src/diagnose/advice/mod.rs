//! What to look at or change first: one or two sentences, with the measured value where there is one.

mod around;
mod close;
mod network;
mod process;
mod response;
mod tls;

use super::{
    Cause, Evidence,
    context::{full_disk, halted},
    lost::Loss,
};
use around::{let_run, make_room};
use close::{keepalive, listener, request_cut, unanswered};
use network::{firewall, lost_on_the_way};
use process::{ended, killed, oom, supervisor};
use response::{cut, slow, stream, unreadable};
use tls::tls;

/// The advice for a verdict.
pub(super) fn advice(cause: Cause, e: &Evidence, loss: Loss) -> String {
    let who = e.process.as_ref().map_or("the process", |process| process.name.as_str());
    if let Some(halted) = halted(e, loss) {
        return let_run(halted, who);
    }
    let usual = usual(cause, e, who);
    match full_disk(e, loss).filter(|_| !is_by_others(cause)) {
        Some(disk) => make_room(disk, &usual),
        None => usual,
    }
}

/// Whether the process was ended, so that it did not fail in writing.
fn is_by_others(cause: Cause) -> bool {
    matches!(cause, Cause::OomKill | Cause::SupervisorKill | Cause::ProcessKilled | Cause::Crash)
}

/// The advice for a cause.
fn usual(cause: Cause, e: &Evidence, who: &str) -> String {
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
