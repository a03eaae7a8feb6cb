//! Exit statuses.

use crate::{config::Invalid, probes::LoadError};

/// The command did its work.
pub const DONE: u8 = 0;
/// Failed at run time.
pub const FAILED: u8 = 1;
/// The answer of `ranges check` that an address is not edge.
pub const NOT_EDGE: u8 = 1;
/// The answer of `explain` that no event has the ray.
pub const NOT_SEEN: u8 = 1;
/// Wrong use.
pub const USAGE: u8 = 2;
/// This host can't be traced.
pub const UNTRACEABLE: u8 = 3;
/// The answer of `probe` that the edge would show a 52x.
pub const WOULD_FAIL: u8 = 4;

/// The status for an error that ended a command.
#[must_use]
pub fn status(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Invalid>()) {
        USAGE
    } else if error.chain().any(|cause| cause.is::<LoadError>()) {
        UNTRACEABLE
    } else {
        FAILED
    }
}
