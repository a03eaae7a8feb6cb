//! How a connection ends: by the origin's FIN, by an abort, by the edge.

use tracer_common::{Conn, Task, conn_flags as flag, errno::ECONNABORTED, origin_flags as origin, triggers};

use crate::{
    conn::{
        owed::{Owed, header_limit, is_failure, is_held_back, is_loss, owed, process_ends, response, unanswered},
        snapshot::{stand, stand_closed},
    },
    emit,
    exchange::verdict::Verdict,
    kernel::{
        look::TypedSock,
        sock::{Identity, Sock},
    },
    missing::attempts,
    tables::{
        connections::forget,
        heads,
        maps::{CLOSED, CONFIG},
    },
};

/// What a change of state comes to: a record to make (0: none), and whether the connection leaves the table.
pub struct Outcome {
    pub trigger: u32,
    pub gone: bool,
}

pub const STAYS: Outcome = Outcome { trigger: 0, gone: false };
pub const GOES: Outcome = Outcome { trigger: 0, gone: true };

/// ESTABLISHED → FIN_WAIT1, in the closing task: the origin sends FIN first. Gives the trigger of a record, or 0.
#[inline(always)]
pub fn finish(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> u32 {
    let Some(tcp) = sk.tcp() else { return 0 };
    stand_closed(sk, tcp, conn, old, new);
    conn.flags |= flag::ORIGIN_FIN;
    attempts::passed(&conn.tuple, conn.close.time_ns);
    let tell = if conn.flags & flag::REPORTED != 0 {
        // The request was told when the edge's timeout passed.
        false
    } else if unanswered(conn) {
        true
    } else if conn.flags & flag::HTTP != 0 && conn.exchanges > 0 {
        let verdict = response(conn, header_limit(), conn.close.response_bytes);
        // Nagle's algorithm, or the edge's window: the rest goes out with the FIN, or later.
        let open = verdict == Verdict::Unknown || verdict == Verdict::Cut && conn.origin_flags & origin::IN_HEAD != 0;
        if open && is_held_back(conn) {
            conn.origin_flags |= origin::PENDING;
            return 0;
        }
        is_failure(conn, verdict)
    } else {
        process_ends(conn)
    };
    if tell { triggers::FIN } else { 0 }
}

/// The edge leaves first, by FIN or RST, in a softirq: told if it has waited too long, or if it can't have liked what it
/// got. Gives the trigger of a record, or 0.
#[inline(always)]
pub fn edge_leaves(sk: Sock, conn: &mut Conn, trigger: u32) -> u32 {
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::PEER_FIN) != 0 {
        return 0;
    }
    let Some(tcp) = sk.tcp() else { return 0 };
    // At once: the agent's look at connections that are overdue may be under way on another CPU.
    conn.flags |= flag::LEAVING;
    let sock = TypedSock { sk, tcp };
    stand(&sock, conn, tcp.clock());
    conn.closer = Task::default();
    let Some(config) = CONFIG.get(0) else { return 0 };
    let late = owed(conn, config, true) == Owed::Late;
    if attempts::gave_up(&conn.tuple, sk.key(), &sock, conn.close.time_ns, late) {
        conn.flags |= flag::REPORTED;
        return 0;
    }
    if late { trigger } else { 0 }
}

/// ESTABLISHED → CLOSE: reset by the peer, given up, destroyed, or about to be reset by the origin.
#[inline(always)]
pub fn abort(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> Outcome {
    let err = sk.err();
    if err != 0 && err != ECONNABORTED {
        return GOES;
    }
    let Some(tcp) = sk.tcp() else { return STAYS };
    stand_closed(sk, tcp, conn, old, new);
    conn.flags |= flag::ABORTED;
    attempts::passed(&conn.tuple, conn.close.time_ns);
    let silent = tcp.in_repair();
    if err != ECONNABORTED && !silent {
        return STAYS;
    }
    if is_loss(conn) {
        // Destroyed by a tool: the RST went out before the state changed. In repair mode no packet tells the edge: it
        // finds out with its next one, or waits.
        return Outcome { trigger: if silent { triggers::SILENT } else { triggers::RST }, gone: true };
    }
    if silent {
        conn.flags |= flag::ORIGIN_FIN;
        retire(conn);
    }
    GOES
}

/// The RST that ends an aborted connection: reports it if a request was lost, and forgets it.
#[inline(always)]
pub fn reset_by_origin(key: u64, conn: *mut Conn, reason: u32) {
    // SAFETY: a live map value.
    if is_loss(unsafe { &*conn }) {
        emit::conn(conn, triggers::RST, reason);
    }
    forget(key, conn);
}

/// A connection that the origin closed leaves the table: remembered for a while, should a request have been on its way.
#[inline(always)]
pub fn retire(conn: &mut Conn) {
    // They serve the next connection from now on.
    heads::release(conn);
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::UPGRADED) == flag::ORIGIN_FIN {
        let _full_is_lru = CLOSED.insert(&conn.tuple, conn, 0);
    }
}
