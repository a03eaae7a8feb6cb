//! Requests and responses inside TLS, on connections whose secrets are known (*sealed* ones): their first bytes are
//! kept as ciphertext, and a response is followed from record to record. The agent decrypts what is kept if the
//! connection fails.
//!
//! What can be told without decryption: a request is what the edge sends after the origin has written, in a record of
//! some length; a response that stops in the middle of a record is cut short.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{Conn, Heads, SEALED_RESPONSE_LEN, SealedEnd, conn_flags as flag, limits, origin_flags as origin};

use crate::{
    exchange::{
        records::{self, HEADER, NONE},
        request::begin_request,
        trail,
    },
    kernel::sock::TcpSock,
    parse::verifier::{unknown, up_to},
    tables::{heads, keys},
    wire::packet::{Payload, copy},
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;
const RESPONSE: u32 = SEALED_RESPONSE_LEN as u32;
const TAIL: u64 = limits::SEALED_TAIL_LEN as u64;

/// How many records of one packet are followed. The largest packet has 64 KiB: as many records of 1,024 bytes.
const MOST: u32 = 64;

/// Application data from the edge. `first` is where the first record of it begins in this packet, or [`NONE`];
/// `is_new`: the socket has not received these bytes before.
#[inline(always)]
pub fn keep_request(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, tcp: &TcpSock, first: u32, is_new: bool) {
    let mut payload = *payload;
    if conn.flags & flag::SEALED == 0 {
        if first == NONE {
            return;
        }
        keys::keep_late_hellos(conn);
        // The rest of the handshake may come before it, in the same packet.
        payload = payload.after(first);
        begin_request(conn, payload.seq, tcp);
        conn.flags |= flag::SEALED;
        trail::begin_edge(conn, &payload);
    } else if is_new && first == 0 && begins(conn, &payload) {
        begin_request(conn, payload.seq, tcp);
    }
    let at = payload.seq.wrapping_sub(conn.request_seq);
    // Of HTTP/2 the trail keeps the bytes.
    if at == conn.request_have
        && at < REQUEST
        && conn.flags & flag::H2 == 0
        && let Some(heads) = heads::of_or_take(conn)
    {
        // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the
        // other.
        let request = unsafe { (*heads).request.as_mut_ptr() };
        conn.request_have += copy::<{ limits::REQUEST_LEN }>(ctx, &payload, request, at);
    }
    // In unsigned arithmetic a retransmission of an earlier request is far ahead of this one.
    let seen = at.wrapping_add(payload.len);
    if seen < 1 << 31 && seen > conn.request_len {
        conn.request_len = seen;
    }
}

/// Whether a packet that begins with a record is the next request: the response to the current one has begun, and it is
/// no short record (an alert, a KeyUpdate).
///
/// In TLS 1.3 the origin may write session tickets before it answers its first request. A short first response may be
/// just these: then what comes is kept behind the first request, and the agent tells them apart.
#[inline(always)]
fn begins(conn: &Conn, payload: &Payload) -> bool {
    payload.len >= limits::MIN_OPAQUE_REQUEST && !conn.is_awaited() && !conn.may_be_tickets()
}

/// Whether what the process has read, up to the sequence number `copied`, is still the edge's part of the handshake, on
/// a connection to which the first request has come, too.
#[inline(always)]
pub fn is_handshake(conn: &Conn, copied: u32) -> bool {
    conn.flags & flag::SEALED != 0 && conn.exchanges == 0 && !reaches(conn, copied)
}

/// Whether the bytes up to this sequence number include some of the current request.
#[inline(always)]
fn reaches(conn: &Conn, seq: u32) -> bool {
    seq.wrapping_sub(conn.request_seq).wrapping_sub(1) < 1 << 31
}

/// The process has read up to the sequence number `copied`, and begun a `turn` by that or not: if it reads the first
/// byte of the first request only now, what it wrote before (session tickets) is not the response.
#[inline(always)]
pub fn was_read(conn: &mut Conn, copied: u32, turn: bool) {
    let first_now = !reaches(conn, conn.copied) && reaches(conn, copied);
    if turn && conn.flags & flag::SEALED != 0 && conn.exchanges <= 1 && first_now {
        conn.answered = conn.asked.wrapping_sub(1);
    }
}

/// Bytes to the edge on a sealed connection. Returns whether a response begins with them, or may.
#[inline(never)]
pub fn keep_response(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) -> bool {
    let mut payload = *payload;
    let is_new = payload.seq.wrapping_sub(conn.response_seq).wrapping_sub(conn.response_len) < 1 << 31;
    let mut begins = false;
    if conn.is_awaited() && is_new {
        let before = conn.answer_from().wrapping_sub(payload.seq);
        // Session tickets that were held back (Nagle's algorithm) go out in one packet with the response.
        if before < payload.len {
            payload = payload.after(unknown(before.into()) as u32);
        }
        begins = payload.seq.wrapping_sub(conn.answer_from()) < 1 << 31;
    }
    let payload = &payload;
    if begins {
        conn.response_seq = payload.seq;
        conn.response_len = 0;
        conn.response_have = 0;
        conn.head_len = 0;
        conn.answered = conn.asked;
        conn.chunk_at = 0;
        conn.origin_flags &= !(origin::NOT_HTTP | origin::IN_HEAD | origin::CHUNKS);
        conn.origin_flags |= origin::RECORDS_OUT;
    }
    if conn.flags & flag::H2 != 0 {
        // Its bytes are in the trail: only how far the origin got is of interest here.
        conn.origin_flags &= !origin::RECORDS_OUT;
        let seen = payload.seq.wrapping_add(payload.len).wrapping_sub(conn.response_seq);
        if seen < 1 << 31 && seen > conn.response_len {
            conn.response_len = seen;
        }
        return true;
    }
    let Some(heads) = heads::of_or_take(conn) else { return false };
    // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the other.
    let heads = unsafe { &mut *heads };
    if begins {
        let end = end_of(heads);
        (end.records, end.record_at, end.before_at, end.part_len) = (0, 0, 0, 0);
        (end.tail_at, end.tail_len, end.before_len) = (0, 0, 0);
    }
    let at = payload.seq.wrapping_sub(conn.response_seq);
    let seen = at.wrapping_add(payload.len);
    if at >= 1 << 31 || seen >= 1 << 31 {
        return false;
    }
    if at == conn.response_have && at < RESPONSE {
        conn.response_have += copy::<SEALED_RESPONSE_LEN>(ctx, payload, heads.response.as_mut_ptr(), at);
    }
    if seen <= conn.response_len {
        return false;
    }
    conn.response_len = seen;
    let end = end_of(heads);
    if payload.len < TAIL as u32 && seen.wrapping_sub(payload.len) == end.tail_at.wrapping_add(end.tail_len) {
        (end.before, end.before_len) = (end.tail, end.tail_len);
    } else {
        end.before_len = 0;
    }
    end.tail_len = up_to(payload.len, TAIL) as u32;
    end.tail_at = seen.wrapping_sub(end.tail_len);
    let from = payload.offset + payload.len - end.tail_len;
    // SAFETY: writes at most as many bytes as the tail has; the helper checks that they lie within the packet.
    let failed = unsafe {
        bpf_skb_load_bytes(ctx.as_ptr(), from, end.tail.as_mut_ptr().cast(), up_to(payload.len, TAIL) as u32)
    };
    if failed != 0 {
        end.tail_len = 0;
    }
    if conn.origin_flags & origin::RECORDS_OUT != 0 {
        follow(ctx, conn, end, payload, at, seen);
    }
    // What speaks HTTP/2 may not be known to do so yet.
    begins || conn.may_be_tickets() || conn.flags & flag::TRAILED != 0
}

/// Where the end of a sealed response is kept: behind its first bytes.
#[inline(always)]
fn end_of(heads: &mut Heads) -> &mut SealedEnd {
    // SAFETY: the buffer has as many bytes behind SEALED_RESPONSE_LEN as `SealedEnd` takes, for which any bytes are
    // valid, and begins at a multiple of four.
    unsafe { &mut *heads.response.as_mut_ptr().add(SEALED_RESPONSE_LEN).cast::<SealedEnd>() }
}

/// Follows the records of a response from header to header, through the packet that begins `at` bytes into it and
/// reaches up to `seen`.
#[inline(always)]
fn follow(ctx: &SkBuffContext, conn: &mut Conn, end: &mut SealedEnd, payload: &Payload, at: u32, seen: u32) {
    for _ in 0..MOST {
        let next = unknown(conn.chunk_at.into()) as u32;
        if next >= seen {
            return;
        }
        // Bytes of the header that the packet before had.
        let had = if next < at { end.part_len } else { 0 };
        if next.wrapping_add(had) < at || had >= HEADER {
            break;
        }
        let have = seen.wrapping_sub(next);
        let more = up_to(HEADER.wrapping_sub(had).min(have.wrapping_sub(had)), HEADER.into());
        let mut bytes = [0_u64; 1];
        let offset = payload.offset.wrapping_add(next.wrapping_add(had).wrapping_sub(at));
        // SAFETY: writes at most HEADER bytes into a buffer of eight; the helper checks that they lie in the packet.
        let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, bytes.as_mut_ptr().cast(), more as u32) };
        let header = if had == 0 { bytes[0] } else { bytes[0] << ((8 * had) & 31) | u64::from(end.part) };
        if failed != 0 {
            break;
        }
        if have < HEADER {
            // The rest comes with the next packet.
            (end.part, end.part_len) = (header as u32, have);
            return;
        }
        let Some(length) = records::length(header) else { break };
        end.before_at = end.record_at;
        (end.records, end.record_at) = (end.records.wrapping_add(1), next);
        end.part_len = 0;
        conn.chunk_at = next.wrapping_add(HEADER + length);
    }
    conn.origin_flags &= !origin::RECORDS_OUT;
}
