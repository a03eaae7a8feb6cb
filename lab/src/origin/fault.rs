//! The ways in which the process itself ends.
#![allow(unsafe_code, reason = "a real SIGSEGV takes a real bad access, which safe code cannot make")]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use anyhow::{Result, bail, ensure};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::process::{Signal, getpid, kill_process};

unsafe extern "C" {
    /// Sets a handler. The C libraries of Linux block the signal while it runs.
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn _exit(status: c_int) -> !;
}

/// A worker outside a memory cgroup stops here rather than taking the host's memory.
const MOST_MIB: usize = 1024;

/// The page that [`segv_survived`] reads from, and its length.
static GUARDED: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
const PAGE: usize = 4096;

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

/// Writes to page zero, with a handler that leaves as after a backtrace.
pub(super) fn segv_exits<T>() -> Result<T> {
    extern "C" fn leave(_signal: c_int) {
        // SAFETY: `_exit` may be called from a signal handler, and has no other preconditions.
        unsafe { _exit(1) }
    }
    handle_segv(leave)?;
    segv()
}

/// Reads from a page that its handler of SIGSEGV first makes readable, as a runtime does with its guard pages.
pub(super) fn segv_survived() -> Result<()> {
    extern "C" fn survive(_signal: c_int) {
        // SAFETY: a page of the process's own, to which nothing refers; the system call may be made in a handler. If it
        // fails, the read faults again without end, and the test runs out of time.
        let _retried = unsafe { mprotect(GUARDED.load(Relaxed), PAGE, MprotectFlags::READ) };
    }
    // SAFETY: a new mapping, where the kernel has room for one.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, ProtFlags::empty(), MapFlags::PRIVATE)? };
    GUARDED.store(page, Relaxed);
    handle_segv(survive)?;
    // SAFETY: the page is mapped, and readable once the handler has run. This is the fault to be survived.
    let read = unsafe { page.cast::<u8>().read_volatile() };
    ensure!(read == 0, "a new page holds {read}");
    Ok(())
}

fn handle_segv(handler: extern "C" fn(c_int)) -> Result<()> {
    // SAFETY: both handlers do only what may be done in one.
    let before = unsafe { signal(Signal::SEGV.as_raw(), handler) };
    ensure!(before != usize::MAX, "no handler of SIGSEGV can be set");
    Ok(())
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
