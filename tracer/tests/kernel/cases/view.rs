//! The live view of `tracer watch`, on a terminal.

use std::{num::NonZeroU16, process::Command};

use anyhow::{Context as _, Result, ensure};
use lab::{EDGE_A, Lab, Seen, Terminal, origin::Spec};
use rustix::process::Signal;

use super::saw;
use crate::agent::{retire, tracer};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![the_live_view_tells_a_failure_and_gives_its_terminal_back]
}

fn the_live_view_tells_a_failure_and_gives_its_terminal_back() -> Result<()> {
    retire()?;
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80), None)?;
    // A key, and signals. (SIGINT goes the way of SIGTERM.)
    for end in [None, Some(Signal::TERM), Some(Signal::HUP)] {
        let mut terminal = watch(&lab)?;
        match end {
            None => terminal.send("q")?,
            Some(signal) => terminal.signal(signal)?,
        }
        let status = terminal.end()?;
        let shown = terminal.rows().join("\n");
        ensure!(status.success(), "{end:?} ended it with {status}: {shown}");
        ensure!(terminal.is_set_back()?, "{end:?} left the terminal as it was: {shown}");
        ensure!(shown.contains("1 failure, ") && shown.contains("1  empty_reply"), "{end:?}: no summary: {shown}");
    }
    Ok(())
}

/// A view that shows one failure.
fn watch(lab: &Lab) -> Result<Terminal> {
    let size = |count| NonZeroU16::new(count).context("a window without cells");
    let terminal = Terminal::start(Command::new(tracer()).arg("watch"), size(80)?, size(24)?)?;
    terminal.wait_for("nothing has failed yet")?;
    saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
    terminal.wait_for("520 empty_reply  certain")?;
    terminal.wait_for(":80 ")?;
    Ok(terminal)
}
