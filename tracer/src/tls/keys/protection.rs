//! How the keys of one direction protect a record: its nonce, its additional data, and where its ciphertext stands
//! (RFC 8446 §5.2; RFC 5288 §3 and RFC 7905 §2 for TLS 1.2).

use std::ops::Range;

use zeroize::Zeroizing;

use super::aead::Aead;
use super::gcm::{HEAD, Nonce, TAG, Tag};
use super::schedule::{expand_label, key_block};
use super::secret::{Secret, Side};
use super::suite::{Cipher, Suite};
use crate::tls::record::Record;

/// Bytes that AES-GCM has at the start of a record of TLS 1.2.
const EXPLICIT: usize = 8;
/// A sequence number beyond is none. Without this a tag would prove 64 bits less.
const MAX_SEQUENCE: u64 = 1 << 40;

pub(super) type Text = Zeroizing<Vec<u8>>;

/// The keys of one direction.
pub(super) struct Protection {
    pub(super) suite: Suite,
    aead: Aead,
    iv: Nonce,
}

impl Protection {
    /// TLS 1.3. `None`: the secret is not of this suite.
    pub(super) fn of_traffic(suite: Suite, secret: &Secret) -> Option<Self> {
        let (mut key, mut iv) = (Zeroizing::new([0; 32]), [0; 12]);
        let key = &mut key[..suite.cipher.key_len()];
        let derived = expand_label(suite.hash, secret, "key", key) && expand_label(suite.hash, secret, "iv", &mut iv);
        derived.then(|| Aead::new(suite.cipher, key)).flatten().map(|aead| Self { suite, aead, iv })
    }

    /// TLS 1.2: both randoms are the client's and the server's. `None`: the suite is not of that version.
    pub(super) fn of_master(suite: Suite, master: &Secret, randoms: &[[u8; 32]; 2], side: Side) -> Option<Self> {
        let (key_len, iv_len) = (suite.cipher.key_len(), if suite.cipher == Cipher::ChaCha20Poly1305 { 12 } else { 4 });
        let mut block = Zeroizing::new([0; 2 * (32 + 12)]);
        key_block(suite.hash, master, randoms, &mut block[..2 * (key_len + iv_len)]);
        let (keys, ivs) = block.split_at(2 * key_len);
        let number = if side == Side::Edge { 0 } else { 1 };
        let mut iv = [0; 12];
        iv[..iv_len].copy_from_slice(&ivs[number * iv_len..][..iv_len]);
        Some(Self { suite, aead: Aead::new(suite.cipher, &keys[number * key_len..][..key_len])?, iv })
    }

    /// Opens a whole record. `None`: it is not the record of this number under these keys.
    pub(super) fn open(&self, sequence: u64, record: &Record<'_>) -> Option<Text> {
        let (sealed, tag) = self.sealed(record)?;
        let nonce = self.nonce(sequence, record);
        (self.aead.tag(&nonce, &self.additional(sequence, record), sealed) == *tag)
            .then(|| self.aead.decrypt(&nonce, sealed))
    }

    /// The text of what was kept of a record, unproved.
    pub(super) fn read(&self, sequence: u64, record: &Record<'_>) -> Text {
        let range = self.text(record);
        let nonce = self.nonce(sequence, record);
        self.aead.decrypt(&nonce, record.body.get(range).unwrap_or_default())
    }

    /// The first bytes of the text under each number, unproved; `None`: too few were kept.
    pub(super) fn heads(&self, sequences: Range<u64>, record: &Record<'_>) -> Option<Zeroizing<Vec<[u8; HEAD]>>> {
        let sealed: &[u8; HEAD] = record.body.get(self.text(record))?.first_chunk()?;
        let mut heads = self.aead.heads(sequences.map(|sequence| self.nonce(sequence, record)));
        for head in heads.iter_mut() {
            head.iter_mut().zip(sealed).for_each(|(byte, sealed)| *byte ^= sealed);
        }
        Some(heads)
    }

    /// Whether the nonce, and with it the text, depends on the number.
    pub(super) fn is_numbered(&self) -> bool {
        self.suite.tls13 || self.suite.cipher == Cipher::ChaCha20Poly1305
    }

    /// Whether a whole record tells its number by its tag.
    pub(super) fn tells_number(&self) -> bool {
        matches!(self.suite.cipher, Cipher::Aes128Gcm | Cipher::Aes256Gcm)
    }

    /// The number that a whole record's tag tells. Proves 64 bits beside it: in TLS 1.3 a counter and the fixed part of
    /// the nonce, in TLS 1.2 the rest of the additional data.
    pub(super) fn sequence_of(&self, record: &Record<'_>) -> Option<u64> {
        let (sealed, tag) = self.sealed(record)?;
        let number = if self.suite.tls13 {
            let nonce = self.aead.nonce_of(&self.additional(0, record), sealed, tag)?;
            let (fixed, number) = nonce.split_first_chunk::<4>()?;
            let (iv, mask) = self.iv.split_first_chunk::<4>()?;
            let number = u64::from_be_bytes(number.try_into().ok()?) ^ u64::from_be_bytes(mask.try_into().ok()?);
            (fixed == iv).then_some(number)?
        } else {
            let additional = self.additional(0, record);
            let nonce = self.nonce(0, record);
            let found = self.aead.additional_of(&nonce, additional.len() as u64, sealed, tag)?;
            let (number, rest) = found.split_first_chunk()?;
            let (rest, padding) = rest.split_at(additional.len() - number.len());
            (additional.ends_with(rest) && padding == [0; 3]).then_some(u64::from_be_bytes(*number))?
        };
        (number < MAX_SEQUENCE).then_some(number)
    }

    /// The last byte of a whole record's text under this number, unproved: TLS 1.3 has the type there, or padding.
    pub(super) fn last_byte(&self, sequence: u64, record: &Record<'_>) -> Option<u8> {
        let (sealed, _) = self.sealed(record)?;
        let at = sealed.len().checked_sub(1)?;
        self.aead.byte(&self.nonce(sequence, record), at, sealed[at])
    }

    /// Bytes of a record that are no text, at least.
    pub(super) fn overhead(&self) -> usize {
        match self.suite.cipher {
            _ if self.suite.tls13 => 1 + TAG,
            Cipher::ChaCha20Poly1305 => TAG,
            _ => EXPLICIT + TAG,
        }
    }

    /// Of a record with so many bytes, and so many of them sent: how many bytes of text were sent.
    pub(super) fn text_of(&self, len: usize, sent: usize) -> usize {
        let text = len.saturating_sub(self.overhead());
        text.min(sent.saturating_sub(self.prefix()))
    }

    /// Where in a record's body text stands that was kept; TLS 1.3 without the type and the padding at its end, which
    /// only the whole record shows.
    pub(super) fn text(&self, record: &Record<'_>) -> Range<usize> {
        let start = self.prefix();
        let end = record.len.saturating_sub(self.overhead() - start).min(record.body.len());
        start.min(end)..end
    }

    /// A whole record's ciphertext and its tag.
    fn sealed<'a>(&self, record: &Record<'a>) -> Option<(&'a [u8], &'a Tag)> {
        if record.body.len() != record.len {
            return None;
        }
        record.body.get(self.prefix()..)?.split_last_chunk()
    }

    fn prefix(&self) -> usize {
        if self.is_numbered() { 0 } else { EXPLICIT }
    }

    fn nonce(&self, sequence: u64, record: &Record<'_>) -> Nonce {
        let mut nonce = self.iv;
        let number = if self.is_numbered() {
            sequence.to_be_bytes()
        } else {
            record.body.first_chunk().copied().unwrap_or_default()
        };
        nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    fn additional(&self, sequence: u64, record: &Record<'_>) -> Vec<u8> {
        let bytes = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        if self.suite.tls13 {
            let [high, low] = bytes(record.len);
            return vec![record.kind.0, 3, 3, high, low];
        }
        let [high, low] = bytes(record.len.saturating_sub(self.overhead()));
        [&sequence.to_be_bytes()[..], &[record.kind.0, 3, 3, high, low]].concat()
    }
}
