//! Connections that were refused, or closed before a response.

use std::time::Duration;

use tracer_common::cloudflare::IDLE_TIMEOUT;

use super::around::out_of_descriptors;
use crate::diagnose::{Attempt, Cause, Evidence, Taken, Trigger, settings, units::span};

/// A close sooner than this after a response is no idle timeout.
const RIGHT_AFTER: Duration = Duration::from_millis(100);

/// Where the last bytes of a request are younger than this, more of them were on their way.
const STILL_COMING: Duration = Duration::from_millis(100);

/// An idle connection was closed just as the next request came.
pub(super) fn keepalive(e: &Evidence) -> String {
    let kept_s = IDLE_TIMEOUT.as_secs();
    match e.idle {
        Some(idle) if idle < RIGHT_AFTER => format!(
            "the origin closed {} after its last response: let it keep the connection (Cloudflare reuses idle ones for \
             up to {kept_s} s), or announce the close in the response (`Connection: close`).",
            span(idle)
        ),
        Some(idle) => format!(
            "the origin closed after {} idle; Cloudflare keeps connections up to {kept_s} s: raise the server's \
             keep-alive timeout above that.",
            span(idle)
        ),
        None => format!(
            "Cloudflare keeps idle connections up to {kept_s} s: raise the server's keep-alive timeout above that."
        ),
    }
}

/// Nobody listens, or nobody accepts.
pub(super) fn listener(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::ListenOverflow
        && !is_syn_queue(e)
        && let Some(advice) = out_of_descriptors(e, who)
    {
        return advice;
    }
    match cause {
        Cause::ListenerClosed => format!(
            "{who} closed its listening socket with connections still in the accept queue: drain before stopping, or \
             hand the listener over (socket activation, a reload that keeps it)."
        ),
        Cause::ListenOverflow if is_syn_queue(e) => {
            "turn SYN cookies on (net.ipv4.tcp_syncookies=1): then a full SYN queue turns nobody away. Else raise \
             net.ipv4.tcp_max_syn_backlog and the backlog of listen() (net.core.somaxconn), and look in `ss -tn state \
             syn-recv` for who fills the queue."
                .to_owned()
        }
        Cause::PortClosed => format!(
            "nothing listens on port {}: start the server, or correct its listen address, or the port that Cloudflare \
             is told to use.",
            e.local.1
        ),
        _ => format!(
            "{who} accepts too slowly, or its queue is too short: raise the backlog of listen() and \
             net.core.somaxconn, and look for what keeps it from accepting."
        ),
    }
}

/// Which of the two queues was full.
const fn is_syn_queue(e: &Evidence) -> bool {
    matches!(e.trigger, Trigger::Attempt(Attempt { taken: Taken::SynQueue { .. }, .. }))
}

/// The process closed or reset the connection, and no byte of a response was written.
pub(super) fn unanswered(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause != Cause::ClosedBeforeRequest
        && !e.destroyed
        && e.bytes_received > 0
        && let Some(timeout) = settings::round(e.waited)
    {
        return format!(
            "{who} closed the connection {} after the request had come: that looks like a timeout of its own of {} s \
             ({}); find what the request waits for, raise the timeout, or answer with a status (503, 504) before it.",
            span(e.waited),
            timeout.as_secs(),
            settings::timeouts(e.process.as_ref())
        );
    }
    let (head_limit, setting) = settings::head_limit(e.process.as_ref());
    if let Some(bytes) = e.request_head.filter(|bytes| *bytes > head_limit && cause != Cause::ClosedBeforeRequest) {
        return format!(
            "{who} closed on a request with {bytes} bytes of header fields, and may take {head_limit} only: look for \
             growing cookies or a long path, or raise the limit ({setting})."
        );
    }
    match cause {
        Cause::ClosedBeforeRequest => format!(
            "{who} closes connections as soon as it has accepted them: look for a connection limit, an access rule at \
             connection level, or a PROXY protocol setting."
        ),
        Cause::ClosedUnread => format!(
            "{who} closed with {} request bytes unread: look for a body-size or time limit, an early rejection, or an \
             overload guard; answer with a status (413, 429, 503) and read the rest.",
            e.unread
        ),
        Cause::AppReset if e.destroyed => {
            "somebody destroyed the socket with a tool (ss -K): find out who, and why.".to_owned()
        }
        Cause::AppReset => format!(
            "{who} aborts connections on purpose (SO_LINGER 0): look for a reject or deny rule, `return 444` with \
             reset_timedout_connection, or a resetAndDestroy in the application."
        ),
        _ => format!(
            "{who} hung up without an answer: look for `return 444`, a reject rule, a bot or rate limit, or a handler \
             that closes the connection; its own log may not show the request."
        ),
    }
}

/// The process hung up in the middle of a request.
pub(super) fn request_cut(e: &Evidence, who: &str) -> String {
    if e.waited < STILL_COMING {
        return format!(
            "{who} hung up while the request was still coming: look for a limit on its size or its rate, or a handler \
             that gives up on it; answer with a status (413, 408, 429) and read the rest."
        );
    }
    format!(
        "{who} waited {} for the rest of the request and hung up: that looks like its own limit on the time for a \
         request ({}). Slow visitors are a reason, too, since Cloudflare passes an upload on as it comes: raise the \
         limit, or have it answer with 408.",
        span(e.waited),
        settings::request_timeouts(e.process.as_ref())
    )
}
