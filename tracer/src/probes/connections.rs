//! The table of open edge connections, as the kernel keeps it.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use tracer_common::{Conn, Place, limits};

use super::object::{load, run, take};

/// Reads the table; a program in the kernel goes through it.
pub(super) struct Connections(Array<MapData, Place>);

impl Connections {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        load(ebpf, "find_connection")?;
        Ok(Self(Array::try_from(take(ebpf, "PLACES")?)?))
    }

    /// Those that were opened, and last read from, by then, in nanoseconds of kernel time.
    pub(super) fn quiet_since(&self, ebpf: &mut Ebpf, then_ns: u64) -> Result<Vec<Conn>> {
        self.search(ebpf, then_ns, usize::MAX)
    }

    fn search(&self, ebpf: &mut Ebpf, then_ns: u64, most: usize) -> Result<Vec<Conn>> {
        let mut found = Vec::new();
        let mut from = 0;
        while from < limits::CONNECTION_PLACES && found.len() < most {
            let answer = run(ebpf, "find_connection", &[from.into(), then_ns])?;
            from = answer & !limits::GO_ON;
            if answer < limits::CONNECTION_PLACES {
                found.push(self.0.get(&from, 0).context("reading the table of connections")?.0);
                from += 1;
            }
        }
        Ok(found)
    }

    /// All of them; `None`: there are more than `most`.
    pub(super) fn at_most(&self, ebpf: &mut Ebpf, most: usize) -> Result<Option<Vec<Conn>>> {
        let found = self.search(ebpf, u64::MAX, most + 1)?;
        Ok((found.len() <= most).then_some(found))
    }

    /// All of them.
    pub(super) fn all(&self, ebpf: &mut Ebpf) -> Result<Vec<Conn>> {
        self.quiet_since(ebpf, u64::MAX)
    }
}
