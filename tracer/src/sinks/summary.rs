//! What a watch saw, in a few lines at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::diagnose::origin::{OriginCause, OriginError};
use crate::diagnose::{Cause, Diagnosis};

/// Failures per cause, exchanges watched, records lost. `Display` is the text, the last line end included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    failures: BTreeMap<Cause, u64>,
    /// The origin's own answers of 5xx.
    origin_errors: BTreeMap<OriginCause, u64>,
    /// Exchanges that the edge began while watching.
    pub exchanges: u64,
    /// Records that the kernel could not hand over or that had to be shed.
    pub lost: u64,
    /// How long the watch took.
    pub watched: Duration,
    /// Exchanges inside TLS were to be read.
    sight: bool,
    /// Failures that came without their request because it was inside TLS.
    inside_tls: u64,
}

impl Summary {
    /// Of a watch that begins. `sight`: exchanges inside TLS are to be read.
    #[must_use]
    pub fn new(sight: bool) -> Self {
        Self { sight, ..Self::default() }
    }

    /// Counts one failure.
    pub fn add(&mut self, diagnosis: &Diagnosis) {
        *self.failures.entry(diagnosis.cause).or_default() += 1;
        self.inside_tls += u64::from(diagnosis.inside_tls);
    }

    /// Counts one of the origin's own answers of 5xx.
    pub fn add_origin(&mut self, error: &OriginError) {
        *self.origin_errors.entry(error.cause).or_default() += 1;
    }

    /// Failures so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failures, watched) = (self.failures(), self.watched.as_secs_f64());
        write!(f, "watched {watched:.1} s: {}, ", counted(failures, "failure"))?;
        writeln!(f, "{}, {} lost", counted(self.exchanges, "exchange"), counted(self.lost, "record"))?;
        let mut causes: Vec<_> = self.failures.iter().collect();
        causes.sort_by_key(|&(cause, count)| (std::cmp::Reverse(*count), *cause));
        causes.into_iter().try_for_each(|(cause, count)| writeln!(f, "{count:>8}  {cause}"))?;
        if !self.origin_errors.is_empty() {
            writeln!(f, "{}:", counted(self.origin_errors.values().sum(), "origin's own 5xx answer"))?;
        }
        let mut causes: Vec<_> = self.origin_errors.iter().collect();
        causes.sort_by_key(|&(cause, count)| (std::cmp::Reverse(*count), *cause));
        causes.into_iter().try_for_each(|(cause, count)| writeln!(f, "{count:>8}  {cause}"))?;
        match without_sight(self.inside_tls).filter(|_| !self.sight) {
            Some(hint) => writeln!(f, "{hint}"),
            None => Ok(()),
        }
    }
}

/// What to say of so many failures that came without their request; `None`: nothing.
pub(super) fn without_sight(inside_tls: u64) -> Option<String> {
    (inside_tls > 0).then(|| {
        let failures = counted(inside_tls, "failure");
        format!("{failures} inside TLS came without the request: --tls-sight would show it (docs/tls.md)")
    })
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::sample::diagnosis;

    #[test]
    fn causes_are_listed_from_the_most_frequent() {
        let mut summary =
            Summary { exchanges: 1_234, lost: 1, watched: Duration::from_millis(30_040), ..Summary::default() };
        summary.add(&Diagnosis { cause: Cause::OomKill, ..diagnosis() });
        summary.add(&diagnosis());
        summary.add(&diagnosis());
        let expected =
            "watched 30.0 s: 3 failures, 1234 exchanges, 1 record lost\n       2  empty_reply\n       1  oom_kill\n";
        assert_eq!(summary.to_string(), expected);
    }

    #[test]
    fn failures_without_their_request_say_once_what_would_show_it() {
        let mut summary = Summary::default();
        for inside_tls in [true, false, true] {
            summary.add(&Diagnosis { inside_tls, ..diagnosis() });
        }
        let text = summary.to_string();
        let hint = "2 failures inside TLS came without the request: --tls-sight would show it (docs/tls.md)";
        assert_eq!(text.lines().last(), Some(hint));
        summary.sight = true;
        assert_eq!(summary.to_string() + hint + "\n", text);
    }

    #[test]
    fn healthy_watch_is_one_line() {
        assert_eq!(Summary::default().to_string(), "watched 0.0 s: 0 failures, 0 exchanges, 0 records lost\n");
    }
}
