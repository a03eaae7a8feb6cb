//! What the kernel's statistics show of programs that return at once, at the tracer's hooks and under the same load.
//!
//! The kernel reads its clock twice for every run, and one reading is inside the interval that it measures; under load
//! the program's own code has to come into the caches, too. None of it is what a program does.

use std::fs::{self, File};

use anyhow::{Context as _, Result};
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};
use aya::{Btf, Ebpf};

use super::Level;
use super::statistics::{Enabled, PROGRAMS};
use crate::build;

/// A program that returns at once.
struct StandIn {
    name: &'static str,
    /// The tracer's program in whose place it is; for a tracepoint also that one's name.
    of: &'static str,
    /// `None`: a tracepoint.
    packets: Option<CgroupSkbAttachType>,
}

/// Wherever a healthy exchange passes, and twice where the tracer has a twin on every kernel.
const STAND_INS: [StandIn; 7] = [
    StandIn { name: "inet_sock_set_state", of: "inet_sock_set_state", packets: None },
    StandIn { name: "inet_sock_set_state_twin", of: "inet_sock_set_state", packets: None },
    StandIn { name: "tcp_rcv_space_adjust", of: "tcp_rcv_space_adjust", packets: None },
    StandIn { name: "kfree_skb", of: "kfree_skb", packets: None },
    StandIn { name: "net_dev_queue", of: "net_dev_queue", packets: None },
    StandIn { name: "payload_in", of: "payload_in", packets: Some(CgroupSkbAttachType::Ingress) },
    StandIn { name: "payload_out", of: "payload_out", packets: Some(CgroupSkbAttachType::Egress) },
];

/// The object that holds the programs, and the types by which their tracepoints are found.
pub(super) struct Yardstick {
    object: Vec<u8>,
    btf: Btf,
}

impl Yardstick {
    pub(super) fn build() -> Result<Self> {
        let path = build::yardstick()?;
        let object = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { object, btf: Btf::from_sys_fs().context("reading the kernel's types")? })
    }

    /// Attaches the programs where a tracer of that level has its own, runs the load, and says what each of
    /// [`PROGRAMS`] would show if it did nothing: nanoseconds per run, 0 for one that did not run. `_enabled` is the
    /// proof that the kernel counts.
    pub(super) fn measure(
        &self,
        _enabled: &Enabled,
        level: Level,
        load: impl FnOnce() -> Result<()>,
    ) -> Result<[f64; PROGRAMS.len()]> {
        let mut ebpf = Ebpf::load(&self.object).context("loading the programs that return at once")?;
        let attached = || STAND_INS.iter().filter(|program| program.packets.is_none() || level.reads_payload());
        for program in attached() {
            program.attach(&mut ebpf, &self.btf).with_context(|| format!("attaching an empty {}", program.name))?;
        }
        load()?;
        let mut shown = [0.0; PROGRAMS.len()];
        for (shown, name) in shown.iter_mut().zip(PROGRAMS) {
            let (mut runs, mut nanos) = (0, 0);
            for program in attached().filter(|program| program.of == name) {
                let info = ebpf.program(program.name).context("no such program")?.info()?;
                runs += info.run_count();
                nanos += info.run_time().as_nanos();
            }
            if runs > 0 {
                *shown = nanos as f64 / runs as f64;
            }
        }
        Ok(shown)
    }
}

impl StandIn {
    fn attach(&self, ebpf: &mut Ebpf, btf: &Btf) -> Result<()> {
        let program = ebpf.program_mut(self.name).context("no such program")?;
        if let Some(side) = self.packets {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            program.attach(cgroup2_root()?, side, CgroupAttachMode::Single)?;
        } else {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(self.of, btf)?;
            program.attach()?;
        }
        Ok(())
    }
}

/// The root of the cgroup v2 hierarchy, where it is mounted.
fn cgroup2_root() -> Result<File> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let mut fields = mounts.lines().map(|line| line.split(' ').skip(1));
    let path = fields.find_map(|mut fields| fields.next().filter(|_| fields.next() == Some("cgroup2")));
    let path = path.context("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")?;
    File::open(path).with_context(|| format!("opening {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stand_in_is_of_a_program_whose_time_is_taken() {
        for program in STAND_INS {
            assert!(PROGRAMS.contains(&program.of), "{}", program.name);
        }
    }
}
