//! The header section of a response as it goes out, packet by packet: where it ends, which interim responses (1xx)
//! come before it, and which bytes are the last ones sent.
//!
//! While the section fits the buffer of kept bytes, the end is searched there. A larger one is searched in the
//! packets themselves, piece by piece, each with the eight bytes before it, in case the empty line lies across two
//! pieces.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, Heads, conn_flags as flag, limits, origin_flags as origin};

use crate::{
    exchange::{origin_error, search},
    parse::{
        chunk_trail::may_begin,
        framing::{blanks, is_interim, is_upgrade},
        verifier::{unknown, up_to},
    },
    tables::{
        counters::observe_header,
        desks::{leave_desk, take_desk},
        heads,
        maps::{DISTRIBUTIONS, SCRATCH},
        values::{CHUNK, DESKS},
    },
    wire::packet::{Payload, UNUSED, copy_piece},
};

const RESPONSE: u32 = limits::RESPONSE_LEN as u32;

const TAIL: u32 = limits::TAIL_LEN as u32;

/// Searches for the end of the header section in the packet that has just gone out, which begins `at` bytes into the
/// response. Until it is found, [`Conn::head_len`] is how many bytes were searched.
#[inline(always)]
pub fn section(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let have = conn.response_have.min(RESPONSE);
    let mut end = search::response_head_end(conn.heads, conn.head_len, have);
    // The search reads whole words: the last bytes of a full buffer are not searched, but count with the next piece.
    let full = have > RESPONSE - UNUSED;
    conn.head_len = conn.head_len.max(if full { have - TAIL } else { have });
    if end == 0 && full && conn.response_len > have {
        end = far_end(ctx, conn, payload, at);
    }
    if end == 0 {
        return;
    }
    let Some(heads) = heads::at(conn.heads) else { return };
    // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the other.
    let heads = unsafe { &*heads };
    if is_interim(&heads.response) && end <= RESPONSE {
        return interim(ctx, conn, payload, at, end);
    }
    conn.head_len = end;
    header_ended(conn, heads);
}

/// How many interim responses in one packet are passed over. What follows so many is taken for the body of a final
/// response.
const INTERIMS: u32 = 8;

/// An interim response has ended, `end` bytes after its start: the response proper begins after it, and after further
/// interim responses in the same packet. `at`: where the packet begins in the response.
#[inline(always)]
fn interim(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32, end: u32) {
    conn.flags |= flag::INTERIM;
    let (mut rest, mut end, mut skipped) = (*payload, end, end.wrapping_sub(at));
    for _ in 0..INTERIMS {
        conn.response_seq = conn.response_seq.wrapping_add(end);
        conn.response_len = 0;
        conn.response_have = 0;
        conn.head_len = 0;
        if skipped >= rest.len {
            return;
        }
        rest = rest.after(skipped);
        rest = rest.after(blanks_before(ctx, &rest));
        conn.response_seq = rest.seq;
        conn.response_len = rest.len;
        if rest.len == 0 {
            return;
        }
        let Some(heads) = heads::at(conn.heads) else { return };
        // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the
        // other.
        let response = unsafe { (*heads).response.as_mut_ptr() };
        // The buffer is empty: one piece fills it.
        conn.response_have = copy_piece::<{ limits::RESPONSE_LEN }>(ctx, &rest, response, 0);
        let have = conn.response_have.min(RESPONSE);
        end = unknown(search::response_head_end(conn.heads, 0, have).into()) as u32;
        skipped = end;
        if end == 0 {
            conn.head_len = have;
            return;
        }
        conn.head_len = end;
        // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the
        // other.
        let heads = unsafe { &*heads };
        if !is_interim(&heads.response) {
            return header_ended(conn, heads);
        }
    }
    conn.origin_flags &= !origin::IN_HEAD;
}

/// How many of the packet's first four bytes are empty lines in front of a response ([`blanks`]).
#[inline(never)]
pub fn blanks_before(ctx: &SkBuffContext, payload: &Payload) -> u32 {
    let mut four = 0_u32;
    let len = up_to(payload.len, 4) as u32;
    // SAFETY: writes at most four bytes into a number of that size; the helper checks that they lie within the packet.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, (&raw mut four).cast(), len) };
    // Unknown to the verifier, so that it follows one state and not one for each number.
    unknown(if failed == 0 { blanks(four).into() } else { 0 }) as u32
}

/// The end of the header section was found, and [`Conn::head_len`] is set: begins to follow the body.
#[inline(always)]
fn header_ended(conn: &mut Conn, heads: &Heads) {
    conn.origin_flags &= !origin::IN_HEAD;
    may_begin(conn, &heads.response);
    if origin_error::begins(&heads.response) {
        conn.origin_flags |= origin::ERROR;
    }
    if is_upgrade(&heads.response) {
        conn.flags |= flag::UPGRADED;
    }
    if let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(conn.port_slot.into()) {
        // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
        observe_header(conn, unsafe { &mut *distributions });
    }
}

/// Pieces of [`CHUNK`] bytes that make up the largest packet, 64 KiB.
const CHUNKS: u32 = 17;

/// Searches a header section that is larger than the buffer of kept bytes, in the packet itself. Returns where it
/// ends in the response; 0: not in this packet. [`Conn::head_len`] bytes were searched before.
#[inline(always)]
fn far_end(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) -> u32 {
    let desk = take_desk();
    if desk >= DESKS {
        // The end may be here, and is given up: what follows is taken for the body.
        conn.origin_flags &= !origin::IN_HEAD;
        return 0;
    }
    let end = far_end_at(ctx, conn, payload, at, desk);
    leave_desk(desk);
    end
}

/// [`far_end`], with the desk where the search is made.
#[inline(always)]
fn far_end_at(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32, desk: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(desk) else { return 0 };
    // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
    let scratch = unsafe { (*scratch).as_mut_ptr() };
    let stop = at.wrapping_add(payload.len);
    let mut from = conn.head_len.max(at);
    for _ in 0..CHUNKS {
        from = unknown(from.into()) as u32;
        let left = stop.wrapping_sub(from);
        if left == 0 || left > 1 << 20 {
            break;
        }
        // First the eight bytes before the piece, in case the empty line lies across: from this packet or the one
        // before.
        let done = from.wrapping_sub(at);
        let chunk = if done >= TAIL {
            let chunk = payload.after(done - TAIL);
            // SAFETY: writes TAIL bytes at the start of the buffer, which is longer; the helper checks that they lie
            // within the packet.
            let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), chunk.offset, scratch.cast(), TAIL) };
            chunk.after(TAIL)
        } else {
            // SAFETY: writes eight bytes at the start of the buffer, which is longer.
            unsafe { scratch.cast::<u64>().write_unaligned(before(conn, at).to_be()) };
            payload.after(done)
        };
        // SAFETY: the buffer has more than CHUNK bytes, so that TAIL is an offset within it.
        let len = copy_piece::<{ CHUNK - limits::TAIL_LEN }>(ctx, &chunk, unsafe { scratch.add(TAIL as usize) }, 0);
        if len == 0 {
            break;
        }
        let end = search::chunk_head_end(desk, len + TAIL);
        if end != 0 {
            return from.wrapping_add(end).wrapping_sub(TAIL);
        }
        from = from.wrapping_add(len);
        conn.head_len = from;
    }
    0
}

/// Returns the eight bytes sent before byte `at` of the response, the first one in the highest byte.
#[inline(always)]
fn before(conn: &Conn, at: u32) -> u64 {
    if conn.response_have == at { search::eight_before(conn.heads, at) } else { u64::from_be_bytes(conn.response_tail) }
}

/// Updates [`Conn::response_tail`], the last eight bytes of a response that is longer than what is kept of it.
#[inline(always)]
pub fn tail(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let into = conn.response_tail.as_mut_ptr();
    if payload.len >= TAIL {
        let from = payload.offset + payload.len - TAIL;
        // SAFETY: writes TAIL bytes into a buffer of that size; the helper checks that they lie within the packet.
        let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, into.cast(), TAIL) };
        return;
    }
    // A packet shorter than the tail: the older bytes move up to make room.
    let mut old = before(conn, at);
    let mut new = [0_u8; limits::TAIL_LEN];
    let len = up_to(payload.len, u64::from(TAIL) - 1);
    // SAFETY: `len` is between 1 and 7, and the buffer has 8 bytes.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, new.as_mut_ptr().cast(), len as u32) };
    if failed == 0 {
        let shift = len * 8;
        old = old << shift | u64::from_be_bytes(new) >> (64 - shift);
        conn.response_tail = old.to_be_bytes();
    }
}
