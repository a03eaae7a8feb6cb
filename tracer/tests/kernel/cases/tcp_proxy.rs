//! Failures whose root lies behind a proxy that passes bytes on: an event loop (haproxy), and one thread for each
//! connection (the lab's own).

use anyhow::{Result, ensure};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, End, Exchange, Lab, Nginx, NginxOptions, Process, Seen, procs};
use rustix::process::Signal;
use serde_json::Value;

use super::{LIMIT, ORIGIN, answered, haproxy, saw, successor, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_proxy_that_passes_bytes_on_hangs_up_because_its_upstream_did,
        the_end_of_a_process_behind_a_proxy_that_passes_bytes_on_is_the_root,
        an_upstream_that_refuses_a_proxy_that_has_read_nothing,
        an_oom_kill_behind_a_proxy_is_the_root_of_those_in_hand_alone,
        a_bystander_that_dies_explains_nothing,
        a_response_cut_because_its_upstream_was_killed_names_it,
    ]
}

const UPSTREAM: &str = "lab-upstream";
/// Where it listens.
const BEHIND: u16 = 8080;
/// Where nobody does.
const NOBODY: u16 = 9;

/// The two kinds of proxy.
#[derive(Clone, Copy, Debug)]
enum Kind {
    EventLoop,
    Threads,
}

const KINDS: [Kind; 2] = [Kind::EventLoop, Kind::Threads];

/// A running proxy, and the name and number of the process that holds its connections.
struct Proxy {
    _process: Process,
    name: &'static str,
    pid: u32,
}

fn proxy(lab: &Lab, kind: Kind, to: u16) -> Result<Proxy> {
    match kind {
        Kind::EventLoop => {
            let server = format!("default_backend b\nbackend b\n  mode tcp\n  retries 0\n  server s 127.0.0.1:{to}\n");
            let process = haproxy(lab, 80, &format!("bind :::80 v4v6\n  mode tcp\n  {server}"))?;
            let pid = process.pid();
            Ok(Proxy { _process: process, name: "haproxy", pid })
        }
        Kind::Threads => {
            let process = lab.start_origin(&Spec::new(80).forward(to), None)?;
            let pid = worker(&process)?;
            Ok(Proxy { _process: process, name: ORIGIN, pid })
        }
    }
}

fn lost(exchange: &Exchange, proxy: &Proxy, cause: &'static str) -> Want {
    let (status, symptom) = match exchange.seen {
        Seen::Partial => (Value::Null, "fin_in_response"),
        Seen::PartialReset => (Value::Null, "rst_in_response"),
        Seen::Reset => (520.into(), "rst_no_response"),
        _ => (520.into(), "fin_no_response"),
    };
    Want::new(exchange, cause, status, symptom).process(proxy.name, proxy.pid)
}

const GONE: [Seen; 2] = [Seen::Empty, Seen::Reset];

fn a_proxy_that_passes_bytes_on_hangs_up_because_its_upstream_did() -> Result<()> {
    for kind in KINDS {
        let lab = Lab::new()?;
        let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
        let proxy = proxy(&lab, kind, BEHIND)?;
        let behind = worker(&upstream)?;
        let agent = Agent::start(&[])?;
        let mut wants = Vec::new();
        let mut used = lab.connect(EDGE_B, 80)?;
        answered(&mut used)?;
        for path in ["/empty", "/linger"] {
            for exchange in [lab.get(EDGE_A, 80, path)?, used.request(path)?] {
                let exchange = saw(exchange, &GONE)?;
                let cause = if exchange.seen == Seen::Empty { "empty_reply" } else { "app_reset" };
                let want = lost(&exchange, &proxy, cause).with("ray", exchange.ray.as_str());
                wants.push(want.with("upstream_process", UPSTREAM).with("upstream_pid", behind));
            }
            used = lab.connect(EDGE_B, 80)?;
            answered(&mut used)?;
        }
        check(agent, &lab, &wants)?;
    }
    Ok(())
}

fn the_end_of_a_process_behind_a_proxy_that_passes_bytes_on_is_the_root() -> Result<()> {
    for kind in KINDS {
        let lab = Lab::new()?;
        let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
        let proxy = proxy(&lab, kind, BEHIND)?;
        let agent = Agent::start(&[])?;
        let mut wants = Vec::new();
        for (path, cause, how) in [
            ("/segv", "crash", "crash"),
            ("/segv?sent=1", "crash", "crash"),
            ("/exit?code=3", "process_exit", "exit"),
            ("/stuck", "supervisor_kill", "killed"),
        ] {
            let behind = worker(&upstream)?;
            let exchange = saw(lab.get(EDGE_A, 80, path)?, &[Seen::Empty, Seen::Partial])?;
            successor(&upstream, behind)?;
            let want = lost(&exchange, &proxy, cause).with("end_how", Value::Null).with("upstream_end_how", how);
            wants.push(want.with("upstream_pid", behind).with("upstream_process", UPSTREAM));
        }
        check(agent, &lab, &wants)?;
    }
    Ok(())
}

fn an_upstream_that_refuses_a_proxy_that_has_read_nothing() -> Result<()> {
    for kind in KINDS {
        let lab = Lab::new()?;
        let proxy = proxy(&lab, kind, NOBODY)?;
        let agent = Agent::start(&[])?;
        let mut wants = Vec::new();
        for edge in [EDGE_A, EDGE_B, EDGE_V6] {
            let mut conn = lab.connect(edge, 80)?;
            let (cause, symptom) = match kind {
                Kind::EventLoop => {
                    ensure!(conn.wait_end(LIMIT)? == End::Fin, "the proxy did not close");
                    ("closed_before_request", "fin_before_request")
                }
                Kind::Threads => ("closed_unread", "rst_no_response"),
            };
            let exchange = saw(conn.request("/ok")?, &GONE)?;
            let want = Want::new(&exchange, cause, 520, symptom).process(proxy.name, proxy.pid);
            let want = want.with("upstream_addr", format!("127.0.0.1:{NOBODY}")).with("upstream_process", Value::Null);
            wants.push(want.saying("connected to 127.0.0.1:9, and the connection was refused"));
        }
        check(agent, &lab, &wants)?;
    }
    Ok(())
}

fn an_oom_kill_behind_a_proxy_is_the_root_of_those_in_hand_alone() -> Result<()> {
    for kind in KINDS {
        let lab = Lab::new()?;
        let memory = lab.memory_group(64 << 20)?;
        let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), Some(&memory))?;
        let proxy = proxy(&lab, kind, BEHIND)?;
        let behind = worker(&upstream)?;
        let agent = Agent::start(&[])?;
        let mut idle = lab.connect(EDGE_C, 80)?;
        answered(&mut idle)?;
        let mut held = lab.connect(EDGE_B, 80)?;
        answered(&mut held)?;
        held.send("/hang")?;
        upstream.wait_asked("/hang", 1, LIMIT)?;
        let hog = saw(lab.get(EDGE_A, 80, "/oom")?, &GONE)?;
        let held = saw(held.answer()?, &GONE)?;
        ensure!(idle.wait_end(LIMIT)? != End::Open, "the idle connection stayed open");
        ensure!(memory.oom_kills()? == 1, "{} OOM kills", memory.oom_kills()?);
        let wants = [hog, held].map(|exchange| {
            let want = lost(&exchange, &proxy, "oom_kill").with("certainty", "certain").with("oom_victim", Value::Null);
            let want = want.with("upstream_pid", behind).with("upstream_end_how", "oom");
            want.saying("the OOM killer chose lab-upstream").with("upstream_end_signal", "SIGKILL")
        });
        check(agent, &lab, &wants)?;
    }
    Ok(())
}

fn a_bystander_that_dies_explains_nothing() -> Result<()> {
    for kind in KINDS {
        let lab = Lab::new()?;
        let memory = lab.memory_group(64 << 20)?;
        let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
        // Of the same name, with a connection of the same edge's in hand.
        let other = lab.start_origin(&Spec::new(81).name(UPSTREAM), Some(&memory))?;
        let proxy = proxy(&lab, kind, BEHIND)?;
        let behind = worker(&upstream)?;
        let agent = Agent::start(&[])?;
        let dies = worker(&other)?;
        let mut hog = lab.connect(lab::STRANGER, 81)?;
        hog.send("/oom?after=30")?;
        let mut wants = Vec::new();
        while procs::alive(dies) {
            let exchange = saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
            let want = lost(&exchange, &proxy, "empty_reply").with("upstream_pid", behind);
            wants.push(want.with("upstream_end_how", Value::Null).not_saying("OOM"));
        }
        ensure!(memory.oom_kills()? == 1, "{} OOM kills", memory.oom_kills()?);
        check(agent, &lab, &wants)?;
    }
    Ok(())
}

/// By nginx, which reads requests.
fn a_response_cut_because_its_upstream_was_killed_names_it() -> Result<()> {
    let lab = Lab::new()?;
    let upstream = lab.start_origin(&Spec::new(BEHIND).name(UPSTREAM), None)?;
    let server = format!(
        "location / {{ proxy_buffering off; proxy_pass http://127.0.0.1:{BEHIND}; }} location /444 {{ return 444; }}"
    );
    let http = format!("server {{ listen 80; {server} }}");
    let nginx = Nginx::start(&lab, &NginxOptions { http: &http, ports: &[80], workers: 1, ..Default::default() })?;
    let pid = worker(&nginx)?;
    let nginx_lost = |exchange: &Exchange, cause| {
        let status = if exchange.seen == Seen::Empty { 520.into() } else { Value::Null };
        let symptom = if exchange.seen == Seen::Empty { "fin_no_response" } else { "fin_in_response" };
        Want::new(exchange, cause, status, symptom).process("nginx", pid)
    };
    let agent = Agent::start(&[])?;
    let behind = worker(&upstream)?;
    let cut = saw(lab.get(EDGE_A, 80, "/cut")?, &[Seen::Partial])?;
    let closed = nginx_lost(&cut, "truncated_body").with("upstream_pid", behind).saying("closed the connection");
    let mut conn = lab.connect(EDGE_B, 80)?;
    answered(&mut conn)?;
    conn.send("/partial")?;
    conn.wait_first_byte()?;
    ensure!(procs::signal(behind, Signal::KILL), "process {behind} is gone");
    let killed = saw(conn.answer()?, &[Seen::Partial])?;
    successor(&upstream, behind)?;
    let root = nginx_lost(&killed, "truncated_body").with("upstream_pid", behind).with("upstream_process", UPSTREAM);
    let root = root.with("upstream_end_signal", "SIGKILL").with("upstream_status", 200).with("end_signal", Value::Null);
    // Its own decision has nothing to do with what stands behind it.
    let mut conn = lab.connect(EDGE_C, 80)?;
    answered(&mut conn)?;
    let own = nginx_lost(&saw(conn.request("/444")?, &[Seen::Empty])?, "empty_reply");
    check(agent, &lab, &[closed, root, own.with("upstream_process", Value::Null).with("upstream_tries", Value::Null)])
}
