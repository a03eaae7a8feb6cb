//! Data that arrives in the packet that completes a handshake (TCP_DEFER_ACCEPT, or an ACK that was lost before).
//!
//! When the packet is filtered, the connection does not exist yet: the packet's socket is still the listener. Its
//! bytes are kept per CPU, and the new connection takes them over when it opens, which happens in the same softirq.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, programs::SkBuffContext};
use tracer_common::limits;

use crate::{
    exchange::{
        request::begin_request,
        sniff::{PROXY_V1, PROXY_V2, sniff, sniff_kept},
    },
    kernel::sock::{Identity, TcpSock},
    tables::{
        connections, heads,
        keys::{note_hello, sight},
        maps::EARLY,
    },
    wire::packet::{Ends, Payload, copy},
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// Keeps the data of a packet for a listener until the connection opens.
#[inline(never)]
pub fn keep_early_data(ctx: &SkBuffContext, payload: &Payload) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's slot of an array map, and one softirq is not interrupted by another.
    let early = unsafe { &mut *early };
    let Some(packet) = Ends::of(ctx, 0, 6) else { return };
    early.peer_addr = packet.source;
    early.peer_port = packet.source_port;
    early.local_port = packet.destination_port;
    early.seq = payload.seq;
    early.len = payload.len;
    early.have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, early.head.as_mut_ptr(), 0);
}

/// A connection has opened. If the data kept on this CPU is from the same peer and for the same port, begins its
/// first request with it.
#[inline(always)]
pub fn take_early_data(tcp: &TcpSock) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's slot of an array map, and one softirq is not interrupted by another.
    let early = unsafe { &mut *early };
    if early.len == 0 {
        return;
    }
    let Some(conn) = connections::get(tcp.key()) else { return };
    // SAFETY: map values stay valid while a program runs, and nobody else knows a connection that is just opening.
    let state = unsafe { &mut *conn };
    let same = early.peer_port == state.tuple.peer_port
        && early.local_port == state.tuple.local_port
        && early.peer_addr == state.tuple.peer_addr;
    if !same {
        return;
    }
    let word = u32::from_ne_bytes([early.head[0], early.head[1], early.head[2], early.head[3]]);
    begin_request(state, early.seq, tcp);
    state.request_len = early.len;
    early.len = 0;
    let Some(heads) = heads::of_or_take(state) else { return };
    state.request_have = early.have;
    // SAFETY: map values stay valid while a program runs; source and target both have REQUEST bytes.
    unsafe { bpf_probe_read_kernel((&raw mut (*heads).request).cast(), REQUEST, early.head.as_ptr().cast()) };
    if early.have >= 4 && word != PROXY_V1 && word != PROXY_V2 {
        sniff(state, word);
    } else {
        sniff_kept(state, heads);
    }
    if sight() {
        note_hello(state);
    }
}
