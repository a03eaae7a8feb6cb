//! The process that puts probes into TLS libraries, from its start to its end.

use anyhow::{Context as _, Result};
use rustix::thread::set_name;

use super::{privacy, privileges};
use crate::probes::tls::attacher;

/// Attaches until the agent that started this process is gone. `None`: it was not started for that.
#[must_use]
pub fn attach_if_asked() -> Option<Result<()>> {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    attacher::asked_for(arguments).map(attach)
}

fn attach(form: attacher::Form) -> Result<()> {
    privileges::keep_to_attach(form.needs())?;
    privacy::hide();
    set_name(c"tracer-attach").context("naming the process")?;
    attacher::serve(form, std::io::stdin()).context("attaching probes")
}
