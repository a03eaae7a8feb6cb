//! The ways in which the process itself ends.
#![allow(unsafe_code, reason = "a real SIGSEGV takes a real bad write, which safe code cannot make")]

use anyhow::{Result, bail};
use rustix::process::{Signal, getpid, kill_process};

/// A worker outside a memory cgroup stops here rather than taking the host's memory.
const MOST_MIB: usize = 1024;

pub(super) fn exit<T>(code: u64) -> Result<T> {
    std::process::exit(i32::try_from(code)?)
}

pub(super) fn abort<T>() -> Result<T> {
    std::process::abort()
}

/// Writes to page zero.
pub(super) fn segv<T>() -> Result<T> {
    let page_zero = std::ptr::without_provenance_mut::<u8>(8);
    // SAFETY: not sound by design: page zero is never mapped (vm.mmap_min_addr), so that the write ends the process
    // with SIGSEGV before anything else can happen, and the volatile write is not removed. This is the fault to be
    // traced.
    unsafe { page_zero.write_volatile(1) };
    bail!("page zero is mapped on this host")
}

pub(super) fn self_kill<T>() -> Result<T> {
    kill_process(getpid(), Signal::KILL)?;
    bail!("survived SIGKILL")
}

/// Allocates and touches memory until the OOM killer ends it.
pub(super) fn eat_memory<T>() -> Result<T> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    while kept.len() < MOST_MIB {
        kept.push(vec![1; 1 << 20]);
    }
    bail!("nobody stopped this process at {} MiB: is it in a memory cgroup?", std::hint::black_box(&kept).len())
}
