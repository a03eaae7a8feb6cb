//! Resets: sent on purpose, sent in answer to a packet, received.
//!
//! `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])`; `reason` from
//! 6.12 on. Before that it does not fire where there is no full socket (closed port, time-wait).
//! `tcp_receive_reset(struct sock *sk)`. <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/tcp.h>

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns, programs::BtfTracePointContext};
use tracer_common::{conn_flags as flag, limits, rst, triggers, twins::SEND_RESET};

use crate::{
    conns, edge, emit,
    hooks::{attempts, conn, drop, payload},
    kernel::{Identity, Segment, Sock, number},
    maps::{CLOSED, RESETS_RECEIVED, RESETS_SENT, count},
    twins::Place,
};

/// 1: this kernel's tracepoint has the `reason` argument.
#[unsafe(no_mangle)]
static HAS_RST_REASON: Global<u8> = Global::new(0);

#[inline(always)]
pub fn send_reset(ctx: &BtfTracePointContext, place: Place) {
    let reason = if tells_all() { ctx.arg::<u32>(2) } else { rst::UNKNOWN };
    let skb: *const c_void = ctx.arg(1);
    if !skb.is_null() {
        if place.note_run(SEND_RESET, number(skb)) {
            return;
        }
        return answer(skb as u64, reason);
    }
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if place.note_run(SEND_RESET, sk.key()) {
        return;
    }
    let Some(conn) = conns::of(sk) else { return };
    count_reset(reason);
    // SAFETY: a live map value.
    if unsafe { (*conn).flags } & flag::ABORTED != 0 {
        conn::reset_by_origin(sk.key(), conn, reason);
    }
}

/// Whether this kernel's tracepoint also fires where there is no full socket: since it has a reason to give.
#[inline(always)]
pub fn tells_all() -> bool {
    HAS_RST_REASON.load() != 0
}

/// A RST in answer to a packet. In the kernel a function of its own, for the sake of its caller's stack, as is the next.
#[inline(never)]
fn answer(skb: u64, reason: u32) {
    let Some(segment) = Segment::of(skb) else { return };
    if !tells_all() {
        drop::reset_is_told(&segment.tuple);
    }
    answer_to(&segment, reason);
}

/// A RST in answer to a packet: to a SYN that nobody listens for, or to data on a connection that the origin had closed.
#[inline(never)]
pub fn answer_to(segment: &Segment, reason: u32) {
    if !edge::is_edge(&segment.tuple.peer_addr) || !edge::is_watched(segment.tuple.local_port) {
        return;
    }
    count_reset(reason);
    if segment.syn && !segment.ack {
        // SAFETY: the helper has no preconditions.
        attempts::answered(&segment.tuple, segment.seq, unsafe { bpf_ktime_get_ns() });
        return emit::refused(&segment.tuple, reason);
    }
    if segment.payload == 0 {
        return attempts::reset_at_listener(&segment.tuple);
    }
    if let Some(closed) = CLOSED.get_ptr_mut(&segment.tuple) {
        // SAFETY: a live map value.
        unsafe {
            if (*closed).flags & flag::REPORTED != 0 || !payload::may_be_request(&*closed, segment.payload) {
                return;
            }
            (*closed).late_len = segment.payload;
        }
        emit::conn(closed, triggers::LATE, reason);
    }
}

#[inline(always)]
fn count_reset(reason: u32) {
    let last = limits::RESET_REASONS - 1;
    count(&RESETS_SENT, if reason < last { reason } else { last });
}

#[inline(always)]
pub fn receive_reset(ctx: &BtfTracePointContext) {
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if let Some(conn) = conns::of(sk) {
        // SAFETY: a live map value; the socket is locked. The helper has no preconditions.
        let (state, now) = unsafe { (&mut *conn, bpf_ktime_get_ns()) };
        if attempts::reset_by_firewall(&state.tuple, now) {
            return;
        }
        count(&RESETS_RECEIVED, 0);
        if sk.state() == conn::ESTABLISHED && conn::edge_leaves(sk, state, triggers::EDGE_RST) != 0 {
            emit::conn(conn, triggers::EDGE_RST, rst::UNKNOWN);
        }
    }
}
