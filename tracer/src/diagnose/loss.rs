//! What the edge was left without, if anything: the first question of a verdict.

use std::time::Duration;

use tracer_common::limits::{FRESH_NS, LOST_RETRANSMITS, MAX_TLS_ALERT, MIN_OPAQUE_REQUEST};

use super::{End, Evidence, Limits, Protocol, Trigger, handshake, lost::Loss, stream::StreamEnd, stream_loss};
use crate::http::Progress;

/// A connection that is reset later than this, and without a request, was idle: no request was on its way.
const FRESH: Duration = Duration::from_nanos(FRESH_NS);

/// Data that follows an origin's close within this time may still belong to the request before.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// An edge that can't read a response hangs up sooner than this.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What the edge lost, if anything.
pub(super) fn loss(e: &Evidence) -> Option<Loss> {
    match e.trigger {
        Trigger::Refused { .. } => Some(Loss::Refused),
        Trigger::Attempt(attempt) => Some(Loss::Attempt(attempt)),
        Trigger::Fin | Trigger::Rst | Trigger::Late { .. } if !e.accepted => Some(Loss::Unaccepted),
        Trigger::Late { .. } => late(e).then_some(Loss::Late),
        _ if let Some(stream) = e.stream.filter(|stream| stream.end != StreamEnd::Connection) => {
            stream_loss::loss(e, stream)
        }
        Trigger::Silent => vanished(e),
        _ if not_read(e) => Some(Loss::NotRead),
        _ if reply(e) => Some(Loss::Reply),
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
    let shut_for = match e.trigger {
        Trigger::EdgeFin | Trigger::EdgeRst => Limits::most_of_write(e.limits.write),
        Trigger::Overdue => Limits::nearly(e.limits.write),
        _ => return false,
    };
    e.unread > 0 && e.window == 0 && e.waited >= shut_for
}

/// Whether a response got lost on its way: for the whole timeout nothing of what was sent was acknowledged. Of an edge
/// that leaves, the clock may run from its request: if it got nothing at all, being sent again often enough counts.
fn reply(e: &Evidence) -> bool {
    let (read, left) = (e.limits.read, matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst));
    let in_vain = e.acked == 0 && e.retransmits >= LOST_RETRANSMITS && e.waited >= Limits::nearly(read);
    let lost = match e.trigger {
        Trigger::Overdue => e.stuck >= Limits::nearly(read),
        _ => left && (e.stuck >= Limits::most_of(read) || in_vain),
    };
    lost && e.bytes_received > 0 && e.is_unacknowledged() && is_response(e)
}

/// Whether what the edge did not acknowledge belongs to a response, as far as that can be seen. On an idle connection
/// HTTP/2 sends small control frames, and a WebSocket is no exchange.
fn is_response(e: &Evidence) -> bool {
    match e.protocol {
        Protocol::Http => e.response.progress != Progress::Upgraded,
        Protocol::Tls if e.exchanges == 0 => false,
        Protocol::Tls | Protocol::Opaque => e.since_read > 0 && e.unacked >= MIN_OPAQUE_REQUEST,
        Protocol::Other => e.request.method.is_some(),
    }
}

/// Whether the edge has the whole header section of a response of which the rest got lost. Where the bytes can't be
/// read, the first ones that it acknowledged count as such.
pub(super) fn head_got_through(e: &Evidence) -> bool {
    match (e.protocol, e.response.header_bytes, e.response.progress) {
        (Protocol::Http, _, Progress::InHead | Progress::Nothing) => false,
        (Protocol::Http, Some(bytes), _) => e.acked >= bytes,
        _ => e.acked > 0,
    }
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
        // What was sent since the request (an interim response) sets the edge's clock back.
        Progress::Nothing => {
            (!is_slow(e) && e.waited.min(e.quiet) >= Limits::nearly(e.limits.read)).then_some(Loss::Waited)
        }
        Progress::InHead if origin_left => Some(Loss::Head),
        Progress::InHead => stalled(e).then_some(Loss::StalledHead),
        Progress::InBody if origin_left => Some(Loss::Body),
        Progress::InBody => stalled(e).then_some(Loss::StalledBody),
        // Only the end of the connection ends such a body: cut if it was reset or the process died, whole if it closed.
        Progress::UntilClose => (e.trigger == Trigger::Rst || origin_left && dies(e)).then_some(Loss::Body),
        Progress::Whole | Progress::Upgraded | Progress::Unknown => None,
    }
}

/// Whether the edge waited in vain for the rest of a response. Of one that left, the clock may run from its request: it
/// had waited long enough for the response, and for nearly all of that time nothing came.
fn stalled(e: &Evidence) -> bool {
    let read = e.limits.read;
    let left = matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst);
    let quiet = if left { Limits::most_of(read) } else { Limits::nearly(read) };
    !is_slow(e) && e.waited >= Limits::nearly(read) && e.quiet >= quiet
}

/// Whether the edge has yet to acknowledge what was sent: it is still receiving, and nothing stalls at the origin.
fn is_slow(e: &Evidence) -> bool {
    e.unacked > 0
}

/// Whether an edge that left did so because of what it had got: at once, or when it had waited in vain for the rest.
/// One that stayed longer had taken it.
fn minds(e: &Evidence) -> bool {
    let read = e.limits.read;
    let in_vain = e.quiet >= Limits::nearly(read) && e.quiet <= Limits::little_over(read);
    matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst) && (e.quiet < AT_ONCE || in_vain)
}

/// The socket was closed without a packet: what was owed on it?
fn vanished(e: &Evidence) -> Option<Loss> {
    match (e.protocol, e.response.progress) {
        (Protocol::Http, Progress::InBody) => Some(Loss::VanishedInBody),
        (Protocol::Http, Progress::Nothing | Progress::InHead) => Some(Loss::Vanished),
        (Protocol::Http, _) => None,
        _ if e.bytes_received == 0 && !e.seeded => is_fresh(e).then_some(Loss::Vanished),
        _ => (e.since_read == 0 && holds_request(e)).then_some(Loss::Vanished),
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
        return (is_fresh(e) && e.trigger == Trigger::Rst).then_some(Loss::Fresh);
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
        // Later on the last bytes in need not be a request: they count as one if the edge leaves just in time for it.
        let left = matches!(e.trigger, Trigger::EdgeFin | Trigger::EdgeRst);
        let just_then = left && e.waited <= Limits::little_over(e.limits.read);
        let waits = e.since_read == 0 && e.turn_may_be_request && (first || just_then);
        return (waits && e.waited >= Limits::nearly(e.limits.read)).then_some(Loss::Waited);
    }
    if !holds_request(e) {
        return None;
    }
    // After an answer, bytes that came in may be a new request or the rest of an upload that was answered early: only
    // the end of its process tells that something was lost.
    let ending = e.oom || e.end != End::Running;
    (first || ending).then_some(Loss::Unanswered)
}

/// Whether the edge had just opened the connection, which it does only to send a request at once.
fn is_fresh(e: &Evidence) -> bool {
    e.age.is_none_or(|age| age < FRESH)
}

/// Whether the last bytes in, which can't be read, may be a request: enough of them at once, or the first ones inside
/// TLS. What nobody has read is lost, whatever it was, but for the edge's goodbye (an alert).
fn holds_request(e: &Evidence) -> bool {
    let first_inside_tls = e.protocol == Protocol::Tls && e.exchanges <= 1 && !e.was_left;
    let goodbye = if e.protocol == Protocol::Tls && e.exchanges > 0 { MAX_TLS_ALERT } else { 0 };
    e.turn_may_be_request || e.unread > goodbye || first_inside_tls
}

/// Whether the process was ending by a signal or with an error.
pub(super) fn dies(e: &Evidence) -> bool {
    e.oom || matches!(e.end, End::Signaled(_) | End::Exited(1..))
}
