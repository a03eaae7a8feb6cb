//! What tracer's kernel programs and its agent share: records, map values, limits.
//!
//! ABI rules: `repr(C)`, fixed-width integers and byte arrays only, padding spelt out, every size asserted. Times are
//! `CLOCK_MONOTONIC` nanoseconds; userspace converts them once. Ports are in host order, addresses in network order.

#![no_std]

mod addr;
pub mod cloudflare;
pub mod errno;
mod event;
pub mod limits;
pub mod tcp_state;
#[cfg(feature = "user")]
mod user;

pub use addr::{Tuple, is_v4_mapped, v4_mapped};
pub use event::{
    Attempt, AttemptConnRecord, AttemptRecord, Close, Conn, ConnRecord, EarlyData, Header, Heads, LastSignal,
    OomRecord, Place, ProcessRecord, RefusedRecord, SmallConnRecord, Task, attempt, conn_flags, hook, kinds, lost,
    origin_flags, pf, rst, sig_flags, taken, triggers,
};

/// Hooks whose programs have twins: slots of what is counted for each.
pub mod twins {
    pub const SET_STATE: u32 = 0;
    pub const READ: u32 = 1;
    pub const SEND_RESET: u32 = 2;
    pub const PROCESS_EXIT: u32 = 3;
    pub const HOOKS: u32 = 4;
}

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
    /// Packets of the edge that netfilter took, and connections that a full accept queue turned away.
    pub firewall_drops: u64,
    pub queue_overflows: u64,
}

const _: () = assert!(size_of::<PortCounts>() == 48);

/// Distributions that healthy exchanges feed, per local port and CPU: their sums, then the observations in each bucket and
/// those beyond the last bound.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distributions {
    pub first_byte_ns: u64,
    pub header_bytes: u64,
    /// Size of the last header section: the next one's, as often as not.
    pub last_header: u64,
    pub first_byte: [u64; limits::FIRST_BYTE_BOUNDS_NS.len() + 1],
    pub header: [u64; limits::HEADER_BOUNDS.len() + 1],
}

/// What userspace tells the kernel programs while they run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// After so many jiffies without an answer, or with its request unread, an edge that leaves has given up.
    pub read_jiffies: u32,
    pub write_jiffies: u32,
    /// The edge's limit for a response's header section, bytes.
    pub header_limit: u32,
    /// An edge that leaves when packets of its connection have been missing for so long has given up on them, milliseconds.
    pub missing_ms: u32,
}

const _: () = assert!(size_of::<Config>() == 16);

/// Key of a listening port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerKey {
    pub netns: u32,
    pub port: u32,
}

const _: () = assert!(size_of::<ListenerKey>() == 8);

/// The process behind a listening port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    pub process: Owner,
    pub pid: u32,
    pub pad: u32,
}

const _: () = assert!(size_of::<Listener>() == 32);

/// A process that has read from an edge connection.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub comm: [u8; limits::COMM_LEN],
    /// Start of the process, so that a reused pid is another process.
    pub start_ns: u64,
}

const _: () = assert!(size_of::<Owner>() == 24);
