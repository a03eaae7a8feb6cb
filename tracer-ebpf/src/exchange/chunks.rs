//! The chunks of a response as it goes out, packet by packet: loads their size lines, which `parse::chunk_trail` reads.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::Conn;

use crate::{
    parse::chunk_trail::{self, Line},
    wire::packet::Payload,
};

/// Follows the chunks that begin in this packet. Not inlined: its caller would exceed the 512 bytes of stack that a
/// BPF program has.
#[inline(never)]
pub fn follow(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) {
    chunk_trail::follow(conn, payload.seq, payload.len, |at, len| {
        let mut line = Line::default();
        // SAFETY: `len` is at most the size of `line`; the helper checks that the bytes lie within the packet.
        let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset + at, line.as_mut_ptr().cast(), len) };
        (failed == 0).then_some(line)
    });
}
