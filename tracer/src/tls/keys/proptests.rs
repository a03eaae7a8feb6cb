//! Random texts, sealed by another implementation of the AEADs, split into records and cut anywhere: what is opened is
//! a beginning of the truth.

use proptest::collection::vec;
use proptest::prelude::*;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::schedule::expand_label;
use super::secret::Secret;
use super::*;

const START: &[u8] = b"GET /a/long/enough/path/for/a/look HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

/// The records of TLS 1.3 for these pieces, each with so many bytes of padding.
pub(super) fn seal(suite: Suite, secret: &[u8], first: u64, pieces: &[(Vec<u8>, usize)]) -> Vec<Vec<u8>> {
    let algorithm = match suite.cipher {
        suite::Cipher::Aes128Gcm => &AES_128_GCM,
        suite::Cipher::Aes256Gcm => &AES_256_GCM,
        _ => &CHACHA20_POLY1305,
    };
    let secret = Secret::new(secret).unwrap();
    let (mut key, mut iv) = (vec![0; algorithm.key_len()], [0; 12]);
    assert!(expand_label(suite.hash, &secret, "key", &mut key) && expand_label(suite.hash, &secret, "iv", &mut iv));
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
    let record = |(number, (text, padding)): (u64, &(Vec<u8>, usize))| {
        let mut inner = [&text[..], &[23], &vec![0; *padding]].concat();
        let mut nonce = iv;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        let len = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, len[0], len[1]];
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut inner).unwrap();
        [&header[..], &inner].concat()
    };
    (first..).zip(pieces).map(record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn what_is_opened_is_a_beginning_of_the_truth(
        number in 0..3usize,
        secret in vec(any::<u8>(), 48),
        first in 0..5000u64,
        off in -300..300i64,
        body in vec(any::<u8>(), 0..600),
        pieces in vec((1..200usize, 0..20usize), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let suite = Suite::all(true)[number];
        let secret = &secret[..suite.hash.len()];
        let text = [START, &body].concat();
        let mut rest = &text[..];
        let split = pieces.iter().map(|(len, padding)| {
            let (piece, behind) = rest.split_at((*len).max(START.len()).min(rest.len()));
            rest = behind;
            (piece.to_vec(), *padding)
        });
        let split: Vec<_> = split.collect();
        let records = seal(suite, secret, first, &split);
        let wire = records.concat();
        let cut = cut.index(wire.len() + 1);
        let mut secrets = Secrets::new(None);
        prop_assert!(secrets.hold(Label::Traffic(Side::Edge), secret));
        let hint = first.saturating_add_signed(off);
        let sealed = Sealed { kept: &wire[..cut], len: wire.len() as u64, sequence_hint: hint, end: None };
        let told = open(Side::Edge, &sealed, &secrets, http_request);
        // A cut record may show the type and the padding behind its text.
        let mut truth = Vec::new();
        let (mut least, mut end) = (0, 0);
        for ((piece, padding), record) in split.iter().zip(&records) {
            end += record.len();
            truth.extend_from_slice(piece);
            if end > cut {
                truth.push(23);
                truth.extend(vec![0; *padding]);
                break;
            }
            least = truth.len();
        }
        prop_assert!(truth.starts_with(&told.text), "{told:?}");
        prop_assert!(told.text.len() >= least, "{told:?}, {least}");
        if told.outcome == Outcome::ByTag {
            prop_assert_eq!(told.sequence, Some(first));
        }
    }

    #[test]
    fn another_secret_opens_nothing(secret in vec(any::<u8>(), 32), other in vec(any::<u8>(), 32), at in 0..4000u64) {
        prop_assume!(secret != other);
        let suite = Suite::all(true)[0];
        let wire = seal(suite, &secret, at, &[(START.to_vec(), 0)]).concat();
        let mut secrets = Secrets::new(Some(suite));
        prop_assert!(secrets.hold(Label::Traffic(Side::Edge), &other));
        let sealed = Sealed { kept: &wire, len: wire.len() as u64, sequence_hint: at, end: None };
        let told = open(Side::Edge, &sealed, &secrets, http_request);
        prop_assert!(told.text.is_empty() && told.sequence.is_none(), "{told:?}");
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        bytes in vec(any::<u8>(), 0..300),
        secret in vec(any::<u8>(), 48),
        number in 0..11usize,
    ) {
        let suite = Suite::all(true).iter().chain(Suite::all(false)).nth(number).copied();
        let mut secrets = Secrets::new(suite);
        for label in [Label::Master, Label::Traffic(Side::Origin), Label::HandshakeTraffic(Side::Origin)] {
            secrets.hold(label, &secret);
        }
        secrets.randoms([1; 32], [2; 32]);
        for kind in 20..24 {
            // Behind the handshake in the clear few numbers are tried.
            let kept = [&[22, 3, 3, 0, 1, 2, 20, 3, 3, 0, 1, 1, kind, 3, 3, 0], &bytes[..]].concat();
            for (len, hint) in [(kept.len() as u64, 0), (u64::MAX, u64::MAX)] {
                let sealed = Sealed { kept: &kept, len, sequence_hint: hint, end: None };
                let told = open(Side::Origin, &sealed, &secrets, |_| 0);
                prop_assert!(told.text.is_empty(), "{told:?}");
            }
        }
    }
}
