//! One line of a key log: a label, the client random in 64 hexadecimal digits, and the secret in 64 or 96, with a space
//! between them. Wiped after use.

use tracer_common::{RANDOM_LEN, SECRET_LEN};
use zeroize::Zeroize as _;

use crate::tls::keys::Label;

/// Longest label of a secret that is of use here.
const LABEL: usize = "CLIENT_HANDSHAKE_TRAFFIC_SECRET".len();
/// Longest line with such a secret, CR included, bytes. A longer one is passed over.
const LONGEST: usize = LABEL + 1 + 2 * RANDOM_LEN + 1 + 2 * SECRET_LEN + 1;

/// A line as far as it came.
pub(super) struct Line {
    bytes: [u8; LONGEST],
    /// Bytes that came, those beyond `bytes` counted as one.
    len: usize,
}

/// The secret in a line.
pub(super) struct Logged {
    pub(super) label: Label,
    pub(super) client_random: [u8; RANDOM_LEN],
    secret: [u8; SECRET_LEN],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }
}

impl Line {
    /// Adds what came of it.
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text[..taken]);
        self.len = (self.len + text.len()).min(LONGEST + 1);
    }

    /// The secret in it. `None`: there is none, or it is of no use here.
    pub(super) fn secret(&self) -> Option<Logged> {
        let line = self.bytes.get(..self.len)?;
        let mut fields = line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b' ');
        let (Some(name), Some(random), Some(secret), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return None;
        };
        let label = Label::parse(name).filter(|label| *label != Label::EarlyTraffic && is_first(name))?;
        let mut logged =
            Logged { label, client_random: [0; RANDOM_LEN], secret: [0; SECRET_LEN], len: secret.len() / 2 };
        let is_whole = match logged.len {
            32 => label != Label::Master,
            SECRET_LEN => true,
            _ => false,
        };
        let (random_into, secret_into) = (&mut logged.client_random, logged.secret.get_mut(..logged.len)?);
        (is_whole && hex(random, random_into) && hex(secret, secret_into)).then_some(logged)
    }

    /// Wipes it.
    pub(super) fn clear(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Logged {
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret[..self.len]
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Whether the label is not that of a later generation of a secret, which follows from the first.
fn is_first(label: &[u8]) -> bool {
    !label.windows(8).any(|part| part == b"_SECRET_") || label.ends_with(b"_SECRET_0")
}

/// Fills the buffer with what the digits stand for. `false`: they are no such digits, or not as many.
fn hex(digits: &[u8], into: &mut [u8]) -> bool {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if digits.len() != 2 * into.len() {
        return false;
    }
    for (byte, [high, low]) in into.iter_mut().zip(digits.as_chunks().0) {
        let (Some(high), Some(low)) = (value(*high), value(*low)) else { return false };
        *byte = high << 4 | low;
    }
    true
}
