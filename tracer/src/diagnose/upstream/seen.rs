//! What is known of a connection behind the process that holds the edge's: plain values, put together by `state`.

use std::{net::SocketAddr, time::Duration};

use super::super::{End, OomScope, Process, Signal};
use crate::http::UpstreamAnswer;

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// A unix socket, with its path where it has one.
    Unix(Option<String>),
}

/// What became of the attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    Established,
    /// The host refused it.
    Refused,
    /// There was no way to it, by this error number.
    Unreachable(u32),
    /// Its owner gave up waiting, or waits still.
    Unanswered,
}

/// Who ended an established connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Nobody so far.
    Nobody,
    /// Its owner.
    Owner,
    /// The server, in good order.
    Closed,
    /// The server, by a reset.
    Reset,
}

/// One upstream connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub address: Address,
    /// The address is one of this host's.
    pub is_local: bool,
    pub connect: Connect,
    pub hangup: Hangup,
    /// It was used before this exchange.
    pub reused: bool,
    /// Another exchange of the same process may have been meant.
    pub ambiguous: bool,
    /// It was opened for a connection from which nothing had been read: its owner passes bytes on.
    pub paired: bool,
    /// Bytes of the request, and of the answer.
    pub sent: u64,
    pub received: u64,
    /// The same since it was opened.
    pub sent_in_all: u64,
    pub received_in_all: u64,
    /// What was read of the answer. `None`: its bytes can't be seen.
    pub answer: Option<UpstreamAnswer>,
    /// From the first byte of the request on it to the answer to the edge.
    pub waited: Option<Duration>,
    /// The process at its other end.
    pub process: Option<Process>,
    pub end: End,
    /// The process was the OOM killer's victim.
    pub oom: bool,
    pub oom_scope: Option<OomScope>,
    pub signal: Option<Signal>,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(Some(path)) => write!(f, "unix:{path}"),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// What is known behind a connection that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// Upstream connections that were opened or used for the exchange.
    pub tries: u32,
    /// The last of them.
    pub upstream: Upstream,
    /// What the process behind it had opened, in turn.
    pub next: Option<Upstream>,
    /// It serves the exchange that failed, and not an earlier one of the same connection.
    pub is_current: bool,
}
