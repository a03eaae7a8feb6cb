//! Where Apache's httpd passes requests on.

use std::time::Duration;

use super::super::apache::Setting;
use super::super::idle::Value;
use super::super::target::{At, TARGETS, Target};
use super::super::unit::time;

/// Its default of `Timeout`.
const WAIT: Duration = Duration::from_secs(60);

/// Every `ProxyPass` and `SetHandler "proxy:…"`.
pub(in super::super) fn targets(config: &[Setting]) -> Vec<Target> {
    let mut found = Vec::new();
    for one in config {
        let Some(url) = url(one) else { continue };
        let Some(at) = address(url) else { continue };
        let timeout = own(one).unwrap_or_else(|| waits(config, one.host));
        found.push(Target {
            at,
            setting: format!("{} {url}", written(&one.name)),
            place: one.place.clone(),
            wait: "ProxyTimeout",
            timeout: Some(timeout),
        });
        if found.len() == TARGETS {
            break;
        }
    }
    found
}

fn url(one: &Setting) -> Option<&str> {
    match one.name.as_str() {
        // The path comes first, but not within a <Location>.
        "proxypass" | "proxypassmatch" => {
            one.value.split(' ').take(2).find(|word| word.contains("://") || word.starts_with("unix:"))
        }
        "sethandler" => one.value.strip_prefix("proxy:"),
        _ => None,
    }
}

fn written(name: &str) -> &str {
    match name {
        "proxypass" => "ProxyPass",
        "proxypassmatch" => "ProxyPassMatch",
        _ => "SetHandler",
    }
}

/// `unix:PATH|URL`, or a URL.
fn address(url: &str) -> Option<At> {
    match url.split_once('|') {
        Some((path, _)) => At::read(path, None),
        None => At::of_url(url),
    }
}

/// `timeout=` of this very directive.
fn own(one: &Setting) -> Option<Value<Duration>> {
    let text = one.value.split(' ').find_map(|word| word.strip_prefix("timeout="))?;
    Some(Value { value: time(text, 1000)?, place: Some(one.place.clone()) })
}

/// `ProxyTimeout`, else `Timeout`; a virtual host's own before the server's.
fn waits(config: &[Setting], host: Option<usize>) -> Value<Duration> {
    let last = |name: &str, of: Option<usize>| config.iter().rev().find(|one| one.host == of && one.name == name);
    let found = ["proxytimeout", "timeout"].iter().find_map(|name| last(name, host).or_else(|| last(name, None)));
    let value = found.and_then(|one| {
        let text = one.value.split(' ').next()?;
        Some(Value { value: time(text, 1000)?, place: Some(one.place.clone()) })
    });
    value.unwrap_or_else(|| Value::default(WAIT))
}

#[cfg(test)]
mod tests {
    use super::super::super::apache::settings;
    use super::*;

    #[test]
    fn passes_and_handlers_are_found_with_the_timeout_in_force() {
        let text = "Timeout 100\n<VirtualHost *:80>\nProxyTimeout 20\nProxyPass /a http://127.0.0.1:3000/ \
                    timeout=5\nProxyPass /b !\nProxyPass /c http://[::1]:81/\n<FilesMatch .php$>\nSetHandler \
                    \"proxy:unix:/run/php/php8.2-fpm.sock|fcgi://localhost\"\n</FilesMatch>\n</VirtualHost>\n\
                    <Location /d>\nProxyPass http://127.0.0.1:82/\n</Location>\nSetHandler server-status\n";
        let told = |one: Target| {
            let timeout = one.timeout.unwrap();
            format!("{} {}{} ({})", one.at, timeout.value.as_secs(), timeout.origin(), one.place)
        };
        let found: Vec<_> = targets(&settings("/a.conf", text)).into_iter().map(told).collect();
        assert_eq!(
            found,
            [
                "127.0.0.1:3000 5 (/a.conf:4) (/a.conf:4)",
                "[::1]:81 20 (/a.conf:3) (/a.conf:6)",
                "unix:/run/php/php8.2-fpm.sock 20 (/a.conf:3) (/a.conf:8)",
                "127.0.0.1:82 100 (/a.conf:1) (/a.conf:12)",
            ]
        );
    }
}
