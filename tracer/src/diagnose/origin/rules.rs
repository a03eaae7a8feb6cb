//! Why: did the process behind end; if not, how did the connection to it fail; if it did not, who chose the status.

use std::time::Duration;

use super::{
    super::{
        Certainty,
        upstream::{Hangup, Upstream, broken, floor, is_broken_off, unreached},
    },
    cause::OriginCause,
    evidence::OriginEvidence,
};
use crate::http::Section;

/// The statuses with which a gateway says that an upstream failed (RFC 9110 §15.6).
const BAD_GATEWAY: u16 = 502;
const GATEWAY_TIMEOUT: u16 = 504;

/// Smallest buffer that a gateway has for a header section, bytes.
const SMALLEST_BUFFER: u64 = 4096;

/// A connection that nobody takes is refused at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Which connection tells the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// None.
    Nowhere,
    /// The one that the owner of the edge's connection had opened.
    Upstream,
    /// The one behind that.
    Behind,
}

/// The cause, how far the evidence carries, and where it was found.
pub(super) fn judge(e: &OriginEvidence) -> (OriginCause, Certainty, From) {
    let Some(upstream) = &e.upstream else {
        let (cause, certainty) = without_upstream(e);
        return (cause, certainty, From::Nowhere);
    };
    let (cause, certainty) = of_upstream(e, upstream);
    if cause == OriginCause::ApplicationError
        && let Some(behind) = &e.behind
        && let Some((cause, certainty)) = unreached(behind).or_else(|| broken(behind))
    {
        return (cause, certainty.max(floor(upstream)).max(floor(behind)), From::Behind);
    }
    (cause, certainty.max(floor(upstream)), From::Upstream)
}

/// The process that answered had opened no connection that was seen.
fn without_upstream(e: &OriginEvidence) -> (OriginCause, Certainty) {
    match e.status {
        // A gateway that reached nobody, although all that it sends would have been seen.
        BAD_GATEWAY
            if e.sees_unix
                && e.tries == 0
                && !e.is_shared
                && stays_on_a_thread(e)
                && e.took.is_some_and(|took| took < AT_ONCE) =>
        {
            (OriginCause::UpstreamRefused, Certainty::Possible)
        }
        BAD_GATEWAY | GATEWAY_TIMEOUT => (OriginCause::Unexplained, Certainty::Possible),
        _ if e.sees_unix => (OriginCause::ApplicationError, Certainty::Likely),
        _ => (OriginCause::ApplicationError, Certainty::Possible),
    }
}

/// Whether the server reads a request and opens the connection for it on one thread, so that all which it opens is tied
/// to a request. The runtimes of Go and others change threads in between: what they open may be tied to none.
fn stays_on_a_thread(e: &OriginEvidence) -> bool {
    const SERVERS: [&str; 8] = ["nginx", "openresty", "angie", "apache2", "httpd", "haproxy", "lighttpd", "litespeed"];
    e.process.as_ref().is_some_and(|process| SERVERS.contains(&process.name.as_str()))
}

fn of_upstream(e: &OriginEvidence, upstream: &Upstream) -> (OriginCause, Certainty) {
    if upstream.answer.is_some_and(|answer| answer.status == Some(e.status)) {
        return (OriginCause::ApplicationError, Certainty::Certain);
    }
    if let Some(verdict) = unreached(upstream) {
        return verdict;
    }
    if is_rejected(e, upstream) {
        return (OriginCause::UpstreamInvalid, rejection_is_sure(upstream));
    }
    if let Some(verdict) = broken(upstream) {
        return verdict;
    }
    let is_gateways = matches!(e.status, BAD_GATEWAY | GATEWAY_TIMEOUT);
    // A connection on which nothing has happened yet: that of another exchange, perhaps.
    let is_idle = upstream.hangup == Hangup::Nobody && upstream.received == 0;
    match upstream.received {
        0 if is_idle && upstream.ambiguous && e.status != GATEWAY_TIMEOUT => {
            (OriginCause::Unexplained, Certainty::Possible)
        }
        0 if upstream.sent == 0 => (OriginCause::ApplicationError, Certainty::Possible),
        0 => (
            OriginCause::UpstreamTimeout,
            if e.status == GATEWAY_TIMEOUT { Certainty::Certain } else { Certainty::Likely },
        ),
        _ if e.status == GATEWAY_TIMEOUT => (OriginCause::UpstreamTimeout, Certainty::Likely),
        _ if is_gateways => (OriginCause::UpstreamInvalid, Certainty::Likely),
        _ => (OriginCause::ApplicationError, Certainty::Likely),
    }
}

/// Whether the gateway says 502 although the upstream answered: it did not take the answer.
fn is_rejected(e: &OriginEvidence, upstream: &Upstream) -> bool {
    if e.status != BAD_GATEWAY || upstream.received == 0 {
        return false;
    }
    let broken_off = upstream.hangup != Hangup::Owner && is_broken_off(upstream);
    match upstream.answer.map(|answer| answer.section) {
        Some(Section::Broken | Section::Whole) => true,
        Some(Section::Open) => upstream.received >= SMALLEST_BUFFER && !broken_off,
        None => !broken_off,
    }
}

fn rejection_is_sure(upstream: &Upstream) -> Certainty {
    match upstream.answer.map(|answer| answer.section) {
        Some(Section::Broken | Section::Whole) => Certainty::Certain,
        Some(Section::Open) | None => Certainty::Likely,
    }
}
