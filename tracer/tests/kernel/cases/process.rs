//! Requests lost with the process that held them: who or what ended it.

use std::process::Command;

use anyhow::{Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, EDGE_C, Exchange, Lab, Process, Seen, procs};
use serde_json::Value;

use super::{LIMIT, ORIGIN, answered, saw, successor, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        oom_kill,
        an_oom_kill_elsewhere_explains_nothing_here,
        crash,
        a_crash_takes_its_neighbours_but_not_the_idle,
        a_crash_with_unread_bytes_is_still_a_crash,
        process_exit,
        an_exit_out_of_a_faults_handler_is_a_crash,
        a_fault_that_was_survived_does_not_explain_the_exit,
        process_killed,
        supervisor_kill,
    ]
}

/// A lost request: unanswered (`520`), or cut after the header section (no 52x).
fn lost(exchange: &Exchange, cause: &'static str, how: &str, pid: u32) -> Want {
    let (status, symptom) =
        if exchange.seen == Seen::Partial { (Value::Null, "fin_in_response") } else { (520.into(), "fin_no_response") };
    Want::new(exchange, cause, status, symptom).process(ORIGIN, pid).with("end_how", how)
}

/// Asks for each path in turn, each time of a new worker, and wants the cause told of it.
fn deaths(lab: &Lab, origin: &Process, paths: &[&str], cause: &'static str, how: &str) -> Result<Vec<Want>> {
    let mut wants = Vec::new();
    for path in paths {
        let pid = worker(origin)?;
        let staged = if path.contains("sent=1") { Seen::Partial } else { Seen::Empty };
        let exchange = saw(lab.get(EDGE_A, 80, path)?, &[staged])?;
        successor(origin, pid)?;
        wants.push(lost(&exchange, cause, how, pid));
    }
    Ok(wants)
}

fn oom_kill() -> Result<()> {
    let lab = Lab::new()?;
    let memory = lab.memory_group(64 << 20)?;
    let origin = lab.start_origin(&Spec::new(80), Some(&memory))?;
    let agent = Agent::start(&[])?;
    let mut wants = deaths(&lab, &origin, &["/oom", "/oom?sent=1"], "oom_kill", "oom")?;
    ensure!(memory.oom_kills()? == 2, "{} OOM kills", memory.oom_kills()?);
    // Its successor, of the same name, in the same group: what it does of its own accord is its own.
    let exchange = saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
    wants.push(Want::new(&exchange, "empty_reply", 520, "fin_no_response").process(ORIGIN, worker(&origin)?));
    let counted = agent.metrics()?.count("tracer_oom_kills_total", &[("process", ORIGIN)]);
    ensure!(counted == 2, "tracer_oom_kills_total is {counted}");
    check(agent, &lab, &wants)
}

fn an_oom_kill_elsewhere_explains_nothing_here() -> Result<()> {
    let lab = Lab::new()?;
    let memory = lab.memory_group(64 << 20)?;
    let other = lab.start_origin(&Spec::new(81).name("batch-job"), Some(&memory))?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let pid = worker(&other)?;
    let mut hog = lab.connect(lab::STRANGER, 81)?;
    hog.send("/oom?after=30")?;
    let mut wants = Vec::new();
    while procs::alive(pid) {
        let exchange = saw(lab.get(EDGE_A, 80, "/linger")?, &[Seen::Reset])?;
        wants.push(Want::new(&exchange, "app_reset", 520, "rst_no_response").process(ORIGIN, worker(&origin)?));
    }
    ensure!(memory.oom_kills()? == 1, "{} OOM kills", memory.oom_kills()?);
    wants.extend(deaths(&lab, &origin, &["/segv"], "crash", "crash")?);
    check(agent, &lab, &wants)
}

fn crash() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (paths, signal) in [(["/segv", "/segv?sent=1"], "SIGSEGV"), (["/abort", "/abort?sent=1"], "SIGABRT")] {
        let died = deaths(&lab, &origin, &paths, "crash", "crash")?;
        wants.extend(died.into_iter().map(|want| want.with("end_signal", signal)));
    }
    check(agent, &lab, &wants)
}

fn a_crash_takes_its_neighbours_but_not_the_idle() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let pid = worker(&origin)?;
    let mut idle = lab.connect(EDGE_A, 80)?;
    answered(&mut idle)?;
    let mut conns = Vec::new();
    for (from, path) in [(EDGE_A, "/hang"), (EDGE_B, "/hang"), (EDGE_C, "/partial")] {
        let mut conn = lab.connect(from, 80)?;
        answered(&mut conn)?;
        conn.send(path)?;
        conns.push(conn);
    }
    conns[2].wait_first_byte()?;
    origin.wait_asked("/hang", 2, LIMIT)?;
    let mut wants = deaths(&lab, &origin, &["/segv"], "crash", "crash")?;
    for mut conn in conns {
        let exchange = saw(conn.answer()?, &[Seen::Empty, Seen::Partial])?;
        wants.push(lost(&exchange, "crash", "crash", pid).with("reused", true));
    }
    check(agent, &lab, &wants)
}

fn a_crash_with_unread_bytes_is_still_a_crash() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let pid = worker(&origin)?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    // More than was announced: it stays in the socket, and the exit closes with RST.
    conn.send_with("POST", "/segv?after=200", "Content-Length: 5\r\n", &[b'x'; 3000])?;
    let exchange = saw(conn.answer()?, &[Seen::Reset])?;
    let want = Want::new(&exchange, "crash", 520, "rst_no_response").process(ORIGIN, pid).with("end_how", "crash");
    check(agent, &lab, &[want])
}

fn process_exit() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (path, code) in [("/exit?code=3", 3), ("/exit?code=0", 0), ("/exit?code=1&sent=1", 1)] {
        let died = deaths(&lab, &origin, &[path], "process_exit", "exit")?;
        wants.extend(died.into_iter().map(|want| want.with("end_code", code)));
    }
    check(agent, &lab, &wants)
}

fn an_exit_out_of_a_faults_handler_is_a_crash() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let died = deaths(&lab, &origin, &["/segv-exit", "/segv-exit?sent=1"], "crash", "crash")?;
    let wants: Vec<Want> = died.into_iter().map(|want| want.with("certainty", "likely").with("end_code", 1)).collect();
    check(agent, &lab, &wants)
}

/// As in a JVM, which takes SIGSEGV for its null checks all the time.
fn a_fault_that_was_survived_does_not_explain_the_exit() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let paths = ["/segv-survived?code=4", "/segv-survived?code=4&sent=1", "/segv-survived?code=4&ms=0"];
    let died = deaths(&lab, &origin, &paths, "process_exit", "exit")?;
    let wants: Vec<Want> = died.into_iter().map(|want| want.with("end_code", 4)).collect();
    check(agent, &lab, &wants)
}

fn process_killed() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (round, (signal, name)) in [("KILL", "SIGKILL"), ("TERM", "SIGTERM")].into_iter().enumerate() {
        let pid = worker(&origin)?;
        let mut conns = [lab.connect(EDGE_A, 80)?, lab.connect(EDGE_B, 80)?];
        for (conn, path) in conns.iter_mut().zip(["/hang", "/partial"]) {
            answered(conn)?;
            conn.send(path)?;
        }
        conns[1].wait_first_byte()?;
        origin.wait_asked("/hang", round + 1, LIMIT)?;
        // By an operator's command: a process that is no relative of the worker's.
        ensure!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status()?.success(), "kill failed");
        for mut conn in conns {
            let exchange = saw(conn.answer()?, &[Seen::Empty, Seen::Partial])?;
            wants.push(lost(&exchange, "process_killed", "killed", pid).with("end_signal", name));
        }
        successor(&origin, pid)?;
    }
    check(agent, &lab, &wants)
}

fn supervisor_kill() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let wants = deaths(&lab, &origin, &["/stuck", "/stuck?sent=1"], "supervisor_kill", "killed")?;
    let wants: Vec<Want> = wants.into_iter().map(|want| want.with("end_signal", "SIGKILL")).collect();
    check(agent, &lab, &wants)
}
