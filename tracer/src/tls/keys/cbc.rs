//! AES-CBC with HMAC, as TLS 1.2 has it (RFC 5246 §6.2.3.2), and encrypt-then-MAC (RFC 7366).

use aes::cipher::{BlockCipherDecrypt, KeyInit as _};
use aes::{Aes128, Aes256, Block};
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::suite::{Cipher, Mac};

/// Bytes of a block, and of the initialization vector in front of a record.
pub(super) const BLOCK: usize = 16;

pub(super) struct Cbc {
    aes: Aes,
    hmac: Keyed,
    mac: Mac,
    /// The MAC covers the ciphertext and stands behind it.
    encrypt_then_mac: bool,
}

enum Aes {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

/// HMAC with its key taken in.
enum Keyed {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
}

impl Cbc {
    /// `None`: not CBC, or a key of another length.
    pub(super) fn new(cipher: Cipher, key: &[u8], mac_key: &[u8], encrypt_then_mac: bool) -> Option<Self> {
        let (Cipher::Aes128Cbc(mac) | Cipher::Aes256Cbc(mac)) = cipher else { return None };
        let aes = match cipher {
            Cipher::Aes128Cbc(_) => Aes::Aes128(Box::new(Aes128::new_from_slice(key).ok()?)),
            _ => Aes::Aes256(Box::new(Aes256::new_from_slice(key).ok()?)),
        };
        let hmac = match mac {
            Mac::Sha1 => Keyed::Sha1(Box::new(Hmac::new_from_slice(mac_key).ok()?)),
            Mac::Sha256 => Keyed::Sha256(Box::new(Hmac::new_from_slice(mac_key).ok()?)),
            Mac::Sha384 => Keyed::Sha384(Box::new(Hmac::new_from_slice(mac_key).ok()?)),
        };
        Some(Self { aes, hmac, mac, encrypt_then_mac })
    }

    /// The least and the most bytes of a whole record that are no text. Nobody pads by more than a block.
    pub(super) const fn overhead(&self) -> [usize; 2] {
        [BLOCK + self.mac.len() + 1, BLOCK + self.mac.len() + BLOCK]
    }

    /// Opens a whole record's body; `header`: sequence number, type and version.
    pub(super) fn open(&self, header: &[u8; 11], body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = self.unproved(body)?;
        let (covered, mac) = if self.encrypt_then_mac {
            body.split_at_checked(body.len().checked_sub(self.mac.len())?)?
        } else {
            text.split_at_checked(text.len().checked_sub(self.mac.len())?)?
        };
        let len = u16::try_from(covered.len()).ok()?;
        if !self.hmac.fits(&[header, &len.to_be_bytes(), covered], mac) {
            return None;
        }
        if !self.encrypt_then_mac {
            let len = text.len() - self.mac.len();
            text.truncate(len);
        }
        Some(text)
    }

    /// The text of a whole record's body, unproved.
    pub(super) fn read(&self, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = self.unproved(body)?;
        let mac = if self.encrypt_then_mac { 0 } else { self.mac.len() };
        let len = text.len().checked_sub(mac)?;
        text.truncate(len);
        Some(text)
    }

    /// The text of a body's whole blocks, as far as they were kept.
    pub(super) fn decrypt(&self, body: &[u8]) -> Zeroizing<Vec<u8>> {
        let (blocks, _) = body.as_chunks::<BLOCK>();
        let mut text = Zeroizing::new(blocks.get(1..).unwrap_or_default().to_vec());
        let aes_blocks = Block::cast_slice_from_core_mut(&mut text);
        match &self.aes {
            Aes::Aes128(aes) => aes.decrypt_blocks(aes_blocks),
            Aes::Aes256(aes) => aes.decrypt_blocks(aes_blocks),
        }
        for (block, before) in text.iter_mut().zip(blocks) {
            block.iter_mut().zip(before).for_each(|(byte, before)| *byte ^= before);
        }
        Zeroizing::new(text.as_flattened().to_vec())
    }

    /// What a whole record's body holds in front of its padding: the text, and the MAC unless that stands behind.
    fn unproved(&self, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let end = if self.encrypt_then_mac { body.len().checked_sub(self.mac.len())? } else { body.len() };
        if end % BLOCK != 0 {
            return None;
        }
        let mut text = self.decrypt(&body[..end]);
        let padding = *text.last()?;
        let len = text.len().checked_sub(usize::from(padding) + 1)?;
        if text[len..].iter().any(|byte| *byte != padding) {
            return None;
        }
        text.truncate(len);
        Some(text)
    }
}

impl Keyed {
    fn fits(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        match self {
            Self::Sha1(hmac) => fits(&**hmac, parts, mac),
            Self::Sha256(hmac) => fits(&**hmac, parts, mac),
            Self::Sha384(hmac) => fits(&**hmac, parts, mac),
        }
    }
}

fn fits<H: hmac::Mac + Clone>(hmac: &H, parts: &[&[u8]], mac: &[u8]) -> bool {
    let mut hmac = hmac.clone();
    parts.iter().for_each(|part| hmac.update(part));
    hmac.verify_slice(mac).is_ok()
}
