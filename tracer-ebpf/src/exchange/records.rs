//! The edge's TLS records: which of them may be a request?
//!
//! Inside TLS only the outside of a record can be read: its type and its length. Requests are long. HTTP/2 sends
//! control frames as well (WINDOW_UPDATE, PING, SETTINGS), at any time and in any number, each in a short record. So
//! records are followed from header to header ([`Conn::record_seq`]), and [`Conn::request_end`] notes the end of the
//! last long one.
//!
//! Where the next record begins is lost if a header lies across two packets, or if packets arrive out of order. It is
//! found again at a packet that begins like a record.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, conn_flags as flag, limits};

use crate::{
    parse::{
        handshake,
        verifier::{if_zero, least, unknown},
    },
    wire::packet::Payload,
};

/// How many records of one packet are followed. More of them are short ones.
const MOST: u32 = 16;

/// Size of a record's header: type, version, length.
pub const HEADER: u32 = 5;

/// Longest content of a record (RFC 8446 §5.2).
const LONGEST: u32 = (1 << 14) + 256;

/// Content types (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

/// A ClientHello is never as short. Any shorter handshake record of the edge is of TLS 1.2, after the origin's part:
/// the key exchange, or Finished.
const SHORTEST_HELLO: u32 = 100;

/// No application data begins in the packet.
pub const NONE: u32 = u32::MAX;

/// The length in a record's header, whose first byte is the lowest of `header`. `None`: it is no header.
#[inline(always)]
pub fn length(header: u64) -> Option<u32> {
    let [kind, major, _, high, low, ..] = header.to_ne_bytes();
    let length = u32::from(high) << 8 | u32::from(low);
    ((20..=23).contains(&kind) && major == 3 && length <= LONGEST).then_some(length)
}

/// Follows the records that begin in this packet, on a connection that speaks TLS. Returns where the first record of
/// application data begins in the packet, or [`NONE`]. Not inlined: its caller would exceed the 512 bytes of stack that
/// a BPF program has.
#[inline(never)]
pub fn follow(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) -> u32 {
    let mut first = NONE;
    let known = conn.record_seq.wrapping_sub(payload.seq);
    let in_step = conn.flags & flag::RECORDS != 0 && known < 1 << 31;
    let mut at = if in_step { known } else { 0 };
    for _ in 0..MOST {
        if at >= payload.len {
            conn.record_seq = payload.seq.wrapping_add(at);
            conn.flags |= flag::RECORDS;
            return first;
        }
        let header = payload.after(unknown(at.into()) as u32);
        let mut bytes = [0_u64; 1];
        // SAFETY: writes HEADER bytes into a buffer of eight; the helper checks that they lie within the packet.
        let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), header.offset, bytes.as_mut_ptr().cast(), HEADER) };
        let kind = bytes[0].to_ne_bytes()[0];
        let Some(length) = length(bytes[0]).filter(|_| failed == 0) else { break };
        let begins = at;
        at += HEADER + length;
        if kind == APPLICATION_DATA {
            // All ones if it may hold a request.
            let is_long = if_zero((limits::MIN_OPAQUE_REQUEST - 1) / (HEADER + length));
            let seen = handshake::read(conn.flags, length, is_long);
            conn.flags = seen.flags;
            first = least(first, begins | !seen.is_data);
            conn.request_end = conn.request_end & !is_long | payload.seq.wrapping_add(at) & is_long;
        } else if kind == HANDSHAKE && length < SHORTEST_HELLO {
            conn.flags |= flag::FINISHED;
        }
    }
    conn.flags &= !flag::RECORDS;
    unknown(first.into()) as u32
}
