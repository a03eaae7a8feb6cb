//! What a probe saw, as evidence for the words of the verdicts: advice has one source.

use std::{net::SocketAddr, time::Duration};

use crate::diagnose::{Cause, Evidence, Limits, Protocol, Trigger, advice};

/// How advice calls the server, whose process is not known.
const WHO: &str = "the origin";

/// Evidence that knows of a connection to `origin` and of nothing else.
pub(super) fn evidence(origin: SocketAddr) -> Evidence {
    let now = (jiff::Timestamp::UNIX_EPOCH, Trigger::Fin);
    let ends = [(origin.ip(), 0), (origin.ip(), origin.port())];
    Evidence {
        protocol: Protocol::Http,
        accepted: true,
        exchanges: 1,
        turns: 1,
        ..Evidence::nothing_of(now, ends[0], ends[1], Limits::default())
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
