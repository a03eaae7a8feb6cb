//! How the keys of one direction protect a record: its nonce, its additional data, and where its ciphertext stands
//! (RFC 8446 §5.2; for TLS 1.2 RFC 5246 §6.2.3, RFC 5288 §3 and RFC 7905 §2).

use std::ops::Range;

use zeroize::Zeroizing;

use super::aead::Aead;
use super::cbc::{BLOCK, Cbc};
use super::gcm::{HEAD, Nonce, TAG, Tag};
use super::nonces::Nonces;
use super::schedule::{expand_label, key_block};
use super::secret::{Secret, Side};
use super::suite::{Cipher, Suite};
use crate::tls::record::{Record, inner};

/// Bytes that AES-GCM has at the start of a record of TLS 1.2.
const EXPLICIT: usize = 8;
/// A sequence number beyond is none. Without this a tag would prove 64 bits less.
const MAX_SEQUENCE: u64 = 1 << 40;
/// Most bytes of a key block: for both sides the key of an HMAC, of a cipher, and a nonce.
const MAX_KEY_BLOCK: usize = 2 * (48 + 32 + 12);

pub(super) type Text = Zeroizing<Vec<u8>>;

/// The keys of one direction.
pub(super) struct Protection {
    pub(super) suite: Suite,
    pub(super) bulk: Bulk,
    /// Only the key was known at first.
    pub(super) is_bare: bool,
}

pub(super) enum Bulk {
    Aead(Aead, Iv),
    Cbc(Cbc),
}

/// The direction's own nonce, which goes into that of each record; in TLS 1.2 AES-GCM has four bytes of it.
pub(super) enum Iv {
    Known(Nonce),
    Unknown,
    /// TLS 1.3: nonces of some records were seen.
    Seen(Nonces),
}

impl Protection {
    /// TLS 1.3. `None`: the secret is not of this suite.
    pub(super) fn of_traffic(suite: Suite, secret: &Secret) -> Option<Self> {
        let (mut key, mut iv) = (Zeroizing::new([0; 32]), [0; 12]);
        let key = &mut key[..suite.cipher.key_len()];
        let derived = expand_label(suite.hash, secret, "key", key) && expand_label(suite.hash, secret, "iv", &mut iv);
        derived
            .then(|| Aead::new(suite.cipher, key))
            .flatten()
            .map(|aead| Self::of(suite, Bulk::Aead(aead, Iv::Known(iv))))
    }

    /// TLS 1.2, with the client's and the server's random: for CBC with either order of encryption and MAC.
    pub(super) fn of_master(suite: Suite, master: &Secret, randoms: &[[u8; 32]; 2], side: Side) -> Vec<Self> {
        let (mac_len, key_len, iv_len) = (suite.cipher.mac_len(), suite.cipher.key_len(), suite.cipher.iv_len());
        let mut block = Zeroizing::new([0; MAX_KEY_BLOCK]);
        key_block(suite.hash, master, randoms, &mut block[..2 * (mac_len + key_len + iv_len)]);
        let (mac_keys, rest) = block.split_at(2 * mac_len);
        let (keys, ivs) = rest.split_at(2 * key_len);
        let of_side = |len: usize| match side {
            Side::Edge => 0..len,
            Side::Origin => len..2 * len,
        };
        let (mac_key, key) = (&mac_keys[of_side(mac_len)], &keys[of_side(key_len)]);
        let cbc = [false, true].map(|encrypt_then_mac| Cbc::new(suite.cipher, key, mac_key, encrypt_then_mac));
        let mut iv = [0; 12];
        iv[..iv_len].copy_from_slice(&ivs[of_side(iv_len)]);
        let aead = Aead::new(suite.cipher, key).map(|aead| Bulk::Aead(aead, Iv::Known(iv)));
        let bulks = aead.into_iter().chain(cbc.into_iter().flatten().map(Bulk::Cbc));
        bulks.map(|bulk| Self::of(suite, bulk)).collect()
    }

    const fn of(suite: Suite, bulk: Bulk) -> Self {
        Self { suite, bulk, is_bare: false }
    }

    /// Opens a whole record. `None`: it is not the record of this number under these keys.
    pub(super) fn open(&self, sequence: u64, record: &Record<'_>) -> Option<Text> {
        match &self.bulk {
            Bulk::Aead(aead, Iv::Unknown | Iv::Seen(_)) => {
                let (sealed, _) = self.sealed(record)?;
                let (_, nonce) = self.reveal(record, sequence..sequence.saturating_add(1))?;
                let text = aead.decrypt(&nonce, sealed);
                // A record's type is a further proof, if a small one.
                let is_known = !self.suite.tls13 || (21..=23).contains(&inner(&text).0.0);
                is_known.then_some(text)
            }
            Bulk::Aead(aead, iv) => {
                let (sealed, tag) = self.sealed(record)?;
                let nonce = self.nonce(iv, sequence, record)?;
                let is_right = aead.tag(&nonce, &self.additional(sequence, record), sealed) == *tag;
                is_right.then(|| aead.decrypt(&nonce, sealed))
            }
            Bulk::Cbc(cbc) if record.body.len() == record.len => cbc.open(&header(sequence, record), record.body),
            Bulk::Cbc(_) => None,
        }
    }

    /// The text of what was kept of a record, unproved. TLS 1.3 has its type and padding behind, which only the whole
    /// record shows. `None`: its nonce is not known.
    pub(super) fn read(&self, sequence: u64, record: &Record<'_>) -> Option<Text> {
        let least = self.text_of(record.len, record.len)[0];
        match &self.bulk {
            Bulk::Aead(_, iv) => self.read_under(&self.nonce(iv, sequence, record)?, record),
            Bulk::Cbc(cbc) if record.body.len() == record.len => cbc.read(record.body),
            Bulk::Cbc(cbc) => {
                let mut text = cbc.decrypt(record.body);
                text.truncate(least);
                Some(text)
            }
        }
    }

    /// The same under this nonce.
    pub(super) fn read_under(&self, nonce: &Nonce, record: &Record<'_>) -> Option<Text> {
        let Bulk::Aead(aead, _) = &self.bulk else { return None };
        let least = self.text_of(record.len, record.len)[0];
        let sealed = record.body.get(self.prefix()..).unwrap_or_default();
        Some(aead.decrypt(nonce, &sealed[..least.min(sealed.len())]))
    }

    /// The first bytes of the text under each number, unproved; `None`: too few were kept.
    pub(super) fn heads(&self, sequences: Range<u64>, record: &Record<'_>) -> Option<Zeroizing<Vec<[u8; HEAD]>>> {
        if self.text_of(record.len, record.body.len())[0] < HEAD {
            return None;
        }
        let (aead, iv) = match &self.bulk {
            Bulk::Aead(aead, Iv::Known(iv)) => (aead, iv),
            Bulk::Aead(..) => return None,
            Bulk::Cbc(cbc) => {
                let head = cbc.decrypt(record.body.get(..2 * BLOCK)?);
                return head.first_chunk().map(|head| Zeroizing::new(vec![*head]));
            }
        };
        let sealed: &[u8; HEAD] = record.body.get(self.prefix()..)?.first_chunk()?;
        let mut heads = aead.heads(sequences.map(|sequence| self.nonce_with(iv, sequence, record)));
        for head in heads.iter_mut() {
            head.iter_mut().zip(sealed).for_each(|(byte, sealed)| *byte ^= sealed);
        }
        Some(heads)
    }

    /// Whether the text depends on the number.
    pub(super) fn is_numbered(&self) -> bool {
        self.suite.tls13 || self.suite.cipher == Cipher::ChaCha20Poly1305
    }

    /// Whether a whole record can be read although its number is not found.
    pub(super) fn is_cbc(&self) -> bool {
        matches!(self.bulk, Bulk::Cbc(_))
    }

    /// Whether a whole record tells its number by its tag.
    pub(super) fn tells_number(&self) -> bool {
        matches!(self.suite.cipher, Cipher::Aes128Gcm | Cipher::Aes256Gcm)
    }

    /// The number that a whole record's tag tells. Proves 64 bits beside it: in TLS 1.3 a counter and the fixed part of
    /// the nonce, in TLS 1.2 the rest of the additional data. Of a key alone, by [`Self::reveal`].
    pub(super) fn sequence_of(&self, record: &Record<'_>, numbers: Range<u64>) -> Option<u64> {
        let Bulk::Aead(aead, iv) = &self.bulk else { return None };
        let Iv::Known(iv) = iv else { return self.reveal(record, numbers).map(|(number, _)| number) };
        let (sealed, tag) = self.sealed(record)?;
        let additional = self.additional(0, record);
        let number = if self.suite.tls13 {
            let nonce = aead.nonce_of(&additional, sealed, tag)?;
            let (fixed, number) = nonce.split_first_chunk::<4>()?;
            let (iv, mask) = iv.split_first_chunk::<4>()?;
            let number = u64::from_be_bytes(number.try_into().ok()?) ^ u64::from_be_bytes(mask.try_into().ok()?);
            (fixed == iv).then_some(number)?
        } else {
            let nonce = self.nonce_with(iv, 0, record);
            let found = aead.additional_of(&nonce, additional.len() as u64, sealed, tag)?;
            let (number, rest) = found.split_first_chunk()?;
            let (rest, padding) = rest.split_at(additional.len() - number.len());
            (additional.ends_with(rest) && padding == [0; 3]).then_some(u64::from_be_bytes(*number))?
        };
        (number < MAX_SEQUENCE).then_some(number)
    }

    /// Whether a whole record's tag or MAC is worth to be tried, by what costs less and tells nothing of the number.
    pub(super) fn may_open(&self, record: &Record<'_>) -> bool {
        match &self.bulk {
            Bulk::Aead(..) => true,
            Bulk::Cbc(cbc) => cbc.read(record.body).is_some(),
        }
    }

    /// The last byte of a whole record's text under this number, unproved: TLS 1.3 has the type there, or padding.
    pub(super) fn last_byte(&self, sequence: u64, record: &Record<'_>) -> Option<u8> {
        let Bulk::Aead(aead, iv) = &self.bulk else { return None };
        let (sealed, _) = self.sealed(record)?;
        let at = sealed.len().checked_sub(1)?;
        aead.byte(&self.nonce(iv, sequence, record)?, at, sealed[at])
    }

    /// Of a record with so many bytes, and so many of them sent: how many of text were sent, at least and at most.
    pub(super) fn text_of(&self, len: usize, sent: usize) -> [usize; 2] {
        let sent = sent.saturating_sub(self.prefix());
        let [least, most] = match &self.bulk {
            Bulk::Aead(..) => [self.overhead(); 2],
            Bulk::Cbc(cbc) => cbc.overhead(),
        };
        [most, least].map(|overhead| len.saturating_sub(overhead).min(sent))
    }

    /// Bytes of a record that are no text, at least.
    pub(super) fn overhead(&self) -> usize {
        match &self.bulk {
            Bulk::Aead(..) if self.suite.tls13 => 1 + TAG,
            Bulk::Aead(..) => self.prefix() + TAG,
            Bulk::Cbc(cbc) => cbc.overhead()[0],
        }
    }

    /// A whole record's ciphertext and its tag.
    pub(super) fn sealed<'a>(&self, record: &Record<'a>) -> Option<(&'a [u8], &'a Tag)> {
        if record.body.len() != record.len {
            return None;
        }
        record.body.get(self.prefix()..)?.split_last_chunk()
    }

    /// Bytes of a body in front of the ciphertext.
    pub(super) fn prefix(&self) -> usize {
        match &self.bulk {
            Bulk::Cbc(_) => BLOCK,
            Bulk::Aead(..) if self.is_numbered() => 0,
            Bulk::Aead(..) => EXPLICIT,
        }
    }

    /// Bytes of a body behind the ciphertext: the tag of an AEAD.
    pub(super) fn suffix(&self) -> usize {
        TAG
    }

    /// Whether the length of a body tells the length of the text, but for what TLS 1.3 may pad.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.bulk, Bulk::Aead(..))
    }

    /// The text of ciphertext that begins at byte `at` of a record's, unproved; in TLS 1.3 with the type behind it.
    /// `number`: the record's, or what AES-GCM has at its start in TLS 1.2.
    pub(super) fn read_at(&self, number: u64, at: usize, sealed: &[u8]) -> Option<Text> {
        match &self.bulk {
            Bulk::Aead(aead, Iv::Known(iv)) => Some(aead.decrypt_at(&nonce_of(iv, number.to_be_bytes()), at, sealed)),
            Bulk::Aead(aead, Iv::Seen(nonces)) => Some(aead.decrypt_at(&nonces.at(number)?, at, sealed)),
            Bulk::Aead(_, Iv::Unknown) | Bulk::Cbc(_) => None,
        }
    }

    fn nonce(&self, iv: &Iv, sequence: u64, record: &Record<'_>) -> Option<Nonce> {
        match iv {
            Iv::Known(iv) => Some(self.nonce_with(iv, sequence, record)),
            Iv::Seen(nonces) => nonces.at(sequence),
            Iv::Unknown => None,
        }
    }

    fn nonce_with(&self, iv: &Nonce, sequence: u64, record: &Record<'_>) -> Nonce {
        let explicit = || record.body.first_chunk().copied().unwrap_or_default();
        nonce_of(iv, if self.is_numbered() { sequence.to_be_bytes() } else { explicit() })
    }

    pub(super) fn additional(&self, sequence: u64, record: &Record<'_>) -> Vec<u8> {
        let bytes = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let header = header(sequence, record);
        if self.suite.tls13 {
            return [&header[8..], &bytes(record.len)].concat();
        }
        [&header[..], &bytes(record.len.saturating_sub(self.overhead()))].concat()
    }
}

/// The nonce of a record: the fixed one, with the number in its last bytes.
pub(super) fn nonce_of(iv: &Nonce, number: [u8; 8]) -> Nonce {
    let mut nonce = *iv;
    nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
    nonce
}

/// Sequence number, type and version.
fn header(sequence: u64, record: &Record<'_>) -> [u8; 11] {
    let mut header = [0; 11];
    header[..8].copy_from_slice(&sequence.to_be_bytes());
    header[8..].copy_from_slice(&[record.kind.0, 3, 3]);
    header
}
