//! The agent's own life: a second one, its end by signals, its start in the middle of an incident.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, Lab, Seen, procs, wait};
use rustix::process::Signal;

use super::{LIMIT, ORIGIN, answered, programs, saw, worker};
use crate::agent::{Agent, run_command};
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        sigterm_ends_with_zero_within_two_seconds,
        sigint_ends_with_zero,
        sigkill_leaves_no_program_in_the_kernel,
        a_second_agent_on_the_same_port_says_so,
        started_mid_incident_it_knows_the_open_connections,
    ]
}

/// Some of the kernel's clock ticks, of at most 10 ms each.
const TICKS: Duration = Duration::from_millis(50);

fn sigterm_ends_with_zero_within_two_seconds() -> Result<()> {
    let before = programs::ids()?;
    Agent::fresh(&[])?.stop()?;
    gone(&before)
}

fn sigint_ends_with_zero() -> Result<()> {
    let status = Agent::fresh(&[])?.end(Signal::INT)?;
    ensure!(status.success(), "SIGINT ended the agent with {status}");
    Ok(())
}

fn sigkill_leaves_no_program_in_the_kernel() -> Result<()> {
    let before = programs::ids()?;
    let mut agent = Agent::fresh(&[])?;
    ensure!(!programs::ids()?.is_subset(&before), "the agent is ready without a program in the kernel");
    agent.end(Signal::KILL)?;
    gone(&before)
}

fn a_second_agent_on_the_same_port_says_so() -> Result<()> {
    let first = Agent::fresh(&[])?;
    let before = programs::ids()?;
    let mut second = run_command(first.listen()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status = wait::until("the second agent to end", LIMIT, || Ok(second.try_wait()?));
    let _ = second.kill();
    let log = second.wait_with_output()?.stderr;
    let log = String::from_utf8_lossy(&log);
    let code = status?.code().context("the second agent was killed")?;
    ensure!(code == 1, "the second agent ended with {code}: {log}");
    ensure!(log.contains(&first.listen().to_string()), "the message does not name the address: {log}");
    ensure!(first.http("/-/ready")?.0 == 200, "the first agent is not ready any more");
    gone(&before)
}

fn started_mid_incident_it_knows_the_open_connections() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let pid = worker(&origin)?;
    // One is used again after the start, one waits for its first answer, one for its second, one for nothing.
    let open = |from| lab.connect(from, 80);
    let (mut used, mut first, mut second, mut idle) = (open(EDGE_A)?, open(EDGE_B)?, open(EDGE_A)?, open(EDGE_B)?);
    for conn in [&mut used, &mut second, &mut idle] {
        answered(conn)?;
    }
    first.send("/hang")?;
    origin.wait_asked("/hang", 1, LIMIT)?;
    // All that is left of the past is the kernel's times of the last data in either direction, which count in ticks.
    std::thread::sleep(TICKS);
    second.send("/hang")?;
    let agent = Agent::fresh(&[])?;
    answered(&mut used)?;
    used.send("/hang")?;
    origin.wait_asked("/hang", 3, LIMIT)?;
    procs::signal(pid, Signal::KILL);
    let mut wants = Vec::new();
    for conn in [&mut used, &mut first, &mut second] {
        let exchange = saw(conn.answer()?, &[Seen::Empty])?;
        wants.push(Want::new(&exchange, "process_killed", 520, "fin_no_response").process(ORIGIN, pid));
    }
    check(agent, &lab, &wants)
}

/// Waits until no program is there that was not there before; the kernel frees them a little after the last reference.
fn gone(before: &BTreeSet<u32>) -> Result<()> {
    wait::until("the agent's programs to leave the kernel", LIMIT, || {
        Ok(programs::ids()?.is_subset(before).then_some(()))
    })
}
