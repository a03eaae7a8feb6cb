//! Types of the map values that only the kernel programs use; the others are in `tracer-common`.

use tracer_common::{Tuple, limits};

/// Number of places in a bucket, whose tags share a cache line.
pub const WAYS: u32 = 8;
/// Number of buckets.
pub const BUCKETS: u32 = limits::CONNECTION_PLACES / WAYS;

/// The tags of the places of one bucket (see `connections`).
pub type Tags = [u64; WAYS as usize];

/// The first half of the client random, which tells one TLS handshake from another.
pub type Random = [u8; 16];

/// The edge's end of a connection: address and port.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PeerEnd {
    pub addr: [u8; 16],
    pub port: u32,
}

/// How netfilter answered the last packet on this CPU: with a RST or an ICMP error.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    pub tuple: Tuple,
    /// When it was sent; 0 once it has been matched with its packet.
    pub time_ns: u64,
    pub cause: u32,
    pub icmp: u32,
    /// The sequence and acknowledgment number of the RST; for an ICMP error, `seq` of the packet that it quotes.
    pub seq: u32,
    pub acknowledged: u32,
}

/// The signal of a fault, and the thread that got it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fault {
    /// Address of its task, which another thread may have once this one has ended.
    pub thread: u64,
    /// Its id, which tells whether it is still this one.
    pub pid: u32,
    pub signal: u32,
}

/// Number of bytes of a large header section that are searched at a time, including the last ones of the part
/// before.
pub const CHUNK: usize = 4096;

/// Size of the buffer for these: a load of eight bytes that begins within them must not reach past its end.
pub const SCRATCH_LEN: usize = CHUNK + 8;

/// Number of desks on a CPU (see `desks`): for a program in a process, one in a softirq that interrupts it, and as many
/// again.
pub const DESKS: u32 = 4;
