//! What the edge would make of an answer: pure, from what was read.

use std::net::SocketAddr;

use tracer_common::cloudflare::{HEADER_LIMIT, READ_TIMEOUT};

use super::{
    finding::{Finding, Status},
    http1::{Answer, Ending},
    seen::{advise, evidence, span},
};
use crate::{
    diagnose::Cause,
    http::{Fault, Progress},
};

/// A header section above this share of the limit is about to exceed it, in per cent.
const NEARLY: u64 = 75;
/// Field names that are shown.
const SHOWN: usize = 5;

/// What was sent, for the words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) origin: SocketAddr,
    pub(super) bytes: u64,
    /// Size of the head, where that is what is asked about.
    pub(super) large_head: Option<u64>,
}

/// An answer as a finding: `None`, nothing is wrong with it.
pub(super) fn failure(name: &'static str, sent: Sent, answer: &Answer) -> Option<Finding> {
    let (cause, edge_status, seen) = cause(answer)?;
    let mut e = evidence(sent.origin);
    (e.bytes_received, e.bytes_sent) = (sent.bytes, answer.len);
    (e.waited, e.quiet) = (answer.waited, answer.quiet);
    (e.response, e.request_head) = (answer.response, sent.large_head);
    let advice = advise(cause, &e);
    let finding = match edge_status {
        Some(status) => Finding::would_be(name, status, seen, advice),
        None => Finding::at_risk(name, seen, advice),
    };
    // Shorter than the edge waits, silence proves nothing.
    let waited_less = matches!(cause, Cause::ResponseTimeout | Cause::ResponseStalled)
        && answer.waited.max(answer.quiet) < READ_TIMEOUT;
    Some(if waited_less { finding.risk_only() } else { finding }.told_as(cause))
}

/// Cause, the 52x that the visitor sees, and what was seen.
fn cause(answer: &Answer) -> Option<(Cause, Option<u16>, String)> {
    let (response, size) = (answer.response, answer.len);
    let limit = u64::from(HEADER_LIMIT);
    let ending = answer.ending.as_ref()?;
    if let Ending::Broken(why) = ending {
        if why.contains("CertificateRequired") {
            let seen = "the origin asked for a client certificate, got none, and ended TLS".to_owned();
            return Some((Cause::TlsClientCertRequired, Some(520), seen));
        }
        let (cause, status) = match response.progress {
            Progress::Nothing => (Cause::EmptyReply, Some(520)),
            Progress::InHead => (Cause::TruncatedHeaders, Some(520)),
            Progress::InBody | Progress::UntilClose => (Cause::TruncatedBody, None),
            _ => return None,
        };
        return Some((cause, status, format!("TLS broke off, after {size} bytes of an answer: {why}")));
    }
    if let Some(bytes) = response.header_bytes.filter(|bytes| *bytes > limit) {
        let seen = format!("the header section has {bytes} bytes or more, and the edge takes {limit}");
        return Some((Cause::HeadersTooLarge, Some(520), seen));
    }
    let waits = format!("the edge waits {} s", READ_TIMEOUT.as_secs());
    let (waited, quiet) = (span(answer.waited), span(answer.quiet));
    match (response.progress, ending) {
        (Progress::Nothing, Ending::Closed) => {
            Some((Cause::EmptyReply, Some(520), format!("the connection was closed after {waited}, without a byte")))
        }
        (Progress::Nothing, Ending::Reset) => {
            Some((Cause::AppReset, Some(520), format!("the connection was reset after {waited}, without a byte")))
        }
        (Progress::Nothing, _) => {
            Some((Cause::ResponseTimeout, Some(524), format!("no byte of an answer in {waited}; {waits}")))
        }
        (Progress::Malformed, _) => {
            let fault = response.fault;
            let status = if fault.is_some_and(Fault::is_in_body) { None } else { Some(520) };
            Some((Cause::MalformedResponse, status, malformed(fault, &answer.kept)))
        }
        (Progress::InHead, Ending::Closed) => {
            Some((Cause::TruncatedHeaders, Some(520), format!("closed within the header section, after {size} bytes")))
        }
        (Progress::InBody, Ending::Closed) => {
            Some((Cause::TruncatedBody, None, format!("closed within the body, after {size} bytes")))
        }
        (Progress::InHead, Ending::Reset) => {
            Some((Cause::ResetMidResponse, Some(520), format!("reset within the header section, after {size} bytes")))
        }
        (Progress::InBody | Progress::UntilClose, Ending::Reset) => {
            Some((Cause::ResetMidResponse, None, format!("reset within the body, after {size} bytes")))
        }
        (Progress::InHead, Ending::Silent) => Some((
            Cause::ResponseStalled,
            Some(524),
            format!("no further byte of the header section in {quiet}; {waits}"),
        )),
        (Progress::InBody, Ending::Silent) => {
            Some((Cause::ResponseStalled, None, format!("no further byte of the body in {quiet}; {waits}")))
        }
        _ => None,
    }
}

fn malformed(fault: Option<Fault>, bytes: &[u8]) -> String {
    let what = match fault {
        // A record of TLS: alert or handshake.
        _ if matches!(bytes, [0x15 | 0x16, 3, ..]) => "the port speaks TLS: ask it with an https:// URL",
        Some(Fault::StatusLine) | None => "it does not begin with a status line",
        Some(Fault::Field) => "a line of the header section is no field (no colon, a bad name, a forbidden byte)",
        Some(Fault::ContentLength) => "Content-Length is no number, or two of them differ",
        Some(Fault::ChunkSize) => "where the size of a chunk belongs, something else stands",
    };
    format!("no HTTP response: {what}")
}

/// A sound answer in words.
pub(super) fn sound(name: &'static str, status: Option<u16>, took: std::time::Duration) -> Finding {
    let seen = status.map_or_else(|| "an answer".to_owned(), |status| format!("status {status}"));
    let seen = format!("{seen} after {}", span(took));
    match status {
        Some(500..) => Finding::at_risk(
            name,
            format!("{seen}: the origin's own error, which the visitor sees"),
            "look into the log of the origin; `tracer watch` there names what failed behind its server",
        ),
        _ => Finding::ok(name, seen),
    }
}

/// The size of a header section against the edge's limit, with its largest fields: names and sizes, never values.
pub(super) fn header(origin: SocketAddr, bytes: u64, sizes: &[(String, u64)]) -> Finding {
    const NAME: &str = "response header";
    let limit = u64::from(HEADER_LIMIT);
    let largest: Vec<_> = sizes.iter().take(SHOWN).map(|(name, size)| format!("{name} {size}")).collect();
    let largest = if largest.is_empty() { String::new() } else { format!("; largest: {}", largest.join(", ")) };
    let seen = format!("{bytes} bytes of {limit} that the edge takes{largest}");
    let mut e = evidence(origin);
    e.response.header_bytes = Some(bytes);
    if bytes > limit {
        let advice = advise(Cause::HeadersTooLarge, &e);
        return Finding::would_be(NAME, 520, seen, advice).told_as(Cause::HeadersTooLarge);
    }
    if bytes.saturating_mul(100) > limit.saturating_mul(NEARLY) {
        let advice = advise(Cause::HeadersTooLarge, &e);
        let near = Finding::at_risk(NAME, seen, advice).told_as(Cause::HeadersTooLarge);
        return Finding { edge_status: Some(520), ..near };
    }
    Finding::ok(NAME, seen)
}

/// What one plain request showed.
pub(super) fn judge(name: &'static str, sent: Sent, answer: &Answer) -> Vec<Finding> {
    let fields = answer.fields();
    let bytes = answer.response.header_bytes;
    let of_header = fields.zip(bytes).map(|(fields, bytes)| header(sent.origin, bytes, &fields.sizes));
    if answer.len > 0 && answer.response.progress == Progress::Unknown && answer.response.status.is_none() {
        let advice = "send fewer: Cloudflare's proxy library stops at 256, and the edge's own figure is not published";
        return vec![Finding::at_risk(name, "more than 256 header fields", advice).told_as(Cause::MalformedResponse)];
    }
    match failure(name, sent, answer) {
        // The size says it once, with names.
        Some(large) if large.cause == Some(Cause::HeadersTooLarge) && of_header.is_some() => {
            of_header.into_iter().collect()
        }
        Some(failure) => std::iter::once(failure).chain(of_header.filter(|one| one.status == Status::Ok)).collect(),
        None => std::iter::once(sound(name, answer.response.status, answer.waited)).chain(of_header).collect(),
    }
}
