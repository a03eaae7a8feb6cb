//! What is sent and received on sockets of whichever kind: of interest here are unix sockets (`upstream::unix`).

use aya_ebpf::programs::BtfTracePointContext;
use tracer_common::twins::{RECV_LENGTH, SEND_LENGTH};

use crate::{
    kernel::sock::{Identity as _, Sock},
    tables::twins::Role,
    upstream::unix,
};

/// A task has sent on a socket.
#[inline(always)]
pub fn send_length(ctx: &BtfTracePointContext, role: Role) {
    if let Some(sk) = Sock::new(ctx.arg(0))
        && !role.note_run(SEND_LENGTH, sk.key())
    {
        unix::sent(sk, ctx.arg(1));
    }
}

/// A task has received from a socket.
#[inline(always)]
pub fn recv_length(ctx: &BtfTracePointContext, role: Role) {
    if let Some(sk) = Sock::new(ctx.arg(0))
        && !role.note_run(RECV_LENGTH, sk.key())
    {
        unix::received(sk, ctx.arg(1), ctx.arg(2));
    }
}
