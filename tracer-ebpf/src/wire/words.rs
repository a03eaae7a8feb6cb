//! Eight bytes at a time, compared all at once.

use super::verifier::{opaque, unaligned};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
pub const LOWER: u64 = 0x2020_2020_2020_2020;

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
