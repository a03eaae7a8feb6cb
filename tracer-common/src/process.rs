//! Processes: what the kernel programs remember of them, and of the signals that they received.

use crate::limits::COMM_LEN;

shared! {
    /// The process of a task, at the moment the task closed a socket or ended.
    #[derive(Default)]
    pub struct Task {
        pub tgid: u32,
        /// `task->flags`: bits of [`pf`](crate::pf) and others.
        pub flags: u32,
        /// Encoded as in `wait(2)`: signal in the low 7 bits, 0x80 for a core dump, exit status in the next byte.
        pub exit_code: u32,
        /// 1: the OOM killer had chosen this process. Else 0.
        pub oom: u32,
        /// Start of the process, boot-time nanoseconds.
        pub start_ns: u64,
        /// Name of the thread-group leader.
        pub comm: [u8; COMM_LEN],
    }
    size: 40
}

shared! {
    /// The terminating signal that best explains the end of a process, and its sender. All zero: no signal was seen.
    #[derive(Default)]
    pub struct LastSignal {
        /// When it was sent.
        pub time_ns: u64,
        /// Start of the target process, boot-time nanoseconds: tells it from a later process with the same pid.
        pub target_start_ns: u64,
        pub signal: u32,
        /// `si_code` of the signal.
        pub code: i32,
        /// Bits of [`sig_flags`](crate::sig_flags).
        pub flags: u32,
        /// Process id of the sender.
        pub sender: u32,
        pub sender_comm: [u8; COMM_LEN],
        /// With [`ORDERED`](crate::sig_flags::ORDERED) and [`PASSED_ON`](crate::sig_flags::PASSED_ON): the process that
        /// had signalled the sender.
        pub orderer: u32,
        /// The signal that the orderer sent.
        pub order: u32,
        pub orderer_comm: [u8; COMM_LEN],
    }
    size: 72
}

shared! {
    /// A process that has read from an edge connection.
    #[derive(Default)]
    pub struct Owner {
        pub comm: [u8; COMM_LEN],
        /// Start of the process, boot-time nanoseconds: tells it from a later process with the same pid.
        pub start_ns: u64,
    }
    size: 24
}

shared! {
    /// Key of a listening port.
    #[derive(Default)]
    pub struct ListenerKey {
        /// Inode number of the network namespace.
        pub netns: u32,
        pub port: u32,
    }
    size: 8
}

shared! {
    /// The process that listens on a port.
    #[derive(Default)]
    pub struct Listener {
        pub process: Owner,
        pub pid: u32,
        pub pad: u32,
    }
    size: 32
}
