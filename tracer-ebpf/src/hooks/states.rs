//! Changes of a TCP socket's state: a connection opens, and is watched if its peer is an edge; or it closes, and is
//! judged (`conn::ends`) by who closed it, and how.
//!
//! `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, 5.10 to 7.2:
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h>

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use tracer_common::{
    Conn, conn_flags as flag, rst,
    tcp_state::{CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT},
    triggers,
    twins::SET_STATE,
};

use crate::{
    conn::ends::{GOES, Outcome, abort, edge_leaves, finish, retire},
    emit,
    exchange::early::take_early_data,
    kernel::sock::{Identity, Sock},
    missing::attempts,
    tables::{
        connections::{self, forget, insert},
        counters::port_slot,
        edge,
        keys::sight,
        maps::BLANK,
        processes,
        twins::{self, Role},
    },
    upstream::tcp,
};

/// A TCP socket goes from one state to another.
#[inline(always)]
pub fn set_state(ctx: &BtfTracePointContext, role: Role) {
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if role.note_run(SET_STATE, sk.key()) && twins::never_preempted() {
        return;
    }
    match (old, new) {
        (SYN_RECV, ESTABLISHED) => return open(ctx, sk, role),
        (CLOSE, LISTEN) => return listens(sk),
        (CLOSE, SYN_SENT) => return tcp::connects(sk),
        (SYN_SENT, ESTABLISHED | CLOSE) => return tcp::connected(sk, new),
        (ESTABLISHED, CLOSE_WAIT | FIN_WAIT1 | CLOSE) => {}
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING | CLOSE_WAIT | LAST_ACK, CLOSE) => {}
        // Steps in between: they end nothing.
        _ => return,
    }
    let Some(conn) = connections::of(sk) else { return tcp::changes(sk, old, new) };
    // SAFETY: map values stay valid while a program runs; the socket is locked, so that nobody else changes its state.
    let state = unsafe { &mut *conn };
    let left = flag::ORIGIN_FIN | flag::PEER_FIN | flag::ABORTED;
    // The first program has run for this change before its twin: see `tables::twins`.
    if role == Role::Second && old == ESTABLISHED && state.flags & left != 0 {
        return;
    }
    // The edge's FIN; or its close_notify, which came before anything of an answer, made the origin close.
    let was_left = state.flags & flag::CLOSE_NOTIFY != 0 && state.record_seq == 0;
    let leaves = old == ESTABLISHED && (new == CLOSE_WAIT || was_left);
    let outcome = match (old, new) {
        _ if leaves => Outcome { trigger: edge_leaves(sk, state, triggers::EDGE_FIN), gone: new == CLOSE },
        (ESTABLISHED, FIN_WAIT1) => Outcome { trigger: finish(sk, state, old, new), gone: false },
        (ESTABLISHED, _) => abort(sk, state, old, new),
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING, _) => {
            // `finish` has set it; but a packet that arrived at that moment on another CPU may have overwritten the
            // flags.
            if state.close.new_state == FIN_WAIT1 {
                state.flags |= flag::ORIGIN_FIN;
            }
            // After the edge's FIN no further request can be on its way.
            if !sk.peer_is_done() {
                retire(state);
            }
            GOES
        }
        _ => GOES,
    };
    if outcome.trigger != 0 {
        emit::conn(conn, outcome.trigger, rst::UNKNOWN);
    }
    if leaves {
        state.flags |= flag::PEER_FIN;
    }
    if outcome.gone {
        forget(sk.key(), conn);
    }
}

/// The current process listens.
#[inline(always)]
fn listens(sk: Sock) {
    let listener = sk.listener();
    processes::listens(listener);
    if sight() && edge::is_watched(listener.port as u16) {
        emit::listens(listener.port);
    }
}

/// A connection that the peer opened is established: watches it from here on if the peer is an edge.
#[inline(always)]
fn open(ctx: &BtfTracePointContext, sk: Sock, role: Role) {
    let peer = sk.peer_addr();
    if !edge::is_edge(&peer) {
        return tcp::accepted(sk);
    }
    if !edge::is_watched(sk.local_port()) || !sk.is_tcp() {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: map values stay valid while a program runs. An entry of an earlier connection whose close was missed
    // has other sequence numbers.
    let is_known =
        |conn: *mut Conn| unsafe { (*conn).copied == tcp.copied_seq() && (*conn).written == tcp.write_seq() };
    if let Some(known) = connections::get(sk.key()) {
        if role == Role::Second && is_known(known) {
            return;
        }
        // An earlier connection at the same address, whose close was missed.
        forget(sk.key(), known);
    }
    let Some(blank) = BLANK.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's slot of an array map; slot 0 is used by the softirq that opens
    // connections, which is not interrupted by another one.
    let conn = unsafe { &mut *blank };
    conn.tuple = sk.tuple(peer);
    // SAFETY: the helper takes no arguments and has no preconditions.
    conn.opened_ns = unsafe { bpf_ktime_get_ns() };
    conn.key = sk.key();
    conn.peer = sk.peer();
    conn.heads = 0;
    conn.flags = 0;
    conn.read_ns = 0;
    conn.copied = tcp.copied_seq();
    conn.turn_copied = conn.copied;
    conn.request_end = conn.copied;
    conn.written = tcp.write_seq();
    conn.inode = 0;
    conn.port_slot = port_slot(conn.tuple.local_port) as u16;
    if insert(sk.key(), conn) {
        take_early_data(&tcp);
        attempts::attempt_decided(&conn.tuple, conn.copied, conn.opened_ns);
        debug!(ctx, "watching a connection to port {}", conn.tuple.local_port);
    } else {
        debug!(ctx, "the table of connections is full: one to port {} stays unknown", conn.tuple.local_port);
    }
}
