//! Attaches the hooks, as many of them as this host has.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, Program},
};
use log::debug;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::{
    Attachment, HOOKS, Hook, HookState, Layout, Netfilter, Probe,
    error::{brief, untraceable},
};

/// How much the programs look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Connections only.
    Connections,
    /// Also the heads of requests and responses.
    Payload,
}

/// Attaches every hook that this host has; the rest is written down as missing.
///
/// # Errors
/// [`super::LoadError`] where an essential hook can't be attached.
pub(super) fn all(ebpf: &mut Ebpf, layout: &Layout, depth: Depth, btf: &Btf) -> Result<Vec<Probe>> {
    let mut probes = Vec::with_capacity(HOOKS.len());
    for hook in HOOKS {
        let is_payload = matches!(hook.attachment, Attachment::CgroupIngress | Attachment::CgroupEgress);
        let state = if depth == Depth::Connections && is_payload {
            HookState::Off
        } else {
            match attach(ebpf, layout, hook, btf) {
                Ok(()) => HookState::Attached,
                Err(error) if hook.essential => return Err(untraceable(&*error)),
                Err(error) => {
                    debug!("{error:#}");
                    HookState::Missing(brief(&format!("{error:#}")))
                }
            }
        };
        probes.push(Probe { hook: *hook, state });
    }
    Ok(probes)
}

fn attach(ebpf: &mut Ebpf, layout: &Layout, hook: &Hook, btf: &Btf) -> Result<()> {
    let name = hook.name;
    let program = ebpf.program_mut(name).ok_or_else(|| anyhow!("no program {name}"))?;
    match hook.attachment {
        Attachment::Tracepoint => {
            // Where tcp_send_reset reports every RST, this hook serves netfilter's drops alone, which can't be
            // recognised here. On older kernels it serves refused SYNs, too.
            if let Netfilter::Unknown(why) = layout.netfilter
                && name == "kfree_skb"
                && layout.has_rst_reason
            {
                return Err(anyhow!(why));
            }
            attach_program(program, name, btf)?;
            if let Some(twin) = hook.twin(layout.preempted) {
                let program = ebpf.program_mut(twin.name).ok_or_else(|| anyhow!("no program {}", twin.name))?;
                attach_program(program, name, btf)?;
            }
        }
        Attachment::CgroupAddress => {
            let cgroup = cgroup2_root().context("opening the cgroup v2 root")?;
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            program
                .attach(cgroup, CgroupAttachMode::Single)
                .with_context(|| format!("attaching {name} to the cgroup v2 root"))?;
        }
        Attachment::CgroupIngress | Attachment::CgroupEgress => {
            let kind = match hook.attachment {
                Attachment::CgroupIngress => CgroupSkbAttachType::Ingress,
                _ => CgroupSkbAttachType::Egress,
            };
            let cgroup = cgroup2_root().context("opening the cgroup v2 root")?;
            let program: &mut CgroupSkb = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            // A BPF link of its own, which stands beside other tools' programs on the same cgroup.
            program
                .attach(cgroup, kind, CgroupAttachMode::Single)
                .with_context(|| format!("attaching {name} to the cgroup v2 root"))?;
        }
    }
    Ok(())
}

/// Attaches the program that has the name of its tracepoint.
pub(super) fn attach_tracepoint(ebpf: &mut Ebpf, name: &str, btf: &Btf) -> Result<()> {
    attach_program(ebpf.program_mut(name).ok_or_else(|| anyhow!("no program {name}"))?, name, btf)
}

fn attach_program(program: &mut Program, name: &str, btf: &Btf) -> Result<()> {
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(name, btf).with_context(|| format!("loading tracepoint {name}"))?;
    program.attach().with_context(|| format!("attaching tracepoint {name}"))?;
    Ok(())
}

/// The root of the cgroup v2 hierarchy, which every process is in: as it is mounted, or, on a host with cgroup v1
/// alone, from a mount that no directory shows and that ends with this descriptor.
fn cgroup2_root() -> Result<OwnedFd> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let mounted = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == "cgroup2").then_some(path)
    });
    if let Some(path) = mounted {
        return Ok(File::open(path).with_context(|| format!("opening {path}"))?.into());
    }
    let hidden = || {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    hidden().context("none is mounted, and it can't be mounted here: mount -t cgroup2 none /sys/fs/cgroup/unified")
}
