//! One edge connection: its state in the kernel, which a record carries to userspace.
//!
//! The *edge* is the Cloudflare peer, the *origin* is this host. An *exchange* is a request and its response. A *head*
//! is the first bytes of either. A *turn* is what a process reads without writing in between: where the bytes can't be
//! read as HTTP (an *opaque* connection), a turn stands for a request.

use crate::{
    Task, Tuple, conn_flags,
    limits::{COMM_LEN, MAX_TLS_ALERT, REQUEST_LEN, RESPONSE_LEN, TAIL_LEN, TICKETS_LEN},
    secret,
};

shared! {
    /// Snapshot of the socket when the origin closed it, or when it was last inspected.
    #[derive(Default)]
    pub struct Close {
        /// When it was taken.
        pub time_ns: u64,
        pub bytes_received: u64,
        pub bytes_sent: u64,
        /// Bytes received that no process has read.
        pub unread: u32,
        /// Bytes written since the process last read request bytes.
        pub since_read: u32,
        /// Always 0. Recordings of earlier versions have a number here.
        pub unused: u32,
        /// Bytes written since the current request began. Valid with [`conn_flags::HTTP`].
        pub response_bytes: u32,
        /// Time since data last arrived, jiffies.
        pub received_jiffies_ago: u32,
        /// Time since data was last sent, jiffies.
        pub sent_jiffies_ago: u32,
        /// `sk->sk_err`.
        pub err: u32,
        /// Turns that the closing process, or the owner where the edge left, had begun on all its connections, counted
        /// as in [`ProcessRecord::turns`](crate::ProcessRecord::turns).
        pub closer_turns: u32,
        /// Bytes sent that the edge has not acknowledged.
        pub unacked: u32,
        /// Receive window last advertised to the edge, bytes.
        pub window: u32,
        /// State that the socket left: one of [`tcp_state`](crate::tcp_state).
        pub old_state: u8,
        /// State that it entered.
        pub new_state: u8,
        /// 1: a process had accepted the connection. Else 0.
        pub accepted: u8,
        /// Times in a row that the retransmission timer has sent the first of the unacknowledged bytes again, without
        /// any answer that acknowledges them. Filled in where the edge leaves or is waited for; else 0.
        pub retransmits: u8,
        /// For how long at least the edge has acknowledged nothing new although its window was open, jiffies. 0: not
        /// known, or nothing was sent again.
        pub stuck_jiffies: u32,
    }
    size: 72
}

shared! {
    /// State of one edge connection. Lives in a kernel map, keyed by `struct sock *`.
    ///
    /// Sorted by who writes, so that two CPUs rarely wait for each other's cache lines. Packets from the edge change
    /// the first 64 bytes. Reads by the process and packets to the edge change the next 64.
    #[derive(Default)]
    pub struct Conn {
        /// Bits of [`conn_flags`].
        pub flags: u32,
        /// Exchanges that began. On an opaque connection: inbound turns.
        pub exchanges: u32,
        /// Responses due so far, those already begun included; wraps around. See [`Conn::is_awaited`].
        pub asked: u16,
        /// Index of its local port in the per-port counters.
        pub port_slot: u16,
        /// First sequence number of the current request.
        pub request_seq: u32,
        /// Bytes of the current request seen on the wire.
        pub request_len: u32,
        /// Contiguous bytes of it kept in [`Heads::request`].
        pub request_have: u32,
        /// The origin's `write_seq` when the current request began: it had written all bytes before that number. Bytes
        /// written later may be the response.
        pub written_before: u32,
        /// Sequence number at which the edge's next TLS record begins. Valid with [`conn_flags::RECORDS`]. With
        /// [`conn_flags::CLOSE_NOTIFY`] there is none: see [`Conn::sent_at_close_notify`].
        pub record_seq: u32,
        /// Key of its [`Heads`]. 0: it has none.
        pub heads: u64,
        /// Its key in the table of connections.
        pub key: u64,
        /// The edge's port and, over IPv4, address: tells the connection from a later one whose `struct sock` has the
        /// same address in memory.
        pub peer: u64,
        /// When it opened.
        pub opened_ns: u64,
        /// When the newest packet had arrived at the time of the process's last read.
        pub read_ns: u64,
        /// Bits of [`origin_flags`](crate::origin_flags).
        pub origin_flags: u32,
        /// `copied_seq` at the last read that returned data.
        pub copied: u32,
        /// `write_seq` at the first read of the current inbound turn.
        pub written: u32,
        /// Inbound turns so far.
        pub turns: u32,
        /// `copied_seq` when the current inbound turn began.
        pub turn_copied: u32,
        /// Bytes written between the last two inbound turns.
        pub turn_out: u32,
        /// Process id of the last reader. 0: no process has read yet.
        pub owner: u32,
        /// [`Conn::asked`] when the last response began.
        pub answered: u16,
        /// Which of its TLS secrets are known: bits by [`secret`]. The probes in TLS libraries write
        /// it; and, where a key log is read, the packet with the first request. A bit that gets lost when both write
        /// at once costs nothing: [`TlsKeys`](crate::TlsKeys) says which secrets there are.
        pub keyed: u16,
        /// First sequence number of the current response.
        pub response_seq: u32,
        /// Bytes of the current response seen on the wire.
        pub response_len: u32,
        /// Contiguous bytes of it kept in [`Heads::response`].
        pub response_have: u32,
        /// Size of the response's header section, bytes. With [`origin_flags::IN_HEAD`](crate::origin_flags::IN_HEAD):
        /// bytes searched so far without finding its end.
        pub head_len: u32,
        /// Last bytes of a response that is longer than [`Heads::response`].
        pub response_tail: [u8; TAIL_LEN],
        pub tuple: Tuple,
        /// Bytes that arrived after the origin's FIN.
        pub late_len: u32,
        /// Offset in the response at which its next chunk begins, or its next TLS record.
        /// Valid with [`origin_flags::IN_CHUNKS`](crate::origin_flags::IN_CHUNKS), or
        /// [`RECORDS_OUT`](crate::origin_flags::RECORDS_OUT).
        pub chunk_at: u32,
        /// Inode of the socket, by which userspace finds the owner. 0: the connection was not open at the start.
        pub inode: u32,
        /// Where the bytes cannot be read as HTTP: sequence number after the last bytes from the edge that may be a
        /// request; see [`Conn::turn_may_be_request`].
        pub request_end: u32,
        /// Start of the owner, boot-time nanoseconds.
        pub owner_start_ns: u64,
        pub owner_comm: [u8; COMM_LEN],
        pub close: Close,
        /// The process that closed the connection.
        pub closer: Task,
    }
    size: 320
}

const _: () = assert!(core::mem::offset_of!(Conn, read_ns) == 64);
const _: () = assert!(core::mem::offset_of!(Conn, tuple) == 128);

impl Conn {
    /// Whether the origin has sent no byte yet of the response to the current request. If so, the response's head and
    /// lengths here are those of the previous response.
    #[inline(always)]
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.asked != self.answered
    }

    /// Whether the current inbound turn, on a connection whose bytes cannot be read as HTTP, may be a request: it has
    /// a TLS record, or, where records are not followed, a read, of at least
    /// [`MIN_OPAQUE_REQUEST`](crate::limits::MIN_OPAQUE_REQUEST) bytes. Their sum does not count: HTTP/2 sends small
    /// control frames at any time, in any number.
    #[inline(always)]
    #[must_use]
    pub const fn turn_may_be_request(&self) -> bool {
        // Beyond the start of the turn, in the arithmetic of sequence numbers.
        self.request_end.wrapping_sub(self.turn_copied).wrapping_sub(1) < 1 << 31
    }

    /// Bytes of the response that the origin had sent when the edge's `close_notify` came; 0: none, or it has written
    /// nothing since it read the request. `None`: the edge has sent no `close_notify`.
    #[inline(always)]
    #[must_use]
    pub const fn sent_at_close_notify(&self) -> Option<u32> {
        if self.flags & conn_flags::CLOSE_NOTIFY == 0 { None } else { Some(self.record_seq) }
    }

    /// Whether the process has read no more than the edge's `close_notify` since it wrote last, but for an alert of its
    /// own: that does not count as an exchange, and no request is lost.
    #[inline(always)]
    #[must_use]
    pub const fn was_left(&self) -> bool {
        self.flags & conn_flags::CLOSE_NOTIFY != 0
            && self.close.since_read <= MAX_TLS_ALERT
            && !self.turn_may_be_request()
    }

    /// Notes what [`Conn::sent_at_close_notify`] returns. `written`: the origin's `write_seq` now.
    #[inline(always)]
    pub const fn note_close_notify(&mut self, written: u32) {
        self.record_seq = if written == self.written { 0 } else { self.response_len };
    }

    /// Whether what the origin has sent of the first response, on a sealed connection, may be session tickets alone: in
    /// TLS 1.3 it may write these after the request has come.
    #[inline(always)]
    #[must_use]
    pub const fn may_be_tickets(&self) -> bool {
        self.exchanges <= 1 && self.keyed & secret::IS_MASTER == 0 && self.response_len < TICKETS_LEN
    }

    /// First sequence number that the response to the current request can have, while it [is
    /// awaited](Self::is_awaited).
    ///
    /// Bytes written before the request arrived are not its response. If the request has no body and was read, neither
    /// are bytes written before that read. With a body this does not hold: the origin may read it while it writes the
    /// response.
    #[inline(always)]
    #[must_use]
    pub const fn answer_from(&self) -> u32 {
        let is_read = self.copied.wrapping_sub(self.request_seq).wrapping_sub(1) < 1 << 31;
        let is_ahead = self.written.wrapping_sub(self.written_before) < 1 << 31;
        // Of a sealed request it is not known whether it has a body. Session tickets are written before it is read.
        let bodyless = self.flags & (conn_flags::BODYLESS | conn_flags::SEALED) != 0;
        if bodyless && is_read && is_ahead { self.written } else { self.written_before }
    }
}

/// A slot of the table of connections. Aligned, so that no two connections share a cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Conn);

const _: () = assert!(size_of::<Place>() == 320);

shared! {
    /// The heads of a connection that speaks plaintext HTTP/1, or the first bytes of both sides of a TLS handshake.
    ///
    /// Kept apart from [`Conn`], because connections whose bytes are not examined need none. An entry is reused by one
    /// connection after another and never cleared: only as many bytes as [`Conn::request_have`] and
    /// [`Conn::response_have`] say are valid. A hash map adds 56 bytes to the entry and the allocator adds 8: together
    /// just 4 KiB.
    pub struct Heads {
        /// Key of the connection that uses the entry. 0: none does.
        pub owner: u64,
        pub request: [u8; REQUEST_LEN],
        pub response: [u8; RESPONSE_LEN],
    }
    size: 4096 - 64
}

shared! {
    /// The first bytes of a connection that arrived with the last packet of its handshake, before it had a socket.
    pub struct EarlyData {
        pub peer_addr: [u8; 16],
        pub peer_port: u16,
        pub local_port: u16,
        /// Sequence number of the first byte.
        pub seq: u32,
        /// Payload of the packet, bytes.
        pub len: u32,
        /// Bytes of it kept in `head`.
        pub have: u32,
        pub head: [u8; REQUEST_LEN],
    }
    size: 32 + REQUEST_LEN
}

#[cfg(test)]
mod tests {
    use crate::{Conn, conn_flags};

    #[test]
    fn an_answer_is_written_after_its_request_was_read() {
        for base in [1000, u32::MAX - 5, 1 << 31] {
            let at = |ahead: u32| base.wrapping_add(ahead);
            let read = |flags, copied, written| Conn {
                flags,
                copied: at(copied),
                request_seq: at(500),
                written_before: at(10),
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
