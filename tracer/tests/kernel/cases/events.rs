//! Where events go, and how that goes wrong: a full disk, a file that is moved, a journal that is not there.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, Exchange, Lab, Seen, wait};
use rustix::process::Signal;
use serde_json::Value;

use super::disk::Disk;
use super::{LIMIT, saw};
use crate::agent::{Agent, free_address, run_by};
use crate::journal::{EMPTY_RUN, Journal};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_full_disk_loses_events_while_it_is_full_and_nothing_else,
        an_agent_that_stands_still_loses_records_and_counts_every_failure,
        sighup_opens_the_events_anew_and_a_broken_configuration_changes_nothing,
        failures_are_entries_of_the_journal_and_what_it_does_not_take_is_counted,
        without_a_journal_it_says_so_and_does_not_start,
    ]
}

fn fail(lab: &Lab) -> Result<Exchange> {
    saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])
}

fn told(agent: &Agent) -> Result<u64> {
    Ok(agent.metrics()?.count("tracer_failures_total", &[("cause", "empty_reply")]))
}

fn lost(agent: &Agent, place: &str) -> Result<u64> {
    Ok(agent.metrics()?.count("tracer_events_lost_total", &[("where", place)]))
}

fn a_full_disk_loses_events_while_it_is_full_and_nothing_else() -> Result<()> {
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80), None)?;
    let disk = Disk::new()?;
    let mut agent = Agent::start_writing(&disk.0.join("events"), &[])?;
    fail(&lab)?;
    wait::until("the first event", LIMIT, || Ok((!agent.events()?.is_empty()).then_some(())))?;
    disk.fill()?;
    for _ in 0..12 {
        fail(&lab)?;
    }
    wait::until("thirteen failures", LIMIT, || Ok((told(&agent)? == 13).then_some(())))?;
    wait::until("losses", LIMIT, || Ok((lost(&agent, "events")? > 2).then_some(())))?;
    disk.empty()?;
    let last = fail(&lab)?;
    let text = wait::until("an event after the full disk", LIMIT, || {
        let text = fs::read_to_string(agent.events_file())?;
        Ok(text.ends_with('\n').then_some(text))
    })?;
    let lines: Vec<_> = text.lines().map(serde_json::from_str::<Value>).collect();
    let whole: Vec<_> = lines.iter().flatten().collect();
    ensure!(lines.len() - whole.len() <= 1, "more than one torn line:\n{text}");
    ensure!(
        whole.len() as u64 + lost(&agent, "events")? == 14,
        "{} lines, {} lost",
        whole.len(),
        lost(&agent, "events")?
    );
    ensure!(whole.last().is_some_and(|event| event["peer_port"] == last.from.port()), "not the last one:\n{text}");
    let log = agent.log();
    ensure!(log.matches("events are lost").count() == 1 && log.matches("works again;").count() == 1, "the log: {log}");
    agent.stop()
}

/// The ring buffer holds some 2,200 records of failures while nobody reads it.
fn an_agent_that_stands_still_loses_records_and_counts_every_failure() -> Result<()> {
    const FAILURES: u64 = 2500;
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80), None)?;
    let mut agent = Agent::fresh(&[])?;
    agent.signal(Signal::STOP);
    let failed = (0..FAILURES).try_for_each(|_| fail(&lab).map(|_| ()));
    agent.signal(Signal::CONT);
    failed?;
    let metrics = wait::until("every failure", LIMIT, || {
        let metrics = agent.metrics()?;
        Ok((metrics.count("tracer_failures_total", &[]) >= FAILURES).then_some(metrics))
    })?;
    let count = |cause| metrics.count("tracer_failures_total", &[("cause", cause)]);
    let (told, unexplained) = (count("empty_reply"), count("unexplained"));
    ensure!(unexplained > 0 && told + unexplained == FAILURES, "{told} told, {unexplained} unexplained");
    let seen = metrics.count("tracer_failures_total", &[("cause", "unexplained"), ("edge_status", "520")]);
    let lost = metrics.count("tracer_events_lost_total", &[("where", "ring_buffer")]);
    ensure!(seen == unexplained && lost == unexplained, "{unexplained} unexplained, {seen} as 520, {lost} lost");
    agent.stop()
}

fn sighup_opens_the_events_anew_and_a_broken_configuration_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80), None)?;
    let disk = Disk::new()?;
    let config = disk.0.join("tracer.toml");
    fs::write(&config, "port = [80]")?;
    let mut agent = Agent::fresh(&["--config", &config.display().to_string()])?;
    let gauge = |agent: &Agent, name: &str| agent.metrics()?.sum(name, &[]).context("no such series");
    let is = |agent: &Agent, wanted: f64| Ok((gauge(agent, RELOADED)? == wanted).then_some(()));
    is(&agent, 1.0)?.context("the start counts as read")?;
    let at = gauge(&agent, RELOADED_AT)?;
    fs::write(&config, "port = [81]\nlisen = 1")?;
    fs::rename(agent.events_file(), agent.events_file().with_extension("moved"))?;
    agent.signal(Signal::HUP);
    wait::until("a reload that fails", LIMIT, || is(&agent, 0.0))?;
    wait::until("the events file anew", LIMIT, || Ok(agent.events_file().exists().then_some(())))?;
    ensure!(gauge(&agent, RELOADED_AT)? == at, "what failed has no time");
    ensure!(agent.log().contains("tracer.toml:2: unknown key"), "the log: {}", agent.log());
    fail(&lab).context("port 80 is watched as before")?;
    wait::until("an event in the new file", LIMIT, || Ok((agent.events()?.len() == 1).then_some(())))?;
    fs::write(&config, "port = [80]")?;
    agent.signal(Signal::HUP);
    wait::until("a reload that works", LIMIT, || is(&agent, 1.0))?;
    ensure!(gauge(&agent, RELOADED_AT)? >= at, "time runs");
    agent.stop()
}

fn failures_are_entries_of_the_journal_and_what_it_does_not_take_is_counted() -> Result<()> {
    let mut journal = Journal::start()?;
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80), None)?;
    let mut agent = Agent::start_by(&journal.door().each_ref().map(String::as_str), &["--journald"])?;
    let entries = |journal: &Journal, count| {
        wait::until("an entry", LIMIT, || {
            let entries = journal.entries(&["TRACER_CAUSE=empty_reply", "TRACER_EDGE_STATUS=520"])?;
            Ok((entries.len() == count).then_some(entries))
        })
    };
    fail(&lab)?;
    let entry = &entries(&journal, 1)?[0];
    let event = agent.events()?.pop().context("no event in the file, which is written too")?;
    for (field, of_event) in [("TRACER_RAY", "ray"), ("TRACER_HOST", "host"), ("TRACER_PROCESS", "process")] {
        ensure!(entry[field].is_string() && entry[field] == event[of_event], "{field}: {entry}");
    }
    let pid = entry["TRACER_PID"].as_str().and_then(|pid| pid.parse::<u64>().ok());
    ensure!(pid.is_some() && pid == event["pid"].as_u64() && entry["_COMM"] == "tracer", "{entry}");
    ensure!(entry["MESSAGE_ID"] == tracer::sinks::journal::MESSAGE_ID && entry["PRIORITY"] == "3", "{entry}");
    ensure!(entry["TRACER_EVIDENCE"] == event["evidence"], "{entry}");
    ensure!(entry["MESSAGE"].as_str().is_some_and(|text| text.starts_with("520 empty_reply certain")), "{entry}");
    journal.kill()?;
    fail(&lab)?;
    wait::until("a loss", LIMIT, || Ok((lost(&agent, "journal")? == 1).then_some(())))?;
    journal.start_again()?;
    fail(&lab)?;
    entries(&journal, 2)?;
    ensure!(lost(&agent, "events")? == 0, "the file took them all");
    agent.stop()
}

fn without_a_journal_it_says_so_and_does_not_start() -> Result<()> {
    let done = run_by(&EMPTY_RUN, free_address()?).arg("--journald").stdout(Stdio::null()).output()?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.code() == Some(1), "it ended with {}: {log}", done.status);
    ensure!(log.contains("opening the journal (/run/systemd/journal/socket): No such file"), "{log}");
    ensure!(log.contains("is systemd-journald running?"), "{log}");
    Ok(())
}

const RELOADED: &str = "tracer_config_last_reload_successful";
const RELOADED_AT: &str = "tracer_config_last_reload_success_timestamp_seconds";
