//! The beginnings of the functions as the versions have them.

use lab::elf::{ANYWHERE, CODE_OFFSET, X86_64, file};

use super::super::{Library, NotFound, Shape, find};

const FAR: [u8; 4] = [0x90, 1, 0, 0];
const AT: u64 = 0x40;

/// ring since 0.17.9: no checks.
fn ring() -> Vec<u8> {
    body(&[&super::FRAME, &super::LOAD], &[])
}

/// ring before that.
fn old_ring() -> Vec<u8> {
    checked(&[], &[])
}

/// AWS-LC, which takes keys of 192 bits as well.
fn aws() -> Vec<u8> {
    checked(&super::ENDBR64, &[0x81, 0xfe, 0xc0, 0, 0, 0, 0x0f, 0x84])
}

fn checked(start: &[u8], bits: &[u8]) -> Vec<u8> {
    let checks: [&[u8]; 4] = [super::CHECKS[0], &FAR, super::CHECKS[1], &FAR];
    let processor: [&[u8]; 3] = [super::PROCESSOR[0], &FAR, super::PROCESSOR[1]];
    let parts = [&[start, &super::FRAME][..], &checks, &[&super::LOAD], &processor].concat();
    body(&parts, bits)
}

fn body(parts: &[&[u8]], bits: &[u8]) -> Vec<u8> {
    let far: &[u8] = if bits.is_empty() { &[] } else { &FAR };
    let behind: [&[u8]; 7] = [super::BITS_256[0], &FAR, bits, far, super::BITS_128[0], &FAR, super::BITS_128[1]];
    [&parts.concat()[..], &behind.concat(), &[0xc3]].concat()
}

/// An executable with these functions, 64 bytes from each other or more, and with what rustls says.
fn executable(functions: &[Vec<u8>], text: &str) -> Vec<u8> {
    let mut code = vec![0xcc; AT as usize];
    for function in functions {
        code.extend(function);
        code.resize(code.len().next_multiple_of(128), 0xcc);
    }
    file(ANYWHERE, X86_64, &code, text.as_bytes())
}

const RUSTLS: &str = "SERVER_HANDSHAKE_TRAFFIC_SECRETCLIENT_HANDSHAKE_TRAFFIC_SECRET/src/rustls-0.23.46/src/lib.rs";

#[test]
fn each_version_is_found_and_probed_where_the_kernel_emulates() {
    // Behind the comparison with 256, or behind the first check of an address.
    for (function, behind) in [(ring(), 20), (old_ring(), 14), (aws(), 18)] {
        let site = find(&executable(&[function], RUSTLS)).unwrap();
        assert_eq!((site.shape, site.library, &*site.version), (Shape::AesKey, Library::Rustls, "0.23.46"));
        assert_eq!((site.function, site.offset - site.function), (CODE_OFFSET + AT, behind));
        assert!(site.emulated && site.more.is_empty());
    }
}

#[test]
fn every_function_of_a_file_is_probed_and_too_many_are_refused() {
    let site = find(&executable(&[ring(), ring(), aws()], RUSTLS)).unwrap();
    let at = [0x40 + 20, 0x80 + 20, 0x100 + 18].map(|at| CODE_OFFSET + at);
    assert_eq!((site.offset, &site.more[..]), (at[0], &at[1..]));
    assert_eq!(find(&executable(&vec![ring(); 9], RUSTLS)), Err(NotFound::Several));
}

#[test]
fn what_is_not_sure_is_refused() {
    assert_eq!(find(&executable(&[aws()], "no such words")), Err(NotFound::NoLibrary), "OpenSSL's, it may be");
    assert_eq!(find(&executable(&[], RUSTLS)), Err(NotFound::NoKeySchedule));
    for at in 0..ring().len() - 1 {
        let mut other = ring();
        // A distance may be any.
        let is_free = (22..26).contains(&at) || (34..38).contains(&at);
        other[at] ^= 0x55;
        let found = find(&executable(&[other], RUSTLS));
        assert!(is_free || found == Err(NotFound::NoKeySchedule), "{at}: {found:?}");
    }
    // Not where a function begins.
    let shifted = [&[0x90][..], &ring()].concat();
    assert_eq!(find(&executable(&[shifted], RUSTLS)), Err(NotFound::NoKeySchedule));
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    let sample = executable(&[aws(), ring()], RUSTLS);
    for len in 0..sample.len() {
        assert!(find(&sample[..len]).is_err());
    }
    for at in 0..sample.len() {
        for byte in [0, 0x7f, 0xff] {
            let mut changed = sample.clone();
            changed[at] = byte;
            let _any = find(&changed);
        }
    }
}
