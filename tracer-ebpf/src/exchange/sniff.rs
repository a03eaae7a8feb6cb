//! Finds out from a few bytes which protocol a connection speaks (HTTP/1, TLS, or unknown), and whether a packet
//! begins a request.
//!
//! Four bytes decide, compared as one word: the first letters of a method, or the header of a TLS record. A PROXY
//! protocol header before them is passed over.

use tracer_common::{Conn, Heads, conn_flags as flag, limits};

use crate::{
    parse::verifier::{opaque, unknown},
    tables::counters::count_exchange,
    wire::packet::Payload,
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// Whether `word` is the first four bytes of a request with a known method.
#[inline(always)]
pub fn looks_like_request(word: u32) -> bool {
    matches!(
        word,
        GET | HEAD_
            | POST
            | PUT
            | DELETE
            | OPTIONS
            | PATCH
            | CONNECT
            | TRACE
            | PROPFIND
            | MKCOL
            | COPY
            | MOVE
            | LOCK
            | PURGE
            | REPORT
            | SEARCH
            | UNLOCK
            | QUERY
    )
}

/// The longest header of the PROXY protocol, version 1, CR LF included.
const PROXY_V1_LEN: u64 = 107;
/// The first four bytes of a PROXY protocol header, version 1 and 2.
pub const PROXY_V1: u32 = u32::from_ne_bytes(*b"PROX");
pub const PROXY_V2: u32 = u32::from_ne_bytes(*b"\r\n\r\n");
const GET: u32 = u32::from_ne_bytes(*b"GET ");
const HEAD_: u32 = u32::from_ne_bytes(*b"HEAD");
const POST: u32 = u32::from_ne_bytes(*b"POST");
const PUT: u32 = u32::from_ne_bytes(*b"PUT ");
const DELETE: u32 = u32::from_ne_bytes(*b"DELE");
const OPTIONS: u32 = u32::from_ne_bytes(*b"OPTI");
const PATCH: u32 = u32::from_ne_bytes(*b"PATC");
const CONNECT: u32 = u32::from_ne_bytes(*b"CONN");
const TRACE: u32 = u32::from_ne_bytes(*b"TRAC");
const PROPFIND: u32 = u32::from_ne_bytes(*b"PROP");
const MKCOL: u32 = u32::from_ne_bytes(*b"MKCO");
const COPY: u32 = u32::from_ne_bytes(*b"COPY");
const MOVE: u32 = u32::from_ne_bytes(*b"MOVE");
const LOCK: u32 = u32::from_ne_bytes(*b"LOCK");
const UNLOCK: u32 = u32::from_ne_bytes(*b"UNLO");
const PURGE: u32 = u32::from_ne_bytes(*b"PURG");
const REPORT: u32 = u32::from_ne_bytes(*b"REPO");
const SEARCH: u32 = u32::from_ne_bytes(*b"SEAR");
const QUERY: u32 = u32::from_ne_bytes(*b"QUER");

/// Whether a packet that came after the origin's FIN, and whose content is not known, may be a request.
#[inline(always)]
pub fn packet_may_be_request(conn: &Conn, payload: &Payload) -> bool {
    if conn.flags & flag::RECORDS != 0 {
        // A long record ends in this packet, or goes on after it.
        return conn.request_end.wrapping_sub(payload.seq).wrapping_sub(1) < 1 << 31;
    }
    may_be_request(conn, payload.len)
}

/// The same by the number of bytes alone. Only a few are the edge's own goodbye (close_notify inside TLS), or the end
/// of an upload.
#[inline(always)]
pub fn may_be_request(conn: &Conn, len: u32) -> bool {
    nothing_came(conn) || len >= limits::MIN_OPAQUE_REQUEST
}

/// Whether the edge has sent nothing on this connection yet.
#[inline(always)]
pub fn nothing_came(conn: &Conn) -> bool {
    conn.flags & flag::SNIFFED == 0 && conn.exchanges == 0
}

/// Whether `word` may be the first four bytes of any method, known or not (RFC 9110: methods are registered in
/// capitals). Only for places where no body can be.
#[inline(always)]
pub fn begins_like_a_request(word: u32) -> bool {
    let [first, second, third, fourth] = word.to_ne_bytes();
    let in_method = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    first.is_ascii_uppercase() && in_method(second) && in_method(third) && (in_method(fourth) || fourth == b' ')
}

/// Sets the connection's protocol from the first four bytes of its data.
#[inline(always)]
pub fn sniff(conn: &mut Conn, word: u32) {
    conn.flags |= flag::SNIFFED;
    let bytes = word.to_ne_bytes();
    // A TLS record: content type (0x16 handshake, 0x17 application data), then the version, 3.x.
    if bytes[1] == 3 && (bytes[0] == 0x16 || bytes[0] == 0x17 && conn.flags & flag::SEEDED != 0) {
        conn.flags |= flag::TLS;
        // Open before the tracer started: past its handshake.
        if bytes[0] == 0x17 {
            conn.flags |= flag::TLS_DATA;
        }
    } else if looks_like_request(word) {
        conn.flags |= flag::HTTP;
        describe(conn, word);
        count_exchange(conn);
    }
}

/// The same from the bytes kept of the first request: they came in several packets, or follow a PROXY protocol
/// header. Does nothing while there are too few.
#[inline(always)]
pub fn sniff_kept(conn: &mut Conn, heads: *const Heads) {
    // SAFETY: callers pass a pointer to a map value, which stays valid while the program runs.
    let request = unsafe { &(*heads).request };
    let word = |at: usize| u32::from_ne_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
    let have = conn.request_have;
    if have < 4 {
        return;
    }
    let mut behind = 0_u32;
    if word(0) == PROXY_V1 {
        let mut next = 0;
        for _ in 0..PROXY_V1_LEN {
            // Without `opaque` the compiler ends the loop by an equality, from which the verifier learns no bound
            // before 6.8.
            let at = opaque(next);
            if at >= u64::from(have) || at >= PROXY_V1_LEN {
                break;
            }
            next = at + 1;
            if request[at as usize] == b'\n' {
                behind = unknown(next) as u32;
                break;
            }
        }
        if behind == 0 {
            conn.flags |= if u64::from(have) >= PROXY_V1_LEN { flag::SNIFFED } else { 0 };
            return;
        }
    } else if word(0) == PROXY_V2 {
        if have < 16 {
            return;
        }
        behind = 16 + u32::from(u16::from_be_bytes([request[14], request[15]]));
    }
    if behind + 4 > REQUEST {
        conn.flags |= flag::SNIFFED;
        return;
    }
    if have < behind + 4 {
        return;
    }
    let at = opaque(behind.into());
    if at > u64::from(REQUEST - 4) {
        return;
    }
    sniff(conn, word(at as usize));
}

/// Sets the flags of a request that follow from its method.
#[inline(always)]
pub fn describe(conn: &mut Conn, word: u32) {
    if word == GET {
        conn.flags |= flag::BODYLESS;
    } else if word == HEAD_ {
        conn.flags |= flag::BODYLESS | flag::HEAD;
    }
}
