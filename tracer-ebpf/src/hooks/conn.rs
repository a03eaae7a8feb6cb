//! The life of an edge connection: opened, closed by whom and how.
//!
//! `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, 5.10 to 7.2:
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h>

use aya_ebpf::{
    helpers::{bpf_jiffies64, bpf_ktime_get_ns},
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use tracer_common::{Close, Conn, conn_flags as flag, is_v4_mapped, limits, lost, pf, rst, triggers};

use crate::{
    edge, emit,
    hooks::payload,
    kernel::{Sock, TcpSock},
    maps::{BLANK, CLOSED, CONNS, HEADS, LOST, PORT_COUNTS, count, port_slot},
    process,
};

const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// `sk_err` of a connection that a tool destroyed (`ss -K`).
const ECONNABORTED: u32 = 103;

#[inline(always)]
pub fn set_state(ctx: &BtfTracePointContext) {
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    match (old, new) {
        (SYN_RECV, ESTABLISHED) => open(ctx, sk),
        (ESTABLISHED, CLOSE_WAIT) => mark(sk, flag::PEER_FIN),
        (ESTABLISHED, FIN_WAIT1) => {
            if let Some(conn) = CONNS.get_ptr_mut(&sk.key()) {
                finish(sk, conn, old, new);
            }
        }
        (ESTABLISHED, CLOSE) => {
            if let Some(conn) = CONNS.get_ptr_mut(&sk.key()) {
                abort(sk, conn, old, new);
            }
        }
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING, CLOSE) => {
            if let Some(conn) = CONNS.get_ptr_mut(&sk.key()) {
                // After the peer's FIN no request can be on its way.
                if !sk.peer_is_done() {
                    retire(conn);
                }
                forget(sk.key(), conn);
            }
        }
        (CLOSE_WAIT | LAST_ACK, CLOSE) => {
            if let Some(conn) = CONNS.get_ptr_mut(&sk.key()) {
                forget(sk.key(), conn);
            }
        }
        _ => {}
    }
}

/// A connection that the peer opened is established: watched from here on if the peer is an edge.
#[inline(always)]
fn open(ctx: &BtfTracePointContext, sk: Sock) {
    let peer = sk.peer_addr();
    if !edge::is_edge(&peer) || !edge::is_watched(sk.local_port()) || !sk.is_tcp() {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let Some(blank) = BLANK.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot; the softirq that opens connections is not interrupted by another opening one.
    let conn = unsafe { &mut *blank };
    conn.tuple = sk.tuple(peer);
    // SAFETY: the helper has no preconditions.
    conn.opened_ns = unsafe { bpf_ktime_get_ns() };
    conn.flags = 0;
    conn.copied = tcp.copied_seq();
    conn.turn_copied = conn.copied;
    conn.written = tcp.write_seq();
    conn.inode = 0;
    conn.port_slot = port_slot(conn.tuple.local_port);
    if insert(sk.key(), conn) {
        payload::early(&tcp);
        debug!(ctx, "watching a connection to port {}", conn.tuple.local_port);
    } else {
        debug!(ctx, "the table of connections is full: one to port {} stays unknown", conn.tuple.local_port);
    }
}

/// Puts a filled-in connection into the table and counts it. `false`: the table is full.
#[inline(always)]
pub fn insert(key: u64, conn: &Conn) -> bool {
    if CONNS.insert(&key, conn, 0).is_err() {
        count(&LOST, lost::CONNECTIONS);
        return false;
    }
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe {
            if is_v4_mapped(&conn.tuple.peer_addr) {
                (*counts).connections_ipv4 += 1;
            } else {
                (*counts).connections_ipv6 += 1;
            }
        }
    }
    true
}

#[inline(always)]
fn mark(sk: Sock, flags: u32) {
    if let Some(conn) = CONNS.get_ptr_mut(&sk.key()) {
        // SAFETY: a live map value.
        unsafe { (*conn).flags |= flags }
    }
}

/// Drops the connection from the table.
#[inline(always)]
pub fn forget(key: u64, conn: *mut Conn) {
    // SAFETY: a live map value.
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(unsafe { (*conn).port_slot }) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).closed += 1 }
    }
    // SAFETY: as above.
    if unsafe { (*conn).flags } & flag::HEADS != 0 {
        let _gone = HEADS.remove(&key);
    }
    // It may be gone already: nothing to do then.
    let _gone = CONNS.remove(&key);
}

/// Writes down how the connection stands and which task closes it. Must run before the kernel resets the counters.
#[inline(always)]
fn stand(sk: Sock, tcp: TcpSock, conn: &mut Conn, old: u8, new: u8) {
    let write_seq = tcp.write_seq();
    // SAFETY: the helpers have no preconditions.
    let (now, jiffies) = unsafe { (bpf_ktime_get_ns(), bpf_jiffies64() as u32) };
    let unread = tcp.rcv_nxt().wrapping_sub(tcp.copied_seq());
    conn.close = Close {
        time_ns: now,
        bytes_received: tcp.bytes_received(),
        bytes_sent: tcp.bytes_sent(),
        unread,
        since_read: write_seq.wrapping_sub(conn.written),
        turn_in: conn.copied.wrapping_sub(conn.turn_copied).wrapping_add(unread),
        response_bytes: write_seq.wrapping_sub(conn.response_seq),
        received_jiffies_ago: jiffies.wrapping_sub(tcp.lrcvtime()),
        sent_jiffies_ago: jiffies.wrapping_sub(tcp.lsndtime()),
        err: sk.err(),
        old_state: old,
        new_state: new,
        accepted: u8::from(sk.socket() != 0),
        pad: 0,
    };
    conn.closer = process::closer(conn);
}

/// Whether a request is in hand that no response byte answers.
#[inline(always)]
fn unanswered(conn: &Conn) -> bool {
    let close = &conn.close;
    if close.bytes_received == 0 && conn.flags & flag::SEEDED == 0 {
        return false;
    }
    if conn.flags & flag::HTTP != 0 {
        return close.response_bytes == 0;
    }
    close.unread > 0
        || (close.since_read == 0 && close.turn_in >= limits::MIN_OPAQUE_REQUEST)
        || (close.since_read == 0 && conn.flags & flag::SEEDED != 0)
}

/// Whether the closing process is ending with an exchange that may not have been whole.
#[inline(always)]
fn process_ends(conn: &Conn) -> bool {
    conn.closer.flags & pf::EXITING != 0 && conn.exchanges > 0
}

/// ESTABLISHED → FIN_WAIT1, in the closing task: the origin sends FIN first.
#[inline(always)]
fn finish(sk: Sock, conn: *mut Conn, old: u8, new: u8) {
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: a live map value; the socket is locked, so nobody else closes it.
    let state = unsafe { &mut *conn };
    stand(sk, tcp, state, old, new);
    state.flags |= flag::ORIGIN_FIN;
    if unanswered(state) || process_ends(state) {
        emit::conn(conn, sk.key(), triggers::FIN, rst::UNKNOWN);
    }
}

/// ESTABLISHED → CLOSE: reset by the peer, given up, destroyed, or about to be reset by the origin.
#[inline(always)]
fn abort(sk: Sock, conn: *mut Conn, old: u8, new: u8) {
    let err = sk.err();
    if err != 0 && err != ECONNABORTED {
        return forget(sk.key(), conn);
    }
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: as in `finish`.
    let state = unsafe { &mut *conn };
    stand(sk, tcp, state, old, new);
    state.flags |= flag::ABORTED;
    // Destroyed by a tool: the RST went out before the state changed.
    if err == ECONNABORTED {
        reset_by_origin(sk.key(), conn, rst::UNKNOWN);
    }
}

/// The RST that ends an aborted connection: reports it if a request was lost, and forgets it.
#[inline(always)]
pub fn reset_by_origin(key: u64, conn: *mut Conn, reason: u32) {
    // SAFETY: a live map value.
    let state = unsafe { &*conn };
    let fresh = state.exchanges == 0 && state.close.time_ns.wrapping_sub(state.opened_ns) < limits::FRESH_NS;
    let answered = state.flags & flag::HTTP != 0 && state.exchanges > 0;
    if fresh || answered || state.close.accepted == 0 || unanswered(state) || process_ends(state) {
        emit::conn(conn, key, triggers::RST, reason);
    }
    forget(key, conn);
}

/// A connection that the origin closed leaves the table: remembered for a while, should a request have been on its way.
#[inline(always)]
fn retire(conn: *mut Conn) {
    // SAFETY: a live map value.
    unsafe {
        if (*conn).flags & (flag::REPORTED | flag::ORIGIN_FIN) != flag::ORIGIN_FIN {
            return;
        }
        let _full_is_lru = CLOSED.insert(&(*conn).tuple, &*conn, 0);
    }
}
