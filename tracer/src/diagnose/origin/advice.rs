//! What to look at or change first.

use super::{
    super::upstream::{self, Upstream},
    cause::OriginCause,
    evidence::OriginEvidence,
};

/// One or two sentences.
pub(super) fn advice(e: &OriginEvidence, cause: OriginCause, told: Option<&Upstream>) -> String {
    let process = e.process.as_ref();
    match told {
        Some(upstream) => upstream::advice(process, Some(e.status), cause, upstream),
        None => alone(e, cause, process.map_or("the server", |process| process.name.as_str())),
    }
}

/// No connection behind was seen.
fn alone(e: &OriginEvidence, cause: OriginCause, owner: &str) -> String {
    match cause {
        OriginCause::UpstreamRefused => format!(
            "{owner} reached no upstream: check that the unix socket that its configuration names is there, that a \
             server listens on it, and that its backlog (`listen.backlog`, at most net.core.somaxconn) is not full; \
             its error log has the reason."
        ),
        OriginCause::ApplicationError => {
            format!("{owner} chose status {} itself: its configuration or its own log says why.", e.status)
        }
        _ => format!("look at the error log of {owner} at this time: it names the upstream and what it did."),
    }
}
