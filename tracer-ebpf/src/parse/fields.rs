//! The walk over the lines of a response's header section: is every line a field, and which fields frame the body?
//!
//! It goes eight bytes at a time and notes what it finds in a [`Walk`]: the end of the status line, and where the
//! values of Content-Length and Transfer-Encoding lie. Like the searches it is cut into parts.

use tracer_common::limits;

use super::{
    verifier::opaque,
    words::{HIGH, LOWER, controls, equal, lowest, may_be_controls, word},
};

/// The kept bytes of a response.
pub type Response = [u8; limits::RESPONSE_LEN];

/// Value of [`Walk::over`]: a line is not a field.
pub const ODD: u64 = 1;
/// Value of [`Walk::over`]: the empty line was reached.
pub const ENDED: u64 = 2;

/// Parts of one walk, and steps of one part: together enough for all the words of the buffer and a hundred lines.
pub const WALK_PARTS: u32 = 16;
const WALK_PART: u32 = 24;

/// A number in memory that every access reads from there or writes to there: the compiler does not keep it in a
/// register.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Cell(u64);

impl Cell {
    #[inline(always)]
    pub fn get(&self) -> u64 {
        // SAFETY: reads through a reference, so the value is live and aligned.
        unsafe { core::ptr::read_volatile(&raw const self.0) }
    }

    #[inline(always)]
    pub fn set(&mut self, value: u64) {
        // SAFETY: writes through a unique reference, so the value is live and aligned.
        unsafe { core::ptr::write_volatile(&raw mut self.0, value) }
    }
}

/// The state of a walk through a header section: how far it has come, and what it has found.
///
/// It lies in a map and each step reads it from there. The verifier does not track what map values hold; of values
/// in registers or on the stack it would follow every combination of findings through every step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    /// Where the walk is now.
    pub at: Cell,
    /// Where the walk ends.
    pub to: Cell,
    /// Where the current line begins; and all ones while the line has had no colon, 0 otherwise (the status line
    /// needs none).
    pub line: Cell,
    pub nameless: Cell,
    /// [`ODD`] or [`ENDED`]; else 0.
    pub over: Cell,
    /// Where the first line ends.
    pub status_end: Cell,
    /// Number of Content-Length fields; where the value of the last one begins and ends.
    pub lengths: Cell,
    pub length: Cell,
    pub length_end: Cell,
    /// Where the last Transfer-Encoding field ends.
    pub coding_end: Cell,
}

impl Walk {
    /// At the start of a response of which `to` bytes are looked at.
    #[inline(always)]
    pub const fn new(to: u32) -> Self {
        let zero = Cell(0);
        Self {
            at: zero,
            to: Cell(to as u64),
            line: zero,
            nameless: zero,
            over: zero,
            status_end: zero,
            lengths: zero,
            length: zero,
            length_end: zero,
            coding_end: zero,
        }
    }
}

/// Takes up to `WALK_PART` steps of a walk. Returns 1 when it is over.
#[inline(always)]
pub fn part(bytes: &Response, walk: &mut Walk) -> u32 {
    for _ in 0..WALK_PART {
        if walk.at.get() >= walk.to.get() || walk.over.get() != 0 {
            return 1;
        }
        step(bytes, walk);
    }
    0
}

/// Goes eight bytes further, or to the end of the line. Computes with masks where it can: the kernel's verifier
/// follows each branch as a separate path, through every later step.
#[inline(always)]
fn step(bytes: &Response, walk: &mut Walk) {
    let (at, to) = (walk.at.get(), walk.to.get());
    let line = walk.line.get();
    let nameless = walk.nameless.get();
    let eight = word(bytes, at);
    let ends = equal(eight, b'\n');
    let end = if ends == 0 { at + 7 } else { at + lowest(ends) };
    if end >= to {
        walk.at.set(to);
        return;
    }
    // A mask of the bytes before the line's end; of all eight if the line does not end here.
    let before = ends.wrapping_sub(1) & !ends;
    let colon = (equal(eight, b':') & before).isolate_lowest_one();
    // The last byte of the line may be CR, and no other.
    let cr = equal(eight, b'\r') & (ends >> 8 | 1 << 63);
    // At the start of the line: a colon has no name before it; a space means that the line continues the value before
    // (obsolete line folding, RFC 9112 §5.2).
    let start = sign((at ^ line).wrapping_sub(1));
    let nameless = nameless & !(start & sign((eight & 0xff).wrapping_sub(0x21)));
    // In a name only spaces and what is no ASCII are looked for. More takes too long; the agent's parser is exact.
    let odd_name = (equal(eight, b' ') | eight & HIGH) & before & colon.wrapping_sub(1) | colon & 0x80 & start;
    if odd_name & nameless | controls(eight) & before & !cr != 0 {
        walk.over.set(ODD);
        return;
    }
    // All ones while the line has had no colon.
    let unnamed = nameless & ((colon | colon.wrapping_neg()) >> 63).wrapping_sub(1);
    if ends == 0 {
        walk.nameless.set(unnamed);
        // A CR that comes last is seen again, with what follows it.
        let next = at + 8 - (cr >> 63);
        walk.at.set(if unnamed == 0 { run_ahead(bytes, next, to) } else { next });
        return;
    }
    if line == 0 {
        walk.status_end.set(end);
    } else if end <= line + 1 && matches!(eight as u8, b'\r' | b'\n') {
        walk.over.set(ENDED);
    } else if unnamed != 0 {
        walk.over.set(ODD);
    } else {
        field(bytes, line, end, walk);
    }
    walk.line.set(end + 1);
    walk.at.set(end + 1);
    walk.nameless.set(u64::MAX);
}

/// Within a field's value: skips words that contain neither a line's end nor a control character, up to four of them.
#[inline(always)]
fn run_ahead(bytes: &Response, mut at: u64, to: u64) -> u64 {
    for _ in 0..4 {
        let eight = word(bytes, at);
        if may_be_controls(eight) != 0 || at + 8 > to {
            break;
        }
        at += 8;
    }
    at
}

/// All ones if the highest bit of `number` is set, else 0.
#[inline(always)]
fn sign(number: u64) -> u64 {
    opaque(number >> 63).wrapping_neg()
}

/// Notes where the value lies if the line is Content-Length or Transfer-Encoding; no other field frames a body.
#[inline(always)]
fn field(bytes: &Response, line: u64, end: u64, walk: &mut Walk) {
    let name = word(bytes, line) | LOWER;
    if name == u64::from_ne_bytes(*b"content-") | LOWER {
        let rest = word(bytes, line + 8) & 0x00ff_ffff_ffff_ffff;
        if rest | LOWER == u64::from_ne_bytes(*b"length:\0") | LOWER {
            walk.lengths.set(walk.lengths.get() + 1);
            walk.length.set(line + 15);
            walk.length_end.set(end);
        }
    } else if name == u64::from_ne_bytes(*b"transfer") {
        let rest = [word(bytes, line + 8) | LOWER, word(bytes, line + 10) | LOWER];
        if rest == [*b"-encodin", *b"ncoding:"].map(|name| u64::from_ne_bytes(name) | LOWER) {
            walk.coding_end.set(end);
        }
    }
}
