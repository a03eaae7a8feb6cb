//! The kernel object, and what is taken out of it by name: maps, and programs that are attached nowhere.

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::Map,
    programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _},
};

/// The compiled kernel programs.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Takes a map out of the object.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).ok_or_else(|| anyhow!("no map {name}"))
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
