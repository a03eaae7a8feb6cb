//! An answer of 5xx for the eyes: as [`super::text`] writes a failure, with the process behind.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::escape::terminal;
use super::text::{INDENT, Style, behind, clock, paint};
use crate::diagnose::origin::OriginError;

/// One answer as lines of text, the final line end included. All foreign text is escaped.
pub(super) fn write(out: &mut String, e: &OriginError, colour: bool, with_advice: bool) -> fmt::Result {
    let cause = paint(colour, Style::Answer, &headline(e));
    write!(out, "{}  {cause}  {}", paint(colour, Style::Dim, &clock(e.time).to_string()), e.certainty)?;
    for part in [request(e), e.ray.as_deref().map(|ray| format!("ray {}", terminal(ray)))].into_iter().flatten() {
        write!(out, "  {part}")?;
    }
    writeln!(out, "\n{INDENT}{}", place(e))?;
    for fact in &e.evidence {
        writeln!(out, "{INDENT}· {}", terminal(fact))?;
    }
    if with_advice {
        writeln!(out, "{INDENT}{}", paint(colour, Style::Advice, &format!("→ {}", terminal(&e.advice))))?;
    }
    Ok(())
}

/// One answer as a single line without a time. All foreign text is escaped.
pub(super) fn line(e: &OriginError) -> String {
    let ray = e.ray.as_deref().map(|ray| format!("ray {}", terminal(ray)));
    let parts = [Some(format!("{} {}", headline(e), e.certainty)), request(e), ray, Some(place(e))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// `origin's own 502: oom_kill`.
pub(super) fn headline(e: &OriginError) -> String {
    format!("origin's own {}: {}", e.response_status, e.cause)
}

pub(crate) fn request(e: &OriginError) -> Option<String> {
    let target = format!("{}{}", e.host.as_deref().unwrap_or(""), e.path.as_deref().unwrap_or(""));
    let parts = [e.method.as_deref(), Some(target.as_str()).filter(|target| !target.is_empty())];
    let request = parts.into_iter().flatten().map(terminal).collect::<Vec<_>>().join(" ");
    (!request.is_empty()).then_some(request)
}

/// Who answered where to whom, and who stood behind: `nginx[12] on :80 ← 173.245.48.10:41234, behind it php-fpm[34]`.
pub(crate) fn place(e: &OriginError) -> String {
    let mut place = String::new();
    if let Some(process) = &e.process {
        let pid = e.pid.map_or_else(String::new, |pid| format!("[{pid}]"));
        place.push_str(&format!("{}{pid} on ", terminal(process)));
    }
    let peer = SocketAddr::new(e.peer_addr.to_canonical(), e.peer_port);
    place.push_str(&format!(":{} ← {peer}", e.local_port));
    place.push_str(&behind(&e.upstream));
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::upstream::UpstreamFields;
    use crate::sinks::sample::origin_error;

    #[test]
    fn an_answer_names_its_status_its_cause_and_who_stood_behind() {
        let mut text = String::new();
        write(&mut text, &origin_error(), false, true).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let head = "10:00:00.123Z  origin's own 502: oom_kill  certain  GET www.example.com/api/users  ";
        assert_eq!(lines[0], format!("{head}ray 7d1234567890abcd-LAX"));
        assert_eq!(
            lines[1],
            "nginx[1234] on :80 ← 173.245.48.10:41234, behind it php-fpm8.2[4711] at unix:/run/php/php8.2-fpm.sock"
        );
        assert_eq!(lines[2..], ["· the OOM killer chose php-fpm8.2[4711]", "→ Raise the memory limit."]);
        assert_eq!(line(&origin_error()).lines().count(), 1);
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
        write(&mut text, &evil, false, true).unwrap();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!line(&evil).chars().any(char::is_control));
    }
}
