//! Packets of connections that may speak HTTP/2 inside TLS. They have programs of their own: those at the root cgroup
//! hand over to them (tail calls), and they to themselves, as long as a packet holds more records than one run can
//! follow. So each is verified on its own, and a packet may hold many records.
//!
//! A tail call does not return. Where it can't be made (33 in a row are allowed), the program goes on behind it.

use aya_ebpf::programs::SkBuffContext;
use tracer_common::rst;

use crate::{
    emit,
    exchange::{handover::handed, hello, sealed_answer, trail},
    kernel::sock::PacketSock,
    tables::{
        connections,
        maps::{TRAIL_IN, TRAIL_OUT},
        trails,
    },
};

/// The rest of [`super::packets::ingress`].
#[inline(always)]
pub fn ingress(ctx: &SkBuffContext) {
    let (payload, ..) = handed(ctx);
    let Some(conn) = PacketSock::of(ctx).and_then(connections::of) else { return };
    // SAFETY: a live map value, and the packets of one connection come one after the other.
    let state = unsafe { &mut *conn };
    let Some(trail) = trails::of(state) else { return };
    // SAFETY: as above.
    let trail = unsafe { &mut *trail };
    if trail::follow_edge(ctx, state, trail, &payload) {
        // SAFETY: the program calls itself, for the same packet.
        unsafe { TRAIL_IN.tail_call(ctx, 0) };
        trail::lose_step(&mut trail.edge, &payload);
    }
    let trigger = trail::edge_said(state, trail, &payload);
    if trigger != 0 {
        emit::conn(conn, trigger, rst::UNKNOWN);
    }
}

/// The rest of [`super::packets::egress`].
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let (payload, trigger, answers) = handed(ctx);
    let Some(conn) = PacketSock::of(ctx).and_then(connections::of) else { return };
    // SAFETY: as above.
    let state = unsafe { &mut *conn };
    let mut asked = 0;
    if let Some(trail) = trails::of(state) {
        // SAFETY: as above.
        let trail = unsafe { &mut *trail };
        if trail::follow_origin(ctx, state, trail, &payload) {
            // SAFETY: as above.
            unsafe { TRAIL_OUT.tail_call(ctx, 0) };
            trail::lose_step(&mut trail.origin, &payload);
        }
        asked = trail::origin_said(state, trail);
    } else {
        hello::note_offer(state);
    }
    if answers {
        sealed_answer::look(conn, payload.len);
    }
    let trigger = if trigger == 0 { asked } else { trigger };
    if trigger != 0 {
        emit::conn(conn, trigger, rst::UNKNOWN);
    }
}
