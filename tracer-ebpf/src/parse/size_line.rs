//! The size line of a chunk (RFC 9112 §7.1): a hexadecimal size, perhaps an extension, CR LF.

use super::{
    verifier::unknown,
    words::{HIGH, equal, exact, lowest},
};

/// How many bytes of a chunk's size line are read: the size and perhaps an extension.
pub const LINE: usize = 16;

/// Result of [`chunk_line`]: cannot be decided. Any result above [`LAST`] is the distance in bytes to the next size
/// line, or [`FAR`].
pub const UNKNOWN: u64 = 0;
/// Result of [`chunk_line`]: not a size line.
pub const NONE: u64 = 1;
/// Result of [`chunk_line`]: the size line of the last chunk, which has size 0.
pub const LAST: u64 = 2;
/// Result of [`chunk_line`]: further than any response is followed.
pub const FAR: u64 = 1 << 32;

// One of the kernel's "global functions": the verifier checks it once and not at each call.

/// Reads a size line. `first` and `second` are its first 16 bytes, in memory order; only `have` of them are in the
/// packet.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub extern "C" fn chunk_line(first: u64, second: u64, have: u32) -> u64 {
    let have = u64::from(have);
    let (mut size, mut digits) = (0_u64, 0_u64);
    for index in 0..8_u64 {
        // Makes the values unknown to the verifier, so that it follows one state and not one for each value.
        (size, digits) = (unknown(size), unknown(digits));
        let digit = hex((first >> (8 * index)) as u8);
        if digit > 0xf || index >= have {
            break;
        }
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    if digits == 0 {
        return NONE;
    }
    if digits >= have {
        return UNKNOWN;
    }
    let after = byte(first, second, digits);
    // Further digits.
    if hex(after) <= 0xf {
        return if size << 4 < 1 << 31 { UNKNOWN } else { FAR };
    }
    // A server that ends size lines with LF alone may end its data so, too: its chunks cannot be told from data.
    if !matches!(after, b'\r' | b';' | b' ' | b'\t') {
        return if after == b'\n' { UNKNOWN } else { NONE };
    }
    // Recipients take no CR within an extension, and any other byte.
    let cr = if after == b'\r' { digits } else { find(first, second, b'\r') };
    let line = cr + 2;
    if line > have || byte(first, second, cr + 1) != b'\n' {
        return UNKNOWN;
    }
    if (after == b' ' || after == b'\t') && !matches!(behind_spaces(first, second, digits), b'\r' | b';') {
        return NONE;
    }
    if size == 0 { LAST } else { line + size + 2 }
}

/// The first byte that is no space and no tab, from byte `at` on.
#[inline(always)]
const fn behind_spaces(first: u64, second: u64, at: u64) -> u8 {
    let left = if at < 8 { others(first) >> (8 * at) << (8 * at) } else { 0 };
    let index = match (left, others(second)) {
        (0, marks) => 8 + lowest(marks),
        (marks, _) => lowest(marks),
    };
    byte(first, second, index)
}

/// Marks the bytes that are no space and no tab.
#[inline(always)]
const fn others(word: u64) -> u64 {
    !(exact(word, b' ') | exact(word, b'\t')) & HIGH
}

/// Byte `at` of the sixteen in `first` and `second`.
#[inline(always)]
const fn byte(first: u64, second: u64, at: u64) -> u8 {
    ((if at < 8 { first } else { second }) >> (8 * (at & 7))) as u8
}

/// Index of the first `byte` of the sixteen in `first` and `second`; 16: there is none.
#[inline(always)]
const fn find(first: u64, second: u64, byte: u8) -> u64 {
    match (equal(first, byte), equal(second, byte)) {
        (0, 0) => LINE as u64,
        (0, marks) => 8 + lowest(marks),
        (marks, _) => lowest(marks),
    }
}

/// Returns the value of a hexadecimal digit, or a number above 15 for any other byte.
#[inline(always)]
const fn hex(byte: u8) -> u8 {
    let number = byte.wrapping_sub(b'0');
    if number <= 9 {
        return number;
    }
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if letter <= 5 { letter + 10 } else { 0xff }
}
