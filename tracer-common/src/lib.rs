//! What tracer's kernel programs and its agent share: records, map values, limits.
//!
//! ABI rules: `repr(C)`, fixed-width integers and byte arrays only, padding spelt out, every size asserted. Times are
//! `CLOCK_MONOTONIC` nanoseconds; userspace converts them once. Ports are in host order, addresses in network order.

#![no_std]

mod addr;
mod event;
pub mod limits;
#[cfg(feature = "user")]
mod user;

pub use addr::{Tuple, is_v4_mapped, v4_mapped};
pub use event::{
    Close, Conn, ConnRecord, EarlyData, Header, Heads, LastSignal, OomRecord, ProcessRecord, RefusedRecord, Task,
    conn_flags, kinds, lost, pf, rst, sig_flags, triggers,
};

/// Key of the edge-range trie: 128-bit IPv6 or IPv4-mapped address.
pub type RangeKey = [u8; 16];

/// What the kernel counts per local port; per CPU. The last slot counts all ports that have none of their own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    pub connections_ipv4: u64,
    pub connections_ipv6: u64,
    pub exchanges: u64,
    pub closed: u64,
}

const _: () = assert!(size_of::<PortCounts>() == 32);

/// A process that has read from an edge connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub comm: [u8; limits::COMM_LEN],
    /// Start of the process, so that a reused pid is another process.
    pub start_ns: u64,
}

const _: () = assert!(size_of::<Owner>() == 24);
