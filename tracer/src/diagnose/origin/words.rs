//! The evidence in words: one short sentence per observation, in the order in which they happened.

use super::{
    super::{
        units::{many, named, span},
        upstream::connection,
    },
    cause::OriginCause,
    evidence::OriginEvidence,
    rules::From,
};

/// Observations.
pub(super) fn evidence(e: &OriginEvidence, cause: OriginCause, from: From) -> Vec<String> {
    let owner = e.process.as_ref().map_or_else(|| "the server".to_owned(), named);
    let mut lines = Vec::new();
    let Some(upstream) = &e.upstream else {
        lines.push(format!("no connection was seen that {owner} opened for this request"));
        if !e.sees_unix {
            lines.push("unix sockets are not seen on this kernel: there may have been one".to_owned());
        } else if cause == OriginCause::UpstreamRefused {
            lines.push("nor did it send anything on a unix socket: it reached no upstream".to_owned());
        }
        lines.push(answer(e, &owner));
        return lines;
    };
    if e.tries > 1 {
        lines.push(format!("{owner} tried {}; told is the last one", many(e.tries, "upstream connection")));
    }
    if upstream.ambiguous {
        lines.push("it had read another request at that moment: which of the two was meant is inferred".to_owned());
    }
    lines.extend(connection(upstream, &owner));
    if let (From::Behind, Some(behind)) = (from, &e.behind) {
        let server = upstream.process.as_ref().map_or_else(|| upstream.address.to_string(), named);
        lines.extend(connection(behind, &server));
        lines.push(format!("{server} answered {} because of it", e.status));
    }
    lines.push(answer(e, &owner));
    lines
}

fn answer(e: &OriginEvidence, owner: &str) -> String {
    match e.took {
        Some(took) => format!("{owner} answered {} after {}", e.status, span(took)),
        None => format!("{owner} answered {}", e.status),
    }
}
