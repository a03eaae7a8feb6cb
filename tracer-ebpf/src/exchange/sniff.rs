//! What does a connection speak? Does a packet begin a request?

use tracer_common::{Conn, Heads, conn_flags as flag, limits};

use crate::{
    tables::counters::count_exchange,
    wire::verifier::{opaque, unknown},
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// How a request or a connection may begin.
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

/// The longest header of version 1, CR LF included.
const PROXY_V1_LEN: u64 = 107;
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

/// Whether so many bytes after the origin's FIN, which were not looked at, may be a request: a few are the edge's own
/// goodbye (close_notify inside TLS), or the end of an upload.
#[inline(always)]
pub fn may_be_request(conn: &Conn, len: u32) -> bool {
    nothing_came(conn) || len >= limits::MIN_OPAQUE_REQUEST
}

/// Whether the edge has not begun to speak.
#[inline(always)]
pub fn nothing_came(conn: &Conn) -> bool {
    conn.flags & flag::SNIFFED == 0 && conn.exchanges == 0
}

/// Whether these may be the first bytes of any method (RFC 9110: names are registered in capitals), where no body can
/// be.
#[inline(always)]
pub fn begins_like_a_request(word: u32) -> bool {
    let [first, second, third, fourth] = word.to_ne_bytes();
    let in_method = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    first.is_ascii_uppercase() && in_method(second) && in_method(third) && (in_method(fourth) || fourth == b' ')
}

/// What does the connection speak?
#[inline(always)]
pub fn sniff(conn: &mut Conn, word: u32) {
    conn.flags |= flag::SNIFFED;
    let bytes = word.to_ne_bytes();
    if bytes[1] == 3 && (bytes[0] == 0x16 || bytes[0] == 0x17 && conn.flags & flag::SEEDED != 0) {
        conn.flags |= flag::TLS;
        // In the middle of its data.
        if bytes[0] == 0x17 {
            conn.flags |= flag::TLS_DATA;
        }
    } else if looks_like_request(word) {
        conn.flags |= flag::HTTP;
        describe(conn, word);
        count_exchange(conn);
    }
}

/// The first bytes came in pieces, or behind a PROXY protocol header.
#[inline(always)]
pub fn sniff_kept(conn: &mut Conn, heads: *const Heads) {
    // SAFETY: a live map value.
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
            // The compiler would end the loop by an equality, from which the verifier learns no bound before 6.8.
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

/// Notes which kind of request it is.
#[inline(always)]
pub fn describe(conn: &mut Conn, word: u32) {
    if word == GET {
        conn.flags |= flag::BODYLESS;
    } else if word == HEAD_ {
        conn.flags |= flag::BODYLESS | flag::HEAD;
    }
}
