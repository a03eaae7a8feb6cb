//! Hands descriptors that aya owns to tokio's reactor.

#![allow(unsafe_code, reason = "tokio wants a promise about the descriptor that only the caller can give")]

use std::{io, os::fd::AsRawFd};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

/// Polls a ring buffer.
pub(super) fn ring(ring: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: the ring buffer owns its map's descriptor, never changes it, and closes it only when dropped; the AsyncFd
    // owns the ring buffer.
    unsafe { register(ring) }
}

/// Polls the kernel programs' debug lines.
pub(super) fn log<T: log::Log>(log: EbpfLogger<T>) -> io::Result<AsyncFd<EbpfLogger<T>>> {
    // SAFETY: the logger owns the ring buffer that it polls, never changes its descriptor, and closes it only when
    // dropped; the AsyncFd owns the logger.
    unsafe { register(log) }
}

/// # Safety
/// `inner` gives the same, open descriptor for as long as it lives.
unsafe fn register<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: promised by the caller.
    unsafe { AsyncFd::register(inner) }.map_err(Into::into)
}
