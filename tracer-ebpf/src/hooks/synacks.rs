//! SYN-ACKs that the edge does not answer: the kernel sends them again.
//!
//! `tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`, 5.10 to 7.2. It fires when a SYN-ACK
//! is sent again, because time has passed or because another copy of the SYN came.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/tcp.h>

use aya_ebpf::programs::BtfTracePointContext;
use tracer_common::{Attempt, attempt as kind, hook, taken};

use crate::{kernel::sock::Request, missing::attempts, tables::edge};

/// The kernel sends a SYN-ACK again. To an edge it is noted as lost: it may turn out that only the answer was late, or
/// that netfilter dropped it.
#[inline(always)]
pub fn retransmit(ctx: &BtfTracePointContext) {
    let Some(request) = Request::new(ctx.arg(1)) else { return };
    if edge::is_edge(&request.peer_addr()) && edge::is_watched(request.local_port()) && !request.is_acknowledged() {
        note(request);
    }
}

/// Not inlined: its caller would exceed the 512 bytes of stack that a BPF program has.
#[inline(never)]
fn note(request: Request) {
    let mut seen = Attempt {
        kind: kind::SYN_ACK,
        cause: taken::LOST,
        hook: hook::UNKNOWN,
        seq: request.peer_isn(),
        outward: 1,
        ..Attempt::default()
    };
    attempts::note(&request.tuple(), &mut seen);
}
