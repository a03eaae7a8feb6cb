//! Finds the end of a header section: the empty line. Searches the kept bytes of a request or a response, or a piece
//! of a packet that was copied to [`SCRATCH`].
//!
//! `parse::empty_line` searches, in parts. A part is a "global function", which the kernel's verifier checks once and
//! not at each call. Kernel 5.10 lets such a function take numbers only, no pointers: each looks its buffer up again.

use crate::{
    parse::{
        empty_line::{go_on, in_parts, part},
        words::word,
    },
    tables::{heads, maps::SCRATCH},
};

/// Returns the eight bytes before byte `at` of the response, all of which were kept, the first one in the highest
/// byte; zero if there are fewer.
#[inline(always)]
pub fn eight_before(number: u64, at: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return 0 };
    // SAFETY: map values stay valid while a program runs.
    word(unsafe { &(*heads).response }, u64::from(at).wrapping_sub(8)).swap_bytes()
}

/// One part of a search in the kept bytes of request `number`; result as of [`part`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_request(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: map values stay valid while a program runs.
    part(unsafe { &(*heads).request }, at, to)
}

/// One part of a search in the kept bytes of response `number`; result as of [`part`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_response(number: u64, at: u32, to: u32) -> u64 {
    let Some(heads) = heads::at(number) else { return to.into() };
    // SAFETY: map values stay valid while a program runs.
    part(unsafe { &(*heads).response }, at, to)
}

/// One part of a search in [`SCRATCH`] at this desk; result as of [`part`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn search_chunk(desk: u32, at: u32, to: u32) -> u64 {
    let Some(scratch) = SCRATCH.get_ptr(desk) else { return to.into() };
    // SAFETY: this CPU's slot of an array map, which is never freed.
    part(unsafe { &*scratch }, at, to)
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
    in_parts(go_on(searched), have, |at| search_response(number, at, have))
}

/// Returns where the header section ends in the first `have` bytes of [`SCRATCH`] at this desk; 0: not within them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn chunk_head_end(desk: u32, have: u32) -> u32 {
    in_parts(0, have, |at| search_chunk(desk, at, have))
}
