//! Keys without what TLS makes nonces of: those that a process was seen to take. AES-GCM tells the nonce of a record by
//! its tag, or by what its text begins with.

use std::ops::Range;

use tls_parser::TlsRecordType;

use super::aead::Aead;
use super::gcm::{HEAD, Nonce};
use super::look::text_end;
use super::nonces::{Nonces, Sureness, differences};
use super::protection::{Bulk, Iv, Protection, Text, nonce_of};
use super::secret::{Secret, Side};
use super::suite::{Cipher, Suite};
use super::trial::NEEDED_ONCE;
use crate::tls::record::{Record, inner};

/// Texts of 16 bytes that requests begin with.
const REQUESTS: [&[u8; HEAD]; 3] = [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r", b"HEAD / HTTP/1.1\r"];
/// What a response has behind its version: a status code, and the beginning of its usual phrase (RFC 9110 §15).
const STATUSES: [&[u8; 7]; 46] = [
    b"100 Con",
    b"101 Swi",
    b"103 Ear",
    b"200 OK\r",
    b"201 Cre",
    b"202 Acc",
    b"203 Non",
    b"204 No ",
    b"205 Res",
    b"206 Par",
    b"207 Mul",
    b"300 Mul",
    b"301 Mov",
    b"302 Fou",
    b"303 See",
    b"304 Not",
    b"307 Tem",
    b"308 Per",
    b"400 Bad",
    b"401 Una",
    b"402 Pay",
    b"403 For",
    b"404 Not",
    b"405 Met",
    b"406 Not",
    b"407 Pro",
    b"408 Req",
    b"409 Con",
    b"410 Gon",
    b"411 Len",
    b"412 Pre",
    b"413 Pay",
    b"413 Con",
    b"414 URI",
    b"415 Uns",
    b"416 Ran",
    b"417 Exp",
    b"421 Mis",
    b"422 Unp",
    b"428 Pre",
    b"429 Too",
    b"431 Req",
    b"500 Int",
    b"501 Not",
    b"502 Bad",
    b"503 Ser",
];
const VERSIONS: [&[u8; 9]; 2] = [b"HTTP/1.1 ", b"HTTP/1.0 "];

impl Protection {
    /// `None`: the key is not of this suite, or the suite is not AES-GCM.
    pub(super) fn of_key(suite: Suite, key: &Secret) -> Option<Self> {
        let is_gcm = matches!(suite.cipher, Cipher::Aes128Gcm | Cipher::Aes256Gcm);
        let aead =
            Aead::new(suite.cipher, key.bytes()).filter(|_| is_gcm && key.bytes().len() == suite.cipher.key_len());
        aead.map(|aead| Self { suite, bulk: Bulk::Aead(aead, Iv::Unknown), is_bare: true })
    }

    /// Whether the direction's own nonce is not known.
    pub(super) fn lacks_iv(&self) -> bool {
        matches!(self.bulk, Bulk::Aead(_, Iv::Unknown | Iv::Seen(_)))
    }

    /// The nonce of a whole record, and its number where that is one of `numbers`; TLS 1.3 does not tell it, and gives
    /// the first one. Proves 32 bits, in TLS 1.2 96 less those of the search.
    pub(super) fn reveal(&self, record: &Record<'_>, numbers: Range<u64>) -> Option<(u64, Nonce)> {
        let Bulk::Aead(aead, _) = &self.bulk else { return None };
        let (sealed, tag) = self.sealed(record)?;
        let additional = self.additional(0, record);
        if self.suite.tls13 {
            return Some((numbers.start, aead.nonce_of(&additional, sealed, tag)?));
        }
        aead.numbered_nonce_of(&additional, sealed, tag, record.body.first_chunk()?, numbers)
    }

    /// The nonce of a record of which the first bytes were kept, if its text is a usual beginning of what this side
    /// says. Proves 32 bits, less seven of the search.
    pub(super) fn guess(&self, record: &Record<'_>, side: Side) -> Option<Nonce> {
        let Bulk::Aead(aead, _) = &self.bulk else { return None };
        let sealed: &[u8; HEAD] = record.body.get(self.prefix()..)?.first_chunk()?;
        let explicit: &[u8] = if self.suite.tls13 { &[] } else { record.body.get(..8)? };
        let nonce = |text: &[u8; HEAD]| aead.nonce_by(text, sealed).filter(|nonce| nonce.ends_with(explicit));
        match side {
            Side::Edge => REQUESTS.into_iter().find_map(nonce),
            Side::Origin => VERSIONS.iter().find_map(|version| {
                STATUSES.iter().find_map(|status| {
                    let mut text = [0; HEAD];
                    text[..version.len()].copy_from_slice(*version);
                    text[version.len()..].copy_from_slice(*status);
                    nonce(&text)
                })
            }),
        }
    }

    /// The text of ciphertext that begins at byte `at` of a record's, which was given this number, or is the `behind`th
    /// after one that had `explicit` at its start (TLS 1.2): under the one nonce of those that it may have by which the
    /// text looks like one. `is_end`: the record ends with it.
    pub(super) fn search(
        &self,
        number: u64,
        explicit: Option<(u64, u64)>,
        at: usize,
        sealed: &[u8],
        is_end: bool,
    ) -> Option<Text> {
        let Bulk::Aead(aead, iv) = &self.bulk else { return None };
        let nonces = match (iv, explicit) {
            (Iv::Seen(nonces), _) => nonces.all_at(number),
            (Iv::Known(iv), Some((explicit, behind))) if self.is_bare => {
                differences(behind).map(|by| nonce_of(iv, (explicit ^ by).to_be_bytes())).collect()
            }
            _ => return None,
        };
        nonces.iter().map(|nonce| aead.decrypt_at(nonce, at, sealed)).find(|text| {
            let content = match inner(text) {
                (TlsRecordType::ApplicationData, content) if self.suite.tls13 && is_end => content,
                _ if self.suite.tls13 && is_end => return false,
                _ => text,
            };
            text_end(content) >= NEEDED_ONCE
        })
    }

    /// A record that was given this number has this nonce.
    pub(super) fn learn(&mut self, number: u64, nonce: &Nonce, sureness: Sureness) {
        let Bulk::Aead(_, iv) = &mut self.bulk else { return };
        match iv {
            // The rest stands in each record.
            Iv::Unknown if !self.suite.tls13 => {
                let mut fixed = *nonce;
                fixed[4..].fill(0);
                *iv = Iv::Known(fixed);
            }
            Iv::Unknown => *iv = Iv::Seen(Nonces::new(number, nonce, sureness)),
            Iv::Seen(nonces) => {
                if !nonces.see(number, nonce) {
                    *iv = Iv::Seen(Nonces::new(number, nonce, Sureness::Unsure));
                }
            }
            Iv::Known(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
