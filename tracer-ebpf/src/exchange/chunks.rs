//! Was a chunked body (RFC 9112 §7.1) sent to its end? Follows the chunks of a response from one size line to the next.
//!
//! The last bytes alone do not show it: a body that is cut between two chunks looks whole where the data themselves
//! end with an empty line, as rows of text may. So [`Conn::chunk_at`] holds where the next size line begins, and each
//! packet that contains that place moves it on.
//!
//! Whether the body is chunked at all is only known when the header section is read, in `verdict`. Until then any
//! body whose first byte is a hexadecimal digit is followed; if it is not chunked, the findings are ignored.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, Heads, limits, origin_flags as origin};

use crate::wire::{
    packet::Payload,
    size_line::{LAST, LINE, NONE, UNKNOWN, chunk_line},
    verifier::{unknown, up_to},
    words::word,
};

/// How many chunks of one packet are followed; with more of them, the body is judged by its last bytes.
const MOST: u32 = 64;

/// The header section has ended. Begins to follow chunks, unless the first byte of the body is known and is no
/// hexadecimal digit.
#[inline(always)]
pub fn may_begin(conn: &mut Conn, heads: *const Heads) {
    // SAFETY: callers pass a pointer to a live map value, whose `response` has RESPONSE_LEN bytes; `word` stays
    // within them.
    let first =
        unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), conn.head_len.into()) };
    if conn.head_len >= conn.response_have || (first as u8).is_ascii_hexdigit() {
        conn.origin_flags |= origin::IN_CHUNKS;
        conn.chunk_at = conn.head_len;
    }
}

/// Follows the chunks that begin in this packet. Not inlined: its caller would exceed the 512 bytes of stack that a
/// BPF program has.
#[inline(never)]
pub fn follow(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) {
    for _ in 0..MOST {
        let from = conn.chunk_at.wrapping_sub(payload.seq.wrapping_sub(conn.response_seq));
        // Else the size line began before this packet, in bytes that were not seen: the chunks are lost.
        if from < 1 << 31 {
            if from >= payload.len {
                return;
            }
            let line = payload.after(unknown(from.into()) as u32);
            let mut bytes = [0_u64; LINE / 8];
            let len = up_to(line.len, LINE as u64) as u32;
            // SAFETY: `len` is at most LINE, the size of `bytes`; the helper checks that they lie within the packet.
            let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), line.offset, bytes.as_mut_ptr().cast(), len) };
            let far = if failed == 0 { chunk_line(bytes[0], bytes[1], len) } else { UNKNOWN };
            if far > LAST && far < 1 << 31 {
                conn.chunk_at = conn.chunk_at.wrapping_add(far as u32);
                continue;
            }
            conn.origin_flags |= match far {
                NONE => origin::NO_CHUNK,
                LAST => origin::LAST_CHUNK,
                _ => 0,
            };
        }
        conn.origin_flags &= !origin::IN_CHUNKS;
        return;
    }
    conn.origin_flags &= !origin::IN_CHUNKS;
}
