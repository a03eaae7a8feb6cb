//! Connections behind a proxy: what an owner of edge connections opened on this host to have a request answered, and
//! the origin's own answers of 5xx that came of it.
//!
//! An *upstream connection* is one that a process opens which also owns edge connections. The process at its other end
//! is its *server*. Both ends are followed where they are on this host.

use crate::{
    Conn, Header, LastSignal, Task, Tuple,
    limits::{SMALL_REQUEST_LEN, SOCKET_PATH_LEN, SOCKET_PATH_ROWS, UPSTREAM_HEAD_LEN, UPSTREAM_HEAD_ROWS},
};

/// Bits of [`Upstream::flags`].
pub mod upstream_flags {
    /// A unix socket; else TCP.
    pub const UNIX: u32 = 1;
    /// It was established.
    pub const CONNECTED: u32 = 1 << 1;
    /// It was used for an earlier exchange before this one.
    pub const REUSED: u32 = 1 << 2;
    /// The attempt to connect has ended: with [`Upstream::err`](super::Upstream::err), or, if that is 0, because its
    /// owner gave it up.
    pub const NOT_CONNECTED: u32 = 1 << 3;
    /// The server's FIN arrived, or on a unix socket its close.
    pub const SERVER_FIN: u32 = 1 << 4;
    /// The server reset the connection.
    pub const SERVER_RST: u32 = 1 << 5;
    /// The owner closed the connection before the server did.
    pub const OWNER_LEFT: u32 = 1 << 6;
    /// A process on this host has read the request: [`Upstream::server`](super::Upstream::server).
    pub const SERVED: u32 = 1 << 7;
    /// [`Upstream::server`](super::Upstream::server) is as it was when it closed the connection.
    pub const CLOSED_BY: u32 = 1 << 8;
    /// More than one exchange may have been meant when the connection was opened or used.
    pub const AMBIGUOUS: u32 = 1 << 9;
    /// It was opened for a connection from which nothing had been read by then: its owner passes bytes on and does not
    /// read requests. It serves that connection as long as both last.
    pub const PAIRED: u32 = 1 << 10;
    /// It was opened for something that is known, and is no exchange that is followed.
    pub const APART: u32 = 1 << 11;
}

shared! {
    /// One upstream connection, and the exchange that it serves. Lives in a kernel map, keyed by a number of its own: a
    /// socket's memory may belong to another connection before the exchange is over.
    #[derive(Default)]
    pub struct Upstream {
        /// Its key in the map. 0: there is no connection.
        pub key: u64,
        /// The `struct sock *` of its owner's end.
        pub sock: u64,
        /// The `struct sock *` of the server's end. 0: not known, or not on this host.
        pub server_key: u64,
        /// Key of the connection that it serves: an edge connection, or another upstream connection whose server opened
        /// this one. 0: not known.
        pub front: u64,
        pub opened_ns: u64,
        /// When the first byte of the request was sent on it. 0: none was.
        pub asked_ns: u64,
        /// When the server closed it or its process ended, or the attempt to connect failed. 0: none of that.
        pub ended_ns: u64,
        /// Of a unix socket: inode numbers of both ends, which tell them from later sockets at the same addresses. 0:
        /// the server has read nothing yet.
        pub inode: u32,
        pub server_inode: u32,
        /// Addresses as its owner has them: `peer` is the server's. All zero for a unix socket.
        pub tuple: Tuple,
        /// [`Conn::exchanges`] of the edge connection as this exchange began, or [`Upstream::uses`] of the upstream
        /// connection in front.
        pub exchange: u32,
        /// Process id of its owner.
        pub owner: u32,
        /// Bits of [`upstream_flags`].
        pub flags: u32,
        /// `sk->sk_err` when the attempt to connect ended.
        pub err: u32,
        /// Bytes sent for this exchange, and received.
        pub sent: u32,
        pub received: u32,
        /// Bytes sent and received before that. They wrap around.
        pub sent_before: u32,
        pub received_before: u32,
        /// Bytes kept in `head`.
        pub head_len: u32,
        /// Exchanges that it was used for, this one included.
        pub uses: u32,
        /// Turns of the server when it read last, counted as in [`ProcessRecord::turns`](crate::ProcessRecord::turns).
        pub server_turns: u32,
        /// First bytes of the answer.
        pub head: [[u8; 32]; UPSTREAM_HEAD_ROWS],
        /// Path of a unix socket, up to the first NUL. Empty: not known, or it has none.
        pub path: [[u8; 27]; SOCKET_PATH_ROWS],
        /// The process that read the request; or, with [`CLOSED_BY`](upstream_flags::CLOSED_BY), that closed the
        /// connection.
        pub server: Task,
        /// The signal that explains why the server closed it.
        pub signal: LastSignal,
    }
    size: 112 + 36 + UPSTREAM_HEAD_LEN + SOCKET_PATH_LEN + 40 + 72
}

shared! {
    /// Which upstream connection serves an edge connection, or another upstream connection. Lives in a kernel map,
    /// keyed by the latter's key.
    #[derive(Default)]
    pub struct Served {
        /// Key of the upstream connection that was opened or used last.
        pub upstream: u64,
        /// When the connection in front was opened: tells it from a later one at the same address.
        pub opened_ns: u64,
        /// As [`Upstream::exchange`].
        pub exchange: u32,
        /// Upstream connections that were opened or used for this exchange.
        pub tries: u32,
    }
    size: 24
}

shared! {
    /// What is known behind an edge connection that may have failed. Comes right before the record of that connection,
    /// where anything is known.
    pub struct BehindRecord {
        pub header: Header,
        /// [`Conn::key`] and [`Conn::opened_ns`] of the edge connection.
        pub conn: u64,
        pub opened_ns: u64,
        /// Upstream connections that were opened or used for this exchange.
        pub tries: u32,
        pub pad: u32,
        /// The last of these connections.
        pub upstream: Upstream,
        /// The same behind that: what the server had opened to answer. Its key is 0: none is known.
        pub behind: Upstream,
    }
    size: 40 + 2 * size_of::<Upstream>()
}

shared! {
    /// The origin's own answer of 500 to 599, complete.
    pub struct OriginRecord {
        pub header: Header,
        pub status: u32,
        /// Upstream connections that were opened or used for this exchange.
        pub tries: u32,
        pub conn: Conn,
        /// First bytes of the request. Valid up to `conn.request_have` bytes.
        pub request: [u8; SMALL_REQUEST_LEN],
        /// The last of these connections. Its key is 0: none is known.
        pub upstream: Upstream,
        /// The same behind that: what the server had opened to answer.
        pub behind: Upstream,
    }
    size: 24 + size_of::<Conn>() + SMALL_REQUEST_LEN + 2 * size_of::<Upstream>()
}
