//! Where nginx passes requests on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::block::Directive;
use super::super::idle::Value;
use super::super::nginx::{blocks, find, seconds};
use super::super::target::{At, TARGETS, Target};

/// The directives that pass requests on, and for how long each waits.
const PASSES: [(&str, &str); 3] = [
    ("proxy_pass", "proxy_read_timeout"),
    ("fastcgi_pass", "fastcgi_read_timeout"),
    ("uwsgi_pass", "uwsgi_read_timeout"),
];
/// The default of all three.
const WAIT: Duration = Duration::from_secs(60);

/// The timeouts in force, by the order of [`PASSES`].
type Waits = [Value<Duration>; 3];

/// Every place that passes requests on to an address.
pub(in super::super) fn targets(config: &[Directive]) -> Vec<Target> {
    let mut found = Vec::new();
    for http in blocks(config, "http") {
        let groups = groups(http);
        walk(http, &[(); 3].map(|()| Value::default(WAIT)), &groups, &mut found);
    }
    found.truncate(TARGETS);
    found
}

/// The addresses of each `upstream { }`.
fn groups(http: &[Directive]) -> BTreeMap<&str, Vec<At>> {
    let named = http.iter().filter(|one| one.name() == "upstream");
    let servers = |of: &Directive| {
        let servers = of.block.iter().flatten().filter(|one| one.name() == "server");
        servers.filter_map(|one| At::read(one.arg(1), Some(80))).collect()
    };
    named.map(|one| (one.arg(1), servers(one))).collect()
}

fn walk(block: &[Directive], outer: &Waits, groups: &BTreeMap<&str, Vec<At>>, found: &mut Vec<Target>) {
    let mut waits = outer.clone();
    for (wait, (_, name)) in waits.iter_mut().zip(PASSES) {
        if let Some(value) = find(block, name).and_then(seconds) {
            *wait = value;
        }
    }
    for one in block {
        if let Some(which) = PASSES.iter().position(|(pass, _)| *pass == one.name()) {
            for at in addresses(one.arg(1), groups) {
                found.push(Target {
                    at,
                    setting: format!("{} {}", one.name(), one.arg(1)),
                    place: format!("{}:{}", one.file, one.line),
                    wait: PASSES[which].1,
                    timeout: Some(waits[which].clone()),
                });
            }
        }
        if let Some(inner) = &one.block
            && one.name() != "upstream"
        {
            walk(inner, &waits, groups, found);
        }
    }
}

/// What an argument of these directives stands for.
fn addresses(text: &str, groups: &BTreeMap<&str, Vec<At>>) -> Vec<At> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let name = bare.split('/').next().unwrap_or_default();
    match groups.get(name) {
        Some(servers) => servers.clone(),
        None if text.contains("://") => At::of_url(text).into_iter().collect(),
        None => At::read(text, None).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::block::{Style, parse};
    use super::*;

    #[test]
    fn passes_are_found_with_the_timeouts_in_force_and_groups_with_their_servers() {
        let text = "http {\n fastcgi_read_timeout 2m;\n upstream app { server 127.0.0.1:3000; server unix:/run/a.sock \
                    weight=2; server b.example:80; }\n server {\n proxy_read_timeout 5s;\n location / { proxy_pass \
                    http://app/x; }\n location ~ .php$ { fastcgi_pass unix:/run/php/php8.2-fpm.sock; }\n location /v \
                    { proxy_pass http://$v; }\n location /s { proxy_read_timeout 600; proxy_pass \
                    http://localhost:4000; }\n\
                    \x20location /u { uwsgi_pass 127.0.0.1:3031; } }\n}";
        let config = parse(text, "/n.conf", Style::Semicolons).unwrap();
        let told = |one: Target| {
            let timeout = one.timeout.unwrap();
            format!("{} {} {}{} ({})", one.at, one.wait, timeout.value.as_secs(), timeout.origin(), one.place)
        };
        let found: Vec<_> = targets(&config).into_iter().map(told).collect();
        assert_eq!(
            found,
            [
                "127.0.0.1:3000 proxy_read_timeout 5 (/n.conf:5) (/n.conf:6)",
                "unix:/run/a.sock proxy_read_timeout 5 (/n.conf:5) (/n.conf:6)",
                "unix:/run/php/php8.2-fpm.sock fastcgi_read_timeout 120 (/n.conf:2) (/n.conf:7)",
                "127.0.0.1:4000 proxy_read_timeout 600 (/n.conf:9) (/n.conf:9)",
                "127.0.0.1:3031 uwsgi_read_timeout 60 (its default) (/n.conf:10)",
            ]
        );
    }
}
