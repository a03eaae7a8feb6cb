//! The records that cross the ring buffer, and the state of a connection, which one of them carries.

use crate::{
    Owner,
    addr::Tuple,
    limits::{COMM_LEN, REQUEST_LEN, RESPONSE_LEN, SMALL_REQUEST_LEN, SMALL_RESPONSE_LEN, TAIL_LEN},
};

/// Values of [`Header::kind`].
pub mod kinds {
    pub const CONN: u32 = 1;
    pub const REFUSED: u32 = 2;
    pub const PROCESS: u32 = 3;
    pub const OOM: u32 = 4;
    /// A [`super::SmallConnRecord`].
    pub const SMALL_CONN: u32 = 5;
    pub const ATTEMPT: u32 = 6;
    /// A [`super::AttemptConnRecord`].
    pub const ATTEMPT_CONN: u32 = 7;
}

/// Values of [`ConnRecord::trigger`]: what made the record.
pub mod triggers {
    /// The origin sent FIN first.
    pub const FIN: u32 = 1;
    /// The origin sent RST.
    pub const RST: u32 = 2;
    /// Request bytes came after the origin's FIN.
    pub const LATE: u32 = 3;
    /// The edge sent FIN first, with something owed to it or something wrong with what it got.
    pub const EDGE_FIN: u32 = 4;
    /// The edge sent RST, likewise.
    pub const EDGE_RST: u32 = 5;
    /// One of the edge's timeouts has passed, and the edge has not closed (or can't).
    pub const OVERDUE: u32 = 6;
    /// The socket vanished with neither FIN nor RST (`TCP_REPAIR`).
    pub const SILENT: u32 = 7;
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
    /// The request before was HEAD.
    pub const WAS_HEAD: u32 = 1 << 10;
    /// Another request came before the response to the one before was whole: several are told apart in userspace only.
    pub const PIPELINED: u32 = 1 << 11;
    /// An interim response (1xx) came before the current response, which begins after it.
    pub const INTERIM: u32 = 1 << 12;
    /// The origin spoke before the edge did: what it said stands as the first response.
    pub const SPOKE_FIRST: u32 = 1 << 13;
    /// The current request is HEAD.
    pub const HEAD: u32 = 1 << 14;
    /// The edge's FIN or RST has come, and is being looked at.
    pub const LEAVING: u32 = 1 << 15;
    /// Another protocol (WebSocket) has taken over, after a 101: no request follows.
    pub const UPGRADED: u32 = 1 << 16;
}

/// Bits of [`Conn::origin_flags`].
pub mod origin_flags {
    /// The response's first bytes are not those of an HTTP/1 status line.
    pub const NOT_HTTP: u32 = 1;
    /// The end of the response's header section has not been seen yet.
    pub const IN_HEAD: u32 = 1 << 1;
    /// The current inbound turn of an opaque connection is counted as an exchange.
    pub const COUNTED: u32 = 1 << 2;
    /// The chunks of the response's body, if it has any, are followed: [`Conn::chunk_at`].
    ///
    /// [`Conn::chunk_at`]: super::Conn::chunk_at
    pub const IN_CHUNKS: u32 = 1 << 3;
    /// The last one was seen: what follows are trailers.
    pub const LAST_CHUNK: u32 = 1 << 4;
    /// Something else stood where one had to begin.
    pub const NO_CHUNK: u32 = 1 << 5;
    /// All of these: none is set where the chunks could not be followed.
    pub const CHUNKS: u32 = IN_CHUNKS | LAST_CHUNK | NO_CHUNK;
    /// The origin sent FIN behind bytes that were still to go out: its response is judged once they have.
    pub const PENDING: u32 = 1 << 6;
}

/// Values of [`Attempt::what`]: which packets of the edge went missing.
pub mod attempt {
    /// Its SYN.
    pub const SYN: u32 = 1;
    /// The origin's SYN-ACK.
    pub const SYN_ACK: u32 = 2;
    /// Packets of an established connection.
    pub const DATA: u32 = 3;
}

/// Values of [`Attempt::why`]: what took them.
pub mod taken {
    /// netfilter dropped them.
    pub const DROPPED: u32 = 1;
    /// netfilter answered with RST.
    pub const RESET: u32 = 2;
    /// netfilter answered with ICMP: [`super::Attempt::icmp`].
    pub const ICMP: u32 = 3;
    /// The listener's accept queue was full.
    pub const QUEUE: u32 = 4;
    /// The listener's accept queue was full, and the host answered with RST (`tcp_abort_on_overflow`).
    pub const QUEUE_RESET: u32 = 5;
}

/// Values of [`Attempt::hook`]: where netfilter took them.
pub mod hook {
    pub const UNKNOWN: u32 = 0;
    /// Before routing: prerouting, or a device's ingress.
    pub const BEFORE_ROUTING: u32 = 1;
    pub const INPUT: u32 = 2;
    pub const OUTPUT: u32 = 3;
    /// On its way through this host, as a container's packets are.
    pub const FORWARD: u32 = 4;
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
    /// The table of first bytes was full.
    pub const HEADS: u32 = 3;
    pub const SLOTS: u32 = 4;
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

/// The connection as it was when the origin closed it, or when it was last looked at.
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
    /// Turns that the closing process had begun, on all its connections.
    pub closer_turns: u32,
    /// Bytes sent that the edge has not acknowledged.
    pub unacked: u32,
    /// The receive window last offered to the edge, in bytes.
    pub window: u32,
    pub old_state: u8,
    pub new_state: u8,
    /// 0: nobody ever accepted the connection.
    pub accepted: u8,
    pub pad: [u8; 5],
}

const _: () = assert!(size_of::<Close>() == 72);

/// What is known of one edge connection. Lives in the kernel, keyed by `struct sock *`.
///
/// The first 64 bytes are what packets from the edge change, the next 64 what the process's reads and packets to the edge
/// change: the one CPU hardly ever waits for a cache line that the other has written, and the other does once per exchange.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conn {
    /// Bits of [`conn_flags`].
    pub flags: u32,
    /// Exchanges begun; on an opaque connection: inbound turns.
    pub exchanges: u32,
    /// Requests that called for a response; see [`Conn::is_awaited`].
    pub asked: u32,
    /// First sequence number of the current request.
    pub request_seq: u32,
    /// Bytes of it seen on the wire.
    pub request_len: u32,
    /// Contiguous bytes in [`Heads::request`].
    pub request_have: u32,
    /// `write_seq` when the current request began: what is written later may be its response.
    pub request_written: u32,
    /// Its local port's slot in the counters.
    pub port_slot: u32,
    /// Key of its [`Heads`]; 0: it has none.
    pub heads: u64,
    /// Its own key in the table.
    pub key: u64,
    /// Port and, of IPv4, address of the edge: tells it from another that has the memory of its socket later.
    pub peer: u64,
    pub opened_ns: u64,
    /// When the last packet had come as the process last read, `CLOCK_MONOTONIC` nanoseconds.
    pub read_ns: u64,
    /// Bits of [`origin_flags`].
    pub origin_flags: u32,
    /// `copied_seq` at the last read that made progress.
    pub copied: u32,
    /// `write_seq` at that read.
    pub written: u32,
    pub turns: u32,
    /// Where the current inbound turn began.
    pub turn_copied: u32,
    /// Bytes written between the last two inbound turns.
    pub turn_out: u32,
    /// The process that last read from it; 0: nobody yet.
    pub owner: u32,
    /// [`Conn::asked`] when the last response began.
    pub answered: u32,
    /// First sequence number of the response that is being sent.
    pub response_seq: u32,
    /// Bytes of it seen on the wire.
    pub response_len: u32,
    /// Contiguous bytes in [`Heads::response`].
    pub response_have: u32,
    /// Bytes of the response searched for the end of its header section; with that end found: the section's size.
    pub head_len: u32,
    /// Last bytes of a response that is not kept whole.
    pub response_tail: [u8; TAIL_LEN],
    pub tuple: Tuple,
    /// Bytes that came after the origin's FIN.
    pub late_len: u32,
    /// Where in the response its next chunk begins; with [`origin_flags::IN_CHUNKS`].
    pub chunk_at: u32,
    /// Inode of the socket, for seeded connections: leads to the owner.
    pub inode: u64,
    /// Start of the owner, boot-time nanoseconds.
    pub owner_start_ns: u64,
    pub owner_comm: [u8; COMM_LEN],
    pub close: Close,
    pub closer: Task,
}

const _: () = assert!(size_of::<Conn>() == 320);
const _: () = assert!(core::mem::offset_of!(Conn, read_ns) == 64);
const _: () = assert!(core::mem::offset_of!(Conn, tuple) == 128);

impl Conn {
    /// Whether the current request has no response byte yet: the heads and lengths of a response are those of the one before.
    #[inline(always)]
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.asked != self.answered
    }

    /// Where the answer to a request that is awaited can begin: behind what was written before the request came, and, where
    /// no body is read while the answer is written, before it was read.
    #[inline(always)]
    #[must_use]
    pub const fn answer_from(&self) -> u32 {
        let is_read = self.copied.wrapping_sub(self.request_seq).wrapping_sub(1) < 1 << 31;
        let is_ahead = self.written.wrapping_sub(self.request_written) < 1 << 31;
        let bodyless = self.flags & conn_flags::BODYLESS != 0;
        if bodyless && is_read && is_ahead { self.written } else { self.request_written }
    }
}

/// A place for one in the table: on cache lines of its own.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Conn);

const _: () = assert!(size_of::<Place>() == 320);

/// The first bytes of the current request and response of a connection that speaks HTTP/1 in the clear, or of both sides'
/// TLS handshake. A table of its own: connections whose bytes are not looked at do without. An entry serves one connection
/// after the other, and is never wiped: only what the connection's lengths cover is its own. With the kernel's own part (56
/// bytes, and 8 of its allocator) it just fits into 4 KiB.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Key of the connection that it serves; 0: none.
    pub owner: u64,
    pub request: [u8; REQUEST_LEN],
    pub response: [u8; RESPONSE_LEN],
}

const _: () = assert!(size_of::<Heads>() == 4096 - 64);

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

/// A [`ConnRecord`] whose heads are short, as most are: spares the ring buffer.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallConnRecord {
    pub header: Header,
    pub trigger: u32,
    pub rst_reason: u32,
    pub signal: LastSignal,
    pub conn: Conn,
    pub request: [u8; SMALL_REQUEST_LEN],
    pub response: [u8; SMALL_RESPONSE_LEN],
}

const _: () = assert!(size_of::<SmallConnRecord>() == 96 + size_of::<Conn>() + SMALL_REQUEST_LEN + SMALL_RESPONSE_LEN);

/// An attempt to connect, or a request on an established connection, that this host's kernel let vanish or refused.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptRecord {
    pub header: Header,
    pub tuple: Tuple,
    pub attempt: Attempt,
    /// The process that listens, where it is known.
    pub listener: Owner,
    pub listener_pid: u32,
    pub pad: u32,
}

const _: () = assert!(size_of::<AttemptRecord>() == 56 + 72 + 24 + 8);

/// The same where the connection is known that the packets belong to.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptConnRecord {
    pub attempt: AttemptRecord,
    pub conn: Conn,
    /// As in [`Heads`].
    pub request: [u8; REQUEST_LEN],
}

const _: () = assert!(size_of::<AttemptConnRecord>() == 160 + size_of::<Conn>() + REQUEST_LEN);

/// What is known of such an attempt. Lives in the kernel, keyed by the connection's addresses.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    pub first_ns: u64,
    pub last_ns: u64,
    /// Key of the connection that the packets belong to; 0: not known.
    pub conn: u64,
    /// Packets taken, retransmissions included.
    pub packets: u32,
    /// One of [`attempt`].
    pub what: u32,
    /// One of [`taken`].
    pub why: u32,
    /// One of [`hook`].
    pub hook: u32,
    /// With [`taken::ICMP`]: type in the low byte, code in the next; 1 << 16: ICMPv6.
    pub icmp: u32,
    /// 1: over, without harm; 2: told.
    pub done: u32,
    /// With [`taken::QUEUE`]: length of the accept queue, and its limit.
    pub queue: u32,
    pub queue_limit: u32,
    /// Payload of the first packet.
    pub payload: u32,
    /// Sequence number after that payload; of a SYN the edge's initial one, of a SYN-ACK the one that it answers.
    pub seq: u32,
    /// 1: packets to the edge, not from it.
    pub outward: u32,
    pub pad: u32,
}

const _: () = assert!(size_of::<Attempt>() == 72);

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
    /// Turns that it had begun (and other processes in the same slot).
    pub turns: u32,
    pub pad: u32,
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
    pub head: [u8; REQUEST_LEN],
}

const _: () = assert!(size_of::<EarlyData>() == 32 + REQUEST_LEN);

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

#[cfg(test)]
mod tests {
    use super::{Conn, conn_flags};

    #[test]
    fn an_answer_is_written_after_its_request_was_read() {
        for base in [1000, u32::MAX - 5, 1 << 31] {
            let at = |ahead: u32| base.wrapping_add(ahead);
            let read = |flags, copied, written| Conn {
                flags,
                copied: at(copied),
                request_seq: at(500),
                request_written: at(10),
                written: at(written),
                ..Conn::default()
            };
            assert_eq!(read(conn_flags::BODYLESS, 600, 30).answer_from(), at(30));
            // Not read yet; read last before it came; and a body may be read while the answer is written.
            assert_eq!(read(conn_flags::BODYLESS, 500, 30).answer_from(), at(10));
            assert_eq!(read(conn_flags::BODYLESS, 600, 5).answer_from(), at(10));
            assert_eq!(read(0, 600, 30).answer_from(), at(10));
        }
    }
}
