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
    verifier::{unknown, up_to},
    words::{equal, lowest, word},
};

/// How many chunks of one packet are followed; with more of them, the body is judged by its last bytes.
const MOST: u32 = 64;

/// How many bytes of a chunk's size line are read: the size and perhaps an extension.
const LINE: usize = 16;

/// Result of [`chunk_line`]: cannot be decided. Any result above [`LAST`] is the distance in bytes to the next size
/// line.
const UNKNOWN: u64 = 0;
/// Result of [`chunk_line`]: not a size line.
const NONE: u64 = 1;
/// Result of [`chunk_line`]: the size line of the last chunk, which has size 0.
const LAST: u64 = 2;

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

// One of the kernel's "global functions": the verifier checks it once and not at each call.

/// Reads a size line. `first` and `second` are its first 16 bytes, in memory order; only `have` of them are in the
/// packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn chunk_line(first: u64, second: u64, have: u32) -> u64 {
    let have = u64::from(have);
    let (mut size, mut digits) = (0_u64, 0_u64);
    for index in 0..8_u64 {
        // Makes the values unknown to the verifier, so that it follows one state and not one for each value.
        (size, digits) = (unknown(size), unknown(digits));
        let digit = hex((first >> (8 * index)) as u8);
        if digit > 0xf || index >= have {
            break;
        }
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    if digits == 0 {
        return NONE;
    }
    let after = if digits < 8 { (first >> (8 * (digits & 7))) as u8 } else { second as u8 };
    let (ends, more) = (equal(first, b'\n'), equal(second, b'\n'));
    let line = match (ends, more) {
        (0, 0) => return UNKNOWN,
        (0, more) => 9 + lowest(more),
        (ends, _) => 1 + lowest(ends),
    };
    if digits >= have || line > have || digits == 8 && hex(after) <= 0xf {
        return UNKNOWN;
    }
    if !matches!(after, b'\r' | b'\n' | b';' | b' ' | b'\t') {
        return NONE;
    }
    // A server that ends size lines with LF alone may end its data so, too: its chunks cannot be told from data.
    if byte_before(first, second, line - 1) != b'\r' {
        return UNKNOWN;
    }
    if size == 0 { LAST } else { line + size + 2 }
}

/// Returns the byte before byte `at` of the sixteen in `first` and `second`.
#[inline(always)]
fn byte_before(first: u64, second: u64, at: u64) -> u8 {
    let at = at.wrapping_sub(1) & 15;
    (if at < 8 { first >> (8 * at) } else { second >> (8 * (at - 8)) }) as u8
}

/// Returns the value of a hexadecimal digit, or a number above 15 for any other byte.
#[inline(always)]
const fn hex(byte: u8) -> u8 {
    let number = byte.wrapping_sub(b'0');
    if number <= 9 {
        return number;
    }
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if letter <= 5 { letter + 10 } else { 0xff }
}
