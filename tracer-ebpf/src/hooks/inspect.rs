//! Run by the agent, on one connection or one attempt at a time: has one of the edge's timeouts passed?
//!
//! A raw tracepoint program that is attached nowhere: `BPF_PROG_TEST_RUN`, since 5.10. It reads the socket by address,
//! with checked copies, since it has no typed pointer to it.

use aya_ebpf::programs::RawTracePointContext;
use tracer_common::{
    Conn, Tuple, attempt, conn_flags as flag,
    tcp_state::{CLOSE, ESTABLISHED},
    triggers,
};

use crate::{
    conn::{
        owed::{Owed, owed},
        snapshot,
    },
    emit,
    kernel::{look::RawSock, sock::Identity},
    missing::attempts,
    tables::{
        connections,
        maps::{ATTEMPTS, CONFIG, INSPECTED},
    },
};

/// Nothing to tell, and nothing changes until the connection moves on.
const SETTLED: i32 = 0;

/// Nothing to tell yet.
const LATER: i32 = 1;

/// A record was made.
const REPORTED: i32 = 2;

/// Argument 0: the first place to look at; 1: a time. Answers as [`connections::find`] does.
#[inline(always)]
pub fn find(ctx: &RawTracePointContext) -> i32 {
    let (from, until_ns): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    connections::find(from as u32, until_ns) as i32
}

/// Argument 0: the connection's key.
#[inline(always)]
pub fn connection(ctx: &RawTracePointContext) -> i32 {
    let key: u64 = ctx.arg(0);
    let Some(live) = connections::get(key) else { return SETTLED };
    let Some(copy) = INSPECTED.get_ptr_mut(0) else { return LATER };
    // SAFETY: live map values; the copy is this CPU's.
    let (live, copy) = unsafe { (&mut *live, &mut *copy) };
    let sock = RawSock(key);
    if is_gone(live, sock) {
        connections::forget_left(key);
        return SETTLED;
    }
    let ended = flag::REPORTED | flag::ORIGIN_FIN | flag::PEER_FIN | flag::ABORTED | flag::LEAVING;
    if live.flags & ended != 0 {
        return SETTLED;
    }
    *copy = *live;
    let Some(state) = snapshot::snapshot_by_address(sock, copy) else { return LATER };
    if state != ESTABLISHED {
        return SETTLED;
    }
    let Some(config) = CONFIG.get(0) else { return LATER };
    match owed(copy, config, false) {
        Owed::Late => {
            // The edge may have left meanwhile.
            if live.flags & ended != 0 {
                return SETTLED;
            }
            let reported = attempts::edge_stopped_waiting(&live.tuple, key, &sock, copy.close.time_ns, true);
            live.flags |= flag::REPORTED;
            if !reported {
                emit::conn(copy, triggers::OVERDUE, tracer_common::rst::UNKNOWN);
            }
            REPORTED
        }
        Owed::Something => LATER,
        // What nobody reads may yet shut the window.
        Owed::Nothing if copy.close.unread > 0 => LATER,
        Owed::Nothing => SETTLED,
    }
}

/// Whether its end went unseen: its socket is closed (one that is being aborted is until its RST leaves), or another's.
#[inline(always)]
fn is_gone(conn: &Conn, sock: RawSock) -> bool {
    sock.peer() != conn.peer || sock.state() == Some(CLOSE) && conn.flags & flag::ABORTED == 0
}

/// Arguments 0 to 4: the attempt's addresses; 5: the connection's key, where it is known, or 0; 6: when the attempt
/// began.
#[inline(always)]
pub fn attempt(ctx: &RawTracePointContext) -> i32 {
    let words: [u64; 5] = [ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4)];
    // SAFETY: same size, integers and bytes on both sides.
    let tuple = unsafe { core::mem::transmute::<[u64; 5], Tuple>(words) };
    let Some(known) = ATTEMPTS.get_ptr_mut(&tuple) else { return SETTLED };
    // SAFETY: a live map value.
    let known = unsafe { &mut *known };
    let (key, first_ns): (u64, u64) = (ctx.arg(5), ctx.arg(6));
    // Another attempt may have begun meanwhile.
    if known.done != attempts::WAITING || known.first_ns != first_ns {
        return SETTLED;
    }
    if known.what == attempt::DATA && key == 0 {
        // The origin has no such connection any more: it would not have answered either.
        known.done = attempts::HARMLESS;
        return SETTLED;
    }
    if known.what == attempt::DATA {
        known.conn = key;
        // It came through after all.
        if !attempts::is_missing(known, &RawSock(key)) {
            known.done = attempts::HARMLESS;
            return SETTLED;
        }
    }
    attempts::report(&tuple, known);
    REPORTED
}
