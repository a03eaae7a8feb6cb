//! What the edge was left without on one stream of HTTP/2.

use super::{Evidence, Limits, ResetBy, Stream, StreamEnd, lost::Loss};
use crate::http::Progress;

/// Error codes with which an edge gives up a stream of its own accord (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;
/// Frames that cross with the end of a stream are answered with it.
const STREAM_CLOSED: u32 = 5;

/// Header fields take at least five of eight bits where they are compressed and are none that were sent before.
const LEAST_COMPRESSED: (u64, u64) = (5, 8);

/// What the edge lost with a stream that its connection outlived, or that its connection's fault ended.
pub(super) fn loss(e: &Evidence, stream: Stream) -> Option<Loss> {
    let progress = e.response.progress;
    match stream.end {
        StreamEnd::Connection => None,
        StreamEnd::Reset { by: ResetBy::Edge, code } => reset_by_edge(e, code, stream.block_bytes),
        StreamEnd::Short => Some(Loss::Body),
        _ if progress == Progress::Whole => None,
        // The response may have been whole, after which an origin resets only a request of which it wants no more.
        StreamEnd::Reset { code: Some(code), .. } if progress == Progress::Unknown => {
            (!matches!(code, NO_ERROR | CANCEL)).then_some(Loss::Stream)
        }
        _ => (progress != Progress::Unknown).then_some(Loss::Stream),
    }
}

/// Whether the edge has passed on the header section by the time the stream ends. What makes the whole connection
/// useless comes before that.
pub(super) fn is_in_body(e: &Evidence) -> bool {
    let of_connection =
        |stream: Stream| matches!(stream.end, StreamEnd::NotHttp2 | StreamEnd::GoAway { by: ResetBy::Edge, .. });
    e.response.progress == Progress::InBody && !e.stream.is_some_and(of_connection)
}

/// The edge gives up the stream: it can't take the response, or has waited for its whole timeout. Else the visitor has
/// left.
fn reset_by_edge(e: &Evidence, code: Option<u32>, block_bytes: u64) -> Option<Loss> {
    let (response, limit) = (&e.response, e.limits.header);
    if response.header_bytes.map_or_else(|| may_be_too_large(block_bytes, limit), |bytes| bytes > limit) {
        return Some(Loss::TooLarge);
    }
    let code = code?;
    if matches!(code, NO_ERROR | CANCEL) {
        let waited = e.waited.min(e.quiet) >= Limits::nearly(e.limits.read);
        let stalled = e.quiet >= Limits::most_of(e.limits.read) && e.waited >= Limits::nearly(e.limits.read);
        return match response.progress {
            Progress::Nothing => waited.then_some(Loss::Waited),
            Progress::InHead => stalled.then_some(Loss::StalledHead),
            Progress::InBody => stalled.then_some(Loss::StalledBody),
            _ => None,
        };
    }
    match response.progress {
        _ if code == STREAM_CLOSED => None,
        Progress::Malformed => Some(Loss::Malformed),
        _ => Some(Loss::Stream),
    }
}

/// Whether a header block of so many bytes, whose fields are not all known, is above the edge's limit. One that the
/// edge does not take need only be so by what its fields take at least.
const fn may_be_too_large(block_bytes: u64, limit: u64) -> bool {
    block_bytes.saturating_mul(LEAST_COMPRESSED.1) >= limit.saturating_mul(LEAST_COMPRESSED.0)
}
