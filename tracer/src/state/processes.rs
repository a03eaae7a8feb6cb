//! What /proc said of processes while they lived; bounded.

use std::collections::BTreeMap;

use tracer_common::limits;

/// `USER_HZ`: what /proc tells the start of a process in, nanoseconds.
const TICK_NS: u64 = 10_000_000;

/// What a record says of a process beside its name and pid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    /// Its id as processes of its own namespace see it, where that is not the host's.
    pub ns_pid: Option<u32>,
}

/// Facts of one process.
struct Known {
    facts: Facts,
    /// Read before it had anything to do with the edge: it may have become another program since.
    early: bool,
}

/// Facts by pid and start in ticks, so that a reused pid is another process.
#[derive(Default)]
pub(super) struct Processes(BTreeMap<(u32, u64), Known>);

impl Processes {
    /// Whether more need not be asked.
    pub(super) fn knows(&self, process: (u32, u64)) -> bool {
        self.find(process).is_some_and(|known| !known.early)
    }

    /// Takes what was read of a process that has to do with the edge. Of one that is ending less can be read than
    /// before.
    pub(super) fn learn(&mut self, process: (u32, u64), facts: Facts) {
        let before = self.0.remove(&key(process)).map(|known| known.facts);
        let same = |before: &Facts| facts.exe.is_none() && (facts.name.is_empty() || facts.name == before.name);
        let facts = before.filter(same).unwrap_or(facts);
        self.insert(process, Known { facts, early: false });
    }

    /// Takes what was read of a process that may come to have to do with the edge.
    pub(super) fn expect(&mut self, process: (u32, u64), facts: Facts) {
        if self.find(process).is_none() {
            self.insert(process, Known { facts, early: true });
        }
    }

    fn insert(&mut self, process: (u32, u64), known: Known) {
        if self.0.len() >= limits::OWNERS as usize {
            // The earliest start of the lowest pid: gone, most likely. Losing a living one costs its executable's name.
            self.0.pop_first();
        }
        self.0.insert(key(process), known);
    }

    /// What is known of a process that has this name now.
    pub(super) fn get(&self, process: (u32, u64), name: &str) -> Option<Facts> {
        let Known { facts, early } = self.find(process)?;
        let exe = facts.exe.clone().filter(|_| !early || facts.name == name);
        Some(Facts { exe, ..facts.clone() })
    }

    /// One whose start is not known was there when the tracer came: the first with its pid.
    fn find(&self, process: (u32, u64)) -> Option<&Known> {
        match process {
            (pid, 0) => self.0.range((pid, 0)..=(pid, u64::MAX)).next().map(|(_, known)| known),
            _ => self.0.get(&key(process)),
        }
    }

    /// Name of the youngest process with this pid.
    pub(super) fn name(&self, pid: u32) -> Option<String> {
        self.0.range((pid, 0)..=(pid, u64::MAX)).next_back().map(|(_, known)| known.facts.name.clone())
    }
}

const fn key((pid, start_ns): (u32, u64)) -> (u32, u64) {
    (pid, start_ns / TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, exe: Option<&str>) -> Facts {
        Facts {
            name: name.to_owned(),
            exe: exe.map(str::to_owned),
            unit: Some("web.service".to_owned()),
            ..Facts::default()
        }
    }

    fn exe(processes: &Processes, process: (u32, u64), name: &str) -> Option<String> {
        processes.get(process, name).and_then(|facts| facts.exe)
    }

    #[test]
    fn a_process_is_the_same_by_the_kernels_nanoseconds_and_by_procs_ticks() {
        let mut processes = Processes::default();
        processes.learn((7, 1_230_000_000), facts("web", Some("/srv/web")));
        assert_eq!(exe(&processes, (7, 1_239_999_999), "web").as_deref(), Some("/srv/web"));
        assert!(!processes.knows((7, 1_240_000_000)) && !processes.knows((8, 1_230_000_000)));
    }

    #[test]
    fn a_start_that_is_not_known_is_the_first_with_that_pid() {
        let mut processes = Processes::default();
        assert!(!processes.knows((7, 0)));
        processes.learn((7, 10 * TICK_NS), facts("web", Some("/srv/web")));
        processes.learn((7, 90 * TICK_NS), facts("new", Some("/srv/new")));
        assert_eq!(exe(&processes, (7, 0), "web").as_deref(), Some("/srv/web"));
        assert!(processes.knows((7, 0)) && !processes.knows((6, 0)));
    }

    #[test]
    fn what_was_read_early_holds_until_it_is_read_again_or_the_process_is_another_program() {
        let mut processes = Processes::default();
        let process = (7, TICK_NS);
        processes.expect(process, facts("sh", Some("/bin/sh")));
        assert!(!processes.knows(process));
        assert_eq!(exe(&processes, process, "sh").as_deref(), Some("/bin/sh"));
        assert_eq!(exe(&processes, process, "node"), None, "it has become another program");
        assert!(processes.get(process, "node").unwrap().unit.is_some());
        // It is ending: its executable can't be read any more.
        processes.learn(process, facts("sh", None));
        assert_eq!(exe(&processes, process, "sh").as_deref(), Some("/bin/sh"));
        processes.learn(process, facts("node", Some("/usr/bin/node")));
        processes.expect(process, facts("sh", Some("/bin/sh")));
        assert_eq!(exe(&processes, process, "node").as_deref(), Some("/usr/bin/node"));
        assert!(processes.knows(process));
    }
}
