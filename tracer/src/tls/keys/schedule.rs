//! From a secret to the keys of one direction: RFC 8446 §7 and RFC 5246 §5, §6.3.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::secret::Secret;
use super::suite::Hash;

/// HKDF-Expand-Label without a context. `false`: the secret does not fit the hash, or too much is asked.
pub(super) fn expand_label(hash: Hash, secret: &Secret, label: &str, out: &mut [u8]) -> bool {
    let (Ok(len), Ok(label_len)) = (u16::try_from(out.len()), u8::try_from(label.len() + 6)) else { return false };
    if secret.bytes().len() != hash.len() {
        return false;
    }
    let info = [&len.to_be_bytes()[..], &[label_len], b"tls13 ", label.as_bytes(), &[0]].concat();
    match hash {
        Hash::Sha256 => Hkdf::<Sha256>::from_prk(secret.bytes()).is_ok_and(|hkdf| hkdf.expand(&info, out).is_ok()),
        Hash::Sha384 => Hkdf::<Sha384>::from_prk(secret.bytes()).is_ok_and(|hkdf| hkdf.expand(&info, out).is_ok()),
    }
}

/// The traffic secret that a KeyUpdate puts in place of this one.
pub(super) fn updated(hash: Hash, secret: &Secret) -> Option<Secret> {
    let mut next = Zeroizing::new([0; 48]);
    let next = &mut next[..hash.len()];
    expand_label(hash, secret, "traffic upd", next).then(|| Secret::new(next)).flatten()
}

/// The key block of TLS 1.2.
pub(super) fn key_block(hash: Hash, master: &Secret, [client, server]: &[[u8; 32]; 2], out: &mut [u8]) {
    let seed = [&b"key expansion"[..], server, client].concat();
    match hash {
        Hash::Sha256 => expand::<Hmac<Sha256>>(master, &seed, out),
        Hash::Sha384 => expand::<Hmac<Sha384>>(master, &seed, out),
    }
}

/// P_hash (RFC 5246 §5).
fn expand<H: Mac + KeyInit>(secret: &Secret, seed: &[u8], out: &mut [u8]) {
    let mut a = hmac::<H>(secret, &[seed]);
    for part in out.chunks_mut(a.len().max(1)) {
        let block = hmac::<H>(secret, &[&a, seed]);
        part.iter_mut().zip(block.iter()).for_each(|(byte, key)| *byte = *key);
        a = hmac::<H>(secret, &[&a]);
    }
}

/// HMAC takes a key of any length.
fn hmac<H: Mac + KeyInit>(key: &Secret, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let Ok(mut mac) = <H as KeyInit>::new_from_slice(key.bytes()) else { return Zeroizing::default() };
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}
