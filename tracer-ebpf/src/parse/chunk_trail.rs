//! Was a chunked body (RFC 9112 §7.1) sent to its end? Follows the chunks of a response from one size line to the next.
//!
//! The last bytes alone do not show it: a body that is cut between two chunks looks whole where the data themselves
//! end with an empty line, as rows of text may. So [`Conn::chunk_at`] holds where the next size line begins, and each
//! packet that contains that place moves it on.
//!
//! Whether the body is chunked at all is only known when the header section is read, in `framing`. Until then any
//! body whose first byte is a hexadecimal digit is followed; if it is not chunked, the findings are ignored.

use tracer_common::{Conn, limits, origin_flags as origin};

use super::{
    size_line::{LAST, LINE, NONE, UNKNOWN, chunk_line},
    verifier::{unknown, up_to},
    words::word,
};

/// How many chunks of one packet are followed; with more of them, the body is judged by its last bytes.
const MOST: u32 = 64;

/// No response is followed so far.
const NEVER: u64 = (1 << 31) - 1;

/// The first bytes of a size line, in memory order.
pub type Line = [u64; LINE / 8];

/// The header section has ended. Begins to follow chunks, unless the first byte of the body is known and is no
/// hexadecimal digit.
#[inline(always)]
pub fn may_begin(conn: &mut Conn, response: &[u8; limits::RESPONSE_LEN]) {
    let first = word(response, conn.head_len.into()) as u8;
    if conn.head_len >= conn.response_have || first.is_ascii_hexdigit() {
        conn.origin_flags |= origin::IN_CHUNKS;
        conn.chunk_at = conn.head_len;
    }
}

/// Follows the chunks that begin in a packet of `len` bytes at `seq` in the stream. `read` loads so many bytes (the
/// second argument: at most [`LINE`]) from a place in the packet's payload.
#[inline(always)]
pub fn follow(conn: &mut Conn, seq: u32, len: u32, read: impl Fn(u32, u32) -> Option<Line>) {
    for _ in 0..MOST {
        let from = conn.chunk_at.wrapping_sub(seq.wrapping_sub(conn.response_seq));
        // Else the size line began before this packet, in bytes that were not seen: the chunks are lost.
        if from < 1 << 31 {
            if from >= len {
                return;
            }
            let at = unknown(from.into()) as u32;
            let have = up_to(len.wrapping_sub(at), LINE as u64) as u32;
            let far = read(at, have).map_or(UNKNOWN, |[first, second]| chunk_line(first, second, have));
            if far > LAST {
                conn.chunk_at = (u64::from(conn.chunk_at) + far).min(NEVER) as u32;
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
