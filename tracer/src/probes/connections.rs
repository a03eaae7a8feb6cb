//! The table of open edge connections, as the kernel keeps it.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _},
};
use tracer_common::{Conn, Place, limits};

use super::load::take;

/// Reads the table; a program in the kernel goes through it.
pub(super) struct Connections(Array<MapData, Place>);

impl Connections {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        load(ebpf, "find_connection")?;
        Ok(Self(Array::try_from(take(ebpf, "PLACES")?)?))
    }

    /// Those that were opened, and last read from, by then, in nanoseconds of kernel time.
    pub(super) fn quiet_since(&self, ebpf: &mut Ebpf, then_ns: u64) -> Result<Vec<Conn>> {
        let mut found = Vec::new();
        let mut from = 0;
        while from < limits::CONNECTION_PLACES {
            let answer = run(ebpf, "find_connection", &[from.into(), then_ns])?;
            from = answer & !limits::GO_ON;
            if answer < limits::CONNECTION_PLACES {
                found.push(self.0.get(&from, 0).context("reading the table of connections")?.0);
                from += 1;
            }
        }
        Ok(found)
    }

    /// All of them.
    pub(super) fn all(&self, ebpf: &mut Ebpf) -> Result<Vec<Conn>> {
        self.quiet_since(ebpf, u64::MAX)
    }
}

/// Loads a program that is attached nowhere.
pub(super) fn load(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    program(ebpf, name)?.load().with_context(|| format!("loading {name}"))
}

/// Runs such a program: what it answers.
pub(super) fn run(ebpf: &mut Ebpf, name: &str, arguments: &[u64]) -> Result<u32> {
    let mut options = RawTracePointRunOptions::new();
    for (slot, argument) in options.args.iter_mut().zip(arguments) {
        *slot = *argument;
    }
    Ok(program(ebpf, name)?.test_run(options).with_context(|| format!("running {name}"))?.return_value)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
