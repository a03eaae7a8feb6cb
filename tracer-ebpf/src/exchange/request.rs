//! The bytes of requests: which one they belong to, and what is kept of them.

use aya_ebpf::programs::SkBuffContext;
use tracer_common::{Conn, Heads, conn_flags as flag, limits, rst, triggers};

use crate::{
    emit,
    exchange::sniff::{
        PROXY_V1, PROXY_V2, begins_like_a_request, describe, looks_like_request, may_be_request, nothing_came, sniff,
        sniff_kept,
    },
    kernel::sock::TcpSock,
    tables::{counters::count_exchange, heads},
    wire::{
        packet::{Payload, copy},
        verifier::unaligned,
    },
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// The first bytes of a connection on which a request without a body is being answered.
#[inline(always)]
pub fn heads_if_answered(conn: &Conn, tcp: &TcpSock) -> Option<*mut Heads> {
    let wanted = flag::SNIFFED | flag::HTTP | flag::BODYLESS;
    let unwanted = flag::INTERIM | flag::UPGRADED | flag::ORIGIN_FIN;
    if conn.flags & (wanted | unwanted) == wanted && is_written(conn, tcp) { heads::at(conn.heads) } else { None }
}

/// Whether the origin has written anything since the current request began. [`Conn::is_awaited`] says nearly the
/// same, and reads what another CPU has just changed.
#[inline(always)]
fn is_written(conn: &Conn, tcp: &TcpSock) -> bool {
    tcp.write_seq() != conn.request_written
}

/// A request without a body is being answered: what comes now is the next one. It takes the place of the one before,
/// and is looked at there, which spares a look at the packet. Bytes that begin no request leave none: whose they are
/// is not known.
#[inline(always)]
pub fn replace_request(ctx: &SkBuffContext, conn: &mut Conn, heads: *mut Heads, payload: &Payload, tcp: &TcpSock) {
    // SAFETY: a live map value.
    let request = unsafe { (*heads).request.as_mut_ptr() };
    let have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    // SAFETY: the buffer is longer.
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

/// Keeps the request's first bytes, counts the rest, and finds out what the connection speaks.
#[inline(always)]
pub fn keep_request(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) {
    let at = payload.seq.wrapping_sub(conn.request_seq);
    let mut kept = None;
    if at == conn.request_have && at < REQUEST {
        kept = heads::of(conn);
        if let Some(heads) = kept {
            // SAFETY: a live map value.
            let request = unsafe { (*heads).request.as_mut_ptr() };
            conn.request_have += copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, at);
        }
    }
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
        conn.flags |= flag::SNIFFED;
    }
}

/// A segment that begins like a request on a connection whose first bytes are known.
#[inline(always)]
pub fn next_request(conn: &mut Conn, payload: &Payload, tcp: &TcpSock, word: u32) {
    if conn.flags & flag::HTTP == 0 {
        // Open before the tracer started, in the middle of something: this is its first exchange seen.
        if conn.flags & flag::SEEDED != 0 {
            begin_request(conn, payload.seq, tcp);
            sniff(conn, word);
        }
        return;
    }
    if !is_written(conn, tcp) {
        // Nothing was answered yet: another request behind the first one, unless it is part of that one's body.
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

/// A new request begins with this packet.
#[inline(always)]
pub fn begin_request(conn: &mut Conn, seq: u32, tcp: &TcpSock) {
    conn.request_seq = seq;
    conn.request_len = 0;
    conn.request_have = 0;
    let was_head = if conn.flags & flag::HEAD != 0 { flag::WAS_HEAD } else { 0 };
    let fresh = flag::REPORTED | flag::PIPELINED | flag::BODYLESS | flag::HEAD | flag::WAS_HEAD;
    conn.flags = conn.flags & !fresh | was_head;
    // What the origin said of its own accord is what the edge reads as the answer.
    if conn.flags & flag::SPOKE_FIRST != 0 && conn.exchanges == 0 {
        conn.request_written = conn.response_seq;
        return;
    }
    conn.request_written = tcp.write_seq();
    conn.flags &= !flag::INTERIM;
    conn.asked += 1;
}

/// Bytes after the origin's FIN: a request that met a closing connection, unless they still belong to the one before.
#[inline(always)]
pub fn after_fin(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) {
    if conn.flags & flag::REPORTED != 0 {
        return;
    }
    let in_the_clear = conn.flags & flag::HTTP != 0 || nothing_came(conn);
    let request = if in_the_clear { looks_like_request(word) } else { may_be_request(conn, payload.len) };
    if !request {
        return;
    }
    conn.late_len = payload.len;
    conn.request_have = 0;
    if looks_like_request(word)
        && let Some(heads) = heads::of(conn)
    {
        // SAFETY: a live map value.
        let request = unsafe { (*heads).request.as_mut_ptr() };
        conn.request_have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    }
    emit::conn(conn, triggers::LATE, rst::UNKNOWN);
}
