//! Which records are wanted. A line that can't be one of them is told without parsing it.

use jiff::Timestamp;

use super::ray::Ray;
use super::record::{Kind, Record};

/// How events begin, as this version writes them, up to their time.
const STARTS: [&[u8]; 2] = [b"{\"schema\":1,\"time\":\"", b"{\"schema\":1,\"kind\":\"origin_error\",\"time\":\""];
/// `2026-11-20T10:00:00`: what of two times in UTC can be compared as text.
const SECONDS: usize = 19;

/// Which records are wanted; the default: all. Of several values one must fit, and of each field that has any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The first moment.
    pub since: Option<Timestamp>,
    /// The first moment after the last.
    pub until: Option<Timestamp>,
    pub kind: Option<Kind>,
    pub causes: Vec<String>,
    /// Hosts of requests, whatever their case.
    pub hosts: Vec<String>,
    /// Processes that held the connection, or stood behind.
    pub processes: Vec<String>,
    /// Local ports, or published ones.
    pub ports: Vec<u16>,
    pub ray: Option<Ray>,
}

impl Filter {
    /// Whether the record is wanted.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        let among = |wanted: &[String], found: Option<&String>| found.is_some_and(|found| wanted.contains(found));
        let host = || record.host.as_ref().is_some_and(|host| self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)));
        let process = || [&record.process, &record.upstream_process].map(Option::as_ref);
        let port = || [record.local_port, record.published_port].into_iter().flatten();
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
            && self.kind.is_none_or(|kind| record.kind() == kind)
            && (self.causes.is_empty() || self.causes.contains(&record.cause))
            && (self.hosts.is_empty() || host())
            && (self.processes.is_empty() || process().into_iter().any(|found| among(&self.processes, found)))
            && (self.ports.is_empty() || port().any(|port| self.ports.contains(&port)))
            && self.ray.is_none_or(|wanted| record.ray.as_deref().is_some_and(|ray| wanted.is(ray)))
    }

    /// The times between which a line's text must lie, for [`Span::excludes`].
    pub(super) fn span(&self) -> Span {
        let text = |time: Option<Timestamp>| {
            let text = time?.to_string().into_bytes();
            text.get(..SECONDS).filter(|_| text.get(4) == Some(&b'-')).map(<[u8]>::to_vec)
        };
        Span { since: text(self.since), until: text(self.until) }
    }
}

/// A span of time as text.
#[derive(Clone, Debug)]
pub(super) struct Span {
    since: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
}

impl Span {
    /// Whether the event of this line surely lies outside, by a second or more; `false` says nothing.
    pub(super) fn excludes(&self, line: &[u8]) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return false;
        }
        let Some(rest) = STARTS.iter().find_map(|start| line.strip_prefix(*start)) else { return false };
        let Some(time) = rest.iter().take(40).position(|byte| *byte == b'"').map(|end| &rest[..end]) else {
            return false;
        };
        if time.last() != Some(&b'Z') || !time.first().is_some_and(u8::is_ascii_digit) {
            return false;
        }
        let Some(time) = time.get(..SECONDS) else { return false };
        self.since.as_deref().is_some_and(|since| time < since)
            || self.until.as_deref().is_some_and(|until| time > until)
    }
}
