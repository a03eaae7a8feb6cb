//! The origin's own answers of 5xx, and what happened behind the process that gave them.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, Exchange, Lab, Process, STRANGER, Seen, procs, wait};
use rustix::process::Signal;
use serde_json::Value;

use super::{LIMIT, ORIGIN, answered, is_older_than, saw, successor, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        an_answer_of_5xx_is_told_with_what_failed_behind_it,
        the_end_of_a_process_behind_is_told_as_the_cause,
        what_is_no_whole_answer_of_5xx_to_the_edge_is_no_origin_error,
        a_unix_socket_in_the_memory_of_an_earlier_one_is_a_new_connection,
    ]
}

/// A verdict may wait for half a second.
const HELD: Duration = Duration::from_millis(700);

pub(super) const UPSTREAM: &str = "lab-upstream";
/// Where it listens.
const BEHIND: u16 = 8080;

/// A gateway on port 80 and an upstream behind it.
fn staged() -> Result<(Lab, Process, Process)> {
    let lab = Lab::new()?;
    let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
    let gateway = lab.start_origin(&Spec::new(80), None)?;
    Ok((lab, gateway, upstream))
}

fn via(path: &str) -> String {
    format!("/via?port={BEHIND}&to={path}")
}

/// An answer with this status, and its cause.
fn own(exchange: &Exchange, cause: &'static str, status: u16, gateway: &Process) -> Result<Want> {
    let want = Want::new(exchange, cause, status, "complete").process(ORIGIN, worker(gateway)?);
    Ok(want.with("kind", "origin_error").with("response_status", status).with("ray", exchange.ray.as_str()))
}

/// Waits for the records, compares them, and makes sure that the counters agree and that none of it was a failure.
pub(super) fn told(agent: Agent, lab: &Lab, wants: &[Want]) -> Result<()> {
    let came = || -> Result<Vec<Value>> {
        let mut records = agent.events()?;
        records.retain(|record| record["kind"] == "origin_error");
        records.retain(|record| record["netns"].as_u64().is_none_or(|netns| lab.serves_in(netns)));
        Ok(records)
    };
    // If they do not come, what came is said below.
    let _all = wait::until_true("the records", LIMIT, || came().is_ok_and(|records| records.len() >= wants.len()));
    std::thread::sleep(HELD);
    let records = came()?;
    ensure!(records.len() == wants.len(), "{} records, wanted {}: {records:?}", records.len(), wants.len());
    for want in wants {
        ensure!(records.iter().any(|record| want.is_met(record)), "{}", want.unmet(&records));
    }
    let counted = agent.metrics()?.count("tracer_origin_errors_total", &[]);
    ensure!(counted == wants.len() as u64, "{counted} counted");
    check(agent, lab, &[])
}

fn an_answer_of_5xx_is_told_with_what_failed_behind_it() -> Result<()> {
    let (lab, gateway, upstream) = staged()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    let behind = worker(&upstream)?;
    for (path, status, cause, certainty) in [
        ("/empty", 502, "upstream_closed", "certain"),
        ("/cut-head", 502, "upstream_closed", "likely"),
        ("/linger", 502, "upstream_reset", "certain"),
        ("/rubbish", 502, "upstream_invalid", "certain"),
        ("/status?code=503", 503, "application_error", "certain"),
        // It hangs for good.
        ("/hang", 504, "upstream_timeout", "certain"),
    ] {
        let exchange = saw(lab.get(EDGE_A, 80, &via(path))?, &[Seen::Complete(status)])?;
        let want = own(&exchange, cause, status, &gateway)?.with("certainty", certainty);
        wants.push(want.with("upstream_process", UPSTREAM).with("upstream_pid", behind));
    }
    ensure!(procs::signal(behind, Signal::KILL), "process {behind} is gone");
    let behind = successor(&upstream, behind)?;
    let exchange = saw(lab.get(EDGE_B, 80, &via("/status?code=500"))?, &[Seen::Complete(500)])?;
    let want = own(&exchange, "application_error", 500, &gateway)?.with("certainty", "certain");
    wants.push(want.with("upstream_process", UPSTREAM).with("upstream_pid", behind));
    let exchange = saw(lab.get(EDGE_A, 80, "/via?port=9&to=/")?, &[Seen::Complete(502)])?;
    let want = own(&exchange, "upstream_refused", 502, &gateway)?.with("certainty", "certain");
    wants.push(want.with("upstream_process", Value::Null).with("upstream_addr", "127.0.0.1:9"));
    // On a kept-alive connection, between sound answers.
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    let exchange = saw(conn.request("/status?code=503")?, &[Seen::Complete(503)])?;
    wants.push(own(&exchange, "application_error", 503, &gateway)?.with("upstream_addr", Value::Null));
    answered(&mut conn)?;
    told(agent, &lab, &wants)
}

fn the_end_of_a_process_behind_is_told_as_the_cause() -> Result<()> {
    let (lab, gateway, upstream) = staged()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (path, cause, how) in
        [("/segv", "crash", "crash"), ("/exit?code=3", "process_exit", "exit"), ("/abort", "crash", "crash")]
    {
        let behind = worker(&upstream)?;
        let exchange = saw(lab.get(EDGE_A, 80, &via(path))?, &[Seen::Complete(502)])?;
        successor(&upstream, behind)?;
        let want = own(&exchange, cause, 502, &gateway)?.with("certainty", "certain");
        wants.push(want.with("upstream_pid", behind).with("upstream_end_how", how));
    }
    told(agent, &lab, &wants)
}

fn what_is_no_whole_answer_of_5xx_to_the_edge_is_no_origin_error() -> Result<()> {
    let (lab, gateway, _upstream) = staged()?;
    let agent = Agent::start(&[])?;
    for status in [404, 499, 600] {
        saw(lab.get(EDGE_A, 80, &via(&format!("/status?code={status}")))?, &[Seen::Complete(status)])?;
    }
    let cut = saw(lab.get(EDGE_A, 80, "/status?code=503&cut=1")?, &[Seen::Partial])?;
    saw(lab.get(STRANGER, 80, "/status?code=503")?, &[Seen::Complete(503)])?;
    let failure = Want::new(&cut, "truncated_body", Value::Null, "fin_in_response").process(ORIGIN, worker(&gateway)?);
    let counted = agent.metrics()?.count("tracer_origin_errors_total", &[]);
    ensure!(counted == 0, "{counted} counted");
    check(agent, &lab, &[failure])
}

/// That a unix socket is closed is not seen. The kernel gives its memory to the next one, which another process opens:
/// of these requests nearly each meets that, as two workers take turns at accepting.
fn a_unix_socket_in_the_memory_of_an_earlier_one_is_a_new_connection() -> Result<()> {
    if is_older_than(6, 3) {
        println!("left out: what is sent on unix sockets is seen since Linux 6.3");
        return Ok(());
    }
    let lab = Lab::new()?;
    let path = lab.dir().join("silent.sock");
    let silent = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    // It takes each connection, reads the request, and holds on to it until the gateway has left.
    thread::spawn(move || {
        for conn in silent.incoming() {
            let _until_it_leaves = conn.and_then(|mut conn| conn.read_to_end(&mut Vec::new()));
        }
    });
    let gateway = lab.start_origin(&Spec::new(80).workers(2), None)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for _ in 0..24 {
        let via = format!("/via?unix={}&patience=20&to=/", path.display());
        let exchange = saw(lab.get(EDGE_A, 80, &via)?, &[Seen::Complete(504)])?;
        let want = Want::new(&exchange, "upstream_timeout", 504, "complete").with("ray", exchange.ray.as_str());
        let want = want.with("upstream_pid", std::process::id()).with("upstream_tries", 1).with("certainty", "certain");
        wants.push(want.with("upstream_addr", format!("unix:{}", path.display())));
    }
    drop(gateway);
    told(agent, &lab, &wants)
}
