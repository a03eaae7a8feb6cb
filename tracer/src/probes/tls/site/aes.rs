//! The AES key schedule in an executable that holds rustls: the function by which ring and AWS-LC take the key of each
//! direction of a connection. rustls itself announces no secret, unless the application asks for a key log.
//!
//! Both libraries have the function from the same source in assembly, so that its bytes are the same in every build of
//! a version, stripped or not. Those of ring 0.16.20 to 0.17.14 and of aws-lc-sys 0.13 to 0.47 differ in what is
//! optional below. OpenSSL's own function differs in the order of its instructions, so that it is not taken for one.

use memchr::memmem;

use super::elf::Image;
use super::types::NotFound;

/// A label of the key log, which rustls holds whether or not it is asked for one.
const LABEL: &[u8] = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET";
/// Functions of one file: ring has two since 0.17.9, and a file may hold several libraries. More are refused.
const FUNCTIONS: usize = 8;
/// Places that are looked at.
const PLACES: usize = 4_096;
/// Functions begin at a multiple of this.
const ALIGNMENT: u64 = 16;

/// `movups xmm0, [rdi]; xorps xmm4, xmm4`: the first half of the key is loaded.
const LOAD: [u8; 6] = [0x0f, 0x10, 0x07, 0x0f, 0x57, 0xe4];
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// `sub rsp, 8`.
const FRAME: [u8; 4] = [0x48, 0x83, 0xec, 0x08];

/// A piece of code: these bytes, and the 32-bit distances between and behind them.
type Piece = &'static [&'static [u8]];

/// `mov rax, -1; test rdi, rdi; je; test rdx, rdx; je`, in front of the load: ring before 0.17.9, and AWS-LC.
const CHECKS: Piece =
    &[&[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x48, 0x85, 0xff, 0x0f, 0x84], &[0x48, 0x85, 0xd2, 0x0f, 0x84], &[]];
/// `lea r10, [rip + ...]; mov r10d, [r10 + 4]; and r10d, 1 << 28 | 1 << 11`, behind it: the same ones.
const PROCESSOR: Piece = &[&[0x4c, 0x8d, 0x15], &[0x45, 0x8b, 0x52, 0x04, 0x41, 0x81, 0xe2, 0x00, 0x08, 0x00, 0x10]];
/// `lea rax, [rdx + 16]; cmp esi, 256; je`.
const BITS_256: Piece = &[&[0x48, 0x8d, 0x42, 0x10, 0x81, 0xfe, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x84], &[]];
/// `cmp esi, 192; je`: AWS-LC.
const BITS_192: Piece = &[&[0x81, 0xfe, 0xc0, 0x00, 0x00, 0x00, 0x0f, 0x84], &[]];
/// `cmp esi, 128; jne; mov esi, 9`.
const BITS_128: Piece = &[&[0x81, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x0f, 0x85], &[0xbe, 9, 0, 0, 0]];

/// Bytes of a distance.
const DISTANCE: usize = 4;

/// Whether the file names secrets as rustls does.
pub(super) fn stands_in(file: &[u8]) -> bool {
    memmem::find(file, LABEL).is_some()
}

/// The functions, by address, the lowest first.
pub(super) fn find(image: &Image<'_>) -> Result<Vec<u64>, NotFound> {
    let mut found = Vec::new();
    for (base, code) in image.code() {
        for place in memmem::find_iter(code, &LOAD).take(PLACES) {
            found.extend(start(code, place, base));
        }
    }
    found.sort_unstable();
    found.dedup();
    match found.len() {
        0 => Err(NotFound::NoKeySchedule),
        1..=FUNCTIONS => Ok(found),
        _ => Err(NotFound::Several),
    }
}

/// Where the function begins whose load stands here, if it is one.
fn start(code: &[u8], place: usize, base: u64) -> Option<u64> {
    let (before, from) = code.split_at_checked(place)?;
    let rest = from.strip_prefix(&LOAD)?;
    let checked = before.len().checked_sub(len(CHECKS)).filter(|at| skip(&before[*at..], CHECKS).is_some());
    let rest = if checked.is_some() { skip(rest, PROCESSOR)? } else { rest };
    let rest = skip(rest, BITS_256)?;
    let rest = skip(rest, BITS_192).unwrap_or(rest);
    skip(rest, BITS_128)?;
    let framed = before[..checked.unwrap_or(place)].strip_suffix(&FRAME)?;
    let start = base.checked_add(framed.strip_suffix(&ENDBR64).unwrap_or(framed).len() as u64)?;
    start.is_multiple_of(ALIGNMENT).then_some(start)
}

/// What follows a piece that the code begins with.
fn skip(code: &[u8], piece: Piece) -> Option<&[u8]> {
    let mut rest = code;
    for (number, bytes) in piece.iter().enumerate() {
        if number > 0 {
            rest = rest.get(DISTANCE..)?;
        }
        rest = rest.strip_prefix(*bytes)?;
    }
    Some(rest)
}

/// Bytes of a piece.
fn len(piece: Piece) -> usize {
    piece.iter().map(|bytes| bytes.len()).sum::<usize>() + DISTANCE * piece.len().saturating_sub(1)
}

#[cfg(test)]
mod tests;
