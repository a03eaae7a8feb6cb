//! Finds the end of a header section: the empty line. Searches the kept bytes of a request or a response, or a piece
//! of a packet that was copied to [`SCRATCH`].
//!
//! The search goes eight bytes at a time (`wire::words`). The kernel's verifier shapes it: it follows every step of a
//! loop at each place from which it is called, up to a limit. So a search is cut into parts of [`PART`] steps, and a
//! part is a "global function", which the verifier checks once and not at each call. Kernel 5.10 lets such a function
//! take numbers only, no pointers: each looks its buffer up again.

use tracer_common::{Heads, limits};

use crate::{
    tables::{heads, maps::SCRATCH, values::SCRATCH_LEN},
    wire::{
        verifier::unknown,
        words::{equal, lowest, word},
    },
};

/// Whether the four bytes of the response before its byte `end` are CR LF CR LF.
#[inline(always)]
pub fn ends_at(heads: *const Heads, end: u32) -> bool {
    let at = u64::from(end).wrapping_sub(8);
    // SAFETY: callers pass a pointer to a live map value, whose `response` has RESPONSE_LEN bytes; `word` stays
    // within them.
    let last = unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), at) };
    (last >> 32) as u32 == u32::from_ne_bytes(*b"\r\n\r\n")
}

/// Returns the eight bytes before byte `at` of the response, all of which were kept, the first one in the highest
/// byte; zero if there are fewer.
#[inline(always)]
pub fn eight_before(number: u64, at: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return 0 };
    let from = u64::from(at).wrapping_sub(8);
    // SAFETY: map values stay valid while a program runs; `response` has RESPONSE_LEN bytes, and `word` stays within
    // them.
    unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), from) }.swap_bytes()
}

/// Searches `base[at..to]` for an empty line (CR LF CR LF, or with bare LF), at most [`PART`] steps. Returns the
/// offset after it with the flag [`FOUND`]; else the offset at which to go on, which is `to` when all is searched.
///
/// # Safety
/// `base` is a map value with at least `SIZE` bytes.
#[inline(always)]
unsafe fn search<const SIZE: usize>(base: *const u8, at: u32, to: u32) -> u64 {
    let (mut at, to) = (u64::from(at), u64::from(to));
    for _ in 0..PART {
        // Gives the verifier the same range at each step, so that it sees that the steps are alike.
        at = unknown(at) & 0x1fff;
        if at >= to {
            return to;
        }
        // SAFETY: the caller promises SIZE bytes at `base`, and `word` stays within them.
        let ends = equal(unsafe { word::<SIZE>(base, at) }, b'\n');
        if ends == 0 {
            at += 8;
            continue;
        }
        at += lowest(ends) + 1;
        // SAFETY: the caller promises SIZE bytes at `base`, and `word` stays within them.
        let next = unsafe { word::<SIZE>(base, at) } as u16;
        let length = if next == u16::from_ne_bytes(*b"\r\n") { 2 } else { u64::from(next as u8 == b'\n') };
        if length != 0 {
            let end = at + length;
            return if end <= to { FOUND | end } else { to };
        }
    }
    at
}

/// Flag in a search's result: the end was found.
const FOUND: u64 = 1 << 32;

/// Steps of one part; a step passes eight bytes, or the rest of a line.
const PART: u32 = 32;

/// Parts of one search: enough for the largest section that is kept, with lines of a dozen bytes.
const PARTS: u32 = 48;

/// One part of a search in the kept bytes of request `number`; result as of [`search`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_request(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: map values stay valid while a program runs; `request` has REQUEST_LEN bytes.
    unsafe { search::<{ limits::REQUEST_LEN }>((&raw const (*heads).request).cast(), at, to) }
}

/// One part of a search in the kept bytes of response `number`; result as of [`search`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_response(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: map values stay valid while a program runs; `response` has RESPONSE_LEN bytes.
    unsafe { search::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), at, to) }
}

/// One part of a search in [`SCRATCH`]; result as of [`search`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_chunk(at: u32, to: u32) -> u64 {
    let Some(scratch) = SCRATCH.get_ptr(0) else { return to.into() };
    // SAFETY: this CPU's slot of an array map, which is never freed; it has SCRATCH_LEN bytes.
    unsafe { search::<SCRATCH_LEN>(scratch.cast(), at, to) }
}

/// Runs a search part by part. Returns the offset after the empty line; 0: there is none.
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

/// Returns where the header section of the current request ends, among the `have` bytes kept of it and of those that
/// were received with it; 0: not within them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn first_request_end(number: u64, have: u32) -> u32 {
    in_parts(0, have, |at| search_request(number, at, have))
}

/// Returns where the header section of the response ends, among the `have` bytes kept; 0: not within them. `searched`
/// bytes were searched before.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn response_head_end(number: u64, searched: u32, have: u32) -> u32 {
    // The empty line may have begun in the bytes searched before.
    in_parts(searched.saturating_sub(3), have, |at| search_response(number, at, have))
}

/// Returns where the header section ends in the first `have` bytes of [`SCRATCH`]; 0: not within them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn chunk_head_end(have: u32) -> u32 {
    in_parts(0, have, |at| search_chunk(at, have))
}
