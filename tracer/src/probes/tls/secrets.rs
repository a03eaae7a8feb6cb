//! The secrets of edge connections, as the kernel keeps them.

use std::{collections::BTreeSet, ops::Deref};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use tracer_common::{Conn, KeysOf, TlsKeys};
use zerocopy::IntoBytes as _;
use zeroize::Zeroize as _;

use crate::probes::object::take;

/// The kernel's table of secrets.
pub struct Secrets(HashMap<MapData, KeysOf, TlsKeys>);

/// A copy of one connection's secrets, at one place until it is dropped, and wiped then.
pub struct Announced(Box<TlsKeys>);

impl Announced {
    /// Takes them over, and wipes where they were.
    fn new(keys: &mut TlsKeys) -> Self {
        let announced = Self(Box::new(*keys));
        keys.as_mut_bytes().zeroize();
        announced
    }
}

impl Deref for Announced {
    type Target = TlsKeys;

    fn deref(&self) -> &TlsKeys {
        &self.0
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.as_mut_bytes().zeroize();
    }
}

impl Secrets {
    pub(in crate::probes) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(HashMap::try_from(take(ebpf, "KEYS")?)?))
    }

    /// Those of a connection. `None`: none were announced, or they are gone. The call leaves copies on the stack below
    /// it.
    #[must_use]
    pub fn of(&self, conn: &Conn) -> Option<Announced> {
        self.0.get(&name(conn), 0).ok().as_mut().map(Announced::new)
    }

    /// Removes those of connections that are not among these: their failure has been handled.
    pub(in crate::probes) fn keep_only(&mut self, open: &[Conn]) -> Result<()> {
        let open: BTreeSet<_> = open.iter().map(|conn| (conn.key, conn.opened_ns)).collect();
        let all: Vec<KeysOf> = self.0.keys().collect::<Result<_, _>>()?;
        for gone in all.iter().filter(|keys| !open.contains(&(keys.key, keys.opened_ns))) {
            self.remove(gone);
        }
        Ok(())
    }

    /// Removes those of a connection that is over.
    pub fn forget(&mut self, conn: &Conn) {
        self.remove(&name(conn));
    }

    fn remove(&mut self, name: &KeysOf) {
        // The kernel may have been first.
        let _absent = self.0.remove(name);
    }
}

fn name(conn: &Conn) -> KeysOf {
    KeysOf { key: conn.key, opened_ns: conn.opened_ns }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn secrets_that_are_taken_over_are_wiped_where_they_were() {
        let mut found = TlsKeys::new_zeroed();
        found.secrets[2] = [7; 48];
        let announced = Announced::new(&mut found);
        assert_eq!(announced.secrets[2], [7; 48]);
        assert!(found.as_bytes().iter().all(|byte| *byte == 0));
    }
}
