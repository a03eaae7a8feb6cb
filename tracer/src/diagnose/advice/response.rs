//! Responses that were cut, that can't be read, or that did not come in time.

use super::around::unaccepted;
use crate::{
    diagnose::{Cause, Evidence, ResetBy, StreamEnd, context::is_unaccepted, units::span},
    http::Fault,
};

/// The response, or the connection, ended too early.
pub(super) fn cut(cause: Cause, who: &str) -> String {
    match cause {
        Cause::ResetMidResponse => format!(
            "{who} reset the connection within its response: look for an abort in the handler, a send timeout (nginx \
             reset_timedout_connection), or unread request bytes at its close."
        ),
        Cause::SilentDrop => format!(
            "{who} let the connection vanish (haproxy `silent-drop`): use a deny that answers for requests that come \
             through Cloudflare."
        ),
        _ => format!(
            "{who} closed before its response was whole: look for a handler that gives up, an upstream that was cut \
             (the proxy's error log), or a Content-Length that is too large."
        ),
    }
}

/// A stream of HTTP/2 got no response.
pub(super) fn stream(e: &Evidence, who: &str) -> String {
    match e.stream.map(|stream| stream.end) {
        Some(StreamEnd::Reset { by: ResetBy::Edge, .. }) => format!(
            "Cloudflare did not take what {who} sent on this stream: look for a field that HTTP/2 forbids (Connection, \
             Transfer-Encoding, a name with capitals), or a module that writes headers of its own."
        ),
        Some(StreamEnd::GoAway { .. }) => format!(
            "{who} closed the connection with requests in hand: look for a limit of requests or of time for a \
             connection, a reload, or an overload (its log); Cloudflare may send such a request again."
        ),
        Some(StreamEnd::NotHttp2) => format!(
            "{who} agreed on HTTP/2 and speaks something else: look for a module or a proxy behind the TLS port that \
             knows only HTTP/1.1, and offer http/1.1 alone by ALPN until it does."
        ),
        _ => format!(
            "{who} gave up this one stream and went on with others: look for a handler that ends without an answer \
             (nginx `return 444`, an exception, an aborted upstream) in its log at this time."
        ),
    }
}

/// The edge can't take what it got.
pub(super) fn unreadable(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::HeadersTooLarge {
        let Some(bytes) = e.response.header_bytes else {
            return format!(
                "{who} sent more header fields than Cloudflare takes ({} bytes): look for growing cookies, a debug \
                 header, or a long Content-Security-Policy.",
                e.limits.header
            );
        };
        return format!(
            "{who} sent {bytes} bytes of header fields, and Cloudflare takes {}: look for growing cookies, a debug \
             header, or a long Content-Security-Policy.",
            e.limits.header
        );
    }
    if e.response.fault == Some(Fault::ChunkSize) {
        return format!(
            "{who} wrote into a chunked body what is no chunk: look for an error page that is sent after the response \
             has begun (an exception while it streams), or for code that writes to the socket beside the server."
        );
    }
    format!(
        "{who} sent what is no HTTP response: look for output before the header section (PHP warnings, a debug print), \
         an upstream that speaks another protocol, or a field without a colon."
    )
}

/// The process took longer than the edge waits.
pub(super) fn slow(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::ResponseTimeout | Cause::RequestStalled if is_unaccepted(e) => unaccepted(e, who),
        Cause::ResponseTimeout => format!(
            "{who} gave no answer in {}: find what the request waits for (database, upstream, lock), answer earlier, \
             or move long work into the background.",
            span(e.waited)
        ),
        Cause::ResponseStalled => format!(
            "{who} stopped sending {} ago: find what the handler or its upstream waits for; send something at least \
             every {}.",
            span(e.quiet),
            span(e.limits.read)
        ),
        _ => format!(
            "{who} stopped reading the request with {} bytes waiting: read uploads as they come, or refuse them with a \
             status (413, 429, 503).",
            e.unread
        ),
    }
}
