//! A failure for the eyes: a headline, then where, evidence and advice, indented.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::escape::terminal;
use crate::diagnose::Diagnosis;
use crate::diagnose::upstream::UpstreamFields;

pub(super) const INDENT: &str = "               ";

/// How parts are set off on a terminal that takes colour.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Dim,
    Failure,
    /// An answer of 5xx that the origin gave itself.
    Answer,
    Advice,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Failure => "1;31",
            Self::Answer => "1;33",
            Self::Advice => "36",
        }
    }
}

/// Sets the text off, where colour is wanted.
pub(super) fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
}

/// One failure as lines of text, the final line end included. All foreign text is escaped.
pub(super) fn write(out: &mut String, d: &Diagnosis, colour: bool, with_advice: bool) -> fmt::Result {
    let paint = |style, text: &str| paint(colour, style, text);
    let status = d.edge_status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
    let cause = paint(Style::Failure, &format!("{status} {}", d.cause));
    write!(out, "{}  {cause}  {}", paint(Style::Dim, &clock(d.time).to_string()), d.certainty)?;
    for part in [request(d), d.ray.as_deref().map(|ray| format!("ray {}", terminal(ray)))].into_iter().flatten() {
        write!(out, "  {part}")?;
    }
    writeln!(out, "\n{INDENT}{}", place(d))?;
    for fact in &d.evidence {
        writeln!(out, "{INDENT}· {}", terminal(fact))?;
    }
    if with_advice {
        writeln!(out, "{INDENT}{}", paint(Style::Advice, &format!("→ {}", terminal(&d.advice))))?;
    }
    Ok(())
}

/// One failure as a single line without a time: for a journal, which has its own. All foreign text is escaped.
pub(super) fn line(d: &Diagnosis) -> String {
    let status = d.edge_status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
    let ray = d.ray.as_deref().map(|ray| format!("ray {}", terminal(ray)));
    let parts = [Some(format!("{status} {} {}", d.cause, d.certainty)), request(d), ray, Some(place(d))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// The time of day in UTC, as in the edge's own logs.
pub(crate) fn clock(time: jiff::Timestamp) -> impl fmt::Display {
    jiff::fmt::strtime::format("%H:%M:%S%.3fZ", time).unwrap_or_else(|_| time.to_string())
}

pub(crate) fn request(d: &Diagnosis) -> Option<String> {
    let target = format!("{}{}", d.host.as_deref().unwrap_or(""), d.path.as_deref().unwrap_or(""));
    match (&d.method, target.is_empty()) {
        (None, true) => None,
        (None, false) => Some(terminal(&target).into_owned()),
        (Some(method), true) => Some(terminal(method).into_owned()),
        (Some(method), false) => Some(format!("{} {}", terminal(method), terminal(&target))),
    }
}

/// Who answered where to whom: `nginx[1234] on :80 ← 173.245.48.10:41234`.
pub(crate) fn place(d: &Diagnosis) -> String {
    let mut place = String::new();
    if let Some(process) = &d.process {
        place.push_str(&terminal(process));
        if let Some(pid) = d.pid {
            // Writing to a string can't fail.
            let _ = write!(place, "[{pid}]");
        }
        if let Some(home) = d.unit.as_ref().or(d.container.as_ref()) {
            let _ = write!(place, " ({})", terminal(home));
        }
        place.push_str(" on ");
    }
    let peer = SocketAddr::new(d.peer_addr.to_canonical(), d.peer_port);
    let _ = write!(place, ":{} ← {peer}", d.local_port);
    place.push_str(&behind(&d.upstream));
    place
}

/// Who stood behind: `, behind it php-fpm[34] at unix:/run/php/php-fpm.sock`; empty where nobody did.
pub(super) fn behind(upstream: &UpstreamFields) -> String {
    let address = upstream.upstream_addr.as_deref().map(|address| format!("at {}", terminal(address)));
    let process = upstream.upstream_process.as_deref().map(|process| {
        let pid = upstream.upstream_pid.map_or_else(String::new, |pid| format!("[{pid}]"));
        format!("{}{pid}", terminal(process))
    });
    let behind: Vec<_> = [process, address].into_iter().flatten().collect();
    if behind.is_empty() { String::new() } else { format!(", behind it {}", behind.join(" ")) }
}
