//! What /proc said of processes while they lived; bounded.

use std::collections::BTreeMap;

use tracer_common::limits;

/// What a record says of a process beside its name and pid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
}

/// Facts by pid and start, so that a reused pid is another process.
#[derive(Default)]
pub(super) struct Processes(BTreeMap<(u32, u64), Facts>);

impl Processes {
    pub(super) fn knows(&self, process: (u32, u64)) -> bool {
        self.0.contains_key(&process)
    }

    pub(super) fn learn(&mut self, process: (u32, u64), facts: Facts) {
        if self.0.len() >= limits::OWNERS as usize {
            // The earliest start of the lowest pid: gone, most likely. Losing a living one costs its executable's name.
            self.0.pop_first();
        }
        self.0.insert(process, facts);
    }

    pub(super) fn get(&self, process: (u32, u64)) -> Option<&Facts> {
        self.0.get(&process)
    }

    /// Name of the youngest process with this pid.
    pub(super) fn name(&self, pid: u32) -> Option<String> {
        self.0.range((pid, 0)..=(pid, u64::MAX)).next_back().map(|(_, facts)| facts.name.clone())
    }
}
