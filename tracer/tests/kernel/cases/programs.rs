//! The programs themselves: what became of each, and what it cost this kernel's verifier.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use aya::programs::ProgramError;

use crate::agent::Agent;
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![every_program_is_attached]
}

/// Where tracefs has the tracepoints of sockets, and those of them that came with Linux 6.3.
const EVENTS: &str = "/sys/kernel/tracing/events/sock";
const SINCE_6_3: [&str; 2] = ["sock_send_length", "sock_recv_length"];

/// Says of each program what the verifier walked: `verified NAME INSTRUCTIONS`, `n/a` where the kernel does not count.
fn every_program_is_attached() -> Result<()> {
    let before = ids()?;
    let mut agent = Agent::fresh(&[])?;
    for info in aya::programs::loaded_programs() {
        let info = info?;
        if !before.contains(&info.id()) {
            let count = info.verified_instruction_count().map_or("n/a".to_owned(), |count| count.to_string());
            println!("verified {} {count}", info.name_as_str().unwrap_or("?"));
        }
    }
    let metrics = agent.metrics()?;
    let attached = |name| metrics.sum("tracer_probe_attached", &[("probe", name)]) == Some(1.0);
    let is_there = |name: &&str| !SINCE_6_3.contains(name) || Path::new(EVENTS).join(name).exists();
    let hooks = tracer::probes::HOOKS.iter().map(|hook| hook.name).filter(is_there);
    let missing: Vec<_> = hooks.filter(|name| !attached(name)).collect();
    ensure!(missing.is_empty(), "not attached: {}\n{}", missing.join(" "), agent.log());
    agent.stop()
}

/// The ids of the programs in the kernel; one that leaves it while they are listed is none.
pub(super) fn ids() -> Result<BTreeSet<u32>> {
    let programs = aya::programs::loaded_programs();
    programs.filter(|info| !matches!(info, Err(error) if is_gone(error))).map(|info| Ok(info?.id())).collect()
}

fn is_gone(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error) if error.io_error.kind() == std::io::ErrorKind::NotFound)
}
