//! What is known of a connection that may have failed: plain values, put together by `state`.

use std::{net::IpAddr, time::Duration};

use tracer_common::{
    cloudflare,
    limits::{READ_SLACK_PARTS, WRITE_SLACK_PARTS},
};

use super::{
    around::Around,
    process::{End, OomScope, Process, Signal},
    spelled::spelled,
    stream::Stream,
    upstream::Behind,
};
use crate::{
    http::{Request, Response, Unfinished},
    tls::Handshake,
};

/// What made the kernel report the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The origin sent FIN first.
    Fin,
    /// The origin sent RST.
    Rst,
    /// Request bytes came after the origin's FIN.
    Late {
        /// How many, in the packet that showed it.
        bytes: u32,
    },
    /// A SYN was answered with RST.
    Refused {
        /// The RST itself was seen. Before 6.12 only its occasion is: TCP freed the SYN.
        seen: bool,
    },
    /// The edge sent FIN first.
    EdgeFin,
    /// The edge sent RST.
    EdgeRst,
    /// A timeout of the edge has passed, and it has not left, or can't.
    Overdue,
    /// The socket vanished without a packet.
    Silent,
    /// A stream of HTTP/2 ended, and its connection goes on.
    Stream,
    /// The edge's packets went missing before a process could see them.
    Attempt(Attempt),
}

/// Which packets of a connection went missing in this host, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub missing: Missing,
    pub taken: Taken,
    /// Retransmissions included.
    pub packets: u32,
    /// From the first one to the verdict.
    pub for_: Duration,
    pub hook: Option<FirewallHook>,
    /// The table of tracked connections (conntrack) was full about then.
    pub table_full: bool,
}

/// Which packets went missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Syn,
    SynAck,
    /// Of an established connection, from the edge.
    Data,
    /// Of an established connection, to the edge.
    Answer,
}

/// What took them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Dropped,
    /// A firewall answered with RST.
    Reset,
    /// A firewall answered with ICMP.
    Icmp {
        v6: bool,
        kind: u8,
        code: u8,
    },
    /// The listener's accept queue was full.
    Queue {
        length: u32,
        limit: u32,
    },
    /// The same, and the host answered with RST.
    QueueReset,
    /// The listener's SYN queue was full, and SYN cookies are off.
    SynQueue {
        length: u32,
        limit: u32,
    },
    /// Nothing in this host: they got lost behind it.
    Lost,
}

spelled! {
    /// Where netfilter took them.
    FirewallHook {
        BeforeRouting = "prerouting",
        Input = "input",
        Output = "output",
        Forward = "forward",
    }
}

/// The edge's timeouts and limits, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it keeps trying to connect.
    pub connect: Duration,
    /// How long it waits for its request to be acknowledged.
    pub ack: Duration,
    /// How long it waits for a response, or for the next bytes of one.
    pub read: Duration,
    /// How long it waits for room to write its request.
    pub write: Duration,
    /// Largest header section of a response that it takes, in bytes.
    pub header: u64,
}

impl Default for Limits {
    /// Cloudflare's own.
    fn default() -> Self {
        Self {
            connect: cloudflare::CONNECT_TIMEOUT,
            ack: cloudflare::ACK_TIMEOUT,
            read: cloudflare::READ_TIMEOUT,
            write: cloudflare::WRITE_TIMEOUT,
            header: cloudflare::HEADER_LIMIT.into(),
        }
    }
}

impl Limits {
    /// An edge that leaves a little early, by this host's clock, has given up all the same.
    #[must_use]
    pub fn nearly(timeout: Duration) -> Duration {
        timeout - timeout / 32
    }

    /// The least of a timeout that counts as the whole where its clock may have begun earlier than this host can see.
    #[must_use]
    pub fn most_of(timeout: Duration) -> Duration {
        timeout - timeout / READ_SLACK_PARTS
    }

    /// The least of the write timeout for which the window was shut where the edge gave up writing: bytes still came
    /// after its clock had begun.
    #[must_use]
    pub fn most_of_write(timeout: Duration) -> Duration {
        timeout - timeout / WRITE_SLACK_PARTS
    }

    /// The latest that an edge leaves because of a timeout.
    #[must_use]
    pub fn little_over(timeout: Duration) -> Duration {
        timeout + timeout / READ_SLACK_PARTS
    }
}

/// What the connection speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tls,
    /// Plain bytes that do not begin like HTTP/1: a PROXY header, a request in tiny pieces, or not HTTP at all.
    Other,
    /// Not seen.
    Opaque,
}

/// All that a verdict is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub time: jiff::Timestamp,
    pub trigger: Trigger,
    pub peer: (IpAddr, u16),
    pub local: (IpAddr, u16),
    pub netns: Option<u32>,
    /// Open before the tracer started: its history is unknown.
    pub seeded: bool,
    pub protocol: Protocol,
    /// A process had accepted it.
    pub accepted: bool,
    pub exchanges: u64,
    /// Inbound turns; on TLS the first is the handshake.
    pub turns: u64,
    pub age: Option<Duration>,
    /// Since the last data in either direction, up to the origin's close.
    pub idle: Option<Duration>,
    /// From the origin's close to the late request.
    pub closed_for: Option<Duration>,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Bytes received that nobody had read.
    pub unread: u32,
    /// Bytes sent that the edge had not acknowledged.
    pub unacked: u32,
    /// Times in a row that the first of them was sent again because nothing acknowledged it.
    pub retransmits: u8,
    /// For how long, at least, the edge had acknowledged nothing new, though its window was open and bytes were sent
    /// again. Zero: that was not so.
    pub stuck: Duration,
    /// Bytes of the response that it had acknowledged, where any were unacknowledged.
    pub acked: u64,
    /// The receive window that the edge was left with, in bytes.
    pub window: u32,
    /// Since the last byte from the edge, and since the last one to it.
    pub waited: Duration,
    pub quiet: Duration,
    /// Bytes written since request bytes were last read.
    pub since_read: u32,
    /// Where the bytes can't be read: the last ones that came in are many enough for a request.
    pub turn_may_be_request: bool,
    /// Inside TLS the process has read no more than the edge's `close_notify` since it wrote last.
    pub was_left: bool,
    /// Bytes written before the last inbound turn, after the turn before that.
    pub turn_out: u32,
    /// The last request could not have a body (GET, HEAD).
    pub bodyless: bool,
    /// The exchange was inside TLS, and was decrypted with the secrets of its session.
    pub decrypted: bool,
    /// In place of a FIN the origin sent `close_notify` (inside TLS), and the edge then closed the connection. The
    /// trigger is [`Trigger::Fin`] all the same.
    pub close_notify: bool,
    pub request: Request,
    /// Size of the request's header section, as far as it came. Known where it is longer than what was kept of it, and
    /// the request has no body.
    pub request_head: Option<u64>,
    /// More of the request was announced than came, and no byte of a final response was written.
    pub unfinished: Option<Unfinished>,
    pub response: Response,
    /// On a connection that speaks HTTP/2: which of its streams this is about.
    pub stream: Option<Stream>,
    /// On TLS: what the handshake shows from outside.
    pub handshake: Option<Handshake>,
    pub limits: Limits,
    /// The owner of the socket.
    pub process: Option<Process>,
    pub end: End,
    /// The process was the OOM killer's victim.
    pub oom: bool,
    pub oom_scope: Option<OomScope>,
    pub signal: Option<Signal>,
    /// The kernel's own name for the reason of the RST.
    pub reset_reason: Option<String>,
    /// The connection was destroyed by a tool (`ss -K`).
    pub destroyed: bool,
    /// The process that had read the request is dead, and the socket lived on in another one.
    pub outlived: bool,
    /// What is known behind the process that held it.
    pub behind: Option<Behind>,
    /// What the host looked like at that moment.
    pub around: Around,
}

impl Evidence {
    /// Whether the edge acknowledges nothing of what is sent again to it, although there is room for it.
    pub(super) fn is_unacknowledged(&self) -> bool {
        self.unacked > 0 && !self.stuck.is_zero()
    }
}

impl Evidence {
    /// Evidence of a moment between these two ends, of whose connection nothing is known.
    pub fn nothing_of(
        (time, trigger): (jiff::Timestamp, Trigger),
        peer: (std::net::IpAddr, u16),
        local: (std::net::IpAddr, u16),
        limits: Limits,
    ) -> Self {
        Self {
            time,
            trigger,
            peer,
            local,
            netns: None,
            seeded: false,
            protocol: Protocol::Opaque,
            accepted: false,
            exchanges: 0,
            turns: 0,
            age: None,
            idle: None,
            closed_for: None,
            bytes_received: 0,
            bytes_sent: 0,
            unread: 0,
            unacked: 0,
            retransmits: 0,
            stuck: Duration::ZERO,
            acked: 0,
            window: 0,
            waited: Duration::ZERO,
            quiet: Duration::ZERO,
            since_read: 0,
            turn_may_be_request: false,
            was_left: false,
            turn_out: 0,
            bodyless: false,
            decrypted: false,
            close_notify: false,
            request: Request::default(),
            request_head: None,
            unfinished: None,
            response: Response::default(),
            stream: None,
            handshake: None,
            limits,
            process: None,
            end: End::Running,
            oom: false,
            oom_scope: None,
            signal: None,
            reset_reason: None,
            destroyed: false,
            outlived: false,
            behind: None,
            around: Around::default(),
        }
    }
}
