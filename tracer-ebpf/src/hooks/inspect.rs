//! Has one of the edge's timeouts passed? Time passes without any kernel event, so that the agent has to ask: it runs
//! these programs at intervals, on one connection or one missing packet at a time.
//!
//! They are raw tracepoint programs that are attached nowhere and run by `BPF_PROG_TEST_RUN`, since 5.10. Of a socket
//! they know the address only: they copy its fields with a helper that checks each access.

use aya_ebpf::programs::RawTracePointContext;
use tracer_common::{
    Conn, Tuple, answers, attempt, attempt_state, conn_flags as flag,
    gate::{Owed, owed},
    tcp_state::{CLOSE, ESTABLISHED},
    triggers,
};

use crate::{
    conn::{kept::InMaps, snapshot},
    emit,
    kernel::{look::RawSock, sock::Identity},
    missing::attempts,
    tables::{
        connections,
        counters::turns,
        maps::{ATTEMPTS, CONFIG, INSPECTED},
    },
};

// A program returns a signed number.
const SETTLED: i32 = answers::SETTLED as i32;
const LATER: i32 = answers::LATER as i32;
const REPORTED: i32 = answers::REPORTED as i32;

/// Finds the next connection on which nothing has happened for a while. Argument 0: the first place of the table to
/// look at; 1: a time. Returns what [`connections::find`] returns.
#[inline(always)]
pub fn find(ctx: &RawTracePointContext) -> i32 {
    let (from, until_ns): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    connections::find(from as u32, until_ns) as i32
}

/// Inspects one connection, and reports it if the edge's timeout on it has passed. Argument 0: the connection's key.
#[inline(always)]
pub fn connection(ctx: &RawTracePointContext) -> i32 {
    let key: u64 = ctx.arg(0);
    let Some(live) = connections::get(key) else { return SETTLED };
    let Some(copy) = INSPECTED.get_ptr_mut(0) else { return LATER };
    // SAFETY: map values stay valid while a program runs; the copy is this CPU's own slot.
    let (live, copy) = unsafe { (&mut *live, &mut *copy) };
    let sock = RawSock(key);
    // The close was missed.
    if is_gone(live, sock) {
        connections::forget_left(key);
        return SETTLED;
    }
    let ended = flag::REPORTED | flag::ORIGIN_FIN | flag::PEER_FIN | flag::ABORTED | flag::LEAVING;
    // Ending or reported already: the hooks that see it end do the rest.
    if live.flags & ended != 0 {
        return SETTLED;
    }
    *copy = *live;
    let Some(state) = snapshot::snapshot_by_address(sock, copy) else { return LATER };
    if state != ESTABLISHED {
        return SETTLED;
    }
    let Some(config) = CONFIG.get(0) else { return LATER };
    match owed(copy, config, false, &InMaps) {
        Owed::Late => {
            // The edge may have left since the copy was made: then the hook of that end reports it.
            if live.flags & ended != 0 {
                return SETTLED;
            }
            let reported = attempts::edge_stopped_waiting(&live.tuple, key, &sock, copy.close.time_ns, true);
            // Of several exchanges one is late: the others may yet fail.
            live.flags |= if live.flags & flag::H2 != 0 { flag::ASKED } else { flag::REPORTED };
            if !reported {
                copy.close.closer_turns = turns(copy.owner);
                emit::conn(copy, triggers::OVERDUE, tracer_common::rst::UNKNOWN);
            }
            REPORTED
        }
        Owed::Something => LATER,
        // Bytes that the process does not read may yet fill the window, after which the edge is stuck.
        Owed::Nothing if copy.close.unread > 0 => LATER,
        Owed::Nothing => SETTLED,
    }
}

/// Whether the connection's end was missed: its socket is closed, or its memory belongs to another connection. (A
/// connection that is being aborted is closed, too, until its RST leaves; it is not gone.)
#[inline(always)]
fn is_gone(conn: &Conn, sock: RawSock) -> bool {
    sock.peer() != conn.peer || sock.state() == Some(CLOSE) && conn.flags & flag::ABORTED == 0
}

/// Inspects one attempt (`missing::attempts`) after the edge's timeout, and reports it unless its packet came
/// through. Arguments 0 to 4: the attempt's addresses; 5: the connection's key, or 0 if there is no such connection;
/// 6: when the attempt began.
#[inline(always)]
pub fn attempt(ctx: &RawTracePointContext) -> i32 {
    let words: [u64; 5] = [ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4)];
    // SAFETY: both types have 40 bytes and consist of integers and bytes, for which any value is valid.
    let tuple = unsafe { core::mem::transmute::<[u64; 5], Tuple>(words) };
    let Some(known) = ATTEMPTS.get_ptr_mut(&tuple) else { return SETTLED };
    // SAFETY: map values stay valid while a program runs, even if another CPU evicts the entry.
    let known = unsafe { &mut *known };
    let (key, first_ns): (u64, u64) = (ctx.arg(5), ctx.arg(6));
    // Decided since the agent learned of it; or another attempt from the same port has begun.
    if known.state != attempt_state::WAITING || known.first_ns != first_ns {
        return SETTLED;
    }
    if known.kind == attempt::DATA && key == 0 {
        // The origin no longer has this connection: it would not have answered the packet either.
        known.state = attempt_state::HARMLESS;
        return SETTLED;
    }
    if known.kind == attempt::DATA {
        known.sock_key = key;
        // A copy of the packet came through after all.
        if !attempts::is_missing(known, &RawSock(key)) {
            known.state = attempt_state::HARMLESS;
            return SETTLED;
        }
    }
    attempts::give_up(&tuple, known);
    if known.state == attempt_state::REPORTED { REPORTED } else { SETTLED }
}
