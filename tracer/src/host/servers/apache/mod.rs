//! Apache's httpd: keep-alive and limits of request headers.

mod condition;

use std::time::Duration;

use self::condition::Conditions;
use super::super::finding::Finding;
use super::find::Server;
use super::idle::{self, Value};
use super::line::{lines, words};
use super::load::{Loaded, Problem};
use super::tree::{Tree, join};
use super::unit::time;

/// Where it is compiled to look, by its packagers, with the folder that its relative paths begin at.
const USUAL: [(&str, &str); 4] = [
    ("/etc/apache2/apache2.conf", "/etc/apache2"),
    ("/etc/httpd/conf/httpd.conf", "/etc/httpd"),
    ("/usr/local/apache2/conf/httpd.conf", "/usr/local/apache2"),
    ("/etc/apache2/httpd.conf", "/etc/apache2"),
];
/// Its default.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Limits that are too small below its defaults.
const LIMITS: [(&str, u64); 3] =
    [("limitrequestfieldsize", 8190), ("limitrequestline", 8190), ("limitrequestfields", 100)];
const INCLUDES: u32 = 8;

/// A directive that counts here, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// In lower case.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) place: String,
    /// The virtual host that it stands in, by number; `None`: the server's own.
    pub(super) host: Option<usize>,
}

/// Reads the configuration of a running httpd.
pub(super) fn load(server: &Server, tree: &Tree) -> Loaded<Vec<Setting>> {
    let usual = USUAL.iter().find(|(path, _)| tree.exists(path));
    let root = server.option("-d").first().map(|root| (*root).to_owned());
    let root = root.or_else(|| usual.map(|(_, root)| (*root).to_owned())).unwrap_or_else(|| "/etc/apache2".to_owned());
    let given = server.option("-f").first().map(|path| join(&root, path));
    let Some(path) = given.or_else(|| usual.map(|(path, _)| (*path).to_owned())) else { return Loaded::nowhere() };
    let scope = Scope { conditions: Conditions::new(&server.option("-D")), ..Scope::default() };
    let mut reader = Reader { tree, root, found: Vec::new(), problems: Vec::new(), scope };
    reader.file(&path, INCLUDES);
    Loaded { found: reader.found, problems: reader.problems }
}

/// A line that counts here.
enum Line {
    Setting(Setting),
    Root(String),
    Include { pattern: String, required: bool },
}

/// One file's settings, without what it includes.
pub(super) fn settings(path: &str, text: &str) -> Vec<Setting> {
    let mut scope = Scope::default();
    let settings = lines(text).into_iter().filter_map(|(number, line)| {
        match scope.line(&line, || format!("{path}:{number}"), |_| false)? {
            Line::Setting(setting) => Some(setting),
            _ => None,
        }
    });
    settings.collect()
}

/// Where in a configuration its reader is.
#[derive(Debug, Default)]
struct Scope {
    conditions: Conditions,
    /// The virtual host that is open, and how many there were.
    host: Option<usize>,
    hosts: usize,
}

impl Scope {
    fn line(&mut self, line: &str, place: impl Fn() -> String, exists: impl Fn(&str) -> bool) -> Option<Line> {
        let words = words(line);
        let (first, args) = words.split_first()?;
        let name = first.to_ascii_lowercase();
        if self.conditions.take(&name, args, exists) {
            return None;
        }
        let value = || args.first().map(|value| self.conditions.filled_in(value)).unwrap_or_default();
        match name.as_str() {
            "serverroot" => return Some(Line::Root(value())),
            "<virtualhost" => {
                self.hosts += 1;
                self.host = Some(self.hosts);
            }
            "</virtualhost>" => self.host = None,
            "include" | "includeoptional" => {
                return Some(Line::Include { pattern: value(), required: name == "include" });
            }
            "proxypass" | "proxypassmatch" | "proxytimeout" | "timeout" | "sethandler" => {
                let value = args.iter().map(|arg| self.conditions.filled_in(arg)).collect::<Vec<_>>().join(" ");
                return Some(Line::Setting(Setting { value, place: place(), host: self.host, name }));
            }
            _ if name.starts_with("keepalive") || name.starts_with("limitrequest") => {
                return Some(Line::Setting(Setting { value: value(), place: place(), host: self.host, name }));
            }
            _ => {}
        }
        None
    }
}

struct Reader<'a> {
    tree: &'a Tree,
    root: String,
    found: Vec<Setting>,
    problems: Vec<Problem>,
    scope: Scope,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, depth: u32) {
        let text = match self.tree.read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(Problem::unread(path, &error));
                return;
            }
        };
        for (number, line) in lines(&text) {
            let place = || format!("{path}:{number}");
            match self.scope.line(&line, place, |file| self.tree.exists(&join(&self.root, file))) {
                // Of the environment, or of another place.
                Some(Line::Setting(setting)) if setting.value.contains("${") => {
                    self.problems.push(Problem::malformed(&setting.place));
                }
                Some(Line::Setting(setting)) => self.found.push(setting),
                Some(Line::Root(root)) => self.root = root,
                Some(Line::Include { .. }) if depth == 0 => self.problems.push(Problem::too_deep(path)),
                Some(Line::Include { pattern, required }) => self.include(&pattern, required, depth - 1),
                None => {}
            }
        }
    }

    fn include(&mut self, pattern: &str, required: bool, depth: u32) {
        for path in self.tree.glob(&join(&self.root, pattern)) {
            if required || self.tree.exists(&path) {
                self.file(&path, depth);
            }
        }
    }
}

/// What the configuration means for the edge.
pub(super) fn judge(server: &str, config: &[Setting]) -> Vec<Finding> {
    let hosts: std::collections::BTreeSet<_> = config.iter().map(|one| one.host).chain([None]).collect();
    // The last word counts; a virtual host's own before the server's.
    let last = |host: Option<usize>, name: &str| {
        let of = |host| config.iter().rev().find(|one| one.host == host && one.name == name);
        of(host).or_else(|| of(None))
    };
    let idle: Vec<_> = hosts
        .iter()
        .filter_map(|&host| {
            if last(host, "keepalive").is_some_and(|one| one.value.eq_ignore_ascii_case("off")) {
                return Some(Value::default(Duration::ZERO));
            }
            match last(host, "keepalivetimeout") {
                Some(one) => Some(Value { value: time(&one.value, 1000)?, place: Some(one.place.clone()) }),
                None => Some(Value::default(KEEPALIVE)),
            }
        })
        .collect();
    let mut found =
        vec![idle::finding(server, "KeepAliveTimeout", &idle, "write `KeepAliveTimeout 910` (with mpm_event)")];
    let small: Vec<_> = LIMITS
        .iter()
        .flat_map(|(name, least)| config.iter().filter(move |one| one.name == *name).map(move |one| (one, least)))
        // 0: no limit of fields.
        .filter(|(one, least)| one.value.parse::<u64>().is_ok_and(|value| value < **least && value > 0))
        .map(|(one, _)| format!("{} {} ({})", one.name, one.value, one.place))
        .collect();
    let name = format!("{server} limits");
    found.push(if small.is_empty() {
        Finding::ok(name, "a request's header fields of 8190 bytes or more each; the edge passes 128 KiB of them")
    } else {
        Finding::warn(
            name,
            small.join(", "),
            "raise them to Apache's defaults or above: large cookies are refused (400)",
        )
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn judged(text: &str) -> Vec<Finding> {
        judge("apache2[7]", &settings("/a.conf", text))
    }

    #[test]
    fn the_default_of_five_seconds_is_told() {
        let found = judged("");
        assert_eq!((found[0].status, found[0].seen.as_str()), (Status::Warn, "KeepAliveTimeout 5 s (its default)"));
        assert_eq!(found[1].status, Status::Ok);
    }

    #[test]
    fn the_last_word_and_the_hosts_own_count() {
        let found = judged("KeepAliveTimeout 5\nkeepalivetimeout 1000\n<VirtualHost *:80>\n</VirtualHost>\n");
        assert_eq!((found[0].status, found[0].seen.as_str()), (Status::Ok, "KeepAliveTimeout 1000 s (/a.conf:2)"));
        let found = judged("KeepAliveTimeout 1000\n<VirtualHost *:80>\n KeepAliveTimeout 100ms\n</VirtualHost>\n");
        assert_eq!(found[0].seen, "KeepAliveTimeout 100 ms (/a.conf:3)");
        assert_eq!(judged("KeepAlive Off").first().map(|one| one.status), Some(Status::Ok));
    }

    #[test]
    fn small_limits_are_told() {
        let found = judged("LimitRequestFieldSize 4096\nLimitRequestFields 0\n");
        assert_eq!((found[1].status, found[1].seen.as_str()), (Status::Warn, "limitrequestfieldsize 4096 (/a.conf:1)"));
    }
}
