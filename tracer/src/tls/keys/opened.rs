//! What the records of one direction told.

use std::fmt;

use tls_parser::TlsHandshakeType;
use zeroize::Zeroizing;

use super::suite::Suite;
use crate::tls::alert::Alert;

/// What was kept of one direction, read with the connection's keys.
#[derive(Debug, Default)]
pub struct Opened {
    pub outcome: Outcome,
    /// Application data in the order of the wire, from the first record that was opened.
    pub text: Plaintext,
    /// The last bytes of application data, where more was sent than was kept; unproved.
    pub tail: Plaintext,
    /// The last bytes can't be read, whatever they are.
    pub tail_unread: bool,
    /// Bytes of application data on the wire, kept or not, from the first record that was opened.
    pub data: Bounds,
    /// Whether the last record on the wire is cut; `None`: where it ends was not kept.
    pub cut: Option<bool>,
    /// In the order of the wire, those in the clear too; `close_notify` is one.
    pub alerts: Vec<Alert>,
    pub messages: Messages,
    /// Early data (RFC 8446 §2.3) was offered or sent. It is not opened.
    pub early_data: bool,
    /// The suite whose keys fitted.
    pub suite: Option<Suite>,
    /// Number of the first record that was opened, and of no other meaning once keys have changed.
    pub sequence: Option<u64>,
    /// Encrypted records that were kept, whole or cut, and not opened.
    pub unopened: u32,
}

/// Whether there was something to open, and how it is known that the keys are the right ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// No byte of an encrypted record was kept.
    #[default]
    Nothing,
    /// No secret of this direction is known that fits the suite.
    NoSecret,
    /// A whole record was kept, and no key opens it under any number that was tried.
    NoKeyFits,
    /// Only a part of a record was kept, and its text looks like nothing under any number that was tried: the keys are
    /// wrong, or it is no beginning of a message.
    Undecided,
    /// Opened; a tag proved the keys.
    ByTag,
    /// Opened; the text of a record that was not kept whole looks like a message.
    ByLook,
}

/// Handshake messages that came encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// NewSessionTicket.
    pub tickets: u32,
    pub key_updates: u32,
    pub finished: bool,
    pub certificate_request: bool,
    /// A Certificate came; `Some(true)`: without a certificate in it.
    pub certificate_empty: Option<bool>,
}

impl Messages {
    pub(super) fn add(&mut self, kind: TlsHandshakeType, body: &[u8]) {
        match kind {
            TlsHandshakeType::NewSessionTicket => self.tickets += 1,
            TlsHandshakeType::KeyUpdate => self.key_updates += 1,
            TlsHandshakeType::Finished => self.finished = true,
            TlsHandshakeType::CertificateRequest => self.certificate_request = true,
            // TLS 1.3 has a context in front of the list (RFC 8446 §4.4.2).
            TlsHandshakeType::Certificate => {
                let list = body.split_first().and_then(|(context, rest)| rest.get(usize::from(*context)..));
                self.certificate_empty = Some(list == Some(&[0; 3]));
            }
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, more: Self) {
        self.tickets += more.tickets;
        self.key_updates += more.key_updates;
        self.finished |= more.finished;
        self.certificate_request |= more.certificate_request;
        self.certificate_empty = self.certificate_empty.or(more.certificate_empty);
    }
}

/// The least and the most that a number can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub least: u64,
    pub most: u64,
}

impl Bounds {
    /// The number, if it is known.
    #[must_use]
    pub fn exact(self) -> Option<u64> {
        (self.least == self.most).then_some(self.least)
    }
}

/// Deciphered bytes. Wiped when dropped; `Debug` gives their number only.
#[derive(Default)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Room for so many bytes: a vector that grows leaves a copy behind.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(len)))
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }
}

impl From<Zeroizing<Vec<u8>>> for Plaintext {
    fn from(text: Zeroizing<Vec<u8>>) -> Self {
        Self(text)
    }
}

impl std::ops::Deref for Plaintext {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
