//! A process, how it ended, and the signal that explains that.

use std::time::Duration;

use super::spelled::spelled;

/// A process, as far as it could be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    pub pid: u32,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    /// In the innermost pid namespace, where that is not the host's.
    pub ns_pid: Option<u32>,
}

spelled! {
    /// Which memory ran out.
    OomScope {
        /// A control group's limit.
        Memcg = "memcg",
        /// The host's memory.
        Global = "global",
    }
}

/// How the process that closed the connection was ending at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was not.
    Running,
    /// By `exit`, with this status, moments after it had closed the connection itself.
    ExitedAfter(u8),
    /// By `exit`, with this status.
    Exited(u8),
    /// By this signal.
    Signaled(u8),
}

/// A terminating signal and its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub number: u8,
    pub sender: Sender,
    /// Time from the signal to the end of the connection.
    pub before: Duration,
}

/// Who sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The process itself.
    Own,
    /// The kernel: a fault or a limit.
    Kernel,
    /// Its own master, of its own accord.
    Master { pid: u32, name: String },
    /// Its own master, which had been told to stop or reload by somebody else.
    OrderedMaster { pid: u32, name: String, by: String, with: u8 },
    /// Nobody signalled the process itself, but its master had been told to stop or reload by this signal.
    MasterTold { pid: u32, name: String, by: String },
    /// Any other process.
    Other { pid: u32, name: String },
}
