//! The keys that the records of one direction may be protected by, and which follows which.

use super::nonces::Sureness;
use super::protection::{Protection, Text};
use super::schedule::updated;
use super::secret::{Label, Secret, Secrets, Side};
use super::suite::Suite;
use crate::tls::record::Record;

/// Secrets that are derived where none of those announced fits.
const DERIVED: usize = 3;

/// Keys that a record may be protected by.
pub(super) struct Key {
    pub(super) protection: Protection,
    /// TLS 1.3: what they come from.
    secret: Option<Secret>,
    /// Of the handshake of TLS 1.3.
    pub(super) is_handshake: bool,
}

/// All keys of one direction.
pub(super) struct Chain(Vec<Key>);

impl Chain {
    pub(super) fn new(side: Side, secrets: &Secrets) -> Self {
        let tls13 = is_tls13(secrets);
        let suites = secrets.suite.as_slice();
        let suites = if suites.is_empty() { Suite::all(tls13) } else { suites };
        let mut keys = Vec::new();
        for suite in suites.iter().filter(|_| tls13) {
            for (label, is_handshake) in [(Label::Traffic(side), false), (Label::HandshakeTraffic(side), true)] {
                // The newest first.
                keys.extend(secrets.of(label).rev().filter_map(|secret| Key::new(*suite, secret, is_handshake)));
            }
        }
        for (master, randoms) in secrets.of(Label::Master).zip(secrets.randoms.iter().cycle()).filter(|_| !tls13) {
            let protections = suites.iter().flat_map(|suite| Protection::of_master(*suite, master, randoms, side));
            keys.extend(protections.map(|protection| Key { protection, secret: None, is_handshake: false }));
        }
        for key in secrets.of(Label::AesKey) {
            let protections =
                suites.iter().filter(|suite| suite.tls13 == tls13).filter_map(|suite| Protection::of_key(*suite, key));
            keys.extend(protections.map(|protection| Key { protection, secret: None, is_handshake: false }));
        }
        Self(keys)
    }

    /// A whole record that was given this number shows its nonce, where that is not known.
    pub(super) fn learn(&mut self, key: usize, number: u64, record: &Record<'_>, sureness: Sureness) {
        let protection = &mut self.0[key].protection;
        if protection.lacks_iv()
            && let Some((_, nonce)) = protection.reveal(record, number..number.saturating_add(1))
        {
            protection.learn(number, &nonce, sureness);
        }
    }

    /// A record of which the first bytes were kept, and which was given this number, shows its nonce by what its text
    /// usually begins with: the key, and the text.
    pub(super) fn guess(&mut self, record: &Record<'_>, side: Side, number: u64) -> Option<(usize, Text)> {
        let keys = self.0.iter().enumerate().filter(|(_, key)| key.protection.is_bare);
        let (key, nonce) = keys.filter_map(|(at, key)| Some((at, key.protection.guess(record, side)?))).next()?;
        let protection = &mut self.0[key].protection;
        protection.learn(number, &nonce, Sureness::Unsure);
        protection.read_under(&nonce, record).map(|text| (key, text))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: usize) -> &Key {
        &self.0[key]
    }

    pub(super) fn protections(&self) -> Vec<&Protection> {
        self.0.iter().map(|key| &key.protection).collect()
    }

    /// Adds the keys that KeyUpdates put in place of the newest ones known.
    pub(super) fn derive(&mut self) {
        let mut newest: Vec<usize> = Vec::new();
        for (number, key) in self.0.iter().enumerate().filter(|(_, key)| !key.is_handshake) {
            if newest.iter().all(|newest| self.0[*newest].protection.suite != key.protection.suite) {
                newest.push(number);
            }
        }
        for mut key in newest {
            for _ in 0..DERIVED {
                let Some(next) = self.after_update(key) else { break };
                key = next;
            }
        }
    }

    /// The keys after a KeyUpdate: announced, or derived.
    pub(super) fn after_update(&mut self, key: usize) -> Option<usize> {
        let Key { protection, secret, is_handshake: false } = &self.0[key] else { return None };
        let suite = protection.suite;
        let next = updated(suite.hash, secret.as_ref()?)?;
        let known = self.0.iter().position(|key| key.secret.as_ref() == Some(&next) && key.protection.suite == suite);
        if known.is_some() {
            return known;
        }
        self.0.push(Key::new(suite, &next, false)?);
        Some(self.0.len() - 1)
    }

    /// The keys after the handshake's: the oldest of the same suite.
    pub(super) fn after_handshake(&self, key: usize) -> Option<usize> {
        let suite = self.0[key].protection.suite;
        self.0.iter().rposition(|key| !key.is_handshake && key.protection.suite == suite)
    }
}

impl Key {
    fn new(suite: Suite, secret: &Secret, is_handshake: bool) -> Option<Self> {
        let protection = Protection::of_traffic(suite, secret)?;
        Some(Self { protection, secret: Some(secret.clone()), is_handshake })
    }
}

/// Which version the secrets are of.
pub(super) fn is_tls13(secrets: &Secrets) -> bool {
    secrets.suite.map_or_else(|| secrets.of(Label::Master).next().is_none(), |suite| suite.tls13)
}
