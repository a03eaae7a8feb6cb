//! The chunks of a response's body (RFC 9112 §7.1), followed from one size to the next: a body that is cut between
//! two of them looks whole by its last bytes where the data end with an empty line, as rows of text do.
//!
//! Whether the body has chunks at all is decided at the end, from the header section; where it has none, what is
//! found here says nothing.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, Heads, limits, origin_flags as origin};

use crate::wire::{
    packet::Payload,
    verifier::{unknown, up_to},
    words::{equal, lowest, word},
};

/// Chunks of one packet that are followed; with more, the body's last bytes have to tell.
const MOST: u32 = 64;

/// Bytes of a chunk's line that are looked at: its size and perhaps an extension.
const LINE: usize = 16;

/// What [`chunk_line`] makes of a line: it does not tell; it is none; it is the last one. Else how far it is to the
/// next one.
const UNKNOWN: u64 = 0;
const NONE: u64 = 1;
const LAST: u64 = 2;

/// The header section has ended: the body may begin with a chunk, unless it is seen not to.
#[inline(always)]
pub fn may_begin(conn: &mut Conn, heads: *const Heads) {
    // SAFETY: callers pass a live map value; the buffer has that size.
    let first =
        unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), conn.head_len.into()) };
    if conn.head_len >= conn.response_have || (first as u8).is_ascii_hexdigit() {
        conn.origin_flags |= origin::IN_CHUNKS;
        conn.chunk_at = conn.head_len;
    }
}

/// Follows the chunks that begin in this packet. In the kernel a function of its own, for the sake of its caller's
/// stack.
#[inline(never)]
pub fn follow(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) {
    for _ in 0..MOST {
        let from = conn.chunk_at.wrapping_sub(payload.seq.wrapping_sub(conn.response_seq));
        // Else its beginning was not seen.
        if from < 1 << 31 {
            if from >= payload.len {
                return;
            }
            let line = payload.after(unknown(from.into()) as u32);
            let mut bytes = [0_u64; LINE / 8];
            let len = up_to(line.len, LINE as u64) as u32;
            // SAFETY: at most LINE bytes into a buffer of that size; the helper checks the packet's side.
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

// As in `head`: a "global function", which the kernel checks once.

/// Reads the line that begins with these 16 bytes, of which the packet has so many.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn chunk_line(first: u64, second: u64, have: u32) -> u64 {
    let have = u64::from(have);
    let (mut size, mut digits) = (0_u64, 0_u64);
    for index in 0..8_u64 {
        // One state for the verifier to follow.
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
    // Who ends lines with LF alone may end data so.
    if byte_before(first, second, line - 1) != b'\r' {
        return UNKNOWN;
    }
    if size == 0 { LAST } else { line + size + 2 }
}

/// The byte before this one of sixteen.
#[inline(always)]
fn byte_before(first: u64, second: u64, at: u64) -> u8 {
    let at = at.wrapping_sub(1) & 15;
    (if at < 8 { first >> (8 * at) } else { second >> (8 * (at - 8)) }) as u8
}

/// The value of a hexadecimal digit; above 15: it is none.
#[inline(always)]
const fn hex(byte: u8) -> u8 {
    let number = byte.wrapping_sub(b'0');
    if number <= 9 {
        return number;
    }
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if letter <= 5 { letter + 10 } else { 0xff }
}
