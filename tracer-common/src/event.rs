//! The records that cross the ring buffer, and the state of a connection, which one of them carries.

use crate::{
    addr::Tuple,
    limits::{COMM_LEN, HEAD_LEN, TAIL_LEN},
};

/// Values of [`Header::kind`].
pub mod kinds {
    pub const CONN: u32 = 1;
    pub const REFUSED: u32 = 2;
    pub const PROCESS: u32 = 3;
    pub const OOM: u32 = 4;
}

/// Values of [`ConnRecord::trigger`]: what made the record.
pub mod triggers {
    /// The origin sent FIN first.
    pub const FIN: u32 = 1;
    /// The origin sent RST.
    pub const RST: u32 = 2;
    /// Request bytes came after the origin's FIN.
    pub const LATE: u32 = 3;
}

/// Bits of [`Conn::flags`].
pub mod conn_flags {
    /// Was already open when the tracer started.
    pub const SEEDED: u32 = 1;
    /// The peer sent FIN.
    pub const PEER_FIN: u32 = 1 << 1;
    /// The origin sent FIN.
    pub const ORIGIN_FIN: u32 = 1 << 2;
    /// The origin is aborting: RST follows.
    pub const ABORTED: u32 = 1 << 3;
    /// A record of this connection's failure was made (or lost).
    pub const REPORTED: u32 = 1 << 4;
    /// The first inbound bytes were an HTTP/1 request line.
    pub const HTTP: u32 = 1 << 5;
    /// The first inbound bytes were a TLS record.
    pub const TLS: u32 = 1 << 6;
    /// The first inbound bytes were seen at all.
    pub const SNIFFED: u32 = 1 << 7;
    /// Inbound TLS application data was seen.
    pub const TLS_DATA: u32 = 1 << 8;
    /// The current request is GET or HEAD: no body follows.
    pub const BODYLESS: u32 = 1 << 9;
    /// There are [`super::Heads`] for it.
    pub const HEADS: u32 = 1 << 10;
}

/// Bits of [`LastSignal::flags`].
pub mod sig_flags {
    /// The sender is the target itself.
    pub const SELF: u32 = 1;
    /// The kernel raised it (a fault, a limit), not a process.
    pub const KERNEL: u32 = 1 << 1;
    /// The sender is the target's own master: its parent and the same program.
    pub const MASTER: u32 = 1 << 2;
    /// The sender had itself been told to stop or reload by somebody else shortly before.
    pub const ORDERED: u32 = 1 << 3;
    /// No signal to the process itself was seen: its master had been told to stop or reload, and may have passed that on
    /// by other means (a pipe, a channel).
    pub const PASSED_ON: u32 = 1 << 4;
}

/// `task->flags` bits that matter here; stable since long before 5.10.
pub mod pf {
    pub const EXITING: u32 = 0x4;
    pub const FORKNOEXEC: u32 = 0x40;
}

/// Values of [`ConnRecord::rst_reason`] beside the kernel's own.
pub mod rst {
    /// No RST, or a kernel that gives no reason.
    pub const UNKNOWN: u32 = u32::MAX;
}

/// Slots of the per-CPU counters of records that the kernel could not hand over.
pub mod lost {
    /// The ring buffer was full.
    pub const RING: u32 = 0;
    /// The table of connections was full.
    pub const CONNECTIONS: u32 = 1;
    /// The table of owners was full.
    pub const OWNERS: u32 = 2;
    pub const SLOTS: u32 = 3;
}

/// First field of every record.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub kind: u32,
    /// Size of the whole record, in bytes.
    pub size: u32,
    pub time_ns: u64,
}

const _: () = assert!(size_of::<Header>() == 16);

/// A task at the moment it closed a socket or ended: the thread-group leader's name, the task's flags and exit code.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    pub tgid: u32,
    pub flags: u32,
    /// As in `wait(2)`: low 7 bits signal, 0x80 core, next byte exit status.
    pub exit_code: u32,
    /// 1: the OOM killer had chosen this process.
    pub oom: u32,
    /// Start of the process: boot-time nanoseconds.
    pub start_ns: u64,
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Task>() == 40);

/// The terminating signal that best explains an end, and who sent it. All zero: none seen.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSignal {
    pub time_ns: u64,
    /// Start of the target process, so that a reused pid is another process.
    pub target_start_ns: u64,
    pub signal: u32,
    pub code: i32,
    pub flags: u32,
    pub sender: u32,
    pub sender_comm: [u8; COMM_LEN],
    /// With [`sig_flags::ORDERED`]: who had told the sender to stop, and with which signal.
    pub orderer: u32,
    pub order: u32,
    pub orderer_comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<LastSignal>() == 72);

/// The connection as it was when the origin closed it.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close {
    pub time_ns: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Bytes received that nobody read.
    pub unread: u32,
    /// Bytes written since the process last read request bytes.
    pub since_read: u32,
    /// Inbound bytes since the last outbound ones.
    pub turn_in: u32,
    /// Bytes written since the current request began; valid with [`conn_flags::HTTP`].
    pub response_bytes: u32,
    /// Jiffies since the last data came, and since the last data went out.
    pub received_jiffies_ago: u32,
    pub sent_jiffies_ago: u32,
    /// `sk->sk_err`.
    pub err: u32,
    pub old_state: u8,
    pub new_state: u8,
    /// 0: nobody ever accepted the connection.
    pub accepted: u8,
    pub pad: u8,
}

const _: () = assert!(size_of::<Close>() == 56);

/// What is known of one edge connection. Lives in the kernel, keyed by `struct sock *`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conn {
    pub tuple: Tuple,
    pub opened_ns: u64,
    pub flags: u32,
    /// Exchanges begun; on an opaque connection: inbound turns.
    pub exchanges: u32,
    /// `copied_seq` at the last read that made progress, and where the current inbound turn began.
    pub copied: u32,
    pub turn_copied: u32,
    /// `write_seq` at that read.
    pub written: u32,
    pub turns: u32,
    /// The process that last read from it; 0: nobody yet.
    pub owner: u32,
    /// First sequence number of the current request and response.
    pub request_seq: u32,
    pub response_seq: u32,
    /// Bytes of the current request and response seen on the wire.
    pub request_len: u32,
    pub response_len: u32,
    /// Contiguous bytes in [`Heads::request`] and [`Heads::response`].
    pub request_have: u32,
    pub response_have: u32,
    /// Bytes that came after the origin's FIN.
    pub late_len: u32,
    /// Bytes written between the last two inbound turns.
    pub turn_out: u32,
    /// Its local port's slot in the counters.
    pub port_slot: u32,
    /// Inode of the socket, for seeded connections: leads to the owner.
    pub inode: u64,
    pub owner_comm: [u8; COMM_LEN],
    /// Start of the owner, boot-time nanoseconds.
    pub owner_start_ns: u64,
    pub response_tail: [u8; TAIL_LEN],
    pub close: Close,
    pub closer: Task,
}

const _: () = assert!(size_of::<Conn>() == 248);

/// The first bytes of the current request and response of a connection that speaks HTTP/1 in the clear. A table of its
/// own: connections whose bytes are not looked at do without.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub request: [u8; HEAD_LEN],
    pub response: [u8; HEAD_LEN],
}

const _: () = assert!(size_of::<Heads>() == 2 * HEAD_LEN);

/// A connection that may have failed.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnRecord {
    pub header: Header,
    pub trigger: u32,
    /// The kernel's `enum sk_rst_reason`, or [`rst::UNKNOWN`].
    pub rst_reason: u32,
    pub signal: LastSignal,
    pub conn: Conn,
    /// Valid as far as `conn.request_have` and `conn.response_have` say.
    pub heads: Heads,
}

const _: () = assert!(size_of::<ConnRecord>() == 96 + size_of::<Conn>() + size_of::<Heads>());

/// A SYN from the edge that this host answered with RST.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedRecord {
    pub header: Header,
    pub tuple: Tuple,
    pub rst_reason: u32,
    pub pad: u32,
}

const _: () = assert!(size_of::<RefusedRecord>() == 64);

/// The end of a process that held edge connections.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessRecord {
    pub header: Header,
    /// When it last began to read a request (or another process in the same slot did).
    pub last_turn_ns: u64,
    pub task: Task,
    pub signal: LastSignal,
}

const _: () = assert!(size_of::<ProcessRecord>() == 136);

/// The first bytes of a connection that came with the packet that completed its handshake, before it had a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyData {
    pub peer_addr: [u8; 16],
    pub peer_port: u16,
    pub local_port: u16,
    pub seq: u32,
    pub len: u32,
    pub have: u32,
    pub head: [u8; HEAD_LEN],
}

const _: () = assert!(size_of::<EarlyData>() == 32 + HEAD_LEN);

/// An OOM kill, of any process on the host.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomRecord {
    pub header: Header,
    pub tgid: u32,
    pub pad: u32,
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<OomRecord>() == 40);
