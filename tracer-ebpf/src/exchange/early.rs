//! Data that came with the packet that completes a handshake.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, programs::SkBuffContext};
use tracer_common::limits;

use crate::{
    exchange::{
        request::begin_request,
        sniff::{PROXY_V1, PROXY_V2, sniff, sniff_kept},
    },
    kernel::sock::{Identity, TcpSock},
    tables::{connections, heads, maps::EARLY},
    wire::packet::{Ends, Payload, copy},
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// Data came with the packet that completes a handshake (TCP_DEFER_ACCEPT, a lost ACK): the filter still sees the
/// listener. Kept until the new socket is there.
#[inline(never)]
pub fn keep_early_data(ctx: &SkBuffContext, payload: &Payload) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot; a softirq is not interrupted by another.
    let early = unsafe { &mut *early };
    let Some(packet) = Ends::of(ctx, 0, 6) else { return };
    early.peer_addr = packet.source;
    early.peer_port = packet.source_port;
    early.local_port = packet.destination_port;
    early.seq = payload.seq;
    early.len = payload.len;
    early.have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, early.head.as_mut_ptr(), 0);
}

/// A connection has opened: what came with its handshake is its first data.
#[inline(always)]
pub fn take_early_data(tcp: &TcpSock) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot.
    let early = unsafe { &mut *early };
    if early.len == 0 {
        return;
    }
    let Some(conn) = connections::get(tcp.key()) else { return };
    // SAFETY: a live map value.
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
    let Some(heads) = heads::of(state) else { return };
    state.request_have = early.have;
    // SAFETY: a live map value; both sides have REQUEST bytes.
    unsafe { bpf_probe_read_kernel((&raw mut (*heads).request).cast(), REQUEST, early.head.as_ptr().cast()) };
    if early.have >= 4 && word != PROXY_V1 && word != PROXY_V2 {
        sniff(state, word);
    } else {
        sniff_kept(state, heads);
    }
}
