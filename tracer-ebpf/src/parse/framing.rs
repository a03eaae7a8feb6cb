//! Is a response whole? Decided from the kept bytes of its header section, the number of bytes sent, and the last ones.
//!
//! The verdict only decides whether the connection is handed to the agent. The agent parses the same bytes again, and
//! its parser has the last word: a false alarm here costs a record, no false report.

use tracer_common::{Conn, conn_flags as flag, gate::Verdict, limits, origin_flags as origin};

use super::{
    fields::{ODD, Response, Walk},
    verifier::unknown,
    words::{LOWER, word},
};

/// Two numbers in one.
const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// What a verdict on a response is based on.
pub struct Judged {
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
    /// The response in progress on this connection, of which `total` bytes were written. `flags` are the connection's,
    /// with HEAD set if the response answers a HEAD request.
    #[inline(always)]
    pub fn of(conn: &Conn, flags: u32, total: u32) -> Self {
        // The next chunk would begin in bytes that were written but not sent yet: whether it is there is not known.
        let unsure = if conn.chunk_at < total { origin::IN_CHUNKS } else { 0 };
        Self {
            flags: pair(flags, conn.origin_flags & !unsure),
            kept: conn.response_have.min(limits::RESPONSE_LEN as u32),
            head_len: conn.head_len,
            total,
            sent: conn.response_len,
            tail: u64::from_be_bytes(conn.response_tail),
        }
    }

    /// All of it in numbers, some of them two to a word (high half, low half): the flags; how many bytes were kept, and
    /// how long the header section is; how many bytes were written, and how many were sent; the last bytes.
    #[inline(always)]
    pub const fn to_words(&self) -> [u64; 4] {
        [self.flags, pair(self.kept, self.head_len), pair(self.total, self.sent), self.tail]
    }

    /// The reverse of [`Judged::to_words`].
    #[inline(always)]
    pub const fn from_words([flags, seen, lengths, tail]: [u64; 4]) -> Self {
        Self {
            flags,
            kept: (seen >> 32) as u32,
            head_len: seen as u32,
            total: (lengths >> 32) as u32,
            sent: lengths as u32,
            tail,
        }
    }

    /// The walk over its header section.
    #[inline(always)]
    pub fn walk(&self) -> Walk {
        Walk::new(if self.is(origin::IN_HEAD) { self.kept } else { self.kept.min(self.head_len) })
    }

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

/// Judges by what the walk found.
#[inline(always)]
pub fn conclude(response: &Judged, bytes: &Response, found: &Walk) -> Verdict {
    let status = status(bytes, found.status_end.get());
    // While the first line has not ended, its end is 0.
    let in_head = response.is(origin::IN_HEAD);
    if found.over.get() == ODD || status == 0 && !(in_head && found.status_end.get() == 0) {
        return Verdict::Odd;
    }
    if in_head {
        return Verdict::Cut;
    }
    let coding_end = found.coding_end.get();
    let chunked = coding_end != 0 && ends_chunked(bytes, coding_end);
    if found.lengths.get() > 1 || found.lengths.get() > 0 && coding_end != 0 {
        return Verdict::Odd;
    }
    // A line continues the status line, or the one that frames the body: what the two say together is for the agent.
    let framed_by = found.length_end.get() | coding_end;
    if is_blank(word(bytes, found.status_end.get() + 1) as u8)
        || framed_by != 0 && is_blank(word(bytes, framed_by + 1) as u8)
    {
        return Verdict::Odd;
    }
    if status == 101 || status == 204 || status == 304 || response.is_head() {
        return Verdict::Whole;
    }
    if chunked {
        // A chunked body begins with the size of a chunk.
        let first = word(bytes, response.head_len.into()) as u8;
        if response.is(origin::NO_CHUNK) || response.head_len < response.kept && !first.is_ascii_hexdigit() {
            return Verdict::Odd;
        }
        if response.is(origin::IN_CHUNKS) {
            return Verdict::Cut;
        }
        return chunked_end(response, bytes);
    }
    if found.lengths.get() == 1 {
        let Some(length) = decimal(bytes, found.length.get(), found.length_end.get()) else { return Verdict::Odd };
        let body = u64::from(response.total.wrapping_sub(response.head_len));
        return if body >= length { Verdict::Whole } else { Verdict::Cut };
    }
    // No framing in the part of the section that was kept: if that is not all, it may be in the rest.
    if response.head_len > response.kept { Verdict::Unknown } else { Verdict::UntilClose }
}

/// Judges a chunked body by its last bytes: it ends with an empty line, after the last chunk or after trailer fields.
/// For bodies whose last chunk was seen, or whose chunks could not be followed.
#[inline(always)]
fn chunked_end(response: &Judged, bytes: &Response) -> Verdict {
    if response.sent != response.total {
        return Verdict::Unknown;
    }
    // A response that was kept whole has its last bytes in the buffer, in memory order.
    let tail = if response.kept == response.total {
        word(bytes, u64::from(response.total).wrapping_sub(8)).swap_bytes()
    } else {
        response.tail
    };
    if tail as u32 == u32::from_be_bytes(*b"\r\n\r\n") && response.total > response.head_len {
        Verdict::Whole
    } else {
        Verdict::Cut
    }
}

/// Offset of the status in a status line, after `HTTP/1.1 `.
pub const STATUS: usize = 9;

/// Whether this is an interim response: another one to the same request follows. A 101 is final.
#[inline(always)]
pub fn is_interim(response: &Response) -> bool {
    response[0] == b'H' && response[STATUS] == b'1' && !is_upgrade(response)
}

/// How many of these four bytes, in memory order, are CR or LF in front of anything else.
///
/// Empty lines in front of a status line are no part of the response (RFC 9112 §2.2). Some servers send one between an
/// interim response and the final one.
#[inline(always)]
pub const fn blanks(four: u32) -> u32 {
    let [first, second, third, fourth] = four.to_ne_bytes();
    if !ends_line(first) {
        0
    } else if !ends_line(second) {
        1
    } else if !ends_line(third) {
        2
    } else {
        3 + ends_line(fourth) as u32
    }
}

#[inline(always)]
const fn ends_line(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// Whether the response's status is 101.
#[inline(always)]
pub fn is_upgrade(response: &Response) -> bool {
    let [.., hundreds, tens, ones] = response.first_chunk::<{ STATUS + 3 }>().copied().unwrap_or_default();
    [hundreds, tens, ones] == *b"101"
}

/// Returns the status of a status line that ends at `end`: `HTTP/1.0` or `HTTP/1.1`, SP, three digits. 0: it is not a
/// status line.
#[inline(always)]
fn status(bytes: &Response, end: u64) -> u32 {
    let (version, rest) = (word(bytes, 0), word(bytes, 8));
    let rest = rest.to_ne_bytes();
    let [_, hundreds, tens, ones, ..] = rest.map(|byte| byte.wrapping_sub(b'0'));
    let known = version == u64::from_ne_bytes(*b"HTTP/1.1") || version == u64::from_ne_bytes(*b"HTTP/1.0");
    let digits = hundreds <= 9 && tens <= 9 && ones <= 9;
    if !known || end < 12 || rest[0] != b' ' || !digits || !matches!(rest[4], b' ' | b'\r' | b'\n') {
        return 0;
    }
    u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones)
}

/// Whether the last transfer coding of a line that ends at `end` (with CR LF, or with LF alone) is `chunked`. With
/// any other coding the body ends with the connection.
#[inline(always)]
fn ends_chunked(bytes: &Response, end: u64) -> bool {
    let mut end = end;
    for _ in 0..CODING_SPACES {
        end = unknown(end);
        let last = (word(bytes, end.wrapping_sub(8)) >> 56) as u8;
        if last != b'\r' && !is_blank(last) {
            break;
        }
        end = end.wrapping_sub(1);
    }
    // The byte before the coding, and the coding.
    let last = word(bytes, end.wrapping_sub(8));
    let parted = matches!(last as u8, b':' | b',') || is_blank(last as u8);
    parted && last >> 8 | LOWER >> 8 == u64::from_ne_bytes(*b"chunked\0") | LOWER >> 8
}

/// How many spaces may stand behind a transfer coding, with the CR.
const CODING_SPACES: u32 = 8;

/// Whether it is a space or a tab.
#[inline(always)]
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Reads a decimal number with spaces around it, from `from` to the end of the line. `None`: something else is there,
/// or it is too long (more than 19 digits, or 22 bytes).
#[inline(always)]
fn decimal(bytes: &Response, from: u64, end: u64) -> Option<u64> {
    let (mut value, mut digits, mut closed) = (0_u64, 0_u64, 0_u64);
    for index in 0..22_u64 {
        let at = from + index;
        if at >= end {
            return (digits != 0 && digits < 20).then_some(value);
        }
        // Makes the values unknown to the verifier, so that it follows one state and not one for each run of digits and
        // spaces.
        (digits, closed) = (unknown(digits), unknown(closed));
        let byte = word(bytes, at) as u8;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 && byte > b' ' || digit <= 9 && closed != 0 {
            return None;
        }
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
        } else {
            closed = digits;
        }
    }
    None
}
