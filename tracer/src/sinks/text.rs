//! An event for the eyes: a headline, then where, evidence and advice, indented.

use std::fmt::{self, Write};

use super::escape::terminal;
use super::style::{Style, paint};
use super::told::Told;

const INDENT: &str = "               ";

/// One event as lines of text, the final line end included. All foreign text is escaped.
pub(super) fn write(out: &mut String, told: &Told<'_>, colour: bool, with_advice: bool) -> fmt::Result {
    let headline = paint(colour, told.style, &terminal(&told.headline));
    let time = paint(colour, Style::Dim, &clock(told.time).to_string());
    write!(out, "{time}  {headline}  {}", terminal(told.certainty))?;
    for part in [request(told), ray(told)].into_iter().flatten() {
        write!(out, "  {part}")?;
    }
    writeln!(out, "\n{INDENT}{}", place(told))?;
    for fact in told.evidence {
        writeln!(out, "{INDENT}· {}", terminal(fact))?;
    }
    if with_advice && !told.advice.is_empty() {
        writeln!(out, "{INDENT}{}", paint(colour, Style::Advice, &format!("→ {}", terminal(told.advice))))?;
    }
    Ok(())
}

/// One event as a single line without a time. All foreign text is escaped.
pub(super) fn line(told: &Told<'_>) -> String {
    let headline = format!("{} {}", terminal(&told.headline), terminal(told.certainty));
    let parts = [Some(headline), request(told), ray(told), Some(place(told))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// The time of day in UTC, as in the edge's own logs.
pub(crate) fn clock(time: jiff::Timestamp) -> impl fmt::Display {
    jiff::fmt::strtime::format("%H:%M:%S%.3fZ", time).unwrap_or_else(|_| time.to_string())
}

fn ray(told: &Told<'_>) -> Option<String> {
    told.ray.map(|ray| format!("ray {}", terminal(ray)))
}

pub(crate) fn request(told: &Told<'_>) -> Option<String> {
    let target = format!("{}{}", told.host.unwrap_or(""), told.path.unwrap_or(""));
    let parts = [told.method, Some(target.as_str()).filter(|target| !target.is_empty())];
    let request = parts.into_iter().flatten().map(terminal).collect::<Vec<_>>().join(" ");
    (!request.is_empty()).then_some(request)
}

/// Who answered where to whom, and who stood behind: `nginx[12] on :80 ← 173.245.48.10:41234, behind it php-fpm[34]`.
pub(crate) fn place(told: &Told<'_>) -> String {
    let mut place = String::new();
    if let Some(process) = told.process {
        place.push_str(&terminal(process));
        if let Some(pid) = told.pid {
            // Writing to a string can't fail.
            let _ = write!(place, "[{pid}]");
        }
        if let Some(home) = told.home {
            let _ = write!(place, " ({})", terminal(home));
        }
        place.push_str(" on ");
    }
    match told.local_port {
        Some(port) => place.push_str(&format!(":{port}")),
        None => place.push_str("an unknown port"),
    }
    if let Some(peer) = told.peer {
        let _ = write!(place, " ← {peer}");
    }
    place.push_str(&behind(told));
    place
}

/// `, behind it php-fpm[34] at unix:/run/php/php-fpm.sock`; empty where nobody stood there.
fn behind(told: &Told<'_>) -> String {
    let address = told.upstream_addr.map(|address| format!("at {}", terminal(address)));
    let process = told.upstream_process.map(|process| {
        let pid = told.upstream_pid.map_or_else(String::new, |pid| format!("[{pid}]"));
        format!("{}{pid}", terminal(process))
    });
    let behind: Vec<_> = [process, address].into_iter().flatten().collect();
    if behind.is_empty() { String::new() } else { format!(", behind it {}", behind.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::origin::OriginError;
    use crate::diagnose::upstream::UpstreamFields;
    use crate::sinks::sample::origin_error;

    #[test]
    fn an_answer_names_its_status_its_cause_and_who_stood_behind() {
        let mut text = String::new();
        write(&mut text, &Told::from(&origin_error()), false, true).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let head = "10:00:00.123Z  origin's own 502: oom_kill  certain  GET www.example.com/api/users  ";
        assert_eq!(lines[0], format!("{head}ray 7d1234567890abcd-LAX"));
        assert_eq!(
            lines[1],
            "nginx[1234] on :80 ← 173.245.48.10:41234, behind it php-fpm8.2[4711] at unix:/run/php/php8.2-fpm.sock"
        );
        assert_eq!(lines[2..], ["· the OOM killer chose php-fpm8.2[4711]", "→ Raise the memory limit."]);
        assert_eq!(line(&Told::from(&origin_error())).lines().count(), 1);
    }

    #[test]
    fn foreign_bytes_are_escaped() {
        let evil = OriginError {
            path: Some("/\x1b[2J".into()),
            upstream: UpstreamFields {
                upstream_addr: Some("unix:/tmp/\x1b]0;x".into()),
                upstream_process: Some("\x07".into()),
                ..UpstreamFields::default()
            },
            ..origin_error()
        };
        let mut text = String::new();
        write(&mut text, &Told::from(&evil), false, true).unwrap();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!line(&Told::from(&evil)).chars().any(char::is_control));
    }
}
