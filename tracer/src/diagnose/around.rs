//! What the host looked like when a request failed, beside the connection: plain values, read elsewhere.

use std::net::SocketAddr;

/// Descriptors: from this share of the limit on, in per cent, the process is about to run out of them.
const FEW_DESCRIPTORS: u64 = 95;

/// What was read at the moment of the failure. `None`: it was not looked at, or could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Where the edge had connected to, if this host's NAT led the connection elsewhere.
    pub published: Option<SocketAddr>,
    /// The accept queue that the connection waits in.
    pub queue: Option<Queue>,
    /// Connections of the same port that were accepted and read from.
    pub held: Option<Held>,
    /// Of the process.
    pub descriptors: Option<Descriptors>,
    /// Share of the last ten seconds in which some task waited for memory, in per cent: of the process's control group
    /// or of the host, whichever is more.
    pub memory_pressure: Option<u8>,
    /// A full file system that the process writes to.
    pub full_disk: Option<FullDisk>,
    /// The process, or, where none had read from the connection, one of those that should have.
    pub halted: Option<Halted>,
}

/// A process that does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halted {
    pub pid: u32,
    pub halt: Halt,
    /// Further ones of the same server that don't either.
    pub others: u32,
}

/// Why a process does not run, however much it has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// By a signal: SIGSTOP, or a terminal's.
    Stopped,
    /// By a debugger.
    Traced,
    /// With its control group.
    Frozen,
    /// It waits in the kernel, and no signal reaches it.
    Uninterruptible,
}

/// The accept queue of a port, over all of its listening sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// How many may wait.
    pub limit: Option<u32>,
    /// Sockets that listen, each with a queue of its own.
    pub sockets: u32,
}

/// Connections of a port that processes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub connections: u32,
    /// Processes that hold them.
    pub processes: u32,
    /// Those whose last request has no byte of an answer yet; known only where requests can be read.
    pub awaited: Option<u32>,
}

/// A file system that is full, and what a process has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullDisk {
    /// Where it is mounted, as the process sees it.
    pub mount: String,
    pub lack: Lack,
    pub by: Writes,
}

/// What a file system has run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// In bytes.
    Space { left: u64, total: u64 },
    /// There are so many, and all are in use.
    Inodes(u64),
}

/// By what a process writes to a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// It has a file open for writing there.
    File,
    /// Its working directory is there.
    Folder,
    /// A folder is there that it may keep temporary files in.
    Temporary(&'static str),
}

/// Open descriptors of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub open: u64,
    pub limit: u64,
}

impl Descriptors {
    /// Whether it is about to run out of them.
    pub(super) const fn are_few(self) -> bool {
        self.open.saturating_mul(100) >= self.limit.saturating_mul(FEW_DESCRIPTORS)
    }
}
