//! The walk over the lines of a response's header section: is every line a field, and which fields frame the body?
//!
//! It goes eight bytes at a time and notes what it finds in a [`Walk`]: the end of the status line, and where the
//! values of Content-Length and Transfer-Encoding lie. Like the searches it is cut into parts, each a "global
//! function" that the kernel's verifier checks once; its state lies in a map between them.

use tracer_common::limits;

use crate::{
    tables::{heads, maps::WALK, values::Walk},
    wire::{
        verifier::opaque,
        words::{LOWER, equal, lowest, word},
    },
};

/// Value of [`Walk::over`]: a line is not a field.
pub const ODD: u64 = 1;
/// Value of [`Walk::over`]: the empty line was reached.
const ENDED: u64 = 2;

/// Parts of one walk, and steps of one part: together enough for all the words of the buffer and a hundred lines.
pub const WALK_PARTS: u32 = 16;
const WALK_PART: u32 = 24;

/// Takes up to [`WALK_PART`] steps of the walk in `slot`, over response `number`. Returns 1 when the walk is over.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_part(number: u64, slot: u32) -> u32 {
    let (Some(heads), Some(walk)) = (heads::at(number), WALK.get_ptr_mut(slot)) else { return 1 };
    // SAFETY: map values stay valid while a program runs, and no other walk on this CPU uses this slot.
    let (base, walk) = unsafe { ((&raw const (*heads).response).cast::<u8>(), &mut *walk) };
    for _ in 0..WALK_PART {
        if walk.at.get() >= walk.to.get() || walk.over.get() != 0 {
            return 1;
        }
        step(base, walk);
    }
    0
}

/// Goes eight bytes further, or to the end of the line. Computes with masks where it can: the kernel's verifier
/// follows each branch as a separate path, through every later step.
#[inline(always)]
fn step(base: *const u8, walk: &mut Walk) {
    let (at, to) = (walk.at.get(), walk.to.get());
    let line = walk.line.get();
    let nameless = walk.nameless.get();
    // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
    let eight = unsafe { word::<{ limits::RESPONSE_LEN }>(base, at) };
    let ends = equal(eight, b'\n');
    let end = if ends == 0 { at + 7 } else { at + lowest(ends) };
    if end >= to {
        walk.at.set(to);
        return;
    }
    // A mask of the bytes before the line's end; of all eight if the line does not end here.
    let before = ends.wrapping_sub(1) & !ends;
    let colon = (equal(eight, b':') & before).isolate_lowest_one();
    // A space as the line's first byte is allowed: the line continues the one before.
    let fold = 0x80 & opaque((at ^ line).wrapping_sub(1) >> 63).wrapping_neg();
    let spaces = equal(eight, b' ') & before & !fold & colon.wrapping_sub(1);
    if equal(eight, 0) & before | spaces & nameless != 0 {
        walk.over.set(ODD);
        return;
    }
    // All ones while the line has had no colon.
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

/// Within a field's value: skips words that contain neither a line's end nor a NUL, up to four of them.
#[inline(always)]
fn run_ahead(base: *const u8, mut at: u64, to: u64) -> u64 {
    for _ in 0..4 {
        // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
        let eight = unsafe { word::<{ limits::RESPONSE_LEN }>(base, at) };
        if equal(eight, b'\n') | equal(eight, 0) != 0 || at + 8 > to {
            break;
        }
        at += 8;
    }
    at
}

/// Whether the line continues the field of the line before (obsolete line folding, RFC 9112 §5.2).
#[inline(always)]
fn folded(base: *const u8, line: u64) -> bool {
    // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
    let first = unsafe { word::<{ limits::RESPONSE_LEN }>(base, line) } as u8;
    first == b' ' || first == b'\t'
}

/// Notes where the value lies if the line is Content-Length or Transfer-Encoding; no other field frames a body.
#[inline(always)]
fn field(base: *const u8, line: u64, end: u64, walk: &mut Walk) {
    // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
    let name = unsafe { word::<{ limits::RESPONSE_LEN }>(base, line) } | LOWER;
    if name == u64::from_ne_bytes(*b"content-") | LOWER {
        // SAFETY: `base` points to RESPONSE_LEN bytes of a map value, and `word` stays within them.
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
