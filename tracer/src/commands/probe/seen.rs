//! What a probe saw, as evidence for the words of the verdicts: advice has one source.

use std::{net::SocketAddr, time::Duration};

use crate::diagnose::{Around, Cause, End, Evidence, Limits, Protocol, Trigger, advice};
use crate::http::{Request, Response};

/// How advice calls the server, whose process is not known.
const WHO: &str = "the origin";

/// Evidence that knows of a connection to `origin` and of nothing else.
pub(super) fn evidence(origin: SocketAddr) -> Evidence {
    Evidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        trigger: Trigger::Fin,
        peer: (origin.ip(), 0),
        local: (origin.ip(), origin.port()),
        netns: None,
        seeded: false,
        protocol: Protocol::Http,
        accepted: true,
        exchanges: 1,
        turns: 1,
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
        limits: Limits::default(),
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

/// The advice of the verdicts for this cause.
pub(super) fn advise(cause: Cause, evidence: &Evidence) -> String {
    advice(cause, evidence, WHO)
}

/// `12 ms`, `5.0 s`.
pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}
