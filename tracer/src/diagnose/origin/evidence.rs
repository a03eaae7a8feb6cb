//! What is known of an answer of 5xx and of what happened behind it: plain values, put together by `state`.

use std::{net::IpAddr, time::Duration};

use super::super::{Process, upstream::Upstream};
use crate::http::Request;

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
