//! The header section of a response, read where it was kept: where it ends, and whether response and framing are sound.
//! The agent's parser has the last word; what is decided here is only whether there is something to tell it.

use tracer_common::{Conn, Heads, conn_flags as flag, limits, origin_flags as origin};

use crate::{
    heads,
    maps::{DEPTH, SCRATCH, WALK},
    verifier::{opaque, unaligned, unknown},
};

const RESPONSE: u64 = limits::RESPONSE_LEN as u64;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Eight bytes at any offset of a buffer of `SIZE` bytes that begins at `base`; zero past its end.
///
/// # Safety
/// `base` is a map value with at least `SIZE` bytes.
#[inline(always)]
pub unsafe fn word<const SIZE: usize>(base: *const u8, at: u64) -> u64 {
    let at = opaque(at);
    if at > SIZE as u64 - 8 {
        return 0;
    }
    // SAFETY: `at + 8 <= SIZE`.
    unsafe { unaligned(base.add(at as usize).cast::<u64>()) }
}

/// A byte of `each` in every place of a word.
const fn all(each: u8) -> u64 {
    each as u64 * ONES
}

/// The high bit of each byte of `word` that equals `byte`; exact for the lowest one, which is all that is used.
#[inline(always)]
pub const fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ all(byte);
    zero.wrapping_sub(ONES) & !zero & HIGH
}

/// Index of the byte whose high bit is the lowest set in `marks`.
#[inline(always)]
pub const fn lowest(marks: u64) -> u64 {
    (marks.isolate_lowest_one() >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56
}

/// Whether the response's bytes before `end` are CR LF CR LF.
#[inline(always)]
pub fn ends_at(heads: *const Heads, end: u32) -> bool {
    let at = u64::from(end).wrapping_sub(8);
    // SAFETY: callers pass a live map value; the buffer has that size.
    let last = unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), at) };
    (last >> 32) as u32 == u32::from_ne_bytes(*b"\r\n\r\n")
}

/// The eight bytes before the response's byte `at`, all of which were kept, the first one highest; zero where there are not
/// so many.
#[inline(always)]
pub fn eight_before(number: u64, at: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return 0 };
    let from = u64::from(at).wrapping_sub(8);
    // SAFETY: a live map value; the buffer has that size.
    unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), from) }.swap_bytes()
}

/// Finds an empty line (CR LF CR LF, or with bare LF) in `base[at..to]`, a part of it at a time: the offset after it, with
/// [`FOUND`]; else where to go on, `to` at the end.
///
/// # Safety
/// `base` is a map value with at least `SIZE` bytes.
#[inline(always)]
unsafe fn search<const SIZE: usize>(base: *const u8, at: u32, to: u32) -> u64 {
    let (mut at, to) = (u64::from(at), u64::from(to));
    for _ in 0..PART {
        // The same range at each step.
        at = unknown(at) & 0x1fff;
        if at >= to {
            return to;
        }
        // SAFETY: the caller's promise.
        let ends = equal(unsafe { word::<SIZE>(base, at) }, b'\n');
        if ends == 0 {
            at += 8;
            continue;
        }
        at += lowest(ends) + 1;
        // SAFETY: as above.
        let next = unsafe { word::<SIZE>(base, at) } as u16;
        let length = if next == u16::from_ne_bytes(*b"\r\n") { 2 } else { u64::from(next as u8 == b'\n') };
        if length != 0 {
            let end = at + length;
            return if end <= to { FOUND | end } else { to };
        }
    }
    at
}

const FOUND: u64 = 1 << 32;
/// Steps of one part: words, and lines.
const PART: u32 = 32;
/// Parts that take in the largest section that is kept, with lines of a dozen bytes.
const PARTS: u32 = 48;

// The functions that follow are the kernel's "global functions": it checks each of them once, and not at each call. That is
// why they take numbers only (5.10 allows no pointers) and look things up again, and why loops are cut into parts.

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_request(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: a live map value of that size.
    unsafe { search::<{ limits::REQUEST_LEN }>((&raw const (*heads).request).cast(), at, to) }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_response(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: as above.
    unsafe { search::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), at, to) }
}

/// Bytes of a large header section that are searched in one go, with those before it.
pub const CHUNK: usize = 4096;
/// No word is read that would reach past the end.
pub const SCRATCH_LEN: usize = CHUNK + 8;

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_chunk(at: u32, to: u32) -> u64 {
    let Some(scratch) = SCRATCH.get_ptr(0) else { return to.into() };
    // SAFETY: as above.
    unsafe { search::<SCRATCH_LEN>(scratch.cast(), at, to) }
}

/// Goes through all parts. 0: the end is not there.
#[inline(always)]
fn in_parts(mut at: u32, to: u32, part: impl Fn(u32) -> u64) -> u32 {
    for _ in 0..PARTS {
        let reached = part(at);
        at = reached as u32;
        if reached & FOUND != 0 {
            return at;
        }
        if at >= to {
            break;
        }
    }
    0
}

/// Where the header section of the first request of those that came together ends; 0: not in what was kept.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn first_request_end(number: u64, have: u32) -> u32 {
    in_parts(0, have, |at| search_request(number, at, have))
}

/// Where the header section of the response ends, of which `searched` bytes were searched before; 0: not in what was kept.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn response_head_end(number: u64, searched: u32, have: u32) -> u32 {
    // It may have begun a little before.
    in_parts(searched.saturating_sub(3), have, |at| search_response(number, at, have))
}

/// The same for the first `have` bytes of [`SCRATCH`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn chunk_head_end(have: u32) -> u32 {
    in_parts(0, have, |at| search_chunk(at, have))
}

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

/// `flags`: the connection's, then those of the origin's side; `seen`: how many bytes were kept, and how long the header
/// section is; `lengths`: how many were written, and how many have been on the wire.
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

/// A number in memory that is written and read each time, and never kept in a register.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Cell(u64);

impl Cell {
    #[inline(always)]
    fn get(&self) -> u64 {
        // SAFETY: a reference to a live value.
        unsafe { core::ptr::read_volatile(&raw const self.0) }
    }

    #[inline(always)]
    fn set(&mut self, value: u64) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut self.0, value) }
    }
}

/// A walk through a header section: where it is, and what it has found. It lies in a map, and is read from there at each
/// step, because the kernel's verifier forgets what is stored there: it would otherwise follow every combination of
/// findings through every step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    at: Cell,
    /// How far it goes.
    to: Cell,
    /// Where the present line begins, and whether it has no colon yet (all ones); the status line needs none.
    line: Cell,
    nameless: Cell,
    /// 1: a line is no field; 2: the empty line was reached.
    over: Cell,
    /// Where the first line ends.
    status_end: Cell,
    /// How many Content-Length fields there are; where the value of the last one begins and ends.
    lengths: Cell,
    length: Cell,
    length_end: Cell,
    /// Where the last Transfer-Encoding field ends.
    coding_end: Cell,
}

const ODD: u64 = 1;
const ENDED: u64 = 2;

/// Walks that can be under way on a CPU: one in a process, one in a softirq that interrupts it, and so on.
pub const WALKS: u32 = 4;

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

/// Enough for all the words and a hundred lines.
const WALK_PARTS: u32 = 16;
const WALK_PART: u32 = 24;

/// Takes some steps of the walk in this slot. 1: it is over.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_part(number: u64, slot: u32) -> u32 {
    let (Some(heads), Some(walk)) = (heads::at(number), WALK.get_ptr_mut(slot)) else { return 1 };
    // SAFETY: live map values; the slot is this walk's own.
    let (base, walk) = unsafe { ((&raw const (*heads).response).cast::<u8>(), &mut *walk) };
    for _ in 0..WALK_PART {
        if walk.at.get() >= walk.to.get() || walk.over.get() != 0 {
            return 1;
        }
        step(base, walk);
    }
    0
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
        let Some(length) = number(base, found.length.get(), found.length_end.get()) else { return Verdict::Odd };
        let body = u64::from(response.total.wrapping_sub(response.head_len));
        return if body >= length { Verdict::Whole } else { Verdict::Cut };
    }
    // Not all of the section was kept: its framing may be in the rest.
    if response.head_len > response.kept { Verdict::Unknown } else { Verdict::UntilClose }
}

/// Behind its last chunk, or where its chunks could not be followed: a chunked body ends with `0 CRLF CRLF`, or with trailers
/// and an empty line.
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

/// Eight bytes further, or to the end of the line. Counts with masks where it can: each branch is a path that the kernel's
/// verifier follows through every step.
#[inline(always)]
fn step(base: *const u8, walk: &mut Walk) {
    let (at, to) = (walk.at.get(), walk.to.get());
    let line = walk.line.get();
    let nameless = walk.nameless.get();
    // SAFETY: `base` has RESPONSE bytes.
    let eight = unsafe { word::<{ limits::RESPONSE_LEN }>(base, at) };
    let ends = equal(eight, b'\n');
    let end = if ends == 0 { at + 7 } else { at + lowest(ends) };
    if end >= to {
        walk.at.set(to);
        return;
    }
    // The bytes before the line's end; all of them where it does not end here.
    let before = ends.wrapping_sub(1) & !ends;
    let colon = (equal(eight, b':') & before).isolate_lowest_one();
    // A space at the line's beginning continues the line before.
    let fold = 0x80 & opaque((at ^ line).wrapping_sub(1) >> 63).wrapping_neg();
    let spaces = equal(eight, b' ') & before & !fold & colon.wrapping_sub(1);
    if equal(eight, 0) & before | spaces & nameless != 0 {
        walk.over.set(ODD);
        return;
    }
    // All ones where there is no colon.
    let unnamed = nameless & ((colon | colon.wrapping_neg()) >> 63).wrapping_sub(1);
    if ends == 0 {
        walk.nameless.set(unnamed);
        walk.at.set(if unnamed == 0 { run_ahead(base, at + 8, to) } else { at + 8 });
        return;
    }
    if line == 0 {
        walk.status_end.set(end);
    } else if end <= line + 1 {
        walk.over.set(ENDED);
    } else if unnamed != 0 && !folded(base, line) {
        walk.over.set(ODD);
    } else {
        field(base, line, end, walk);
    }
    walk.line.set(end + 1);
    walk.at.set(end + 1);
    walk.nameless.set(u64::MAX);
}

/// Within a field's value: passes over words that have neither a line's end nor a NUL.
#[inline(always)]
fn run_ahead(base: *const u8, mut at: u64, to: u64) -> u64 {
    for _ in 0..4 {
        // SAFETY: `base` has RESPONSE bytes.
        let eight = unsafe { word::<{ limits::RESPONSE_LEN }>(base, at) };
        if equal(eight, b'\n') | equal(eight, 0) != 0 || at + 8 > to {
            break;
        }
        at += 8;
    }
    at
}

/// A line that continues the one before.
#[inline(always)]
fn folded(base: *const u8, line: u64) -> bool {
    // SAFETY: `base` has RESPONSE bytes.
    let first = unsafe { word::<{ limits::RESPONSE_LEN }>(base, line) } as u8;
    first == b' ' || first == b'\t'
}

/// Notes Content-Length and Transfer-Encoding; the rest says nothing of the framing.
#[inline(always)]
fn field(base: *const u8, line: u64, end: u64, walk: &mut Walk) {
    // SAFETY: `base` has RESPONSE bytes.
    let name = unsafe { word::<{ limits::RESPONSE_LEN }>(base, line) } | LOWER;
    if name == u64::from_ne_bytes(*b"content-") | LOWER {
        // SAFETY: as above.
        let rest = unsafe { word::<{ limits::RESPONSE_LEN }>(base, line + 8) } & 0x00ff_ffff_ffff_ffff;
        if rest | LOWER == u64::from_ne_bytes(*b"length:\0") | LOWER {
            walk.lengths.set(walk.lengths.get() + 1);
            walk.length.set(line + 15);
            walk.length_end.set(end);
        }
    } else if name == u64::from_ne_bytes(*b"transfer") {
        walk.coding_end.set(end);
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

/// Whether the last transfer coding of a line that ends at `end` (with CR LF, or with LF alone) is `chunked`. Any other one
/// ends with the connection.
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
fn number(base: *const u8, from: u64, end: u64) -> Option<u64> {
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
