//! HAProxy: keep-alive, sizes of buffers and headers, and what hangs up.

use super::super::finding::Finding;
use super::find::Server;
use super::idle::{self, Value};
use super::line::{lines, words};
use super::load::{Loaded, Problem};
use super::tree::{Tree, join};
use super::unit::{size, time};

const USUAL: &str = "/etc/haproxy/haproxy.cfg";
/// Its defaults.
const BUFSIZE: u64 = 16 << 10;
const HEADERS: u64 = 101;
const SECTIONS: [&str; 15] = [
    "global",
    "defaults",
    "frontend",
    "listen",
    "backend",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
];
/// Begins lines that count under a condition only, which is not looked into.
const IF: &str = ".if";
/// Sections that are read.
const MOST: usize = 10_000;

/// A section and its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: String,
    /// What follows the kind: a name, `from NAME`.
    head: Vec<String>,
    pub(super) lines: Vec<(String, Vec<String>)>,
}

/// Reads the configuration of a running HAProxy: files, and every `.cfg` in folders.
pub(super) fn load(server: &Server, tree: &Tree) -> Loaded<Vec<Section>> {
    let given = server.option("-f");
    let mut paths = Vec::new();
    for path in if given.is_empty() { vec![USUAL] } else { given } {
        let path = join(&server.cwd, path);
        let within = tree.glob(&format!("{path}/*.cfg"));
        if within.is_empty() { paths.push(path) } else { paths.extend(within) }
    }
    let mut loaded = Loaded::<Vec<Section>>::default();
    for path in paths {
        match tree.read(&path) {
            Ok(text) => {
                loaded.found.extend(sections(&path, &text));
                if lines(&text).iter().any(|(_, line)| words(line).first().is_some_and(|word| word == IF)) {
                    loaded.problems.push(Problem(format!("{path}: lines between `.if` and `.endif`")));
                }
            }
            Err(error) => loaded.problems.push(Problem::unread(&path, &error)),
        }
    }
    loaded
}

/// One file's sections, without what stands under a condition.
pub(super) fn sections(path: &str, text: &str) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    let mut conditions = 0_usize;
    for (number, line) in lines(text) {
        let words = words(&line);
        match words.first() {
            Some(word) if word == IF => conditions += 1,
            Some(word) if word == ".endif" => conditions = conditions.saturating_sub(1),
            Some(_) if conditions > 0 => {}
            Some(kind) if SECTIONS.contains(&kind.as_str()) => {
                if found.len() == MOST {
                    break;
                }
                found.push(Section { kind: kind.clone(), head: words[1..].to_vec(), lines: Vec::new() });
            }
            Some(_) => {
                if let Some(section) = found.last_mut() {
                    section.lines.push((format!("{path}:{number}"), words));
                }
            }
            None => {}
        }
    }
    found
}

impl Section {
    /// The last line that begins with these words: its place and the word after them.
    pub(super) fn last(&self, start: &[&str]) -> Option<(&str, &str)> {
        let fits = |words: &[String]| words.len() > start.len() && start.iter().zip(words).all(|(a, b)| a == b);
        let (place, words) = self.lines.iter().rev().find(|(_, words)| fits(words))?;
        Some((place, &words[start.len()]))
    }
}

/// What the configuration means for the edge.
pub(super) fn judge(server: &str, config: &[Section]) -> Vec<Finding> {
    let mut idle = Vec::new();
    let mut hang_ups = Vec::new();
    for (at, section) in config.iter().enumerate() {
        if !matches!(section.kind.as_str(), "frontend" | "listen") {
            continue;
        }
        let defaults = defaults(config, at);
        let last = |start: &[&str]| section.last(start).or_else(|| defaults?.last(start));
        if !last(&["mode"]).is_some_and(|(_, mode)| mode == "http") {
            continue;
        }
        let timeout = |name: &str| last(&["timeout", name]);
        let found = timeout("http-keep-alive").or_else(|| timeout("http-request")).or_else(|| timeout("client"));
        if let Some((place, text)) = found
            && let Some(value) = time(text, 1)
        {
            idle.push(Value { value, place: Some(place.to_owned()) });
        }
        hang_ups.extend(section.lines.iter().filter_map(hang_up));
    }
    let mut found = Vec::new();
    if !idle.is_empty() {
        let write = "write `timeout http-keep-alive 910s` in defaults";
        found.push(idle::finding(server, "the timeout of idle connections", &idle, write));
    }
    found.push(limits(server, config));
    found.extend(idle::hang_ups(server, &hang_ups));
    found
}

/// The section of defaults that counts for the section at `at`: the one it names, else the last before it.
pub(super) fn defaults(config: &[Section], at: usize) -> Option<&Section> {
    let mut before = config[..at].iter().rev().filter(|section| section.kind == "defaults");
    match config[at].head.iter().position(|word| word == "from") {
        Some(from) => before.find(|section| section.head.first() == config[at].head.get(from + 1)),
        None => before.next(),
    }
}

/// Rules that end a connection without an answer.
fn hang_up((place, words): &(String, Vec<String>)) -> Option<String> {
    let rule = matches!(words[0].as_str(), "http-request" | "http-response" | "tcp-request");
    let action = words.iter().skip(1).take(2).find(|word| matches!(word.as_str(), "reject" | "silent-drop"))?;
    rule.then(|| format!("`{} {action}` ({place})", words[0]))
}

fn limits(server: &str, config: &[Section]) -> Finding {
    let name = format!("{server} limits");
    let global = |key: &str, default: u64| {
        let found =
            config.iter().rev().filter(|section| section.kind == "global").find_map(|section| section.last(&[key]));
        match found {
            Some((place, text)) => size(text).map(|value| Value { value, place: Some(place.to_owned()) }),
            None => Some(Value::default(default)),
        }
    };
    let (Some(buffer), Some(headers)) = (global("tune.bufsize", BUFSIZE), global("tune.http.maxhdr", HEADERS)) else {
        return Finding::unknown(name, "tune.bufsize or tune.http.maxhdr is no number", "see `haproxy -c -f`");
    };
    let seen = format!(
        "tune.bufsize {}{}, tune.http.maxhdr {}{}",
        buffer.value,
        buffer.origin(),
        headers.value,
        headers.origin()
    );
    if buffer.value < BUFSIZE || headers.value < HEADERS {
        let advice =
            "raise them to HAProxy's defaults or above: larger headers are refused (400), from the server as a 502";
        return Finding::warn(name, seen, advice);
    }
    Finding::ok(name, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn judged(text: &str) -> Vec<(Status, String)> {
        judge("haproxy[7]", &sections("/h.cfg", text)).into_iter().map(|one| (one.status, one.seen)).collect()
    }

    #[test]
    fn idle_timeouts_fall_back_as_haproxys_do() {
        let defaults = "defaults\n mode http\n timeout client 50000\n";
        let idle = |more: &str| judged(&format!("{defaults}{more}"))[0].clone();
        let seen = "the timeout of idle connections";
        assert_eq!(idle("frontend f\n bind :80\n"), (Status::Warn, format!("{seen} 50 s (/h.cfg:3)")));
        assert_eq!(idle("frontend f\n timeout http-request 10s\n"), (Status::Warn, format!("{seen} 10 s (/h.cfg:5)")));
        let own = "frontend f\n timeout http-request 10s\n timeout http-keep-alive 15m\n";
        assert_eq!(idle(own), (Status::Ok, format!("{seen} 900 s (/h.cfg:6)")));
        assert_eq!(idle("listen l from other\n mode tcp\n").0, Status::Ok);
    }

    #[test]
    fn defaults_may_be_named() {
        let text = "defaults a\n mode http\n timeout client 1h\ndefaults b\n mode http\n timeout client 1s\nfrontend f \
                    from a\n bind :80\n";
        assert_eq!(judged(text)[0].0, Status::Ok);
    }

    #[test]
    fn small_buffers_and_hang_ups_are_told() {
        let text = "global\n tune.bufsize 8k\ndefaults\n mode http\nfrontend f\n http-request silent-drop if x\n \
                    http-request deny if y\n tcp-request connection reject\n";
        let found = judged(text);
        assert_eq!(
            found,
            [
                (Status::Warn, "tune.bufsize 8192 (/h.cfg:2), tune.http.maxhdr 101 (its default)".to_owned()),
                (Status::Warn, "`http-request silent-drop` (/h.cfg:6), `tcp-request reject` (/h.cfg:8)".to_owned()),
            ]
        );
    }
}
