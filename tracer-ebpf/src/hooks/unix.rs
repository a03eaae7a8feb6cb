//! What is sent and received on sockets of whichever kind: of interest here are unix sockets (`upstream::unix`).

use aya_ebpf::programs::BtfTracePointContext;

use crate::{kernel::sock::Sock, upstream::unix};

/// A task has sent on a socket.
#[inline(always)]
pub fn send_length(ctx: &BtfTracePointContext) {
    if let Some(sk) = Sock::new(ctx.arg(0)) {
        unix::sent(sk, ctx.arg(1));
    }
}

/// A task has received from a socket.
#[inline(always)]
pub fn recv_length(ctx: &BtfTracePointContext) {
    if let Some(sk) = Sock::new(ctx.arg(0)) {
        unix::received(sk, ctx.arg(1), ctx.arg(2));
    }
}
