//! The kernel's programs for key-log functions, one for each way in which such a function takes its arguments.

use std::{fs::File, os::fd::AsFd as _};

use anyhow::{Context as _, Result, anyhow};
use aya::{Btf, Ebpf, programs::UProbe};
use log::info;

use super::{
    attacher::{Attacher, Form, Probe},
    site::{Shape, Site},
};
use crate::probes::attach::attach_tracepoint;

/// Tells which programs are executed.
const EXEC: &str = "sched_process_exec";

/// The programs, loaded, and held by a process that attaches them.
#[derive(Debug)]
pub struct Programs {
    attacher: Attacher,
}

impl Programs {
    /// Loads the programs, and starts the process, with the privileges of this thread; then attaches the program that
    /// tells which programs are executed.
    pub(in crate::probes) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<Self> {
        let form = Form::of_kernel();
        let names = Shape::ALL.map(|shape| name(shape, form));
        for name in names {
            let program: &mut UProbe = ebpf.program_mut(name).ok_or_else(|| missing(name))?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        let mut descriptors = Vec::new();
        for name in names {
            descriptors.push(ebpf.program(name).ok_or_else(|| missing(name))?.fd()?.as_fd());
        }
        let attacher = Attacher::start(form, &descriptors)?;
        if let Err(error) = attach_tracepoint(ebpf, EXEC, btf) {
            info!("the first connections of a server that starts may have no sight inside TLS: {error:#}");
        }
        Ok(Self { attacher })
    }

    /// Puts probes into a file, for all processes that map it: all that it has places for, or none.
    ///
    /// # Errors
    /// Where there is no program for the site, or the kernel refuses.
    pub fn attach(&self, file: &File, site: &Site) -> Result<Vec<Probe>> {
        let number = Shape::ALL.iter().position(|shape| *shape == site.shape);
        let number = number.ok_or_else(|| anyhow!("no program for {:?}", site.shape))?;
        let mut probes = Vec::new();
        for offset in std::iter::once(&site.offset).chain(&site.more) {
            match self.attacher.attach(number, file, *offset) {
                Ok(probe) => probes.push(probe),
                Err(error) => {
                    probes.into_iter().try_for_each(|probe| self.detach(probe))?;
                    return Err(error.context(format!("attaching at {offset:#x}")));
                }
            }
        }
        Ok(probes)
    }

    /// Takes a probe away.
    ///
    /// # Errors
    /// Where the process that attached it is gone, and the probe with it.
    pub fn detach(&self, probe: Probe) -> Result<()> {
        self.attacher.detach(probe)
    }

    /// Whether the process that attaches still runs; if not, no probe is left.
    pub fn are_held(&mut self) -> bool {
        self.attacher.is_alive()
    }
}

fn missing(name: &str) -> anyhow::Error {
    anyhow!("no program {name}")
}

/// The program for this shape.
const fn name(shape: Shape, form: Form) -> &'static str {
    match (shape, form) {
        (Shape::LogSecret, Form::Single) => "tls_secret_four",
        (Shape::LogSecret, Form::Multi) => "tls_secret_four_multi",
        (Shape::NssKeylog, Form::Single) => "tls_secret_six",
        (Shape::NssKeylog, Form::Multi) => "tls_secret_six_multi",
        (Shape::GoKeyLog, Form::Single) => "tls_secret_go",
        (Shape::GoKeyLog, Form::Multi) => "tls_secret_go_multi",
        (Shape::AesKey, Form::Single) => "tls_aes_key",
        (Shape::AesKey, Form::Multi) => "tls_aes_key_multi",
    }
}
