//! Where HAProxy passes requests on.

use super::super::haproxy::{Section, defaults};
use super::super::idle::Value;
use super::super::target::{At, TARGETS, Target};
use super::super::unit::time;

/// Every server of its backends.
pub(in super::super) fn targets(config: &[Section]) -> Vec<Target> {
    let mut found = Vec::new();
    for (at, section) in config.iter().enumerate() {
        if !matches!(section.kind.as_str(), "backend" | "listen") {
            continue;
        }
        let timeout = section.last(&["timeout", "server"]);
        let timeout = timeout.or_else(|| defaults(config, at)?.last(&["timeout", "server"]));
        let timeout =
            timeout.and_then(|(place, text)| Some(Value { value: time(text, 1)?, place: Some(place.to_owned()) }));
        for (place, words) in section.lines.iter().filter(|(_, words)| words[0] == "server") {
            let Some(address) = words.get(2).and_then(|address| At::read(address, Some(80))) else { continue };
            found.push(Target {
                at: address,
                setting: words[..3].join(" "),
                place: place.clone(),
                wait: "timeout server",
                timeout: timeout.clone(),
            });
        }
    }
    found.truncate(TARGETS);
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::haproxy::sections;
    use super::*;

    #[test]
    fn servers_are_found_with_the_timeout_in_force() {
        let text = "defaults\n timeout server 30s\nbackend a\n server one 127.0.0.1:3000 check\n server two \
                    unix@/run/b.sock\n server three app.example:80\nlisten l\n timeout server 2m\n server x [::1]:81\n\
                    frontend f\n bind :80\nbackend broken\n server\n server y\n";
        let told = |one: Target| {
            let timeout = one.timeout.unwrap();
            format!("{} {}{} ({})", one.at, timeout.value.as_secs(), timeout.origin(), one.place)
        };
        let found: Vec<_> = targets(&sections("/h.cfg", text)).into_iter().map(told).collect();
        assert_eq!(
            found,
            [
                "127.0.0.1:3000 30 (/h.cfg:2) (/h.cfg:4)",
                "unix:/run/b.sock 30 (/h.cfg:2) (/h.cfg:5)",
                "[::1]:81 120 (/h.cfg:8) (/h.cfg:9)",
            ]
        );
        assert_eq!(targets(&sections("/h.cfg", "backend a\n server one 127.0.0.1:1\n"))[0].timeout, None);
    }
}
