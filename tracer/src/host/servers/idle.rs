//! How long a server keeps an idle connection, against how long the edge does; and the words for what it hangs up on.

use std::time::Duration;

use super::super::finding::Finding;
use super::unit::span;
use tracer_common::cloudflare::IDLE_TIMEOUT;

/// Places that are named before it says how many more there are.
const NAMED: usize = 3;

/// The place of a value that nothing sets.
pub(super) const DEFAULT: &str = "(its default)";

/// A setting's value and where it stands; `None`: the server's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Value<T> {
    pub(in super::super) value: T,
    pub(in super::super) place: Option<String>,
}

impl<T> Value<T> {
    pub(in super::super) fn default(value: T) -> Self {
        Self { value, place: None }
    }

    /// ` (FILE:LINE)` or ` (its default)`.
    pub(in super::super) fn origin(&self) -> String {
        self.place.as_ref().map_or_else(|| format!(" {DEFAULT}"), |place| format!(" ({place})"))
    }
}

/// Holds the shortest of the idle timeouts against the edge's; `setting` is its name, `write` what to write.
pub(super) fn finding(server: &str, setting: &str, values: &[Value<Duration>], write: &str) -> Finding {
    let name = format!("{server} keep-alive");
    let Some(shortest) = values.iter().filter(|one| !one.value.is_zero()).min_by_key(|one| one.value) else {
        return Finding::ok(name, "off: every request comes on a connection of its own, none can meet an idle close");
    };
    let seen = format!("{setting} {}{}", span(shortest.value), shortest.origin());
    if shortest.value >= IDLE_TIMEOUT {
        return Finding::ok(name, seen);
    }
    let advice = format!(
        "{write}: the edge reuses connections that were idle for up to {}, and meets this close sometimes \
         (keepalive_race)",
        span(IDLE_TIMEOUT)
    );
    Finding::warn(name, seen, advice)
}

/// What a server ends without an answer: each with its place.
pub(super) fn hang_ups(server: &str, found: &[String]) -> Option<Finding> {
    if found.is_empty() {
        return None;
    }
    let more = found.len().saturating_sub(NAMED);
    let mut seen = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        seen.push_str(&format!(" and {more} more"));
    }
    let advice = "visitors whose requests meet it see a 520: answer with a status (403, 429) where the edge can come";
    Some(Finding::warn(format!("{server} hang-ups"), seen, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    #[test]
    fn the_shortest_timeout_counts_but_not_off() {
        let of = |seconds: &[u64]| {
            let values: Vec<_> = seconds.iter().map(|&value| Value::default(Duration::from_secs(value))).collect();
            finding("nginx[7]", "keepalive_timeout", &values, "keepalive_timeout 910s")
        };
        let short = of(&[910, 65, 0]);
        assert_eq!((short.status, short.seen.as_str()), (Status::Warn, "keepalive_timeout 65 s (its default)"));
        assert_eq!(of(&[910, 900]).status, Status::Ok);
        assert!(of(&[0]).seen.starts_with("off"));
    }

    #[test]
    fn hang_ups_are_named_and_counted() {
        assert_eq!(hang_ups("x", &[]), None);
        let found = hang_ups("x", &["a", "b", "c", "d", "e"].map(str::to_owned)).unwrap();
        assert_eq!(found.seen, "a, b, c and 2 more");
    }
}
