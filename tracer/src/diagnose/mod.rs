//! From evidence to verdict: pure functions, no clock, no map, no log.

mod advice;
mod around;
mod cause;
mod context;
mod diagnosis;
mod evidence;
mod handshake;
mod loss;
mod lost;
pub mod origin;
mod outcome;
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
mod words;

pub use around::{Around, Descriptors, FullDisk, Halt, Halted, Held, Lack, Queue, Writes};
pub use cause::{Cause, Certainty, Symptom};
pub use diagnosis::{Diagnosis, EndHow};
pub use evidence::{
    Attempt, End, Evidence, FirewallHook, Limits, Missing, OomScope, Process, Protocol, Sender, Signal, Taken, Trigger,
};
pub use outcome::classify_end;
pub use side::ResetBy;
pub use stream::{Stream, StreamEnd};

/// The verdict on one connection; `None`: nothing failed, or only unseen bytes could tell.
///
/// Was a request lost; if so, did a process end; if not, which mechanism closed the connection?
#[must_use]
pub fn diagnose(e: &Evidence) -> Option<Diagnosis> {
    let loss = loss::loss(e)?;
    let (cause, certainty) = rules::root(e, loss).unwrap_or_else(|| rules::mechanism(e, loss));
    let certainty = certainty.max(rules::floor(e, loss));
    Some(record::record(e, loss, cause, certainty))
}
