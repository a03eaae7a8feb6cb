//! Where a header section ends, in what was kept of a request or response, and in a packet.

use tracer_common::{Heads, limits};

use crate::{
    tables::{heads, maps::SCRATCH, values::SCRATCH_LEN},
    wire::{
        verifier::unknown,
        words::{equal, lowest, word},
    },
};

/// Whether the response's bytes before `end` are CR LF CR LF.
#[inline(always)]
pub fn ends_at(heads: *const Heads, end: u32) -> bool {
    let at = u64::from(end).wrapping_sub(8);
    // SAFETY: callers pass a live map value; the buffer has that size.
    let last = unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), at) };
    (last >> 32) as u32 == u32::from_ne_bytes(*b"\r\n\r\n")
}

/// The eight bytes before the response's byte `at`, all of which were kept, the first one highest; zero where there
/// are not so many.
#[inline(always)]
pub fn eight_before(number: u64, at: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return 0 };
    let from = u64::from(at).wrapping_sub(8);
    // SAFETY: a live map value; the buffer has that size.
    unsafe { word::<{ limits::RESPONSE_LEN }>((&raw const (*heads).response).cast(), from) }.swap_bytes()
}

/// Finds an empty line (CR LF CR LF, or with bare LF) in `base[at..to]`, a part of it at a time: the offset after it,
/// with [`FOUND`]; else where to go on, `to` at the end.
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

// The functions that follow are the kernel's "global functions": it checks each of them once, and not at each call.
// That is why they take numbers only (5.10 allows no pointers) and look things up again, and why loops are cut into
// parts.

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

/// Where the header section of the response ends, of which `searched` bytes were searched before; 0: not in what was
/// kept.
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
