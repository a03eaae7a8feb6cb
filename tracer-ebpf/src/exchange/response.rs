//! Bytes to the edge: which response they belong to, and what is kept of it.
//!
//! The first new bytes after a request begin its response, unless the response before is not over. Kept are the first
//! bytes, with the header section, and the last eight ([`Conn::response_tail`]), by which a body is judged whose end
//! cannot be followed.

use aya_ebpf::programs::SkBuffContext;
use tracer_common::{Conn, Heads, conn_flags as flag, gate::Verdict, limits, origin_flags as origin};

use crate::{
    exchange::{
        chunks, origin_error,
        section::{blanks_before, section, tail},
        verdict,
    },
    kernel::sock::PacketSock,
    parse::{chunk_trail::may_begin, empty_line::ends_at, framing::STATUS},
    tables::{
        counters::{observe_first_byte, observe_header},
        heads,
        maps::DISTRIBUTIONS,
    },
    wire::packet::{Payload, copy, read as read_packet},
};

const RESPONSE: u32 = limits::RESPONSE_LEN as u32;

/// The first four bytes of a status line.
const HTTP: u32 = u32::from_ne_bytes(*b"HTTP");

/// Adds a packet on its way to the edge to the current response, or begins the next one with it.
#[inline(always)]
pub fn keep_response(ctx: &SkBuffContext, sk: PacketSock, conn: &mut Conn, payload: &Payload) {
    let watched = conn.flags & flag::HTTP != 0
        || conn.flags & flag::TLS != 0 && conn.exchanges <= 1
        || conn.flags & (flag::SNIFFED | flag::SEEDED) == 0;
    if !watched {
        return;
    }
    // The origin sends before the edge has sent anything.
    if conn.flags & flag::SNIFFED == 0 && conn.request_len == 0 && conn.flags & flag::SPOKE_FIRST == 0 {
        conn.flags |= flag::SPOKE_FIRST;
        conn.asked = conn.asked.wrapping_add(1);
        conn.written_before = payload.seq;
    }
    let mut payload = *payload;
    // What was sent before, of the response before, begins none when it is sent again.
    let is_new = payload.seq.wrapping_sub(conn.response_seq).wrapping_sub(conn.response_len) < 1 << 31;
    let begins = conn.is_awaited()
        && (is_new || conn.answered == 0)
        && payload.seq.wrapping_sub(conn.written_before) < 1 << 31
        && response_begins(ctx, conn, &mut payload);
    // The first packet after an interim response.
    if conn.flags & flag::INTERIM != 0 && conn.response_len == 0 && payload.seq == conn.response_seq {
        payload = payload.after(blanks_before(ctx, &payload));
        conn.response_seq = payload.seq;
    }
    // In unsigned arithmetic a retransmission of an earlier response is far ahead of this one.
    let at = payload.seq.wrapping_sub(conn.response_seq);
    let seen = at.wrapping_add(payload.len);
    if at >= 1 << 31 || seen >= 1 << 31 {
        return;
    }
    if at == conn.response_have
        && at < RESPONSE
        && let Some(heads) = heads::of_or_take(conn)
    {
        // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the
        // other.
        let heads = unsafe { &mut *heads };
        conn.response_have += copy::<{ limits::RESPONSE_LEN }>(ctx, &payload, heads.response.as_mut_ptr(), at);
        if begins
            && conn.flags & flag::HTTP != 0
            && let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(conn.port_slot.into())
            && let Some(tcp) = sk.tcp()
        {
            // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
            let distributions = unsafe { &mut *distributions };
            observe_first_byte(conn, &tcp, distributions);
            let before = distributions.last_header as u32;
            if ends_where_the_last_did(conn, heads, before) {
                conn.head_len = before;
                conn.origin_flags &= !origin::IN_HEAD;
                may_begin(conn, &heads.response);
                if origin_error::begins(&heads.response) {
                    conn.origin_flags |= origin::ERROR;
                }
                observe_header(conn, distributions);
            }
        }
    }
    if seen > conn.response_len {
        conn.response_len = seen;
        if conn.origin_flags & origin::IN_HEAD != 0 {
            section(ctx, conn, &payload, at);
        }
        if conn.origin_flags & origin::IN_CHUNKS != 0 {
            chunks::follow(ctx, conn, &payload);
        }
        // Else the last bytes are among the first ones, which are kept anyway.
        if seen > conn.response_have {
            tail(ctx, conn, &payload, at);
        }
    }
}

/// Whether the header section ends at `end`, where the last one on this port ended. Most responses of a server are
/// alike, and then no search is needed. Wrong where the section ends earlier and the body happens to have an empty
/// line just there; the agent, which parses the section, is not misled.
#[inline(always)]
fn ends_where_the_last_did(conn: &Conn, heads: &Heads, end: u32) -> bool {
    end != 0
        && conn.origin_flags & origin::IN_HEAD != 0
        && end <= conn.response_have
        && ends_at(&heads.response, end)
        && heads.response[STATUS] != b'1'
}

/// The first four bytes from `offset` on, and whether there are as many; else the number is 0. Not an `Option`: of one
/// without a value the compiler copies the number all the same, which nobody has written, and before 6.3 the verifier
/// refuses to read what was not written ("invalid read from stack").
#[inline(always)]
fn first_word(ctx: &SkBuffContext, offset: u32) -> (u32, bool) {
    match read_packet(ctx, offset) {
        Some(word) => (word, true),
        None => (0, false),
    }
}

/// The first packet after a request. Begins its response and returns true, or returns false if the packet goes on
/// with the response before. Empty lines in front of the response are taken off the packet.
#[inline(always)]
fn response_begins(ctx: &SkBuffContext, conn: &mut Conn, payload: &mut Payload) -> bool {
    let mut behind = *payload;
    let (mut word, mut long) = first_word(ctx, payload.offset);
    if word != HTTP {
        let blanks = blanks_before(ctx, payload);
        // Empty lines alone are no response, and an edge takes them for none.
        if blanks < payload.len {
            behind = payload.after(blanks);
            (word, long) = first_word(ctx, behind.offset);
        }
    }
    let http = word == HTTP;
    if conn.flags & flag::HTTP != 0 && long && !http && conn.exchanges > 1 && !previous_is_whole(conn) {
        conn.flags |= flag::PIPELINED;
        return false;
    }
    *payload = behind;
    conn.response_seq = payload.seq;
    conn.response_len = 0;
    conn.response_have = 0;
    conn.head_len = 0;
    conn.answered = conn.asked;
    conn.origin_flags &= !(origin::NOT_HTTP | origin::IN_HEAD | origin::CHUNKS | origin::ERROR);
    if conn.flags & flag::TLS == 0 {
        conn.origin_flags |= if long && !http { origin::NOT_HTTP } else { origin::IN_HEAD };
    }
    true
}

/// Whether the previous response was whole; asked only if what follows does not look like a response. [`flag::HEAD`]
/// already belongs to the request after it, [`flag::WAS_HEAD`] to its own.
#[inline(always)]
fn previous_is_whole(conn: &Conn) -> bool {
    conn.flags & flag::WAS_HEAD != 0
        || conn.heads != 0 && verdict::judge(conn, conn.flags & !flag::HEAD, conn.response_len) == Verdict::Whole
}
