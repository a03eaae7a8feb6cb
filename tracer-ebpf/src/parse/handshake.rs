//! The edge's part of a TLS 1.3 handshake, by the sizes of its records: where does it end, and the first request begin?
//!
//! To the outside all of its records look like application data. What the edge sends: its Certificate if the origin
//! asked for one (an empty one, or that of Authenticated Origin Pulls with a CertificateVerify behind it), and Finished.
//! Some send each in a record of its own, others (BoringSSL, rustls) all in one.

use tracer_common::conn_flags as flag;

use super::verifier::{if_zero, least, unknown};

/// What a record adds to each message: its header of four bytes (RFC 8446 §4); and to all of them: the inner content
/// type and the tag, 17 bytes.
const MESSAGE: usize = 4;
const AROUND: usize = 1 + 16;

/// Lengths of Finished with a hash of 32 and of 48 bytes, of a Certificate that is empty, and of what CertificateVerify
/// holds: Ed25519, ECDSA on P-256 and on P-384 (in DER, so that they differ by a byte or two), RSA with 2048, 3072 and
/// 4096 bits, each behind four bytes of algorithm and length.
const FINISHED_LENS: [usize; 2] = [MESSAGE + 32, MESSAGE + 48];
const NO_CERTIFICATE_LEN: usize = MESSAGE + 4;
const VERIFY_LENS: [usize; 10] = [64, 70, 71, 72, 102, 103, 104, 256, 384, 512];

/// What records of each length hold, so that one is judged without a branch. All longer ones count as the last.
static KINDS: [u8; 1024] = kinds();
/// Bits of [`KINDS`].
const FINISHES: u8 = 1;
const IS_EMPTY: u8 = 1 << 1;
const VERIFIES: u8 = 1 << 2;

const fn kinds() -> [u8; 1024] {
    let mut kinds = [0; 1024];
    let mut hash = 0;
    while hash < FINISHED_LENS.len() {
        let finished = FINISHED_LENS[hash] + AROUND;
        kinds[finished] = FINISHES;
        kinds[finished + NO_CERTIFICATE_LEN] = FINISHES | IS_EMPTY;
        let mut key = 0;
        while key < VERIFY_LENS.len() {
            let verify = MESSAGE + 4 + VERIFY_LENS[key];
            kinds[finished + verify] |= FINISHES | VERIFIES;
            kinds[verify + AROUND] |= VERIFIES;
            key += 1;
        }
        hash += 1;
    }
    kinds[NO_CERTIFICATE_LEN + AROUND] = IS_EMPTY;
    kinds
}

/// What one more record of the edge's says, with `len` bytes of content; `is_long`: all ones if it may hold a request.
pub struct Seen {
    /// The connection's flags with what is new.
    pub flags: u32,
    /// All ones if the record is no part of the handshake; else 0.
    pub is_data: u32,
}

/// Reads the record by its length. `flags`: those of the connection so far.
#[inline(always)]
pub fn read(flags: u32, len: u32, is_long: u32) -> Seen {
    let kind = u32::from(KINDS[unknown(least(len, KINDS.len() as u32 - 1).into()) as usize & (KINDS.len() - 1)]);
    let has = |bit: u8| !if_zero(kind & u32::from(bit));
    let is_done = !if_zero(flags & flag::FINISHED);
    // Behind a certificate that came alone stands what verifies it, and nothing else; so Finished came in one record
    // with the certificate.
    let is_request = !if_zero(flags & flag::CERTIFICATE) & if_zero(kind) & is_long;
    let new = flag::FINISHED & (has(FINISHES) | is_request)
        | flag::NO_CERTIFICATE & has(IS_EMPTY)
        | flag::CERTIFICATE & if_zero(kind);
    let is_data = is_done | is_request;
    Seen { flags: flags | new & !is_done | flag::TLS_DATA & is_data, is_data }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINISHED: u32 = flag::FINISHED | flag::TLS_DATA;

    /// After which record of these lengths the edge is done, which is the first with data, and the flags in the end.
    fn done(lengths: &[u32]) -> (Option<usize>, Option<usize>, u32) {
        let (mut flags, mut finished, mut data) = (0, None, None);
        for (index, len) in lengths.iter().enumerate() {
            let seen = read(flags, *len, if *len >= 95 { u32::MAX } else { 0 });
            flags = seen.flags;
            finished = finished.or((flags & flag::FINISHED != 0).then_some(index));
            data = data.or((seen.is_data != 0).then_some(index));
        }
        (finished, data, flags)
    }

    #[test]
    fn finished_alone_or_behind_an_empty_certificate() {
        for finished in [53, 69] {
            assert_eq!(done(&[finished, 200, 30]), (Some(0), Some(1), FINISHED));
            assert_eq!(done(&[25, finished, 200]), (Some(1), Some(2), FINISHED | flag::NO_CERTIFICATE));
            assert_eq!(done(&[finished + 8, 200]), (Some(0), Some(1), FINISHED | flag::NO_CERTIFICATE));
        }
    }

    #[test]
    fn a_certificate_in_records_of_their_own() {
        for verify in [89, 95, 96, 97, 127, 128, 129, 281, 409, 537] {
            for finished in [53, 69] {
                let all = FINISHED | flag::CERTIFICATE;
                assert_eq!(done(&[1200, verify, finished, 300]), (Some(2), Some(3), all), "{verify} {finished}");
                // The last two in one record.
                assert_eq!(done(&[1200, verify + finished - 17, 300]), (Some(1), Some(2), all), "{verify} {finished}");
            }
        }
    }

    #[test]
    fn a_certificate_and_finished_in_one_record() {
        for all in [700, 1023, 1024, 1500, 3333, 16_000] {
            assert_eq!(done(&[all, 300, 300]), (Some(1), Some(1), FINISHED | flag::CERTIFICATE));
            // Short records before the first request: frames of HTTP/2.
            assert_eq!(done(&[all, 41, 30, 120]), (Some(3), Some(3), FINISHED | flag::CERTIFICATE));
        }
    }
}
