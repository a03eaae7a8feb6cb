//! The records that cross the ring buffer, each of which begins with a [`Header`].

use crate::{
    Attempt, Conn, Heads, LastSignal, Owner, Task, Tuple,
    limits::{COMM_LEN, REQUEST_LEN, SMALL_REQUEST_LEN, SMALL_RESPONSE_LEN},
};

shared! {
    /// First field of every record.
    #[derive(Default)]
    pub struct Header {
        /// One of [`kinds`](crate::kinds).
        pub kind: u32,
        /// Size of the whole record, in bytes.
        pub size: u32,
        /// When the record was made.
        pub time_ns: u64,
    }
    size: 16
}

shared! {
    /// A connection that may have failed.
    pub struct ConnRecord {
        pub header: Header,
        /// One of [`triggers`](crate::triggers).
        pub trigger: u32,
        /// The kernel's `enum sk_rst_reason`, or [`rst::UNKNOWN`](crate::rst::UNKNOWN).
        pub rst_reason: u32,
        /// The signal that explains what the closing process did.
        pub signal: LastSignal,
        pub conn: Conn,
        /// Valid up to `conn.request_have` and `conn.response_have` bytes.
        pub heads: Heads,
    }
    size: 96 + size_of::<Conn>() + size_of::<Heads>()
}

shared! {
    /// A [`ConnRecord`] with shorter heads, which suffice for most connections: it saves space in the ring buffer.
    pub struct SmallConnRecord {
        pub header: Header,
        pub trigger: u32,
        pub rst_reason: u32,
        pub signal: LastSignal,
        pub conn: Conn,
        pub request: [u8; SMALL_REQUEST_LEN],
        pub response: [u8; SMALL_RESPONSE_LEN],
    }
    size: 96 + size_of::<Conn>() + SMALL_REQUEST_LEN + SMALL_RESPONSE_LEN
}

shared! {
    /// An attempt to connect, or to send on an established connection, that this host's kernel dropped or refused.
    #[derive(Default)]
    pub struct AttemptRecord {
        pub header: Header,
        pub tuple: Tuple,
        pub attempt: Attempt,
        /// The process that listens on the port. All zero: unknown.
        pub listener: Owner,
        pub listener_pid: u32,
        pub pad: u32,
    }
    size: 56 + 72 + 24 + 8
}

shared! {
    /// An [`AttemptRecord`] with the connection that the packets belong to.
    pub struct AttemptConnRecord {
        pub attempt: AttemptRecord,
        pub conn: Conn,
        /// [`Heads::request`], valid up to `conn.request_have` bytes.
        pub request: [u8; REQUEST_LEN],
    }
    size: 160 + size_of::<Conn>() + REQUEST_LEN
}

shared! {
    /// A SYN from the edge that this host answered with RST.
    #[derive(Default)]
    pub struct RefusedRecord {
        pub header: Header,
        pub tuple: Tuple,
        /// As in [`ConnRecord::rst_reason`].
        pub rst_reason: u32,
        pub pad: u32,
    }
    size: 64
}

shared! {
    /// The end of a process that had read from edge connections, or that had served a process that has.
    #[derive(Default)]
    pub struct ProcessRecord {
        pub header: Header,
        /// Turns that the process had begun. Processes whose pids are equal modulo [`TURNS`](crate::limits::TURNS)
        /// share this count.
        pub turns: u32,
        /// 1: it had no edge connection, but served a process that has some. Else 0.
        pub behind: u32,
        pub task: Task,
        /// The signal that explains the end.
        pub signal: LastSignal,
    }
    size: 136
}

shared! {
    /// A process begins to listen on a port, or executes a program. Only made with sight inside TLS.
    #[derive(Default)]
    pub struct ListenRecord {
        pub header: Header,
        pub tgid: u32,
        /// 0: it executes a program.
        pub port: u32,
    }
    size: 24
}

shared! {
    /// An OOM kill of any process on the host.
    #[derive(Default)]
    pub struct OomRecord {
        pub header: Header,
        /// The process that was killed.
        pub tgid: u32,
        pub pad: u32,
        pub comm: [u8; COMM_LEN],
    }
    size: 40
}
