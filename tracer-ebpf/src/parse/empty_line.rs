//! Finds the end of a header section: the empty line.
//!
//! The search goes eight bytes at a time ([`super::words`]). The kernel's verifier shapes it: it follows every step of
//! a loop at each place from which it is called, up to a limit. So a search is cut into parts of `PART` steps.

use tracer_common::limits;

use super::{
    verifier::unknown,
    words::{equal, lowest, word},
};

/// Flag in a search's result: the end was found.
const FOUND: u64 = 1 << 32;

/// Steps of one part; a step passes eight bytes, or the rest of a line.
const PART: u32 = 32;

/// Parts of one search: enough for the largest section that is kept, with lines of a dozen bytes.
const PARTS: u32 = 48;

/// Searches `bytes[at..to]` for an empty line (CR LF CR LF, or with bare LF), at most `PART` steps. Returns the
/// offset after it with the flag `FOUND`; else the offset at which to go on, which is `to` when all is searched.
#[inline(always)]
pub fn part<const SIZE: usize>(bytes: &[u8; SIZE], at: u32, to: u32) -> u64 {
    let (mut at, to) = (u64::from(at), u64::from(to));
    for _ in 0..PART {
        // Gives the verifier the same range at each step, so that it sees that the steps are alike.
        at = unknown(at) & 0x1fff;
        if at >= to {
            return to;
        }
        let ends = equal(word(bytes, at), b'\n');
        if ends == 0 {
            at += 8;
            continue;
        }
        at += lowest(ends) + 1;
        let next = word(bytes, at) as u16;
        let length = if next == u16::from_ne_bytes(*b"\r\n") { 2 } else { u64::from(next as u8 == b'\n') };
        if length != 0 {
            let end = at + length;
            return if end <= to { FOUND | end } else { to };
        }
    }
    at
}

/// Runs a search part by part: `part` is [`part`] on the bytes to search. Returns the offset after the empty line; 0:
/// there is none.
#[inline(always)]
pub fn in_parts(mut at: u32, to: u32, part: impl Fn(u32) -> u64) -> u32 {
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

/// Where to search next in bytes of which `searched` were searched before: the empty line may have begun in these.
#[inline(always)]
pub const fn go_on(searched: u32) -> u32 {
    searched.saturating_sub(3)
}

/// Whether the four bytes of the response before its byte `end` are CR LF CR LF.
#[inline(always)]
pub fn ends_at(response: &[u8; limits::RESPONSE_LEN], end: u32) -> bool {
    let last = word(response, u64::from(end).wrapping_sub(8));
    (last >> 32) as u32 == u32::from_ne_bytes(*b"\r\n\r\n")
}
