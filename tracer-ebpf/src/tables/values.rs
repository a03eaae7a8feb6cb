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

/// One end of an upstream connection: the address of a socket, and the key of the connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Followed {
    pub sock: u64,
    pub upstream: u64,
}

/// Ends of upstream connections that share a cache line.
pub const FOLLOWED_WAYS: usize = 4;
/// Number of such lines: both ends of each connection find room.
pub const FOLLOWED_BUCKETS: u32 = limits::UPSTREAMS;

/// The connections that a thread has read requests from last.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    pub tid: u32,
    /// Counts the entries written so far: the next one is `next % THREAD_EDGES`.
    pub next: u32,
    /// Key of the connection whose upstream connection it has read from, or closed, since. 0: none.
    pub current: u64,
    /// Number of the present turn: of the reads since an upstream connection was opened or used.
    pub turn: u32,
    /// 1: an upstream connection was opened or used since the last read.
    pub has_opened: u32,
    /// Key of the upstream connection that it has read from, or closed, since the last read. 0: none.
    pub upstream: u64,
    pub recent: [Recent; limits::THREAD_EDGES],
}

impl Thread {
    /// One that has read nothing.
    pub const EMPTY: Self = Self {
        tid: 0,
        next: 0,
        current: 0,
        turn: 0,
        has_opened: 0,
        upstream: 0,
        recent: [Recent::EMPTY; limits::THREAD_EDGES],
    };
}

/// A connection that a thread has read from, or accepted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Recent {
    /// Its key, with flags of `threads` in the low bits. 0: the entry is empty.
    pub front: u64,
    /// When it was read, jiffies.
    pub read: u32,
    /// The process's `write_seq` on it at that time.
    pub written: u32,
    /// The turn in which it was read.
    pub turn: u32,
    /// What the process had read from it when it accepted it: `copied_seq`.
    pub copied: u32,
}

impl Recent {
    pub const EMPTY: Self = Self { front: 0, read: 0, written: 0, turn: 0, copied: 0 };
}

/// An upstream connection that has failed, and the connection that it serves.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Failed {
    /// Key of the latter. 0: the entry is empty.
    pub front: u64,
    /// Key of the upstream connection.
    pub upstream: u64,
    /// When that was opened, or used for this exchange.
    pub began_ns: u64,
    /// How many answers are still handed over because of it.
    pub left: u64,
}

/// Number of these. A power of two.
pub const FAILED_SLOTS: u32 = 1_024;

/// Answers of one size (`tracer_common::sealed_answer`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Size {
    /// Its name. 0: the entry is empty.
    pub name: u32,
    /// How many were handed over.
    pub asked: u32,
    /// When the last one was, jiffies.
    pub last: u32,
}

/// Number of bytes of a large header section that are searched at a time, including the last ones of the part
/// before.
pub const CHUNK: usize = 4096;

/// Size of the buffer for these: a load of eight bytes that begins within them must not reach past its end.
pub const SCRATCH_LEN: usize = CHUNK + 8;

/// Number of desks on a CPU (see `desks`): for a program in a process, one in a softirq that interrupts it, and as many
/// again.
pub const DESKS: u32 = 4;
