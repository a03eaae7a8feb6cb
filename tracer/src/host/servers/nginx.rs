//! nginx and its kin: keep-alive, header limits, and what hangs up.

use std::path::PathBuf;
use std::time::Duration;

use super::super::finding::Finding;
use super::block::{self, Directive, Style};
use super::find::Server;
use super::idle::{self, Value};
use super::load::{Loaded, Problem};
use super::tree::{Tree, join, parent};
use super::unit::{size, time};

/// Where it is compiled to look, by its packagers.
const USUAL: [&str; 5] = [
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/etc/angie/angie.conf",
    "/usr/local/etc/nginx/nginx.conf",
];
/// Its defaults.
const KEEPALIVE: Duration = Duration::from_secs(75);
const BUFFERS: (u64, u64) = (4, 8 << 10);
const PROXY_BUFFER: u64 = 4 << 10;
/// Slow clients' heads may take longer than this over a lossy path.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Fewer requests on a connection cost the edge a handshake too often.
const REQUESTS: u64 = 100;
const INCLUDES: u32 = 8;
const TEMPORARY: [&str; 5] =
    ["client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path"];

/// Reads the configuration of a running nginx.
pub(super) fn load(server: &Server, tree: &Tree) -> Loaded<Vec<Directive>> {
    let prefix = server.option("-p").first().map_or("/usr/local/nginx", |prefix| *prefix).to_owned();
    let given = server.option("-c").first().map(|path| join(&prefix, path));
    let path = given.or_else(|| USUAL.iter().find(|path| tree.exists(path)).map(|path| (*path).to_owned()));
    let Some(path) = path else { return Loaded::nowhere() };
    let mut problems = Vec::new();
    let found = include(tree, &path, parent(&path), INCLUDES, &mut problems);
    Loaded { found, problems }
}

/// A file's directives, with those of the files that it includes in their places.
fn include(tree: &Tree, path: &str, base: &str, depth: u32, problems: &mut Vec<Problem>) -> Vec<Directive> {
    let text = match tree.read(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::unread(path, &error));
            return Vec::new();
        }
    };
    let Some(directives) = block::parse(&text, path, Style::Semicolons) else {
        problems.push(Problem::malformed(path));
        return Vec::new();
    };
    expand(tree, directives, base, depth, problems)
}

fn expand(tree: &Tree, from: Vec<Directive>, base: &str, depth: u32, problems: &mut Vec<Problem>) -> Vec<Directive> {
    let mut expanded = Vec::with_capacity(from.len());
    for mut directive in from {
        if directive.name() == "include" && directive.block.is_none() {
            if depth == 0 {
                problems.push(Problem::too_deep(&directive.file));
                continue;
            }
            for path in tree.glob(&join(base, directive.arg(1))) {
                expanded.extend(include(tree, &path, base, depth - 1, problems));
            }
        } else {
            directive.block = directive.block.map(|block| expand(tree, block, base, depth, problems));
            expanded.push(directive);
        }
    }
    expanded
}

/// What the configuration means for the edge.
pub(super) fn judge(server: &str, config: &[Directive]) -> Vec<Finding> {
    let mut seen = Seen::default();
    for http in blocks(config, "http") {
        seen.block(http);
        for one in blocks(http, "server") {
            let keepalive = [one, http].into_iter().find_map(|scope| find(scope, "keepalive_timeout"));
            seen.keepalive.extend(keepalive.map_or_else(|| Some(Value::default(KEEPALIVE)), seconds));
        }
    }
    let mut found = Vec::new();
    if !seen.keepalive.is_empty() {
        let write = "write `keepalive_timeout 910s;` in http";
        found.push(idle::finding(server, "keepalive_timeout", &seen.keepalive, write));
        found.push(seen.limits(server));
    }
    found.extend(idle::hang_ups(server, &seen.hang_ups));
    found
}

/// Folders that it writes bodies to, as it sees them.
pub(super) fn temporary(config: &[Directive]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directive in config {
        if TEMPORARY.contains(&directive.name()) && directive.arg(1).starts_with('/') {
            found.push(PathBuf::from(directive.arg(1)));
        }
        found.extend(directive.block.iter().flat_map(|block| temporary(block)));
    }
    found
}

pub(super) fn blocks<'a>(of: &'a [Directive], name: &'a str) -> impl Iterator<Item = &'a [Directive]> {
    of.iter().filter(move |one| one.name() == name).filter_map(|one| one.block.as_deref())
}

pub(super) fn find<'a>(block: &'a [Directive], name: &str) -> Option<&'a Directive> {
    block.iter().find(|one| one.name() == name)
}

fn value<T>(of: &Directive, value: Option<T>) -> Option<Value<T>> {
    Some(Value { value: value?, place: Some(format!("{}:{}", of.file, of.line)) })
}

pub(super) fn seconds(of: &Directive) -> Option<Value<Duration>> {
    value(of, time(of.arg(1), 1000))
}

#[derive(Default)]
struct Seen {
    keepalive: Vec<Value<Duration>>,
    hang_ups: Vec<String>,
    small: Vec<String>,
    buffers: Option<String>,
}

impl Seen {
    /// A block of http and all within it.
    fn block(&mut self, of: &[Directive]) {
        for one in of {
            self.directive(one);
            let Some(block) = &one.block else { continue };
            // A location's own counts for what comes after its requests; a server's is inherited, and looked at there.
            if one.name() != "server" {
                self.keepalive.extend(find(block, "keepalive_timeout").and_then(seconds));
            }
            self.block(block);
        }
    }

    fn directive(&mut self, one: &Directive) {
        match one.name() {
            "return" | "limit_req_status" | "limit_conn_status" if one.arg(1) == "444" => self.hangs_up(one),
            "reset_timedout_connection" if one.arg(1) == "on" => self.hangs_up(one),
            "large_client_header_buffers" => self.buffers(one),
            "proxy_buffer_size" | "fastcgi_buffer_size" | "uwsgi_buffer_size" => {
                let bytes = value(one, size(one.arg(1)).filter(|bytes| *bytes < PROXY_BUFFER));
                self.small(one, bytes, "a response's headers above it become a 502");
            }
            "client_header_timeout" => {
                let short = seconds(one).filter(|timeout| timeout.value < HEADER_TIMEOUT);
                self.small(one, short, "slow requests are cut");
            }
            "keepalive_requests" => {
                let few = value(one, one.arg(1).parse::<u64>().ok().filter(|requests| *requests < REQUESTS));
                self.small(one, few, "the edge connects anew too often");
            }
            _ => {}
        }
    }

    fn hangs_up(&mut self, one: &Directive) {
        self.hang_ups.push(format!("`{} {}` ({}:{})", one.name(), one.arg(1), one.file, one.line));
    }

    fn small<T>(&mut self, one: &Directive, value: Option<Value<T>>, why: &str) {
        if let Some(value) = value {
            self.small.push(format!("{} {}{}: {why}", one.name(), one.arg(1), value.origin()));
        }
    }

    fn buffers(&mut self, one: &Directive) {
        let (Ok(number), Some(each)) = (one.arg(1).parse::<u64>(), size(one.arg(2))) else { return };
        let text = format!("large_client_header_buffers {number} {} ({}:{})", one.arg(2), one.file, one.line);
        if number < BUFFERS.0 || each < BUFFERS.1 {
            self.small.push(format!("{text}: cookies above it are refused, over HTTP/2 without an answer"));
        } else {
            self.buffers = Some(text);
        }
    }

    fn limits(&self, server: &str) -> Finding {
        let name = format!("{server} limits");
        if self.small.is_empty() {
            let buffers = self.buffers.as_deref().unwrap_or("large_client_header_buffers 4 8k (its default)");
            return Finding::ok(name, format!("{buffers}; the edge passes 128 KiB of request headers"));
        }
        Finding::warn(name, self.small.join(", "), "raise them to nginx's defaults or above")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn judged(text: &str) -> Vec<(Status, String)> {
        let config = block::parse(text, "/n.conf", Style::Semicolons).unwrap();
        judge("nginx[7]", &config).into_iter().map(|one| (one.status, format!("{}: {}", one.name, one.seen))).collect()
    }

    #[test]
    fn defaults_are_short_and_fit() {
        let found = judged("http { server { listen 80; } }");
        assert_eq!(
            found,
            [
                (Status::Warn, "nginx[7] keep-alive: keepalive_timeout 75 s (its default)".to_owned()),
                (
                    Status::Ok,
                    "nginx[7] limits: large_client_header_buffers 4 8k (its default); the edge passes 128 KiB of \
                     request headers"
                        .to_owned()
                ),
            ]
        );
        assert_eq!(judged("events {}"), []);
    }

    #[test]
    fn the_innermost_value_counts_wherever_it_stands() {
        let found = judged("http { server { keepalive_timeout 1000s; } keepalive_timeout 10; }");
        assert_eq!(found[0], (Status::Ok, "nginx[7] keep-alive: keepalive_timeout 1000 s (/n.conf:1)".to_owned()));
        let found = judged("http {\nkeepalive_timeout 1000;\nserver { location / {\nkeepalive_timeout 5s; } } }");
        assert_eq!(found[0], (Status::Warn, "nginx[7] keep-alive: keepalive_timeout 5 s (/n.conf:4)".to_owned()));
    }

    #[test]
    fn small_limits_and_hang_ups_are_named_with_their_places() {
        let found = judged(
            "http {\n large_client_header_buffers 2 1k;\n proxy_buffer_size 1k;\n reset_timedout_connection on;\n \
             client_header_timeout 1s;\n keepalive_requests 10;\n server { location / { if ($x) { return 444; } } \
             limit_req_status 444; }\n}",
        );
        let (status, limits) = &found[1];
        assert_eq!(*status, Status::Warn);
        for part in [
            "large_client_header_buffers 2 1k (/n.conf:2)",
            "proxy_buffer_size 1k (/n.conf:3)",
            "client_header_timeout 1s (/n.conf:5)",
            "keepalive_requests 10 (/n.conf:6)",
        ] {
            assert!(limits.contains(part), "{limits}");
        }
        assert_eq!(
            found[2].1,
            "nginx[7] hang-ups: `reset_timedout_connection on` (/n.conf:4), `return 444` (/n.conf:7), \
             `limit_req_status 444` (/n.conf:7)"
        );
    }
}
