//! What is owed to an edge, and what is lost.

use tracer_common::{Config, Conn, conn_flags as flag, limits, origin_flags as origin, pf};

use crate::{
    exchange::{
        search,
        verdict::{self, Verdict},
    },
    kernel::sock::TcpSock,
    tables::maps::CONFIG,
};

/// Whether a request is in hand that no response byte answers.
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

/// Whether the closing process is ending with an exchange in hand.
#[inline(always)]
pub fn process_ends(conn: &Conn) -> bool {
    conn.closer.flags & pf::EXITING != 0 && conn.exchanges > 0
}

/// What is to be thought of the response that has begun, `total` bytes long, on a connection that speaks HTTP.
#[inline(always)]
pub fn response(conn: &Conn, header_limit: u32, total: u32) -> Verdict {
    // Written, and not on its way yet; or the rest of an earlier one.
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

/// Whether some of what the origin has written has not been on its way to the edge.
#[inline(always)]
pub const fn is_held_back(conn: &Conn) -> bool {
    conn.is_awaited() || conn.response_len < conn.close.response_bytes
}

/// Whether a request follows the first one of those that came together: the response to it has not begun.
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

#[inline(always)]
pub fn header_limit() -> u32 {
    CONFIG.get(0).map_or(u32::MAX, |config| config.header_limit)
}

/// Whether a FIN behind such a response fails a request.
#[inline(always)]
pub fn is_failure(conn: &Conn, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Cut | Verdict::Odd => true,
        Verdict::Whole => more_requests(conn),
        Verdict::UntilClose | Verdict::Unknown => process_ends(conn),
    }
}

/// What was held back when the origin closed is on its way, up to this sequence number: with the last of it the response is
/// judged. Gives whether a request has failed.
#[inline(always)]
pub fn sent(tcp: TcpSock, conn: &mut Conn, up_to: u32) -> bool {
    // The FIN takes a number, too.
    if tcp.write_seq().wrapping_sub(up_to) > 1 {
        return false;
    }
    conn.origin_flags &= !origin::PENDING;
    conn.flags & flag::REPORTED == 0 && is_failure(conn, response(conn, header_limit(), conn.close.response_bytes))
}

/// What the edge still waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    Nothing,
    /// Something, for less than its timeout.
    Something,
    /// Something, for too long; or it leaves because of what it got.
    Late,
}

/// What an edge waits for that is `leaving`, or that is still there. [`Conn::close`] is fresh.
#[inline(always)]
pub fn owed(conn: &Conn, config: &Config, leaving: bool) -> Owed {
    let close = &conn.close;
    let after = |waited: u32, limit: u32| if waited >= limit { Owed::Late } else { Owed::Something };
    if close.bytes_received == 0 {
        return Owed::Nothing;
    }
    if close.unread > 0 && close.window == 0 && close.received_jiffies_ago >= config.write_jiffies {
        return Owed::Late;
    }
    if conn.flags & flag::HTTP != 0 {
        if unanswered(conn) {
            // What was written before has not all arrived: the edge is still busy with that.
            if close.unacked > 0 {
                return Owed::Something;
            }
            return after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies);
        }
        return match response(conn, config.header_limit, close.response_bytes) {
            Verdict::Odd if leaving => Owed::Late,
            // It is the edge that does not take what there is.
            Verdict::Cut if close.unacked > 0 => Owed::Something,
            // The clock of an edge that leaves may run from its request: for nearly all of that time nothing came.
            Verdict::Cut if leaving && close.sent_jiffies_ago >= config.read_jiffies - config.read_jiffies / 8 => {
                after(close.received_jiffies_ago, config.read_jiffies)
            }
            Verdict::Cut => after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies),
            Verdict::Odd => Owed::Something,
            Verdict::Whole | Verdict::UntilClose | Verdict::Unknown => Owed::Nothing,
        };
    }
    if conn.flags & flag::TLS != 0 && conn.exchanges == 0 {
        return if leaving { Owed::Late } else { after(close.received_jiffies_ago, config.read_jiffies) };
    }
    if conn.exchanges == 0 || close.since_read > 0 || close.turn_in < limits::MIN_OPAQUE_REQUEST {
        return Owed::Nothing;
    }
    // After the first exchange the last bytes need not be a request: only an edge that leaves just then says so.
    let just_then = close.received_jiffies_ago <= config.read_jiffies + config.read_jiffies / 8;
    if conn.exchanges == 1 || leaving && just_then {
        return after(close.received_jiffies_ago, config.read_jiffies);
    }
    Owed::Nothing
}

/// Whether an end without FIN loses a request or cuts its response short.
#[inline(always)]
pub fn is_loss(conn: &Conn) -> bool {
    // Told when the edge's timeout passed.
    if conn.flags & flag::REPORTED != 0 {
        return false;
    }
    let fresh = conn.exchanges == 0 && conn.close.time_ns.wrapping_sub(conn.opened_ns) < limits::FRESH_NS;
    if fresh || conn.close.accepted == 0 || unanswered(conn) {
        return true;
    }
    if conn.flags & flag::HTTP == 0 || conn.exchanges == 0 {
        return process_ends(conn);
    }
    // What was still to go out went with the connection.
    match response(conn, header_limit(), conn.response_len.min(conn.close.response_bytes)) {
        Verdict::Whole => more_requests(conn),
        Verdict::Unknown => process_ends(conn),
        Verdict::UntilClose | Verdict::Cut | Verdict::Odd => true,
    }
}
