//! What is known of an answer of 5xx and of what happened behind it: plain values, put together by `state`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::super::{End, OomScope, Process, Signal};
use crate::http::{Request, UpstreamAnswer};

/// All that a verdict on an answer of 5xx is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginEvidence {
    pub time: jiff::Timestamp,
    pub status: u16,
    pub peer: (IpAddr, u16),
    pub local: (IpAddr, u16),
    pub netns: Option<u32>,
    /// Exchanges on the connection, this one included. `None`: its beginning was not seen.
    pub exchanges: Option<u64>,
    pub age: Option<Duration>,
    pub request: Request,
    /// From the read of the request to the answer.
    pub took: Option<Duration>,
    /// The owner of the edge's connection.
    pub process: Option<Process>,
    /// Upstream connections that were opened or used for this exchange.
    pub tries: u32,
    /// The last of them.
    pub upstream: Option<Upstream>,
    /// What the process behind it had opened to answer, in turn.
    pub behind: Option<Upstream>,
    /// The kernel shows what is sent on unix sockets.
    pub sees_unix: bool,
    /// On HTTP/2: the stream of the exchange.
    pub stream: Option<u32>,
    /// What was seen behind may belong to another stream that was answered at the same time.
    pub is_shared: bool,
}

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
    /// Bytes of the request, and of the answer.
    pub sent: u64,
    pub received: u64,
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
