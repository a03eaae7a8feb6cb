//! What one question to the origin showed, and the report of all.

use serde::Serialize;

use crate::{diagnose::Cause, sinks::escape};

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// The edge would be content.
    Ok,
    /// It would fail at times, or under other settings than those assumed.
    AtRisk,
    /// Visitors would see the 52x of `edge_status`.
    WouldBe,
    /// It could not be judged.
    Unknown,
}

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// The 52x that a visitor would see; of a finding at risk, the one that he may see.
    pub(super) edge_status: Option<u16>,
    /// The cause that `tracer` would tell on the origin.
    pub(super) cause: Option<Cause>,
    pub(super) seen: String,
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(name: &'static str, status: Status, seen: impl Into<String>) -> Self {
        Self { name, status, edge_status: None, cause: None, seen: seen.into(), advice: None }
    }

    pub(super) fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, seen)
    }

    pub(super) fn at_risk(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(name, Status::AtRisk, seen) }
    }

    pub(super) fn would_be(
        name: &'static str,
        edge_status: u16,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let new = Self::new(name, Status::WouldBe, seen);
        Self { edge_status: Some(edge_status), advice: Some(advice.into()), ..new }
    }

    pub(super) fn unknown(name: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(name, Status::Unknown, seen) }
    }

    /// The same, with the cause that a tracer on the origin would tell.
    #[must_use]
    pub(super) fn told_as(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The same, and no more than a risk.
    #[must_use]
    pub(super) fn risk_only(mut self) -> Self {
        if self.status == Status::WouldBe {
            self.status = Status::AtRisk;
        }
        self
    }
}

/// What each of the zone's encryption modes would say to the origin's TLS: the 52x, or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Modes {
    pub(super) full: Option<u16>,
    pub(super) full_strict: Option<u16>,
}

/// All that was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) time: jiff::Timestamp,
    pub(super) address: std::net::IpAddr,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) host: String,
    /// The name that the certificate is held against.
    pub(super) name: String,
    pub(super) path: String,
    /// `None`: plain HTTP, no connection, or they could not be judged.
    pub(super) modes: Option<Modes>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Whether the edge would show a 52x.
    pub(super) fn would_fail(&self) -> bool {
        self.findings.iter().any(|finding| finding.status == Status::WouldBe)
    }

    /// The report for a terminal, with ANSI colours, which the writer strips where they are not wanted.
    pub(super) fn text(&self) -> String {
        let at = std::net::SocketAddr::new(self.address, self.port);
        let over = if self.tls { "HTTPS" } else { "HTTP" };
        let mut out =
            format!("{over} at {at}, asked for {}{}\n", escape::terminal(&self.host), escape::terminal(&self.path));
        for finding in &self.findings {
            out.push_str(&line(finding));
        }
        if let Some(modes) = self.modes {
            let word = |status: Option<u16>| status.map_or_else(|| "fine".to_owned(), |status| format!("{status}"));
            let (full, strict) = (word(modes.full), word(modes.full_strict));
            out.push_str(&format!("TLS by encryption mode: Full {full}, Full (strict) {strict}\n"));
        }
        let failing: Vec<_> = self.findings.iter().filter(|finding| finding.status == Status::WouldBe).collect();
        out.push_str(&match failing.first().and_then(|first| first.edge_status) {
            Some(status) => format!("visitors would see a {status}\n"),
            None => "no finding would be a 52x\n".to_owned(),
        });
        out
    }
}

fn line(finding: &Finding) -> String {
    let (mark, colour) = match finding.status {
        Status::Ok => ('✓', 32),
        Status::AtRisk => ('!', 33),
        Status::WouldBe => ('✗', 31),
        Status::Unknown => ('?', 36),
    };
    let cause = finding.cause.map_or_else(String::new, |cause| format!(" {cause}"));
    let verdict = match (finding.status, finding.edge_status) {
        (Status::WouldBe, Some(status)) => format!("would be {status}{cause}: "),
        (Status::AtRisk, Some(status)) => format!("at risk of {status}{cause}: "),
        (Status::AtRisk, None) => format!("at risk{cause}: "),
        _ => String::new(),
    };
    let advice =
        finding.advice.as_ref().map_or_else(String::new, |advice| format!("    → {}\n", escape::terminal(advice)));
    format!("\x1b[{colour}m{mark}\x1b[0m {}: {verdict}{}\n{advice}", finding.name, escape::terminal(&finding.seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            schema: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            address: [192, 0, 2, 1].into(),
            port: 443,
            tls: true,
            host: "a.example".to_owned(),
            name: "a.example".to_owned(),
            path: "/".to_owned(),
            modes: Some(Modes { full: None, full_strict: Some(526) }),
            findings,
        }
    }

    #[test]
    fn each_status_has_its_mark_and_foreign_bytes_stay_harmless() {
        let findings = vec![
            Finding::ok("a", "fine"),
            Finding::at_risk("b", "\x1b[2J", "mend it"),
            Finding::would_be("c", 520, "nothing came", "look").told_as(Cause::EmptyReply),
            Finding::unknown("d", "not asked", "ask"),
        ];
        let text = report(findings.clone()).text();
        let plain = String::from_utf8(anstream::adapter::strip_bytes(text.as_bytes()).into_vec()).unwrap();
        assert_eq!(
            plain,
            "HTTPS at 192.0.2.1:443, asked for a.example/\n✓ a: fine\n! b: at risk: \\u{1b}[2J\n    → mend it\n\
             ✗ c: would be 520 empty_reply: nothing came\n    → look\n? d: not asked\n    → ask\n\
             TLS by encryption mode: Full fine, Full (strict) 526\nvisitors would see a 520\n"
        );
        assert!(report(findings.clone()).would_fail());
        let risks = findings.into_iter().map(Finding::risk_only).collect();
        assert!(!report(risks).would_fail());
    }
}
