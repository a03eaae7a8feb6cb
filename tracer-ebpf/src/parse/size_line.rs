//! The size line of a chunk (RFC 9112 §7.1): a hexadecimal size, perhaps an extension, CR LF.

use super::{
    verifier::unknown,
    words::{equal, lowest},
};

/// How many bytes of a chunk's size line are read: the size and perhaps an extension.
pub const LINE: usize = 16;

/// Result of [`chunk_line`]: cannot be decided. Any result above [`LAST`] is the distance in bytes to the next size
/// line.
pub const UNKNOWN: u64 = 0;
/// Result of [`chunk_line`]: not a size line.
pub const NONE: u64 = 1;
/// Result of [`chunk_line`]: the size line of the last chunk, which has size 0.
pub const LAST: u64 = 2;

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
    let after = if digits < 8 { (first >> (8 * (digits & 7))) as u8 } else { second as u8 };
    let (ends, more) = (equal(first, b'\n'), equal(second, b'\n'));
    let line = match (ends, more) {
        (0, 0) => return UNKNOWN,
        (0, more) => 9 + lowest(more),
        (ends, _) => 1 + lowest(ends),
    };
    if digits >= have || line > have || digits == 8 && hex(after) <= 0xf {
        return UNKNOWN;
    }
    if !matches!(after, b'\r' | b'\n' | b';' | b' ' | b'\t') {
        return NONE;
    }
    // A server that ends size lines with LF alone may end its data so, too: its chunks cannot be told from data.
    if byte_before(first, second, line - 1) != b'\r' {
        return UNKNOWN;
    }
    if size == 0 { LAST } else { line + size + 2 }
}

/// Returns the byte before byte `at` of the sixteen in `first` and `second`.
#[inline(always)]
fn byte_before(first: u64, second: u64, at: u64) -> u8 {
    let at = at.wrapping_sub(1) & 15;
    (if at < 8 { first >> (8 * at) } else { second >> (8 * (at - 8)) }) as u8
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
