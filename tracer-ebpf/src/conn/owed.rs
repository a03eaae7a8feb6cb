//! Has a request on this connection failed? The rules that decide whether a connection is handed to the agent.
//!
//! Three situations, three questions. The edge still waits, or leaves: what does the origin owe it, and for how long
//! ([`owed`])? The origin sends FIN: does that cut a response short ([`is_failure`])? The connection is aborted: is a
//! request or a part of a response lost ([`is_loss`])? All three read the snapshot in [`Conn::close`]. Where the
//! bytes cannot be read (TLS, an unknown protocol), only their direction, number and time count.

use tracer_common::{Config, Conn, conn_flags as flag, limits, origin_flags as origin, pf};

use crate::{
    exchange::{search, verdict},
    kernel::sock::TcpSock,
    parse::framing::Verdict,
    tables::maps::CONFIG,
};

/// Whether a request has arrived to which not one byte of the final response was written.
#[inline(always)]
pub fn unanswered(conn: &Conn) -> bool {
    let close = &conn.close;
    if close.bytes_received == 0 && conn.flags & flag::SEEDED == 0 {
        return false;
    }
    if conn.flags & flag::HTTP != 0 {
        return close.response_bytes == 0 && conn.flags & flag::INTERIM == 0;
    }
    close.unread > 0
        || (close.since_read == 0 && close.turn_in >= limits::MIN_OPAQUE_REQUEST)
        || (close.since_read == 0 && conn.flags & flag::SEEDED != 0)
        || conn.flags & flag::TLS != 0
            && (conn.exchanges == 0 || conn.exchanges == 1 && close.since_read <= limits::MAX_TLS_ALERT)
}

/// Whether the process closes the connection because it exits, after at least one request.
#[inline(always)]
pub fn process_ends(conn: &Conn) -> bool {
    conn.closer.flags & pf::EXITING != 0 && conn.exchanges > 0
}

/// Judges the response in progress, of which `total` bytes were written, on a connection that speaks HTTP. A header
/// section above `header_limit` bytes is more than an edge accepts.
#[inline(always)]
pub fn response_verdict(conn: &Conn, header_limit: u32, total: u32) -> Verdict {
    // None of it is on the wire yet; or the bytes written may be the rest of an earlier response.
    if conn.is_awaited() {
        return Verdict::Unknown;
    }
    if conn.head_len > header_limit {
        return Verdict::Odd;
    }
    if conn.heads == 0 {
        return Verdict::Unknown;
    }
    verdict::judge(conn, conn.flags, total)
}

/// Whether the origin has written bytes that have not been sent to the edge even once.
#[inline(always)]
pub const fn is_held_back(conn: &Conn) -> bool {
    conn.is_awaited() || conn.response_len < conn.close.response_bytes
}

/// Whether a second request was received together with the current one (pipelining): its response has not begun.
#[inline(always)]
pub fn more_requests(conn: &Conn) -> bool {
    if conn.flags & flag::PIPELINED != 0 {
        return true;
    }
    if conn.flags & flag::BODYLESS == 0 || conn.heads == 0 {
        return false;
    }
    let end = search::first_request_end(conn.heads, conn.request_have.min(limits::REQUEST_LEN as u32));
    end != 0 && conn.request_len > end
}

/// The largest header section that the edge accepts, in bytes.
#[inline(always)]
pub fn header_limit() -> u32 {
    CONFIG.get(0).map_or(u32::MAX, |config| config.header_limit)
}

/// Whether the origin's FIN after a response with this verdict makes a request fail.
#[inline(always)]
pub fn is_failure(conn: &Conn, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Cut | Verdict::Odd => true,
        Verdict::Whole => more_requests(conn),
        Verdict::UntilClose | Verdict::Unknown => process_ends(conn),
    }
}

/// Called as data goes out that was still unsent when the origin closed; it reaches up to the sequence number
/// `up_to`. When the last of it is out, judges the response: returns whether a request has failed.
#[inline(always)]
pub fn held_back_was_sent(tcp: TcpSock, conn: &mut Conn, up_to: u32) -> bool {
    // The origin's FIN takes one sequence number; more than that is data yet to come.
    if tcp.write_seq().wrapping_sub(up_to) > 1 {
        return false;
    }
    conn.origin_flags &= !origin::PENDING;
    conn.flags & flag::REPORTED == 0
        && is_failure(conn, response_verdict(conn, header_limit(), conn.close.response_bytes))
}

/// Whether the edge still waits for something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// It does not, as far as can be seen.
    Nothing,
    /// It has waited for less than its timeout.
    Something,
    /// It has waited for its whole timeout; or it leaves because it got no valid response.
    Late,
}

/// Returns whether the edge waits, given a snapshot that was just made. `leaving`: it has sent FIN or RST; else it is
/// still there.
#[inline(always)]
pub fn owed(conn: &Conn, config: &Config, leaving: bool) -> Owed {
    let close = &conn.close;
    let after = |waited: u32, limit: u32| if waited >= limit { Owed::Late } else { Owed::Something };
    if close.bytes_received == 0 {
        return Owed::Nothing;
    }
    // The process reads nothing, the window is shut, and the edge cannot send the rest of its request.
    if close.unread > 0 && close.window == 0 && close.received_jiffies_ago >= config.write_jiffies {
        return Owed::Late;
    }
    if conn.flags & flag::HTTP != 0 {
        if unanswered(conn) {
            // The edge has yet to acknowledge earlier data: it is still receiving, and its timeout does not run.
            if close.unacked > 0 {
                return Owed::Something;
            }
            return after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies);
        }
        return match response_verdict(conn, config.header_limit, close.response_bytes) {
            Verdict::Odd if leaving => Owed::Late,
            // The rest is written, and the edge does not acknowledge it: the edge is slow, not the origin.
            Verdict::Cut if close.unacked > 0 => Owed::Something,
            // The edge's timeout may run from its request rather than from the last byte. Nothing was sent for 7/8 of
            // it: that counts as the whole.
            Verdict::Cut if leaving && close.sent_jiffies_ago >= config.read_jiffies - config.read_jiffies / 8 => {
                after(close.received_jiffies_ago, config.read_jiffies)
            }
            Verdict::Cut => after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies),
            Verdict::Odd => Owed::Something,
            Verdict::Whole | Verdict::UntilClose | Verdict::Unknown => Owed::Nothing,
        };
    }
    // A TLS handshake that was not completed.
    if conn.flags & flag::TLS != 0 && conn.exchanges == 0 {
        return if leaving { Owed::Late } else { after(close.received_jiffies_ago, config.read_jiffies) };
    }
    // The bytes cannot be read. A request is only assumed where enough came in and nothing was written since.
    if conn.exchanges == 0 || close.since_read > 0 || close.turn_in < limits::MIN_OPAQUE_REQUEST {
        return Owed::Nothing;
    }
    // After the first exchange the last bytes in need not be a request (a goodbye, an acknowledgement of the
    // protocol). They count as one only if the edge leaves just when its timeout passes.
    let just_then = close.received_jiffies_ago <= config.read_jiffies + config.read_jiffies / 8;
    if conn.exchanges == 1 || leaving && just_then {
        return after(close.received_jiffies_ago, config.read_jiffies);
    }
    Owed::Nothing
}

/// Whether an end without the origin's FIN (RST, or destroyed) loses a request or cuts its response short.
#[inline(always)]
pub fn is_loss(conn: &Conn) -> bool {
    // Reported when the edge's timeout passed.
    if conn.flags & flag::REPORTED != 0 {
        return false;
    }
    // The edge opens a connection in order to send a request at once.
    let fresh = conn.exchanges == 0 && conn.close.time_ns.wrapping_sub(conn.opened_ns) < limits::FRESH_NS;
    if fresh || conn.close.accepted == 0 || unanswered(conn) {
        return true;
    }
    if conn.flags & flag::HTTP == 0 || conn.exchanges == 0 {
        return process_ends(conn);
    }
    // A reset discards what was written and not yet sent: only the bytes that were on the wire count.
    match response_verdict(conn, header_limit(), conn.response_len.min(conn.close.response_bytes)) {
        Verdict::Whole => more_requests(conn),
        Verdict::Unknown => process_ends(conn),
        Verdict::UntilClose | Verdict::Cut | Verdict::Odd => true,
    }
}
