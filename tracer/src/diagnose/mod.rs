//! From evidence to verdict: pure functions, no clock, no map, no log.

mod advice;
mod around;
mod behind;
mod cause;
mod context;
mod diagnosis;
mod evidence;
mod handshake;
mod loss;
mod lost;
pub mod origin;
mod outcome;
mod process;
mod record;
mod rules;
mod settings;
mod side;
mod signal;
mod spelled;
mod stream;
mod stream_loss;
#[cfg(test)]
mod tests;
mod units;
pub mod upstream;
mod words;

pub use advice::usual as advice;
pub use around::{Around, Descriptors, FullDisk, Halt, Halted, Held, Lack, Queue, Writes};
pub use cause::{Cause, Certainty, EndHow, Symptom};
pub use diagnosis::Diagnosis;
pub use evidence::{Attempt, Evidence, FirewallHook, Limits, Missing, Protocol, Taken, Trigger};
pub use outcome::classify_end;
pub use process::{End, OomScope, Process, Sender, Signal};
pub use side::ResetBy;
pub use stream::{Stream, StreamEnd};

/// The verdict on one connection; `None`: nothing failed, or only unseen bytes could tell.
///
/// Was a request lost; if so, did a process end, the one that held the connection or one behind it; if not, which
/// mechanism closed the connection?
#[must_use]
pub fn diagnose(e: &Evidence) -> Option<Diagnosis> {
    let loss = loss::loss(e)?;
    let own = rules::root(e, loss);
    // A process that serves one connection alone ends with it: what made it end lies behind.
    let part = if own.is_none_or(|(cause, _)| cause == Cause::ProcessExit) { behind::part(e, loss) } else { None };
    let root = part.and_then(|part| part.root(loss));
    let (cause, certainty) = root.or(own).unwrap_or_else(|| rules::mechanism(e, loss));
    let certainty = certainty.max(rules::floor(e, loss));
    Some(record::record(e, loss, (cause, certainty), part, root.is_none() && own.is_some()))
}
