//! The servers that run here: keep-alive, header limits and what hangs up without an answer, from their configurations.
//! They are read, never run, as each server sees them: below its own root.

mod apache;
pub mod block;
mod caddy;
mod find;
mod haproxy;
pub(super) mod idle;
pub(super) mod line;
mod load;
mod nginx;
pub(super) mod target;
mod targets;
pub(super) mod tree;
pub(super) mod unit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::find::{Kind, Server, running};
use self::load::Loaded;
use self::target::Target;
use self::tree::Tree;
use super::finding::{Finding, Status};

/// What the servers' configurations mean, and the folders that they write to.
#[derive(Debug, Default)]
pub(super) struct Servers {
    pub(super) findings: Vec<Finding>,
    pub(super) writes: Vec<PathBuf>,
    /// Where they pass requests on; with the name and pid of each.
    pub(super) passes: Vec<(String, i32, Target)>,
}

/// Looks at every known server of which one of `holders` is a process: those that hold watched listeners.
pub(super) fn examine(holders: &BTreeSet<i32>) -> Servers {
    let mut found = Servers::default();
    let family: BTreeSet<i32> = holders.iter().flat_map(|&pid| ancestors(pid)).collect();
    for server in running().into_iter().filter(|server| family.contains(&server.pid)) {
        let root = PathBuf::from(format!("/proc/{}/root", server.pid));
        found.look(&server, &root);
    }
    if found.findings.is_empty() {
        let seen = "no nginx, Apache, HAProxy, Caddy or Node holds a watched listener";
        found.findings.push(Finding::ok("servers", seen));
    }
    found
}

/// What one file alone would mean to each of the servers that have files.
#[must_use]
pub fn judge_text(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let blocks = |style| block::parse(text, "file", style).unwrap_or_default();
    found.extend(nginx::judge("nginx", &blocks(block::Style::Semicolons)));
    found.extend(caddy::judge("caddy", &blocks(block::Style::Lines)));
    found.extend(apache::judge("apache", &apache::settings("file", text)));
    found.extend(haproxy::judge("haproxy", &haproxy::sections("file", text)));
    found
}

/// A process, its parent, and so on.
fn ancestors(pid: i32) -> Vec<i32> {
    let mut line = vec![pid];
    while let Some(parent) = line.last().and_then(|&pid| procfs::process::Process::new(pid).ok()?.stat().ok()) {
        if parent.ppid <= 1 || line.len() > 8 {
            break;
        }
        line.push(parent.ppid);
    }
    line
}

impl Servers {
    fn look(&mut self, server: &Server, root: &Path) {
        let name = &server.name;
        if server.kind == Kind::Node {
            let advice = "in the program: `server.keepAliveTimeout = 910_000`, and headersTimeout above it; its limit \
                          of request headers is --max-http-header-size (16 KiB)";
            let seen = "Node closes idle connections after 5 s unless the program says otherwise, which can't be seen";
            self.findings.push(Finding::unknown(format!("{name} keep-alive"), seen, advice));
            return;
        }
        let tree = match Tree::open(root) {
            Ok(tree) => tree,
            Err(error) => {
                let advice = "run as root (CAP_SYS_PTRACE)";
                self.findings.push(Finding::unknown(name, format!("its files can't be looked at: {error}"), advice));
                return;
            }
        };
        match server.kind {
            Kind::Nginx => {
                let config = nginx::load(server, &tree);
                let within = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
                self.writes.extend(nginx::temporary(&config.found).into_iter().map(within));
                self.pass(server, targets::nginx(&config.found));
                self.take(name, config, nginx::judge);
            }
            Kind::Apache => {
                let config = apache::load(server, &tree);
                self.pass(server, targets::apache(&config.found));
                self.take(name, config, apache::judge);
            }
            Kind::Haproxy => {
                let config = haproxy::load(server, &tree);
                self.pass(server, targets::haproxy(&config.found));
                self.take(name, config, haproxy::judge);
            }
            Kind::Caddy => self.take(name, caddy::load(server, &tree), caddy::judge),
            Kind::Node => {}
        }
    }

    fn pass(&mut self, server: &Server, targets: Vec<Target>) {
        self.passes.extend(targets.into_iter().map(|target| (server.name.clone(), server.pid, target)));
    }

    /// Judges what could be read, and says what could not; of nothing at all nothing is said.
    fn take<T>(&mut self, name: &str, loaded: Loaded<Vec<T>>, judge: fn(&str, &[T]) -> Vec<Finding>) {
        let complete = loaded.problems.is_empty();
        if complete || !loaded.found.is_empty() {
            self.findings.extend(judge(name, &loaded.found).into_iter().map(|finding| {
                // What seems to be a default may be set in what was not read.
                let unsure = !complete && finding.status == Status::Warn && finding.seen.contains(idle::DEFAULT);
                if unsure { Finding { status: Status::Unknown, ..finding } } else { finding }
            }));
        }
        if let Some(problem) = loaded.problems.first() {
            let more = loaded.problems.len() - 1;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let advice = "what stands there is not judged: look at its keep-alive timeout and limits yourself";
            self.findings.push(Finding::unknown(
                format!("{name} configuration"),
                format!("{}{more}", problem.0),
                advice,
            ));
        }
    }
}

#[cfg(test)]
mod tests;
