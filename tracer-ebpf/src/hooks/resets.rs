//! RSTs: those that the origin sends on its own (an abortive close), those that the host sends in answer to a packet,
//! and those that the edge sends.
//!
//! `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])`; `reason`
//! from 6.12 on. Before that it does not fire where there is no full socket (closed port, time-wait); `netfilter`
//! then finds those RSTs. `tcp_receive_reset(struct sock *sk)`.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/tcp.h>

use core::ffi::c_void;

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::BtfTracePointContext};
use tracer_common::{conn_flags as flag, rst, tcp_state::ESTABLISHED, triggers, twins::SEND_RESET};

use crate::{
    conn::ends,
    emit,
    kernel::{
        features::send_reset_sees_all,
        number,
        skb::Segment,
        sock::{Identity, Sock},
    },
    missing::{
        answers, attempts,
        refusals::{count_reset, refused_with_reset},
    },
    tables::{connections, counters::count, maps::RESETS_RECEIVED, twins::Role},
};

/// The host sends a RST: in answer to a packet (`skb`), or on a socket that is aborted (`skb` is null).
#[inline(always)]
pub fn send_reset(ctx: &BtfTracePointContext, role: Role) {
    let reason = if send_reset_sees_all() { ctx.arg::<u32>(2) } else { rst::UNKNOWN };
    let skb: *const c_void = ctx.arg(1);
    if !skb.is_null() {
        if role.note_run(SEND_RESET, number(skb)) {
            return;
        }
        return reset_for_packet(skb as u64, reason);
    }
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if role.note_run(SEND_RESET, sk.key()) {
        return;
    }
    let Some(conn) = connections::of(sk) else { return };
    count_reset(reason);
    // SAFETY: map values stay valid while a program runs.
    if unsafe { (*conn).flags } & flag::ABORTED != 0 {
        ends::reset_by_origin(sk.key(), conn, reason);
    }
}

/// A RST in answer to a packet. Not inlined: its caller would exceed the 512 bytes of stack that a BPF program has.
#[inline(never)]
fn reset_for_packet(skb: u64, reason: u32) {
    let Some(segment) = Segment::of(skb) else { return };
    if !send_reset_sees_all() {
        answers::note_reported_reset(&segment.tuple);
    }
    refused_with_reset(&segment, reason);
}

/// A connection receives a RST.
#[inline(always)]
pub fn receive_reset(ctx: &BtfTracePointContext) {
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if let Some(conn) = connections::of(sk) {
        // SAFETY: map values stay valid while a program runs, and the socket is locked. The helper has no
        // preconditions.
        let (state, now) = unsafe { (&mut *conn, bpf_ktime_get_ns()) };
        // Not from the edge but from a REJECT rule, in the edge's name.
        if attempts::reset_by_firewall(&state.tuple, now) {
            return;
        }
        count(&RESETS_RECEIVED, 0);
        if sk.state() == ESTABLISHED && ends::edge_leaves(sk, state, triggers::EDGE_RST) != 0 {
            emit::conn(conn, triggers::EDGE_RST, rst::UNKNOWN);
        }
    }
}
