//! The secrets of one TLS session, wherever they come from. Wiped when dropped, and never printed.

use tracer_common::{RANDOM_LEN, TlsKeys, secret};
use zerocopy::{FromZeros as _, IntoBytes as _};
use zeroize::Zeroize as _;

use super::keys::{Label, Side};

/// The secrets of one session, and what its hello messages said: at one place until they are wiped.
pub struct Session(Box<TlsKeys>);

impl Session {
    /// Takes over what the kernel kept, and wipes where it was.
    #[must_use]
    pub fn take(keys: &mut TlsKeys) -> Self {
        let session = Self(Box::new(*keys));
        keys.as_mut_bytes().zeroize();
        session
    }

    /// Nothing but the client random.
    pub(super) fn blank(client_random: [u8; RANDOM_LEN]) -> Self {
        Self(Box::new(TlsKeys { client_random, ..TlsKeys::new_zeroed() }))
    }

    /// What is held.
    pub(super) fn keys(&self) -> &TlsKeys {
        &self.0
    }

    /// The random number of its ClientHello. `None`: it was not kept.
    #[must_use]
    pub fn client_random(&self) -> Option<&[u8; RANDOM_LEN]> {
        (self.0.has_hellos != 0).then_some(&self.0.client_random)
    }

    /// Whether the secrets of both directions are there.
    #[must_use]
    pub fn opens_both(&self) -> bool {
        let lens = &self.0.lens;
        self.0.is_master != 0 && lens[secret::MASTER] != 0
            || lens[secret::CLIENT_TRAFFIC] != 0 && lens[secret::SERVER_TRAFFIC] != 0
    }

    /// Whether any secret is there.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.0.lens.iter().any(|len| *len != 0)
    }

    /// Takes a secret in, in place of one with the same label. Those that open nothing here are left out.
    pub(super) fn hold(&mut self, label: Label, secret: &[u8]) {
        let slot = match label {
            Label::EarlyTraffic | Label::AesKey => return,
            Label::HandshakeTraffic(Side::Edge) => secret::CLIENT_HANDSHAKE,
            Label::HandshakeTraffic(Side::Origin) => secret::SERVER_HANDSHAKE,
            Label::Traffic(Side::Edge) => secret::CLIENT_TRAFFIC,
            Label::Traffic(Side::Origin) => secret::SERVER_TRAFFIC,
            Label::Master => secret::MASTER,
        };
        let (held, Ok(len)) = (&mut self.0.secrets[slot], u8::try_from(secret.len())) else { return };
        let Some(into) = held.get_mut(..secret.len()) else { return };
        into.copy_from_slice(secret);
        self.0.lens[slot] = len;
        if slot == secret::MASTER {
            self.0.is_master = u8::from(label == Label::Master);
        }
    }

    /// The same secrets with what another one's hello messages said.
    pub(super) fn with_hellos_of(&self, other: &Self) -> Self {
        let TlsKeys { has_hellos, suite, client_random, server_random, .. } = *other.0;
        Self(Box::new(TlsKeys { has_hellos, suite, client_random, server_random, ..*self.0 }))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.as_mut_bytes().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_taken_over_are_wiped_where_they_were() {
        let mut found = TlsKeys::new_zeroed();
        found.secrets[2] = [7; 48];
        let session = Session::take(&mut found);
        assert_eq!(session.keys().secrets[2], [7; 48]);
        assert!(found.as_bytes().iter().all(|byte| *byte == 0));
    }
}
