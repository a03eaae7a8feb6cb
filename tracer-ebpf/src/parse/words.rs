//! Searches text eight bytes at a time: a `u64` holds eight bytes, the first in its lowest bits, and one calculation
//! compares all of them with a byte.

use super::verifier::{opaque, unaligned};

/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of each byte.
pub const HIGH: u64 = 0x8080_8080_8080_8080;
/// The bit that makes an ASCII letter lower case, in each byte.
pub const LOWER: u64 = 0x2020_2020_2020_2020;

/// Loads the eight bytes at `at`; 0 if they reach past the end.
#[inline(always)]
pub fn word<const SIZE: usize>(bytes: &[u8; SIZE], at: u64) -> u64 {
    let at = opaque(at);
    if at > SIZE as u64 - 8 {
        return 0;
    }
    // SAFETY: `at + 8 <= SIZE`, as just checked.
    unsafe { unaligned(bytes.as_ptr().add(at as usize).cast::<u64>()) }
}

/// A word with `each` in all of its eight bytes.
const fn all(each: u8) -> u64 {
    each as u64 * ONES
}

/// Marks the bytes of `word` that equal `byte`, by their high bits. Exact for the lowest mark only (a byte above it
/// may be marked in error), and only that one is used.
#[inline(always)]
pub const fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ all(byte);
    zero.wrapping_sub(ONES) & !zero & HIGH
}

/// Marks the bytes of `word` that equal `byte`, all of them exactly.
#[inline(always)]
pub const fn exact(word: u64, byte: u8) -> u64 {
    let zero = word ^ all(byte);
    !(((zero & !HIGH) + !HIGH) | zero) & HIGH
}

/// Marks the bytes of `word` that no line holds: control characters other than tab (RFC 9110 §5.5).
#[inline(always)]
pub const fn controls(word: u64) -> u64 {
    let low = word & !HIGH;
    // Their high bits: at least a space; DEL.
    let (space, delete) = (low + all(0x80 - b' '), low + all(1));
    (!space | delete) & !word & !exact(word, b'\t') & HIGH
}

/// Marks the bytes that [`controls`] marks, tabs, and some others in error: quicker.
#[inline(always)]
pub const fn may_be_controls(word: u64) -> u64 {
    (word.wrapping_sub(all(b' ')) | word.wrapping_add(all(1))) & !word & HIGH
}

/// Index of the byte that has the lowest mark in `marks`.
#[inline(always)]
pub const fn lowest(marks: u64) -> u64 {
    (marks.isolate_lowest_one() >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56
}
