//! What an outright killed lab left behind.

use super::procs;

/// Whether a name belongs to a lab whose maker is gone.
pub(crate) fn is_leftover(name: &str, prefix: &str) -> bool {
    let maker = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
    maker.and_then(|pid| pid.parse().ok()).is_some_and(|pid| !procs::alive(pid))
}
