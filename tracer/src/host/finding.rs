//! One thing that was looked at on this host: what was seen, how it stands, what to do.

use serde::Serialize;

use crate::sinks::escape;

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing to do.
    Ok,
    /// A root of failures, or about to be one.
    Warn,
    /// Could not be judged.
    Unknown,
}

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub name: String,
    pub status: Status,
    pub seen: String,
    /// One line; `None` only where there is nothing to do.
    pub advice: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub fn ok(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, seen: seen.into(), advice: None }
    }

    /// Somebody should look.
    pub fn warn(name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Warn, seen: seen.into(), advice: Some(advice.into()) }
    }

    /// What can't be judged, and how to find out.
    pub fn unknown(name: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Unknown, seen: seen.into(), advice: Some(advice.into()) }
    }

    /// The same, named after the place that it is about; `None`: the doctor's own.
    #[must_use]
    pub fn of(mut self, place: Option<&str>) -> Self {
        if let Some(place) = place {
            self.name = format!("{} ({place})", self.name);
        }
        self
    }
}

/// The findings for a terminal: one line each, and one of advice. With ANSI colours, which the writer strips where they
/// are not wanted.
pub fn text(heading: &str, findings: &[Finding]) -> String {
    let mut out = format!("\n{heading}\n");
    for finding in findings {
        let (mark, colour) = match finding.status {
            Status::Ok => ('✓', 32),
            Status::Warn => ('!', 33),
            Status::Unknown => ('?', 36),
        };
        let (name, seen) = (escape::terminal(&finding.name), escape::terminal(&finding.seen));
        out.push_str(&format!("\x1b[{colour}m{mark}\x1b[0m {name}: {seen}\n"));
        if let Some(advice) = &finding.advice {
            out.push_str(&format!("    → {}\n", escape::terminal(advice)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_mark_and_foreign_bytes_stay_harmless() {
        let findings = [
            Finding::ok("a", "fine"),
            Finding::warn("b", "rule \"\x1b[2J\"", "mend it"),
            Finding::unknown("c", "?", "look").of(Some("in nginx[7]'s network")),
        ];
        let plain =
            text("This host", &findings).replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[36m", "");
        let plain = plain.replace("\x1b[0m", "");
        assert_eq!(
            plain,
            "\nThis host\n✓ a: fine\n! b: rule \"\\u{1b}[2J\"\n    → mend it\n? c (in nginx[7]'s network): ?\n    → \
             look\n"
        );
    }

    #[test]
    fn json_has_the_four_keys() {
        let json = serde_json::to_string(&Finding::ok("a", "fine")).unwrap();
        assert_eq!(json, r#"{"name":"a","status":"ok","seen":"fine","advice":null}"#);
    }
}
