//! Which servers run, and where each was told to find its configuration: by their executables and command lines.

use std::fs;
use std::path::Path;

use procfs::process::Process;

/// A server whose configuration can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Kind {
    Nginx,
    Apache,
    Haproxy,
    Caddy,
    Node,
}

/// A running server: its first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Server {
    pub(in super::super) kind: Kind,
    pub(in super::super) pid: i32,
    /// As a finding names it.
    pub(in super::super) name: String,
    /// The command line, after the program's name.
    pub(in super::super) args: Vec<String>,
    /// The working directory.
    pub(in super::super) cwd: String,
}

/// Servers that are looked at.
const SERVERS: usize = 32;

/// Every running server; of its processes the one whose parent is none of them.
pub(in super::super) fn running() -> Vec<Server> {
    let processes: Vec<_> = procfs::process::all_processes().into_iter().flatten().flatten().collect();
    let kinds: Vec<_> = processes.iter().filter_map(|process| Some((process, kind_of(process)?))).collect();
    let first = kinds.iter().filter(|(process, kind)| {
        let parent = process.stat().map_or(0, |stat| stat.ppid);
        !kinds.iter().any(|(other, same)| other.pid == parent && same == kind)
    });
    first
        .take(SERVERS)
        .filter_map(|(process, kind)| {
            let command = fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
            let comm = process.stat().ok()?.comm;
            Some(Server {
                kind: *kind,
                pid: process.pid,
                name: format!("{comm}[{}]", process.pid),
                args: arguments(&command),
                cwd: process.cwd().map_or_else(|_| "/".to_owned(), |cwd| cwd.to_string_lossy().into_owned()),
            })
        })
        .collect()
}

fn kind_of(process: &Process) -> Option<Kind> {
    kind(&process.exe().ok()?)
}

fn kind(exe: &Path) -> Option<Kind> {
    // An executable that was replaced by an upgrade while it runs.
    let name = exe.file_name()?.to_str()?.trim_end_matches(" (deleted)");
    Some(match name {
        "nginx" | "openresty" | "angie" | "tengine" | "freenginx" => Kind::Nginx,
        "apache2" | "httpd" => Kind::Apache,
        "haproxy" => Kind::Haproxy,
        "caddy" => Kind::Caddy,
        "node" | "nodejs" => Kind::Node,
        _ => return None,
    })
}

/// A command line's words after the program; nginx writes its own title over it, as one word.
fn arguments(command: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(command);
    let words: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    match words.first().and_then(|title| title.strip_prefix("nginx: master process ")) {
        Some(title) => title.split_ascii_whitespace().skip(1).map(str::to_owned).collect(),
        None => words.into_iter().skip(1).map(str::to_owned).collect(),
    }
}

impl Server {
    /// The values of an option: `-c FILE`, `-cFILE`, `--config FILE` or `--config=FILE`.
    pub(in super::super) fn option(&self, name: &str) -> Vec<&str> {
        let mut found = Vec::new();
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            if arg == name {
                found.extend(args.next().map(String::as_str));
            } else if let Some(value) = arg.strip_prefix(name) {
                let long = name.starts_with("--");
                match value.strip_prefix('=') {
                    Some(value) if long => found.push(value),
                    _ if !long => found.push(value),
                    _ => {}
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_known_by_name_even_when_replaced() {
        assert_eq!(kind(Path::new("/usr/sbin/nginx")), Some(Kind::Nginx));
        assert_eq!(kind(Path::new("/usr/sbin/apache2 (deleted)")), Some(Kind::Apache));
        assert_eq!(kind(Path::new("/usr/bin/nginx-ui")), None);
    }

    #[test]
    fn options_are_found_however_they_are_written() {
        let server = |command: &[u8]| Server {
            kind: Kind::Nginx,
            pid: 1,
            name: String::new(),
            args: arguments(command),
            cwd: "/".to_owned(),
        };
        assert_eq!(
            server(b"nginx: master process /usr/sbin/nginx -c /a.conf -g daemon off;\0").option("-c"),
            ["/a.conf"]
        );
        assert_eq!(server(b"haproxy\0-Ws\0-f\0/a\0-f/b\0").option("-f"), ["/a", "/b"]);
        assert_eq!(server(b"caddy\0run\0--config=/C\0--config\0/D\0--configx\0").option("--config"), ["/C", "/D"]);
        assert!(server(b"nginx\0-c").option("-c").is_empty());
        assert!(server(b"").option("-c").is_empty());
    }
}
