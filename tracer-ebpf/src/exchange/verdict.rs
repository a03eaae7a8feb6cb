//! Is a response whole? Decided from the kept bytes of its header section, the number of bytes sent, and the last ones.
//!
//! The verdict only decides whether the connection is handed to the agent. The agent parses the same bytes again, and
//! its parser has the last word: a false alarm here costs a record, no false report.

use tracer_common::{Conn, conn_flags as flag, gate::Verdict, limits, origin_flags as origin};

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

/// Judges the current response on this connection, of which `total` bytes were written. `flags` are the connection's,
/// with HEAD set if the response answers a HEAD request.
#[inline(always)]
pub fn judge(conn: &Conn, flags: u32, total: u32) -> Verdict {
    if conn.origin_flags & origin::NOT_HTTP != 0 {
        return Verdict::Odd;
    }
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let seen = pair(conn.response_have.min(limits::RESPONSE_LEN as u32), conn.head_len);
    let tail = u64::from_be_bytes(conn.response_tail);
    // The next chunk would begin in bytes that were written but not sent yet: whether it is there is not known.
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

/// [`judge`] as one of the kernel's "global functions", which the verifier checks once and which take numbers only,
/// here two to a word (high half, low half). `flags`: of the connection, of the origin's side. `seen`: how many bytes
/// were kept, how long the header section is. `lengths`: how many bytes were written, how many were sent. `number`:
/// of the buffers; `tail`: the last eight bytes. Returns a [`Verdict`].
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

/// What a verdict on a response is based on.
struct Judged {
    /// High half: the connection's flags; low half: those of the origin's side.
    flags: u64,
    /// How many bytes were kept, from the first on.
    kept: u32,
    /// How long the header section is.
    head_len: u32,
    /// How many bytes were written.
    total: u32,
    /// How many of those were sent.
    sent: u32,
    /// The last eight bytes sent, the first of them in the highest byte.
    tail: u64,
}

impl Judged {
    /// Whether it answers a HEAD request: then it has no body.
    #[inline(always)]
    const fn is_head(&self) -> bool {
        self.flags >> 32 & flag::HEAD as u64 != 0
    }

    /// Whether a flag of the origin's side is set.
    #[inline(always)]
    const fn is(&self, origin_flag: u32) -> bool {
        self.flags & origin_flag as u64 != 0
    }
}

/// Walks over the header section of response `number` and judges by what it finds.
#[inline(always)]
fn verdict(response: &Judged, number: u64) -> Verdict {
    let Some(heads) = heads::at(number) else { return Verdict::Unknown };
    let Some(depth) = DEPTH.get_ptr_mut(0) else { return Verdict::Unknown };
    // SAFETY: this CPU's slot of an array map. A program that interrupts this one restores the value before it returns.
    let depth = unsafe { &mut *depth };
    let slot = *depth % WALKS;
    let Some(walk) = WALK.get_ptr_mut(slot) else { return Verdict::Unknown };
    *depth = depth.wrapping_add(1);
    let to = if response.is(origin::IN_HEAD) { response.kept } else { response.kept.min(response.head_len) };
    // SAFETY: map values stay valid while a program runs; the depth of interruption makes the slot this walk's own.
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

/// Judges by what the walk found.
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
        // A chunked body begins with the size of a chunk.
        // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
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
    // No framing in the part of the section that was kept: if that is not all, it may be in the rest.
    if response.head_len > response.kept { Verdict::Unknown } else { Verdict::UntilClose }
}

/// Judges a chunked body by its last bytes: it ends with an empty line, after the last chunk or after trailer fields.
/// For bodies whose last chunk was seen, or whose chunks could not be followed.
#[inline(always)]
fn chunked_end(response: &Judged, base: *const u8) -> Verdict {
    if response.sent != response.total {
        return Verdict::Unknown;
    }
    // A response that was kept whole has its last bytes in the buffer, in memory order.
    let tail = if response.kept == response.total {
        // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
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

/// Returns the status of a status line that ends at `end`: `HTTP/1.0` or `HTTP/1.1`, SP, three digits. 0: it is not a
/// status line.
#[inline(always)]
fn status(base: *const u8, end: u64) -> u32 {
    // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
    let (version, rest) =
        unsafe { (word::<{ limits::RESPONSE_LEN }>(base, 0), word::<{ limits::RESPONSE_LEN }>(base, 8)) };
    let rest = rest.to_ne_bytes();
    let [_, hundreds, tens, ones, after, ..] = rest.map(|byte| byte.wrapping_sub(b'0'));
    let known = version == u64::from_ne_bytes(*b"HTTP/1.1") || version == u64::from_ne_bytes(*b"HTTP/1.0");
    // The byte after the digits must be SP, CR or LF, all of which wrap to 0xd0 or more when '0' is subtracted.
    if !known || end < 12 || rest[0] != b' ' || hundreds > 9 || tens > 9 || ones > 9 || after < 0xd0 {
        return 0;
    }
    u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones)
}

/// Whether the last transfer coding of a line that ends at `end` (with CR LF, or with LF alone) is `chunked`. With
/// any other coding the body ends with the connection.
#[inline(always)]
fn ends_chunked(base: *const u8, end: u64) -> bool {
    // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
    let last = unsafe { word::<{ limits::RESPONSE_LEN }>(base, end.saturating_sub(8)) };
    let cr = last >> 56 == u64::from(b'\r');
    let coding = if cr { last & 0x00ff_ffff_ffff_ffff } else { last >> 8 };
    coding | LOWER == u64::from_ne_bytes(*b"chunked\0") | LOWER
}

/// Reads a decimal number with spaces around it, from `from` to the end of the line. `None`: something else is there,
/// or it is too long (more than 22 bytes).
#[inline(always)]
fn decimal(base: *const u8, from: u64, end: u64) -> Option<u64> {
    let (mut value, mut digits, mut closed) = (0_u64, 0_u64, 0_u64);
    for index in 0..22_u64 {
        let at = from + index;
        if at >= end {
            return (digits & 1 != 0).then_some(value);
        }
        // Makes the values unknown to the verifier, so that it follows one state and not one for each run of digits and
        // spaces.
        (digits, closed) = (unknown(digits), unknown(closed));
        // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
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
