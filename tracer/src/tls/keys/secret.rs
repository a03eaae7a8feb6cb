//! Secrets as the TLS library announced them. Wiped when dropped, and never printed.

use std::fmt;

use zeroize::Zeroize as _;

use super::suite::Suite;

/// Secrets of one connection that are held; further ones are refused.
const MAX_HELD: usize = 12;

/// Which side of a connection wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client.
    Edge,
    /// The server.
    Origin,
}

/// What a secret is for, by its label in the NSS key log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// `CLIENT_EARLY_TRAFFIC_SECRET`: the edge sent early data, which is not opened.
    EarlyTraffic,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET` or `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    HandshakeTraffic(Side),
    /// `CLIENT_TRAFFIC_SECRET_0` or `SERVER_TRAFFIC_SECRET_0`; after a KeyUpdate with a later number, or with `N`.
    Traffic(Side),
    /// `CLIENT_RANDOM`: the master secret of TLS 1.2.
    Master,
    /// No secret, but an AES key that was made of one, of whichever side; no key log has it.
    AesKey,
}

/// A secret of 32 or 48 bytes, or a key of 16 or 32.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret {
    bytes: [u8; 48],
    len: usize,
}

/// What is known of one connection's keys.
#[derive(Clone, Default)]
pub struct Secrets {
    pub(super) suite: Option<Suite>,
    held: Vec<(Label, Secret)>,
    /// The client's, then the server's.
    pub(super) randoms: Option<[[u8; 32]; 2]>,
}

impl Label {
    /// By its name; `None`: it is for something that is not opened here.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"CLIENT_EARLY_TRAFFIC_SECRET" => Self::EarlyTraffic,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Self::HandshakeTraffic(Side::Edge),
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Self::HandshakeTraffic(Side::Origin),
            b"CLIENT_RANDOM" => Self::Master,
            _ if is_numbered(name, b"CLIENT_TRAFFIC_SECRET_") => Self::Traffic(Side::Edge),
            _ if is_numbered(name, b"SERVER_TRAFFIC_SECRET_") => Self::Traffic(Side::Origin),
            _ => return None,
        })
    }
}

fn is_numbered(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|number| number == b"N" || !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

impl Secret {
    /// `None`: of a length that no hash in use has.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        if !matches!(bytes.len(), 16 | 32 | 48) {
            return None;
        }
        let mut secret = Self { bytes: [0; 48], len: bytes.len() };
        secret.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(secret)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Secrets {
    /// `suite`: the one in the ServerHello. Without it, every suite that fits a secret's length is tried.
    #[must_use]
    pub fn new(suite: Option<Suite>) -> Self {
        // At once as large as it gets: a vector that grows leaves a copy behind.
        Self { suite, held: Vec::with_capacity(MAX_HELD), randoms: None }
    }

    /// Takes a secret in. `false`: it is of a wrong length, or there are too many.
    pub fn hold(&mut self, label: Label, secret: &[u8]) -> bool {
        let fits = match label {
            Label::Master => secret.len() == 48,
            Label::AesKey => secret.len() <= 32,
            _ => secret.len() >= 32,
        };
        match Secret::new(secret) {
            Some(secret) if fits && self.held.len() < MAX_HELD => self.held.push((label, secret)),
            _ => return false,
        }
        true
    }

    /// The randoms of both hellos: TLS 1.2 needs them.
    pub const fn randoms(&mut self, client: [u8; 32], server: [u8; 32]) {
        self.randoms = Some([client, server]);
    }

    /// Secrets with this label, the oldest first.
    pub(super) fn of(&self, label: Label) -> impl DoubleEndedIterator<Item = &Secret> {
        self.held.iter().filter(move |(held, _)| *held == label).map(|(_, secret)| secret)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.held.iter().map(|(label, _)| label).collect();
        f.debug_struct("Secrets").field("suite", &self.suite).field("held", &labels).finish_non_exhaustive()
    }
}
