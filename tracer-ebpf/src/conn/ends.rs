//! The ends of a connection: the origin's FIN, an abort, the edge's FIN or RST.
//!
//! Each function here takes a snapshot of the socket, asks the gate whether a request has failed, and returns the
//! trigger under which the caller reports the connection, or 0 for no report.

use tracer_common::{
    Conn, Task, conn_flags as flag,
    errno::ECONNABORTED,
    gate::{AtFin, Owed, at_fin, is_loss, owed},
    origin_flags as origin, triggers,
};

use crate::{
    conn::{
        kept::{InMaps, header_limit},
        snapshot::{add_retransmissions, snapshot, snapshot_at_close},
    },
    emit,
    kernel::{
        look::TypedSock,
        sock::{Identity, Sock},
    },
    missing::attempts,
    tables::{
        connections::forget,
        counters::turns,
        heads,
        maps::{CLOSED, CONFIG},
    },
};

/// What is to be done after a change of state.
pub struct Outcome {
    /// The trigger of the record to make; 0: none.
    pub trigger: u32,
    /// Whether the connection leaves the table.
    pub gone: bool,
}

pub const STAYS: Outcome = Outcome { trigger: 0, gone: false };
pub const GOES: Outcome = Outcome { trigger: 0, gone: true };

/// ESTABLISHED → FIN_WAIT1, in the closing task: the origin sends its FIN first. Returns the trigger of a record, or 0.
#[inline(always)]
pub fn finish(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> u32 {
    let Some(tcp) = sk.tcp() else { return 0 };
    snapshot_at_close(sk, tcp, conn, old, new);
    conn.flags |= flag::ORIGIN_FIN;
    attempts::mark_harmless(&conn.tuple, conn.close.time_ns);
    match at_fin(conn, header_limit(), &InMaps) {
        AtFin::Failure => triggers::FIN,
        AtFin::Harmless => 0,
        AtFin::Later => {
            conn.origin_flags |= origin::PENDING;
            0
        }
    }
}

/// The edge leaves first, by FIN or RST, in a softirq. Returns `trigger` if it has waited for its whole timeout or
/// got something that is no valid response; else, or if missing packets explain it and are reported instead, 0.
#[inline(always)]
pub fn edge_leaves(sk: Sock, conn: &mut Conn, trigger: u32) -> u32 {
    // Reported already, or not the first to leave.
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::PEER_FIN) != 0 {
        return 0;
    }
    let Some(tcp) = sk.tcp() else { return 0 };
    // Set first: on another CPU the agent may just be inspecting this connection because its timeout has passed.
    conn.flags |= flag::LEAVING;
    let sock = TypedSock { sk, tcp };
    snapshot(&sock, conn, tcp.clock());
    add_retransmissions(&sock, conn);
    conn.closer = Task::default();
    let Some(config) = CONFIG.get(0) else { return 0 };
    let late = owed(conn, config, true, &InMaps) == Owed::Late;
    if attempts::edge_stopped_waiting(&conn.tuple, sk.key(), &sock, conn.close.time_ns, late) {
        conn.flags |= flag::REPORTED;
        return 0;
    }
    if !late {
        return 0;
    }
    conn.close.closer_turns = turns(conn.owner);
    trigger
}

/// ESTABLISHED → CLOSE: the peer reset the connection, it timed out, a tool destroyed it (`ss -K`), or the origin is
/// about to reset it. The last one is judged when the RST goes out ([`reset_by_origin`]).
#[inline(always)]
pub fn abort(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> Outcome {
    let err = sk.err();
    // Reset by the peer, which the hook of `tcp_receive_reset` has handled, or timed out.
    if err != 0 && err != ECONNABORTED {
        return GOES;
    }
    let Some(tcp) = sk.tcp() else { return STAYS };
    snapshot_at_close(sk, tcp, conn, old, new);
    conn.flags |= flag::ABORTED;
    attempts::mark_harmless(&conn.tuple, conn.close.time_ns);
    let silent = tcp.in_repair();
    // The origin's own RST follows, and with it the judgement.
    if err != ECONNABORTED && !silent {
        return STAYS;
    }
    if is_loss(conn, header_limit(), &InMaps) {
        // Destroyed by a tool: the RST went out before the state changed. In repair mode (TCP_REPAIR) the socket
        // vanishes without a packet: the edge learns of it from the answer to its next packet, or waits.
        return Outcome { trigger: if silent { triggers::SILENT } else { triggers::RST }, gone: true };
    }
    if silent {
        conn.flags |= flag::ORIGIN_FIN;
        retire(conn);
    }
    GOES
}

/// The origin's RST of an aborted connection goes out: reports the connection if a request is lost, and removes it
/// from the table. `reason` is the kernel's for the RST.
#[inline(always)]
pub fn reset_by_origin(key: u64, conn: *mut Conn, reason: u32) {
    // SAFETY: callers pass a pointer to a map value; it stays valid while the program runs.
    if is_loss(unsafe { &*conn }, header_limit(), &InMaps) {
        emit::conn(conn, triggers::RST, reason);
    }
    forget(key, conn);
}

/// A connection that the origin closed leaves the table. Copies it to [`CLOSED`], where a request that was already on
/// its way will find it.
#[inline(always)]
pub fn retire(conn: &mut Conn) {
    // The buffers of request and response are free for another connection.
    heads::release(conn);
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::UPGRADED) == flag::ORIGIN_FIN {
        let _evicts_when_full = CLOSED.insert(&conn.tuple, conn, 0);
    }
}
