//! From a secret to the keys of one direction: RFC 8446 §7 and RFC 5246 §5, §6.3.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
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
    let hmac: fn(&[u8], &[&[u8]]) -> Zeroizing<Vec<u8>> = match hash {
        Hash::Sha256 => hmac_sha256,
        Hash::Sha384 => hmac_sha384,
    };
    let mut a = hmac(master.bytes(), &[&seed]);
    for part in out.chunks_mut(hash.len()) {
        let block = hmac(master.bytes(), &[&a, &seed]);
        part.copy_from_slice(&block[..part.len()]);
        a = hmac(master.bytes(), &[&a]);
    }
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

fn hmac_sha384(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let Ok(mut mac) = Hmac::<Sha384>::new_from_slice(key) else { return Zeroizing::default() };
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}
