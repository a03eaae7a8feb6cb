//! The AEADs, with ChaCha20-Poly1305 (RFC 8439) taken apart: the first bytes of many messages at once, and the text of
//! a message whose tag is not there.

use std::ops::Range;

use aes::{Aes128, Aes256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyInit as _, KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use poly1305::Poly1305;
use zeroize::Zeroizing;

use super::gcm::{Gcm, HEAD, Nonce, Tag, hash};
use super::suite::Cipher;

pub(super) enum Aead {
    Aes128Gcm(Box<Gcm<Aes128>>),
    Aes256Gcm(Box<Gcm<Aes256>>),
    ChaCha20Poly1305(Zeroizing<[u8; 32]>),
}

impl Aead {
    /// `None`: not an AEAD, or a key of another length.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        Some(match cipher {
            Cipher::Aes128Gcm => Self::Aes128Gcm(Box::new(Gcm::new(Aes128::new_from_slice(key).ok()?))),
            Cipher::Aes256Gcm => Self::Aes256Gcm(Box::new(Gcm::new(Aes256::new_from_slice(key).ok()?))),
            Cipher::ChaCha20Poly1305 => Self::ChaCha20Poly1305(Zeroizing::new(key.try_into().ok()?)),
            Cipher::Aes128Cbc(_) | Cipher::Aes256Cbc(_) => return None,
        })
    }

    pub(super) fn tag(&self, nonce: &Nonce, aad: &[u8], sealed: &[u8]) -> Tag {
        match self {
            Self::Aes128Gcm(gcm) => gcm.tag(nonce, aad, sealed),
            Self::Aes256Gcm(gcm) => gcm.tag(nonce, aad, sealed),
            Self::ChaCha20Poly1305(key) => {
                let mut once = Zeroizing::new([0; 32]);
                chacha(key, nonce, 0, &mut once[..]);
                hash(Poly1305::new((&*once).into()), aad, sealed, |bytes| bytes.to_le_bytes())
            }
        }
    }

    /// AES-GCM: the one nonce that makes this tag.
    pub(super) fn nonce_of(&self, aad: &[u8], sealed: &[u8], tag: &Tag) -> Option<Nonce> {
        match self {
            Self::Aes128Gcm(gcm) => gcm.nonce_of(aad, sealed, tag),
            Self::Aes256Gcm(gcm) => gcm.nonce_of(aad, sealed, tag),
            Self::ChaCha20Poly1305(_) => None,
        }
    }

    /// AES-GCM: the same, and the number, by [`Gcm::numbered_nonce_of`].
    pub(super) fn numbered_nonce_of(
        &self,
        aad: &[u8],
        sealed: &[u8],
        tag: &Tag,
        explicit: &[u8; 8],
        numbers: Range<u64>,
    ) -> Option<(u64, Nonce)> {
        match self {
            Self::Aes128Gcm(gcm) => gcm.numbered_nonce_of(aad, sealed, tag, explicit, numbers),
            Self::Aes256Gcm(gcm) => gcm.numbered_nonce_of(aad, sealed, tag, explicit, numbers),
            Self::ChaCha20Poly1305(_) => None,
        }
    }

    /// AES-GCM: the one nonce under which a text that begins so is sealed so.
    pub(super) fn nonce_by(&self, text: &[u8; HEAD], sealed: &[u8; HEAD]) -> Option<Nonce> {
        match self {
            Self::Aes128Gcm(gcm) => gcm.nonce_by(text, sealed),
            Self::Aes256Gcm(gcm) => gcm.nonce_by(text, sealed),
            Self::ChaCha20Poly1305(_) => None,
        }
    }

    /// AES-GCM: the one block of additional data, of so many bytes, that makes this tag.
    pub(super) fn additional_of(&self, nonce: &Nonce, len: u64, sealed: &[u8], tag: &Tag) -> Option<Tag> {
        match self {
            Self::Aes128Gcm(gcm) => Some(gcm.additional_of(nonce, len, sealed, tag)),
            Self::Aes256Gcm(gcm) => Some(gcm.additional_of(nonce, len, sealed, tag)),
            Self::ChaCha20Poly1305(_) => None,
        }
    }

    /// The text of `sealed`, which begins with the message.
    pub(super) fn decrypt(&self, nonce: &Nonce, sealed: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(sealed.to_vec());
        match self {
            Self::Aes128Gcm(gcm) => gcm.apply(nonce, &mut text),
            Self::Aes256Gcm(gcm) => gcm.apply(nonce, &mut text),
            Self::ChaCha20Poly1305(key) => chacha(key, nonce, 64, &mut text),
        }
        text
    }

    /// The text of `sealed`, which begins at byte `at` of the message.
    pub(super) fn decrypt_at(&self, nonce: &Nonce, at: usize, sealed: &[u8]) -> Zeroizing<Vec<u8>> {
        let (block, skipped) = (at / HEAD, at % HEAD);
        let mut text = Zeroizing::new(Vec::with_capacity(skipped + sealed.len()));
        text.resize(skipped, 0);
        text.extend_from_slice(sealed);
        match self {
            Self::Aes128Gcm(gcm) => gcm.apply_from(nonce, block, &mut text),
            Self::Aes256Gcm(gcm) => gcm.apply_from(nonce, block, &mut text),
            Self::ChaCha20Poly1305(key) => chacha(key, nonce, 64 + (at - skipped) as u64, &mut text),
        }
        text.drain(..skipped);
        text
    }

    /// The first bytes of the keystream under each nonce.
    pub(super) fn heads(&self, nonces: impl Iterator<Item = Nonce>) -> Zeroizing<Vec<[u8; HEAD]>> {
        Zeroizing::new(match self {
            Self::Aes128Gcm(gcm) => gcm.heads(nonces),
            Self::Aes256Gcm(gcm) => gcm.heads(nonces),
            Self::ChaCha20Poly1305(key) => {
                let head = |nonce| {
                    let mut head = [0; HEAD];
                    chacha(key, &nonce, 64, &mut head);
                    head
                };
                nonces.map(head).collect()
            }
        })
    }

    /// What byte `at` of a message is under a nonce.
    pub(super) fn byte(&self, nonce: &Nonce, at: usize, sealed: u8) -> Option<u8> {
        let Self::ChaCha20Poly1305(key) = self else { return None };
        let mut byte = [sealed];
        chacha(key, nonce, 64 + at as u64, &mut byte);
        Some(byte[0])
    }
}

/// Applies the keystream from byte `at` on. Its end, 256 GiB on, no record reaches.
fn chacha(key: &[u8; 32], nonce: &Nonce, at: u64, text: &mut [u8]) {
    let mut cipher = ChaCha20::new(key.into(), nonce.into());
    if cipher.try_seek(at).is_ok() && cipher.try_apply_keystream(text).is_err() {
        text.fill(0);
    }
}
