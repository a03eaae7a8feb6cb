//! What the edge offers in its ClientHello (RFC 8446 §4.1.2): does it offer HTTP/2?

use tracer_common::{Conn, limits, origin_flags as origin};

use crate::{
    parse::verifier::{opaque, unaligned, unknown},
    tables::heads,
};

const REQUEST: u32 = limits::REQUEST_LEN as u32;

/// Where the length of the session id lies in the first record of a ClientHello.
const SESSION_ID_AT: u32 = 43;

/// Application-Layer Protocol Negotiation (RFC 7301).
const ALPN: u16 = 16;

/// Extensions and protocols that are looked at. Beyond them the offer is not known.
const EXTENSIONS: u32 = 40;
const PROTOCOLS: u32 = 4;

/// The origin answers the connection's first bytes: if they are a ClientHello, notes whether it offers HTTP/2. (They
/// may have come before the connection existed.) What is not kept may.
#[inline(never)]
pub fn note_offer(conn: &mut Conn) {
    if may_offer(conn) {
        conn.origin_flags |= origin::OFFERED_H2;
    }
}

#[inline(always)]
fn may_offer(conn: &Conn) -> bool {
    let Some(heads) = heads::at(conn.heads) else { return true };
    // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the other.
    let hello = unsafe { &(*heads).request };
    let have = conn.request_have;
    // Behind the session id: the suites, with a length of two bytes, and the compression methods, with one of one byte.
    let mut at = SESSION_ID_AT;
    at = at.wrapping_add(1).wrapping_add(u32::from(four(hello, at, have).to_ne_bytes()[0]));
    let suites = four(hello, at, have).to_ne_bytes();
    at = at.wrapping_add(2).wrapping_add(u32::from(u16::from_be_bytes([suites[0], suites[1]])));
    at = at.wrapping_add(1).wrapping_add(u32::from(four(hello, at, have).to_ne_bytes()[0]));
    // The length of all extensions.
    at = at.wrapping_add(2);
    for _ in 0..EXTENSIONS {
        at = unknown(at.into()) as u32;
        if at.wrapping_add(4) > have {
            return true;
        }
        let [kind, kind_low, len, len_low] = four(hello, at, have).to_ne_bytes();
        let len = u32::from(u16::from_be_bytes([len, len_low]));
        at = at.wrapping_add(4);
        if u16::from_be_bytes([kind, kind_low]) != ALPN {
            at = at.wrapping_add(len);
            continue;
        }
        let end = at.wrapping_add(len);
        at = at.wrapping_add(2);
        for _ in 0..PROTOCOLS {
            at = unknown(at.into()) as u32;
            if at >= end {
                return false;
            }
            let [len, first, second, _] = four(hello, at, have).to_ne_bytes();
            if len == 2 && first == b'h' && second == b'2' {
                return true;
            }
            at = at.wrapping_add(1).wrapping_add(len.into());
        }
        return false;
    }
    true
}

/// The four bytes from `at` on; zeros where they were not kept.
#[inline(always)]
fn four(hello: &[u8; limits::REQUEST_LEN], at: u32, have: u32) -> u32 {
    let at = opaque(at.into());
    if at > u64::from(REQUEST - 4) || at >= u64::from(have) {
        return 0;
    }
    // SAFETY: four bytes from `at` on lie within the buffer, as just checked.
    unsafe { unaligned(hello.as_ptr().add(at as usize).cast::<u32>()) }
}
