//! The page at `/`: version, readiness, probes, the last failures. Everything foreign is escaped; no script.

use std::fmt::{self, Write as _};

use super::escape::html;
use super::text;
use crate::diagnose::Diagnosis;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
color-scheme:light dark}h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}code{overflow-wrap:anywhere}\
article{border-left:3px solid #c33;margin:1rem 0;padding:0 0 0 .8rem}ul{margin:.2rem 0;padding-left:1.2rem}\
p{margin:.2rem 0}";

/// The whole page; `recent` has the newest failure first.
pub(super) fn render<'a>(ready: bool, probes: &str, recent: impl IntoIterator<Item = &'a Diagnosis>) -> String {
    let mut out = String::with_capacity(8 * 1024);
    // Writing to a string can't fail.
    let _ = write(&mut out, ready, probes, recent);
    out
}

fn write<'a>(
    out: &mut String,
    ready: bool,
    probes: &str,
    recent: impl IntoIterator<Item = &'a Diagnosis>,
) -> fmt::Result {
    let (version, state) = (env!("CARGO_PKG_VERSION"), if ready { "ready" } else { "not ready" });
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tracer</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>tracer {version}: {state}</h1>\n<p>Why requests from Cloudflare's edge fail at this host. \
         <a href=\"/metrics\">metrics</a> · <a href=\"/-/ready\">ready</a> · <a href=\"/-/healthy\">healthy</a></p>\n\
         <h2>Probes</h2>\n<ul>"
    )?;
    for part in probes.split("; ") {
        write!(out, "<li>{}</li>", html(part))?;
    }
    out.push_str("</ul>\n<h2>Last failures</h2>\n");
    let mut recent = recent.into_iter().peekable();
    if recent.peek().is_none() {
        out.push_str("<p>None since the start.</p>\n");
    }
    recent.try_for_each(|diagnosis| failure(out, diagnosis))?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn failure(out: &mut String, d: &Diagnosis) -> fmt::Result {
    let status = d.edge_status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
    write!(out, "<article><p><b>{status} {}</b> {} · {}", d.cause, d.certainty, d.time)?;
    if let Some(ray) = &d.ray {
        write!(out, " · ray {}", html(ray))?;
    }
    out.push_str("</p>");
    // These two are escaped for a terminal already, and `html` leaves escapes as they are but for their backslash.
    for line in text::request(d).into_iter().chain([text::place(d)]) {
        write!(out, "<p><code>{}</code></p>", html(&line))?;
    }
    out.push_str("<ul>");
    for fact in &d.evidence {
        write!(out, "<li>{}</li>", html(fact))?;
    }
    writeln!(out, "</ul><p>{}</p></article>", html(&d.advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::sample::diagnosis;

    #[test]
    fn page_shows_state_probes_and_failures_with_evidence_and_advice() {
        let page = render(true, "attached: a b; missing: c (blurs d): no BTF", [&diagnosis()]);
        for part in [
            "<h1>tracer 0.",
            ": ready</h1>",
            "<li>attached: a b</li><li>missing: c (blurs d): no BTF</li>",
            "<b>520 empty_reply</b> certain · 2026-11-20T10:00:00.123456789Z · ray 7d1234567890abcd-LAX",
            "<code>GET www.example.com/api/users</code>",
            "<code>nginx[1234] (nginx.service) on :80 ← 173.245.48.10:41234</code>",
            "<li>no response byte was sent</li>",
            "Look at the server&#39;s error log",
        ] {
            assert!(page.contains(part), "{part} not in\n{page}");
        }
        assert!(render(false, "", []).contains(": not ready</h1>"));
        assert!(render(false, "", []).contains("None since the start."));
    }

    #[test]
    fn foreign_text_stays_text() {
        let nasty = || Some("<script>alert('1')</script>\x1b\u{202e}\"".to_owned());
        let failure = Diagnosis {
            ray: nasty(),
            method: nasty(),
            host: nasty(),
            path: nasty(),
            process: nasty(),
            unit: nasty(),
            evidence: vec![nasty().unwrap()],
            advice: nasty().unwrap(),
            ..diagnosis()
        };
        let page = render(true, &nasty().unwrap(), [&failure]);
        assert!(!page.contains("<script") && !page.contains(['\x1b', '\u{202e}']), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 9, "{page}");
    }
}
