//! Bytes from the edge: which request they belong to, and what is kept of it.
//!
//! HTTP/1.1 sends one request after the other on a connection. Where the next one begins is not read from the framing
//! of the current one but seen from outside: bytes that begin like a request, after the origin has begun to answer
//! the current one. Only the first bytes of the current request are kept, in [`Heads`], since the agent needs its
//! request line and headers.
//!
//! `hooks::packets` calls one of these for a packet:
//! * [`replace_request`] for new bytes that should be the next request ([`heads_if_answered`]): it begins that request
//!   and keeps its bytes;
//! * [`after_fin`] for new bytes after the origin's FIN;
//! * [`keep_request`] for all others. Before it, and without a copy of their own, [`begin_request`] for a connection's
//!   first bytes, or [`next_request`] for new bytes that look like a request.
//!
//! Bytes are new unless the socket has received them before (a retransmission).

use aya_ebpf::programs::SkBuffContext;
use tracer_common::{Conn, Heads, conn_flags as flag, limits};

use crate::{
    exchange::sniff::{
        PROXY_V1, PROXY_V2, begins_like_a_request, describe, looks_like_request, nothing_came, packet_may_be_request,
        sniff, sniff_kept,
    },
    kernel::sock::TcpSock,
    parse::verifier::unaligned,
    tables::{counters::count_exchange, heads},
    wire::packet::{Payload, copy},
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// Returns the connection's buffers if the current request has no body and the origin has begun to answer it: then
/// whatever comes from the edge is the next request.
#[inline(always)]
pub fn heads_if_answered(conn: &Conn, tcp: &TcpSock) -> Option<*mut Heads> {
    let wanted = flag::SNIFFED | flag::HTTP | flag::BODYLESS;
    let unwanted = flag::INTERIM | flag::UPGRADED | flag::ORIGIN_FIN;
    if conn.flags & (wanted | unwanted) == wanted && is_written(conn, tcp) { heads::at(conn.heads) } else { None }
}

/// Whether the origin has written anything since the current request began. ([`Conn::is_awaited`] says nearly the
/// opposite, that nothing was sent, but reads a field that another CPU may just have changed, which costs time.)
#[inline(always)]
fn is_written(conn: &Conn, tcp: &TcpSock) -> bool {
    tcp.write_seq() != conn.written_before
}

/// The current request has no body and the origin has begun to answer it, so these bytes should be the next request.
/// Copies them over the old head and checks them there, which saves reading their first four bytes beforehand. If they
/// do not begin like a request, the current one goes on, without its head, which they have overwritten.
#[inline(always)]
pub fn replace_request(ctx: &SkBuffContext, conn: &mut Conn, heads: *mut Heads, payload: &Payload, tcp: &TcpSock) {
    // SAFETY: callers pass a pointer to a map value, which stays valid while the program runs.
    let request = unsafe { (*heads).request.as_mut_ptr() };
    let have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    // SAFETY: the buffer has REQUEST_LEN bytes, more than the four that are read.
    let word = unsafe { unaligned(request.cast::<u32>()) };
    if have < 4 || !begins_like_a_request(word) {
        conn.request_have = 0;
        return;
    }
    begin_request(conn, payload.seq, tcp);
    describe(conn, word);
    count_exchange(conn);
    conn.request_have = have;
    conn.request_len = payload.len;
}

/// Adds a packet to the current request: counts its bytes, and keeps them while the buffer has room and no earlier
/// bytes are missing. Finds out the protocol at the connection's first bytes. `word` is the packet's first four bytes.
#[inline(always)]
pub fn keep_request(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) {
    let at = payload.seq.wrapping_sub(conn.request_seq);
    let mut kept = None;
    if at == conn.request_have && at < REQUEST {
        kept = heads::of_or_take(conn);
        if let Some(heads) = kept {
            // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after
            // the other.
            let request = unsafe { (*heads).request.as_mut_ptr() };
            conn.request_have += copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, at);
        }
    }
    // In unsigned arithmetic a retransmission of an earlier request is far ahead of this one.
    let seen = at.wrapping_add(payload.len);
    if seen < 1 << 31 && seen > conn.request_len {
        conn.request_len = seen;
    }
    if conn.flags & flag::SNIFFED != 0 {
        return;
    }
    if at == 0 && payload.len >= 4 && word != PROXY_V1 && word != PROXY_V2 {
        sniff(conn, word);
    } else if let Some(heads) = kept {
        sniff_kept(conn, heads);
    } else {
        // Nothing was kept, since there is no buffer or earlier bytes are missing: the protocol stays unknown.
        conn.flags |= flag::SNIFFED;
    }
}

/// A packet begins like a request, on a connection whose first bytes were examined and were not TLS. If the origin has
/// begun to answer the current request, this is the next one. Else it is a further one behind the current
/// (pipelining), if that has no body; or it is taken for a part of that body.
#[inline(always)]
pub fn next_request(conn: &mut Conn, payload: &Payload, tcp: &TcpSock, word: u32) {
    if conn.flags & flag::HTTP == 0 {
        // The connection was open before the tracer started, in the middle of an exchange. This is the first whole one.
        if conn.flags & flag::SEEDED != 0 {
            begin_request(conn, payload.seq, tcp);
            sniff(conn, word);
        }
        return;
    }
    if !is_written(conn, tcp) {
        if conn.flags & flag::BODYLESS != 0 {
            conn.flags |= flag::PIPELINED;
            count_exchange(conn);
        }
        return;
    }
    begin_request(conn, payload.seq, tcp);
    describe(conn, word);
    count_exchange(conn);
}

/// Begins a new request at the sequence number `seq`: resets what is known of the one before.
#[inline(always)]
pub fn begin_request(conn: &mut Conn, seq: u32, tcp: &TcpSock) {
    conn.request_seq = seq;
    conn.request_len = 0;
    conn.request_have = 0;
    let was_head = if conn.flags & flag::HEAD != 0 { flag::WAS_HEAD } else { 0 };
    let of_one_request = flag::REPORTED | flag::ASKED | flag::PIPELINED | flag::BODYLESS | flag::HEAD | flag::WAS_HEAD;
    conn.flags = conn.flags & !of_one_request | was_head;
    // The origin spoke first. The edge reads that as the response to this request, and `keep_response` has counted it
    // as the first response due already.
    if conn.flags & flag::SPOKE_FIRST != 0 && conn.exchanges == 0 {
        conn.written_before = conn.response_seq;
        return;
    }
    conn.written_before = tcp.write_seq();
    conn.flags &= !flag::INTERIM;
    conn.asked = conn.asked.wrapping_add(1);
}

/// Bytes from the edge after the origin's FIN. If they are a request, that request met a closing connection and fails:
/// returns true, once (the record sets [`flag::REPORTED`]). The rest of an earlier request's body is not reported.
/// Where the bytes cannot be read, enough of them count as a request.
#[inline(always)]
pub fn after_fin(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) -> bool {
    if conn.flags & flag::REPORTED != 0 {
        return false;
    }
    // The very first bytes are taken for readable, too; the beginning of TLS then is no request.
    let readable = conn.flags & flag::HTTP != 0 || nothing_came(conn);
    let request = if readable { looks_like_request(word) } else { packet_may_be_request(conn, payload) };
    if !request {
        return false;
    }
    conn.late_len = payload.len;
    conn.request_have = 0;
    if (looks_like_request(word) || conn.flags & flag::SEALED != 0)
        && let Some(heads) = heads::of_or_take(conn)
    {
        // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the
        // other.
        let request = unsafe { (*heads).request.as_mut_ptr() };
        conn.request_have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    }
    true
}
