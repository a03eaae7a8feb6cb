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
pub struct Secrets {
    table: HashMap<MapData, KeysOf, TlsKeys>,
    /// Connections that were over when they were looked for last.
    over: BTreeSet<(u64, u64)>,
}

impl Secrets {
    pub(in crate::probes) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self { table: HashMap::try_from(take(ebpf, "KEYS")?)?, over: BTreeSet::new() })
    }

    /// Those of a connection. `None`: no entry was made for it, or it is gone. The call leaves copies on the stack
    /// below it.
    #[must_use]
    pub fn of(&self, conn: &Conn) -> Option<Session> {
        self.table.get(&name(conn), 0).ok().as_mut().map(Session::take)
    }

    /// Removes those of connections that are over, and were so at the last call: the record of a failure may yet have
    /// to be read. `open` gives the connections that are open; it is asked after the table was read, so that one that
    /// opens meanwhile does not count as over.
    pub(in crate::probes) fn forget_over(&mut self, open: impl FnOnce() -> Result<Vec<Conn>>) -> Result<()> {
        let mut over: BTreeSet<_> =
            self.table.keys().map(|keys| keys.map(|keys| (keys.key, keys.opened_ns))).collect::<Result<_, _>>()?;
        // Most of the time no connection has secrets, or all that have are open.
        if !over.is_empty() {
            for conn in open()? {
                over.remove(&(conn.key, conn.opened_ns));
            }
        }
        let before = std::mem::take(&mut self.over);
        for &(key, opened_ns) in over.intersection(&before) {
            self.remove(&KeysOf { key, opened_ns });
        }
        self.over = over;
        Ok(())
    }

    fn remove(&mut self, name: &KeysOf) {
        // The kernel may have been first.
        let _absent = self.table.remove(name);
    }
}

pub(super) fn name(conn: &Conn) -> KeysOf {
    KeysOf { key: conn.key, opened_ns: conn.opened_ns }
}
