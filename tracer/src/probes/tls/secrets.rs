//! The secrets of edge connections, as the kernel keeps them.

use std::collections::BTreeSet;

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use tracer_common::{Conn, KeysOf, TlsKeys};

use crate::{probes::object::take, tls::Session};

/// The kernel's table of secrets.
pub struct Secrets(HashMap<MapData, KeysOf, TlsKeys>);

impl Secrets {
    pub(in crate::probes) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(HashMap::try_from(take(ebpf, "KEYS")?)?))
    }

    /// Those of a connection. `None`: no entry was made for it, or it is gone. The call leaves copies on the stack
    /// below it.
    #[must_use]
    pub fn of(&self, conn: &Conn) -> Option<Session> {
        self.0.get(&name(conn), 0).ok().as_mut().map(Session::take)
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
