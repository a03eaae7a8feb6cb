//! Attaches the kernel's programs to key-log functions, one probe for each file, whichever processes map it.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf, Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeLinkId, UProbeScope},
    },
    sys::{UProbeMultiFeature, is_uprobe_multi_supported},
};

use log::info;
use rustix::thread::CapabilitySet;

use super::site::Shape;
use crate::probes::attach::attach_tracepoint;

/// Tells which programs are executed.
const EXEC: &str = "sched_process_exec";

/// Which of the two forms of each program this kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One link for a file, since 6.6: takes CAP_BPF and CAP_PERFMON.
    Multi,
    /// A perf event: takes CAP_SYS_ADMIN on kernels that have the mend of CVE-2025-38466.
    Single,
}

impl Form {
    /// What it takes to attach more of them later, and to open the files for that.
    #[must_use]
    pub fn needs(self) -> CapabilitySet {
        let open = CapabilitySet::CHECKPOINT_RESTORE;
        match self {
            Self::Multi => open | CapabilitySet::BPF | CapabilitySet::PERFMON,
            Self::Single => open | CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN,
        }
    }

    /// What this kernel takes.
    fn of_kernel() -> Self {
        match is_uprobe_multi_supported(UProbeMultiFeature::LinkCreation) {
            Ok(true) => Self::Multi,
            Ok(false) | Err(_) => Self::Single,
        }
    }
}

/// The programs, loaded; none is attached yet.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    pub form: Form,
}

/// A probe that is in place. It goes when it is detached, or with the programs.
#[derive(Debug)]
pub struct Probe {
    name: &'static str,
    link: UProbeLinkId,
}

impl Programs {
    /// Loads the programs, and attaches the one that tells which programs are executed.
    pub(in crate::probes) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<Self> {
        if let Err(error) = attach_tracepoint(ebpf, EXEC, btf) {
            info!("the first connections of a server that starts may have no sight inside TLS: {error:#}");
        }
        let form = Form::of_kernel();
        for name in Shape::ALL.into_iter().filter_map(|shape| name(shape, form)) {
            program(ebpf, name)?.load().with_context(|| format!("loading {name}"))?;
        }
        Ok(Self { form })
    }

    /// Puts a probe at this offset of a file.
    pub(in crate::probes) fn attach(self, ebpf: &mut Ebpf, file: &File, offset: u64, shape: Shape) -> Result<Probe> {
        let name = name(shape, self.form).ok_or_else(|| anyhow!("no program for {shape:?}"))?;
        let link = program(ebpf, name)?
            .attach([UProbeAttachLocation::AbsoluteOffset(offset)], path(file.as_raw_fd()), UProbeScope::AllProcesses)
            .with_context(|| format!("attaching {name} at {offset:#x}"))?;
        Ok(Probe { name, link })
    }
}

impl Probe {
    /// Takes the probe away.
    pub(in crate::probes) fn detach(self, ebpf: &mut Ebpf) -> Result<()> {
        Ok(program(ebpf, self.name)?.detach(self.link)?)
    }
}

/// A path by which the kernel finds this very file, whatever its name stands for by now.
fn path(file: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{file}"))
}

/// The program for this shape. `None`: there is none.
const fn name(shape: Shape, form: Form) -> Option<&'static str> {
    Some(match (shape, form) {
        (Shape::LogSecret, Form::Single) => "tls_secret_four",
        (Shape::LogSecret, Form::Multi) => "tls_secret_four_multi",
        (Shape::NssKeylog, Form::Single) => "tls_secret_six",
        (Shape::NssKeylog, Form::Multi) => "tls_secret_six_multi",
        (Shape::GoKeyLog, Form::Single) => "tls_secret_go",
        (Shape::GoKeyLog, Form::Multi) => "tls_secret_go_multi",
        (Shape::KdfDerive, _) => return None,
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    Ok(ebpf.program_mut(name).ok_or_else(|| anyhow!("no program {name}"))?.try_into()?)
}
