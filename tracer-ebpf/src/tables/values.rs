//! Types of the values of maps that only the kernel programs read.

use tracer_common::{Tuple, limits};

/// Places that share a cache line of tags.
pub const WAYS: u32 = 8;
pub const BUCKETS: u32 = limits::CONNECTION_PLACES / WAYS;

/// Tags of the places of one bucket.
pub type Tags = [u64; WAYS as usize];

/// The edge's end of a connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PeerEnd {
    pub addr: [u8; 16],
    pub port: u32,
}

/// How a packet was answered, a moment ago on this CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    pub tuple: Tuple,
    /// 0: it served its packet.
    pub time_ns: u64,
    pub why: u32,
    pub icmp: u32,
    /// The numbers of a RST, or the first one of the packet that an ICMP error quotes.
    pub seq: u32,
    pub acknowledged: u32,
}

/// A number in memory that is written and read each time, and never kept in a register.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Cell(pub u64);

impl Cell {
    #[inline(always)]
    pub fn get(&self) -> u64 {
        // SAFETY: a reference to a live value.
        unsafe { core::ptr::read_volatile(&raw const self.0) }
    }

    #[inline(always)]
    pub fn set(&mut self, value: u64) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut self.0, value) }
    }
}

/// A walk through a header section: where it is, and what it has found. It lies in a map, and is read from there at each
/// step, because the kernel's verifier forgets what is stored there: it would otherwise follow every combination of
/// findings through every step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    pub at: Cell,
    /// How far it goes.
    pub to: Cell,
    /// Where the present line begins, and whether it has no colon yet (all ones); the status line needs none.
    pub line: Cell,
    pub nameless: Cell,
    /// 1: a line is no field; 2: the empty line was reached.
    pub over: Cell,
    /// Where the first line ends.
    pub status_end: Cell,
    /// How many Content-Length fields there are; where the value of the last one begins and ends.
    pub lengths: Cell,
    pub length: Cell,
    pub length_end: Cell,
    /// Where the last Transfer-Encoding field ends.
    pub coding_end: Cell,
}

/// Walks that can be under way on a CPU: one in a process, one in a softirq that interrupts it, and so on.
pub const WALKS: u32 = 4;

/// Bytes of a large header section that are searched in one go, with those before it.
pub const CHUNK: usize = 4096;

/// No word is read that would reach past the end.
pub const SCRATCH_LEN: usize = CHUNK + 8;
