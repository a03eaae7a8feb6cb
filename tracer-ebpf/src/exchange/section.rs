//! The header section of a response as it goes out: its end, interim responses before it, and the last bytes behind it.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, Heads, conn_flags as flag, limits, origin_flags as origin};

use crate::{
    exchange::{chunks, search},
    tables::{
        counters::observe_header,
        heads,
        maps::{DISTRIBUTIONS, SCRATCH},
        values::CHUNK,
    },
    wire::{
        packet::{Payload, UNUSED, copy, copy_piece},
        verifier::{unknown, up_to},
    },
};

const RESPONSE: u32 = limits::RESPONSE_LEN as u32;

const TAIL: u32 = limits::TAIL_LEN as u32;

/// Where a status line has its status.
pub const STATUS: u32 = 9;

/// Looks for the end of the header section in what has just gone out, `at` bytes into the response.
#[inline(always)]
pub fn find_section_end(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let have = conn.response_have.min(RESPONSE);
    let mut end = search::response_head_end(conn.heads, conn.head_len, have);
    // At the end of what is kept no whole word is left to look at.
    let full = have > RESPONSE - UNUSED;
    conn.head_len = conn.head_len.max(if full { have - TAIL } else { have });
    if end == 0 && full && conn.response_len > have {
        end = far_end(ctx, conn, payload, at);
    }
    if end == 0 {
        return;
    }
    let Some(heads) = heads::at(conn.heads) else { return };
    // SAFETY: a live map value.
    let heads = unsafe { &*heads };
    if is_interim(heads) && end <= RESPONSE {
        return skip_interims(ctx, conn, payload, at, end);
    }
    conn.head_len = end;
    header_ended(conn, heads);
}

/// Interim responses in one packet that are passed over; what follows more than these is taken for the response.
const INTERIMS: u32 = 8;

/// An interim response ended, `end` bytes after the start of the response: that begins after it and those that follow
/// it in the same packet.
#[inline(always)]
fn skip_interims(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32, end: u32) {
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
        conn.response_len = rest.len;
        let Some(heads) = heads::at(conn.heads) else { return };
        // SAFETY: a live map value.
        let response = unsafe { (*heads).response.as_mut_ptr() };
        conn.response_have = copy::<{ limits::RESPONSE_LEN }>(ctx, &rest, response, 0);
        let have = conn.response_have.min(RESPONSE);
        end = unknown(search::response_head_end(conn.heads, 0, have).into()) as u32;
        skipped = end;
        if end == 0 {
            conn.head_len = have;
            return;
        }
        conn.head_len = end;
        // SAFETY: as above.
        let heads = unsafe { &*heads };
        if !is_interim(heads) {
            return header_ended(conn, heads);
        }
    }
    conn.origin_flags &= !origin::IN_HEAD;
}

/// Whether it is a response after which another one comes.
#[inline(always)]
fn is_interim(heads: &Heads) -> bool {
    heads.response[STATUS as usize] == b'1' && !is_upgrade(heads)
}

/// Whether the response's status is 101.
#[inline(always)]
fn is_upgrade(heads: &Heads) -> bool {
    let [.., hundreds, tens, ones] =
        heads.response.first_chunk::<{ STATUS as usize + 3 }>().copied().unwrap_or_default();
    [hundreds, tens, ones] == *b"101"
}

/// The end of the header section was found.
#[inline(always)]
fn header_ended(conn: &mut Conn, heads: *const Heads) {
    conn.origin_flags &= !origin::IN_HEAD;
    chunks::may_begin(conn, heads);
    // SAFETY: a live map value.
    if is_upgrade(unsafe { &*heads }) {
        conn.flags |= flag::UPGRADED;
    }
    if let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        observe_header(conn, unsafe { &mut *distributions });
    }
}

/// So many chunks make up the largest packet, 64 KiB.
const CHUNKS: u32 = 17;

/// The end of a header section that is larger than what is kept: searched packet by packet, `head_len` bytes being
/// done.
#[inline(always)]
fn far_end(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's slot of a live map value.
    let scratch = unsafe { (*scratch).as_mut_ptr() };
    let stop = at.wrapping_add(payload.len);
    let mut from = conn.head_len.max(at);
    for _ in 0..CHUNKS {
        from = unknown(from.into()) as u32;
        let left = stop.wrapping_sub(from);
        if left == 0 || left > 1 << 20 {
            break;
        }
        // Eight bytes before, in case the end lies across: of this packet, or of the one before.
        let done = from.wrapping_sub(at);
        let chunk = if done >= TAIL {
            let chunk = payload.after(done - TAIL);
            // SAFETY: TAIL bytes at the start of the buffer; the helper checks the packet's side.
            let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), chunk.offset, scratch.cast(), TAIL) };
            chunk.after(TAIL)
        } else {
            // SAFETY: as above.
            unsafe { scratch.cast::<u64>().write_unaligned(last_bytes_before(conn, at).to_be()) };
            payload.after(done)
        };
        // SAFETY: the buffer is that much longer.
        let len = copy_piece::<{ CHUNK - limits::TAIL_LEN }>(ctx, &chunk, unsafe { scratch.add(TAIL as usize) }, 0);
        if len == 0 {
            break;
        }
        let end = search::chunk_head_end(len + TAIL);
        if end != 0 {
            return from.wrapping_add(end).wrapping_sub(TAIL);
        }
        from = from.wrapping_add(len);
        conn.head_len = from;
    }
    0
}

/// The last bytes of the response before its byte `at`, the first one highest.
#[inline(always)]
fn last_bytes_before(conn: &Conn, at: u32) -> u64 {
    if conn.response_have == at { search::eight_before(conn.heads, at) } else { u64::from_be_bytes(conn.response_tail) }
}

/// Keeps the last bytes of a response that is not kept whole.
#[inline(always)]
pub fn keep_tail(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let into = conn.response_tail.as_mut_ptr();
    if payload.len >= TAIL {
        let from = payload.offset + payload.len - TAIL;
        // SAFETY: TAIL bytes into a buffer of that size; the helper checks the packet's side.
        let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, into.cast(), TAIL) };
        return;
    }
    // A short piece: what was there moves up.
    let mut old = last_bytes_before(conn, at);
    let mut new = [0_u8; limits::TAIL_LEN];
    let len = up_to(payload.len, u64::from(TAIL) - 1);
    // SAFETY: 1 to 7 bytes into a buffer of 8.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, new.as_mut_ptr().cast(), len as u32) };
    if failed == 0 {
        let shift = len * 8;
        old = old << shift | u64::from_be_bytes(new) >> (64 - shift);
        conn.response_tail = old.to_be_bytes();
    }
}
