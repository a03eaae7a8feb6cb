//! The Huffman code of HPACK (RFC 7541 Appendix B).

use zeroize::Zeroizing;

/// Bits of each symbol's code, by byte; the last one is the end of the string. The code is canonical: codes of one
/// length count up in the order of their symbols, so that the lengths are all there is to know.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];
const LONGEST: usize = 30;
const SHORTEST: usize = 5;

/// How many codes have each length, and all symbols in the order of their codes.
const CODE: ([u32; LONGEST + 1], [u16; 257]) = canonical();

const fn canonical() -> ([u32; LONGEST + 1], [u16; 257]) {
    let (mut counts, mut symbols) = ([0; LONGEST + 1], [0; 257]);
    let (mut len, mut at) = (1, 0);
    while len <= LONGEST {
        let mut symbol: u16 = 0;
        while (symbol as usize) < LENGTHS.len() {
            if LENGTHS[symbol as usize] as usize == len {
                (symbols[at], counts[len]) = (symbol, counts[len] + 1);
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    (counts, symbols)
}

/// The text; `None`: no such code, its end coded within it, or more padding than the rest of a byte.
pub(super) fn decode(coded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (counts, symbols) = &CODE;
    // At once as large as it can get: a vector that grows leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(coded.len() * 8 / SHORTEST));
    // The bits since the last symbol, the first code of their length, and how many symbols have shorter ones.
    let (mut code, mut len, mut first, mut shorter) = (0, 0, 0, 0);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        (code, first, len) = (code << 1 | bit, first << 1, len + 1);
        let count = *counts.get(len)?;
        if code - first < count {
            let symbol = *symbols.get(usize::try_from(shorter + code - first).ok()?)?;
            text.push(u8::try_from(symbol).ok()?);
            (code, len, first, shorter) = (0, 0, 0, 0);
        } else {
            (first, shorter) = (first + count, shorter + count);
        }
    }
    (len < 8 && code == (1 << len) - 1).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_another_encoder_coded_reads_back(text in vec(any::<u8>(), 0..80)) {
            let mut coded = Vec::new();
            httlib_huffman::encode(&text, &mut coded).unwrap();
            prop_assert_eq!(decode(&coded).map(|text| text.to_vec()), Some(text));
        }

        #[test]
        fn whatever_reads_codes_back_to_the_same_bytes(coded in vec(any::<u8>(), 0..80)) {
            let Some(text) = decode(&coded) else { return Ok(()) };
            let mut again = Vec::new();
            httlib_huffman::encode(&text, &mut again).unwrap();
            prop_assert_eq!(again, coded);
        }
    }

    #[test]
    fn every_byte_reads_back() {
        for byte in 0..=u8::MAX {
            let mut coded = Vec::new();
            httlib_huffman::encode(&[byte], &mut coded).unwrap();
            assert_eq!(decode(&coded).as_deref(), Some(&vec![byte]), "{byte}");
        }
    }

    #[test]
    fn padding_is_ones_and_shorter_than_a_byte() {
        let read = |coded: &[u8]| decode(coded).map(|text| text.to_vec());
        assert_eq!(read(b""), Some(Vec::new()));
        // `0` is five zeros.
        assert_eq!(read(&[0b0000_0111]), Some(b"0".to_vec()));
        assert_eq!(read(&[0b0000_0110]), None, "a zero among the padding");
        assert_eq!(read(&[0b0000_0111, 0xff]), None, "a whole byte of it");
        assert_eq!(read(&[0xff; 4]), None, "the end of the string");
    }
}
