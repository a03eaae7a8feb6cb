//! The header section of a response, read where it was kept: where it ends, and whether response and framing are sound.
//! The agent's parser has the last word; what is decided here is only whether there is something to tell it.

use tracer_common::{Conn, conn_flags as flag, limits, origin_flags as origin};

use crate::{
    exchange::walk::{ODD, WALK_PARTS, walk_part},
    tables::{
        heads,
        maps::{DEPTH, WALK},
        values::{Cell, WALKS, Walk},
    },
    wire::{
        verifier::unknown,
        words::{LOWER, word},
    },
};

const RESPONSE: u64 = limits::RESPONSE_LEN as u64;

/// What can be said of a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What was kept does not tell.
    Unknown = 0,
    /// All of it is there.
    Whole = 1,
    /// Only the end of the connection ends it.
    UntilClose = 2,
    /// Something is missing.
    Cut = 3,
    /// It is not what an edge takes for a response, or contradicts itself.
    Odd = 4,
}

/// Judges the response that is under way on this connection, whose flags are these: `total` bytes of it were written.
#[inline(always)]
pub fn judge(conn: &Conn, flags: u32, total: u32) -> Verdict {
    if conn.origin_flags & origin::NOT_HTTP != 0 {
        return Verdict::Odd;
    }
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let seen = pair(conn.response_have.min(limits::RESPONSE_LEN as u32), conn.head_len);
    let tail = u64::from_be_bytes(conn.response_tail);
    // The next chunk would begin in what has not been on the wire: whether it is there is not known.
    let unsure = if conn.chunk_at < total { origin::IN_CHUNKS } else { 0 };
    match judge_response(
        conn.heads,
        pair(flags, conn.origin_flags & !unsure),
        seen,
        pair(total, conn.response_len),
        tail,
    ) {
        1 => Verdict::Whole,
        2 => Verdict::UntilClose,
        3 => Verdict::Cut,
        4 => Verdict::Odd,
        _ => Verdict::Unknown,
    }
}

/// `flags`: the connection's, then those of the origin's side; `seen`: how many bytes were kept, and how long the
/// header section is; `lengths`: how many were written, and how many have been on the wire.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_response(number: u64, flags: u64, seen: u64, lengths: u64, tail: u64) -> u32 {
    let response = Judged {
        flags,
        kept: (seen >> 32) as u32,
        head_len: seen as u32,
        total: (lengths >> 32) as u32,
        sent: lengths as u32,
        tail,
    };
    verdict(&response, number) as u32
}

/// What a verdict on a response is made from.
struct Judged {
    /// The connection's, then those of the origin's side.
    flags: u64,
    kept: u32,
    head_len: u32,
    total: u32,
    sent: u32,
    tail: u64,
}

impl Judged {
    /// It answers a HEAD.
    #[inline(always)]
    const fn is_head(&self) -> bool {
        self.flags >> 32 & flag::HEAD as u64 != 0
    }

    #[inline(always)]
    const fn is(&self, origin_flag: u32) -> bool {
        self.flags & origin_flag as u64 != 0
    }
}

#[inline(always)]
fn verdict(response: &Judged, number: u64) -> Verdict {
    let Some(heads) = heads::at(number) else { return Verdict::Unknown };
    let Some(depth) = DEPTH.get_ptr_mut(0) else { return Verdict::Unknown };
    // SAFETY: this CPU's slot; whoever interrupts this puts it back before it returns.
    let depth = unsafe { &mut *depth };
    let slot = *depth % WALKS;
    let Some(walk) = WALK.get_ptr_mut(slot) else { return Verdict::Unknown };
    *depth = depth.wrapping_add(1);
    let to = if response.is(origin::IN_HEAD) { response.kept } else { response.kept.min(response.head_len) };
    // SAFETY: a live map value, and this walk's own slot.
    let (base, walk) = unsafe { ((&raw const (*heads).response).cast::<u8>(), &mut *walk) };
    let zero = Cell(0);
    *walk = Walk {
        at: zero,
        to: Cell(to.into()),
        line: zero,
        nameless: zero,
        over: zero,
        status_end: zero,
        lengths: zero,
        length: zero,
        length_end: zero,
        coding_end: zero,
    };
    for _ in 0..WALK_PARTS {
        if walk_part(number, slot) != 0 {
            break;
        }
    }
    let verdict = conclude(response, base, walk);
    *depth = depth.wrapping_sub(1);
    verdict
}

/// What the walk's findings come to.
#[inline(always)]
fn conclude(response: &Judged, base: *const u8, found: &Walk) -> Verdict {
    let status = match found.status_end.get() {
        0 => 0,
        end => status(base, end),
    };
    if found.over.get() == ODD || found.status_end.get() != 0 && status == 0 {
        return Verdict::Odd;
    }
    if response.is(origin::IN_HEAD) {
        return Verdict::Cut;
    }
    let coding_end = found.coding_end.get();
    let chunked = coding_end != 0 && ends_chunked(base, coding_end);
    if found.lengths.get() > 1 || found.lengths.get() > 0 && coding_end != 0 {
        return Verdict::Odd;
    }
    if status == 101 || status == 204 || status == 304 || response.is_head() {
        return Verdict::Whole;
    }
    if chunked {
        // It begins with the size of a chunk.
        // SAFETY: `base` has RESPONSE bytes.
        let first = unsafe { word::<{ limits::RESPONSE_LEN }>(base, response.head_len.into()) } as u8;
        if response.is(origin::NO_CHUNK) || response.head_len < response.kept && !first.is_ascii_hexdigit() {
            return Verdict::Odd;
        }
        if response.is(origin::IN_CHUNKS) {
            return Verdict::Cut;
        }
        return chunked_end(response, base);
    }
    if found.lengths.get() == 1 {
        let Some(length) = decimal(base, found.length.get(), found.length_end.get()) else { return Verdict::Odd };
        let body = u64::from(response.total.wrapping_sub(response.head_len));
        return if body >= length { Verdict::Whole } else { Verdict::Cut };
    }
    // Not all of the section was kept: its framing may be in the rest.
    if response.head_len > response.kept { Verdict::Unknown } else { Verdict::UntilClose }
}

/// Behind its last chunk, or where its chunks could not be followed: a chunked body ends with `0 CRLF CRLF`, or with
/// trailers and an empty line.
#[inline(always)]
fn chunked_end(response: &Judged, base: *const u8) -> Verdict {
    if response.sent != response.total {
        return Verdict::Unknown;
    }
    // Kept whole: the last bytes are there, in memory order.
    let tail = if response.kept == response.total {
        // SAFETY: `base` has RESPONSE bytes.
        unsafe { word::<{ limits::RESPONSE_LEN }>(base, u64::from(response.total).wrapping_sub(8)) }.swap_bytes()
    } else {
        response.tail
    };
    if tail as u32 == u32::from_be_bytes(*b"\r\n\r\n") && response.total > response.head_len {
        Verdict::Whole
    } else {
        Verdict::Cut
    }
}

/// The status of a line `HTTP/1.x` SP three digits that ends at `end`; 0: it is none.
#[inline(always)]
fn status(base: *const u8, end: u64) -> u32 {
    // SAFETY: `base` has RESPONSE bytes.
    let (version, rest) =
        unsafe { (word::<{ limits::RESPONSE_LEN }>(base, 0), word::<{ limits::RESPONSE_LEN }>(base, 8)) };
    let rest = rest.to_ne_bytes();
    let [_, hundreds, tens, ones, after, ..] = rest.map(|byte| byte.wrapping_sub(b'0'));
    let known = version == u64::from_ne_bytes(*b"HTTP/1.1") || version == u64::from_ne_bytes(*b"HTTP/1.0");
    // After the digits: SP, CR or LF.
    if !known || end < 12 || rest[0] != b' ' || hundreds > 9 || tens > 9 || ones > 9 || after < 0xd0 {
        return 0;
    }
    u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones)
}

/// Whether the last transfer coding of a line that ends at `end` (with CR LF, or with LF alone) is `chunked`. Any
/// other one ends with the connection.
#[inline(always)]
fn ends_chunked(base: *const u8, end: u64) -> bool {
    // SAFETY: `base` has RESPONSE bytes.
    let last = unsafe { word::<{ limits::RESPONSE_LEN }>(base, end.saturating_sub(8)) };
    let cr = last >> 56 == u64::from(b'\r');
    let coding = if cr { last & 0x00ff_ffff_ffff_ffff } else { last >> 8 };
    coding | LOWER == u64::from_ne_bytes(*b"chunked\0") | LOWER
}

/// A decimal number between spaces, of at most 18 digits.
#[inline(always)]
fn decimal(base: *const u8, from: u64, end: u64) -> Option<u64> {
    let (mut value, mut digits, mut closed) = (0_u64, 0_u64, 0_u64);
    for index in 0..22_u64 {
        let at = from + index;
        if at >= end {
            return (digits & 1 != 0).then_some(value);
        }
        // One state for the verifier to follow, not one for each run of digits and spaces.
        (digits, closed) = (unknown(digits), unknown(closed));
        // SAFETY: `base` has RESPONSE bytes.
        let byte = unsafe { word::<{ limits::RESPONSE_LEN }>(base, at) } as u8;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 && byte > b' ' || digit <= 9 && closed & 1 != 0 {
            return None;
        }
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits = 1;
        } else {
            closed = digits;
        }
    }
    None
}

const _: () = assert!(RESPONSE.is_multiple_of(8));
