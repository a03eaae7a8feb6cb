//! The page at `/`: version, health, probes, the last failures. Everything foreign is escaped; no script, nothing
//! fetched; narrow screens need no sideways scrolling.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::escape::html;
use super::summary::without_sight;
use super::text;
use super::told::Told;
use crate::counts::{PortCounters, Snapshot, TlsCounters};
use crate::diagnose::{Diagnosis, origin::OriginError};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;overflow-wrap:anywhere}\
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}p{margin:.25rem 0}\
ul{margin:.25rem 0;padding-left:1.2rem}a{margin-right:.8rem}code{font-size:.9em}\
.ok{color:#187a3c}.bad,article b{color:#c22}article{border-left:3px solid #c22;margin:1rem 0;padding-left:.7rem}\
@media(prefers-color-scheme:dark){.ok{color:#5fc983}.bad,article b{color:#ff7b72}}";

/// Files with a TLS library that the page lists.
const FILES: usize = 50;

/// What the page says beside the failures.
pub(super) struct Health<'a> {
    pub(super) ready: bool,
    /// What is attached and what is not, parts separated by `; `.
    pub(super) probes: &'a str,
    pub(super) now: &'a Snapshot,
    /// Failures since the start.
    pub(super) failures: u64,
    /// Of these, those that came without their request because it was inside TLS.
    pub(super) inside_tls: u64,
    /// Details of the origin's own answers of 5xx since the start.
    pub(super) origin_errors: u64,
}

/// The whole page; `recent` has the newest failure first.
pub(super) fn render<'a>(
    state: &Health<'_>,
    recent: impl ExactSizeIterator<Item = &'a Diagnosis>,
    origin_errors: impl ExactSizeIterator<Item = &'a OriginError>,
) -> String {
    let mut out = String::with_capacity(16 * 1024);
    // Writing to a string can't fail.
    let _ = write(&mut out, state, recent, origin_errors);
    out
}

fn write<'a>(
    out: &mut String,
    state: &Health<'_>,
    mut recent: impl ExactSizeIterator<Item = &'a Diagnosis>,
    mut origin_errors: impl ExactSizeIterator<Item = &'a OriginError>,
) -> fmt::Result {
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tracer</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body>\n\
         <h1>tracer {}</h1>\n<p>Why requests from Cloudflare's edge fail at this host.</p>\n\
         <p><a href=\"/metrics\">metrics</a> <a href=\"/-/ready\">ready</a> <a href=\"/-/healthy\">healthy</a> \
         <a href=\"/api/v1/records\">records</a></p>\n",
        env!("CARGO_PKG_VERSION")
    )?;
    health(out, state)?;
    out.push_str("<h2>Probes</h2>\n<ul>");
    for part in state.probes.split("; ") {
        let class = if part.starts_with("missing: ") { " class=\"bad\"" } else { "" };
        write!(out, "<li{class}>{}</li>", html(part))?;
    }
    out.push_str("</ul>\n");
    if let Some(tls) = &state.now.tls {
        inside_tls(out, tls)?;
    }
    writeln!(out, "<h2>Last failures: {} of {}</h2>", recent.len(), state.failures)?;
    if let Some(hint) = without_sight(state.inside_tls).filter(|_| state.now.tls.is_none()) {
        writeln!(out, "<p>{}</p>", html(&hint))?;
    }
    if recent.len() == 0 {
        out.push_str("<p>None since the start.</p>\n");
    }
    recent.try_for_each(|diagnosis| failure(out, diagnosis))?;
    writeln!(out, "<h2>The origin&#39;s own answers of 5xx: {} of {}</h2>", origin_errors.len(), state.origin_errors)?;
    if origin_errors.len() == 0 {
        out.push_str("<p>None since the start.</p>\n");
    }
    origin_errors.try_for_each(|error| origin_error(out, error))?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn health(out: &mut String, state: &Health<'_>) -> fmt::Result {
    let now = state.now;
    let (class, word) = if state.ready { ("ok", "ready") } else { ("bad", "not ready") };
    let sum = |of: fn(&PortCounters) -> u64| now.ports.iter().map(of).sum::<u64>();
    write!(
        out,
        "<h2>Health</h2>\n<ul><li><b class=\"{class}\">{word}</b></li><li>{} exchanges seen, {} connections open</li>\
         <li>{} IPv4 and {} IPv6 ranges",
        sum(|port| port.exchanges),
        sum(|port| port.open),
        now.ranges_ipv4,
        now.ranges_ipv6
    )?;
    if let Some(date) = now.ranges_date_s.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        write!(out, " of {}", jiff::fmt::strtime::format("%F", date).unwrap_or_default())?;
    }
    out.push_str("</li>");
    let mut lost = now.lost.iter().filter(|(_, count)| *count > 0).peekable();
    if lost.peek().is_none() {
        out.push_str("<li>no record lost</li>");
    }
    for (place, count) in lost {
        write!(out, "<li class=\"bad\">{count} records lost: {}</li>", html(place))?;
    }
    out.push_str("</ul>\n");
    Ok(())
}

/// Sight inside TLS, which is on: what it has seen, and the files with a TLS library that servers have loaded.
fn inside_tls(out: &mut String, tls: &TlsCounters) -> fmt::Result {
    out.push_str("<h2>Inside TLS</h2>\n<ul>");
    if tls.paused {
        out.push_str("<li class=\"bad\">paused for a minute: the probes were hit too often</li>");
    }
    write!(
        out,
        "<li>secrets known of {} connections, not of {}</li><li>{} exchanges decrypted, {} not</li>",
        tls.with_keys, tls.without_keys, tls.opened, tls.unopened
    )?;
    if tls.files.is_empty() {
        out.push_str("<li>no TLS library of a server is probed</li>");
    }
    for file in tls.files.iter().take(FILES) {
        let name = file.library.as_deref().map_or_else(String::new, |library| format!("{library} in "));
        let name = format!("{name}{}", file.path);
        match &file.refused {
            None => write!(out, "<li>{}: probed</li>", html(&name))?,
            Some(why) => write!(out, "<li class=\"bad\">{}: no probe: {}</li>", html(&name), html(why))?,
        }
    }
    if tls.files.len() > FILES {
        write!(out, "<li>and {} more files</li>", tls.files.len() - FILES)?;
    }
    out.push_str("</ul>\n");
    Ok(())
}

fn origin_error(out: &mut String, e: &OriginError) -> fmt::Result {
    write!(out, "<article><p><b>{} {}</b> {} · {}", e.response_status, e.cause, e.certainty, e.time)?;
    if let Some(ray) = &e.ray {
        write!(out, " · ray {}", html(ray))?;
    }
    out.push_str("</p>");
    // These two are escaped for a terminal already, and `html` leaves escapes as they are but for their backslash.
    let told = Told::from(e);
    for line in text::request(&told).into_iter().chain([text::place(&told)]) {
        write!(out, "<p><code>{}</code></p>", html(&line))?;
    }
    out.push_str("<ul>");
    for fact in &e.evidence {
        write!(out, "<li>{}</li>", html(fact))?;
    }
    writeln!(out, "</ul><p>{}</p></article>", html(&e.advice))
}

fn failure(out: &mut String, d: &Diagnosis) -> fmt::Result {
    let status = d.edge_status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
    write!(out, "<article><p><b>{status} {}</b> {} · {}", d.cause, d.certainty, d.time)?;
    if let Some(ray) = &d.ray {
        write!(out, " · ray {}", html(ray))?;
    }
    out.push_str("</p>");
    // These two are escaped for a terminal already, and `html` leaves escapes as they are but for their backslash.
    let told = Told::from(d);
    for line in text::request(&told).into_iter().chain([text::place(&told)]) {
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
    use crate::counts::TlsFile;
    use crate::sinks::sample::{diagnosis, origin_error};

    fn page(ready: bool, probes: &str, recent: &[Diagnosis]) -> String {
        let failures = recent.len() as u64;
        let state = Health { ready, probes, now: &Snapshot::default(), failures, inside_tls: 0, origin_errors: 7 };
        render(&state, recent.iter(), [origin_error()].iter())
    }

    #[test]
    fn page_shows_state_probes_and_failures_with_evidence_and_advice() {
        let text = page(true, "attached: a b; missing: c (blurs d): no BTF", &[diagnosis()]);
        for part in [
            "<h1>tracer 0.",
            "<b class=\"ok\">ready</b>",
            "<li>attached: a b</li><li class=\"bad\">missing: c (blurs d): no BTF</li>",
            "<h2>Last failures: 1 of 1</h2>",
            "<b>520 empty_reply</b> certain · 2026-11-20T10:00:00.123456789Z · ray 7d1234567890abcd-LAX",
            "<code>GET www.example.com/api/users</code>",
            "<code>nginx[1234] (nginx.service) on :80 ← 173.245.48.10:41234</code>",
            "<li>no response byte was sent</li>",
            "Look at the server&#39;s error log",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(page(false, "", &[]).contains("<b class=\"bad\">not ready</b>"));
        assert!(page(false, "", &[]).contains("None since the start."));
    }

    #[test]
    fn page_shows_the_origins_own_errors_apart_from_failures() {
        let text = page(true, "", &[]);
        for part in [
            "<h2>Last failures: 0 of 0</h2>",
            "<h2>The origin&#39;s own answers of 5xx: 1 of 7</h2>",
            "<b>502 oom_kill</b> certain",
            "behind it php-fpm8.2[4711] at unix:/run/php/php8.2-fpm.sock</code>",
            "<li>the OOM killer chose php-fpm8.2[4711]</li>",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
    }

    #[test]
    fn health_counts_what_was_seen_and_what_was_lost() {
        let port = |exchanges, open| PortCounters { exchanges, open, ..PortCounters::default() };
        let now = Snapshot {
            ports: vec![port(40, 1), port(2, 2)],
            lost: vec![("ring", 0), ("events", 7)],
            ranges_ipv4: 15,
            ranges_ipv6: 7,
            ranges_date_s: Some(1_792_022_400),
            ..Snapshot::default()
        };
        let text = render(
            &Health { ready: true, probes: "", now: &now, failures: 60, inside_tls: 0, origin_errors: 0 },
            [].iter(),
            [].iter(),
        );
        for part in [
            "42 exchanges seen, 3 connections open",
            "15 IPv4 and 7 IPv6 ranges of 2026-10-1",
            "<li class=\"bad\">7 records lost: events</li>",
            "Last failures: 0 of 60",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains("ring"), "{text}");
        assert!(page(true, "", &[]).contains("<li>no record lost</li>"));
    }

    /// The page with this of sight inside TLS.
    fn with_sight(tls: Option<TlsCounters>) -> String {
        let now = Snapshot { tls, ..Snapshot::default() };
        render(
            &Health { ready: true, probes: "", now: &now, failures: 3, inside_tls: 2, origin_errors: 0 },
            [].iter(),
            [].iter(),
        )
    }

    #[test]
    fn sight_inside_tls_is_told_by_file_and_its_absence_once() {
        let file = |library: Option<&str>, refused: Option<&str>| TlsFile {
            path: "/usr/lib/<b>libssl.so.3".into(),
            library: library.map(str::to_owned),
            refused: refused.map(str::to_owned),
        };
        let files = vec![file(Some("OpenSSL 3"), None), file(None, Some("of another machine"))];
        let text = with_sight(Some(TlsCounters {
            with_keys: 5,
            opened: 4,
            unopened: 1,
            paused: true,
            files,
            ..Default::default()
        }));
        for part in [
            "<li class=\"bad\">paused for a minute",
            "<li>secrets known of 5 connections, not of 0</li><li>4 exchanges decrypted, 1 not</li>",
            "<li>OpenSSL 3 in /usr/lib/&lt;b&gt;libssl.so.3: probed</li>",
            "<li class=\"bad\">/usr/lib/&lt;b&gt;libssl.so.3: no probe: of another machine</li>",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains("--tls-sight"), "{text}");
        assert!(with_sight(Some(TlsCounters::default())).contains("no TLS library of a server is probed"));
        let many = TlsCounters { files: vec![file(None, None); FILES + 7], ..TlsCounters::default() };
        assert!(with_sight(Some(many)).contains("<li>and 7 more files</li>"));
        let off = with_sight(None);
        assert_eq!(off.matches("2 failures inside TLS came without the request").count(), 1, "{off}");
        assert!(!off.contains("Inside TLS"), "{off}");
        assert!(!page(true, "", &[]).contains("--tls-sight"));
    }

    #[test]
    fn page_suits_a_phone_and_fetches_nothing() {
        let text = page(true, "attached: all", &[diagnosis()]).to_lowercase();
        assert!(text.contains("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"));
        assert!(text.contains("overflow-wrap:anywhere"));
        for foreign in
            ["<script", "<img", "<link", "<iframe", "<form", "src=", "url(", "@import", "http:", "https:", " on"]
        {
            let found = text.replace(" on :80", "").replace(" once", "").contains(foreign);
            assert!(!found, "{foreign} in\n{text}");
        }
    }

    /// A failure with this text wherever the host, the edge or the wire says something.
    fn told(text: &str) -> Diagnosis {
        let said = || Some(text.to_owned());
        Diagnosis {
            ray: said(),
            method: said(),
            host: said(),
            path: said(),
            edge_range: said(),
            tls_sni: said(),
            tls_alert: said(),
            process: said(),
            exe: said(),
            unit: said(),
            container: said(),
            end_signal: said(),
            oom_victim: said(),
            reset_reason: said(),
            evidence: vec![text.to_owned(); 3],
            advice: text.to_owned(),
            ..diagnosis()
        }
    }

    fn tags(page: &str) -> Vec<String> {
        page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn hostile_bytes_stay_text_and_the_pages_tags_its_own() {
        let own = tags(&page(true, "x", &[told("x")]));
        let bytes: String = (0..=255_u8).map(char::from).collect();
        for hostile in [
            "<script>alert('1')</script>\x1b\u{202e}\"",
            "</style></code></li><img src=x onerror=alert(1)>",
            "--><!--",
            "]]><![CDATA[",
            "\" onmouseover=\"x",
            "&lt;script&gt;&#60;b&#x3e;",
            "a\r\nb\u{2028}c\0d\u{feff}\u{9b}31m",
            bytes.as_str(),
        ] {
            let text = page(true, hostile, &[told(hostile)]);
            assert_eq!(tags(&text), own, "{hostile:?}");
            let strange =
                text.chars().find(|&c| c != '\n' && (c.is_control() || "\u{202e}\u{2028}\u{feff}".contains(c)));
            assert_eq!(strange, None, "{hostile:?}");
        }
        assert!(page(true, "x", &[told("&lt;b&gt;")]).contains("<code>&amp;lt;b&amp;gt; "), "shown as it came");
    }
}
