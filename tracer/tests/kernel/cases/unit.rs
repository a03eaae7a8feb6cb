//! The agent with the systemd unit's user and privileges: what it sees, what it keeps of them, and what it tells
//! systemd.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use lab::origin::Spec;
use lab::unit;
use lab::{EDGE_A, EDGE_C, Lab, Seen, procs, wait};
use rustix::process::Signal;

use super::{LIMIT, ORIGIN, is_older_than, saw, successor, worker};
use crate::agent::{Agent, free_address, run_command};
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        with_the_units_privileges_every_kind_of_failure_is_told,
        with_the_units_privileges_it_finds_who_holds_what_was_open_before,
        with_the_units_privileges_it_reloads,
        of_the_units_privileges_every_thread_keeps_one,
        of_roots_privileges_every_thread_keeps_two,
        systemd_hears_that_the_event_loop_turns,
    ]
}

pub(super) const BPF: u64 = 1 << 39;
const NET_ADMIN: u64 = 1 << 12;
pub(super) const DAC_OVERRIDE: u64 = 1 << 1;
pub(super) const SYS_PTRACE: u64 = 1 << 19;

fn with_the_units_privileges_every_kind_of_failure_is_told() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start_as_unit(&["--read-timeout=600ms", "--connect-timeout=1500ms"])?;
    let memory = lab.memory_group(64 << 20)?;
    let origin = lab.start_origin(&Spec::new(80), Some(&memory))?;
    let exe = std::env::current_exe()?.to_string_lossy().into_owned();
    let mut wants = Vec::new();
    for (path, seen, cause, symptom) in [
        ("/empty", Seen::Empty, "empty_reply", "fin_no_response"),
        ("/linger", Seen::Reset, "app_reset", "rst_no_response"),
        ("/cut-head", Seen::Partial, "truncated_headers", "fin_in_response"),
        ("/hang", Seen::Timeout, "response_timeout", "no_response"),
    ] {
        let exchange = saw(lab.get(EDGE_A, 80, path)?, &[seen])?;
        let want = Want::new(&exchange, cause, if cause == "response_timeout" { 524 } else { 520 }, symptom);
        wants.push(want.process(ORIGIN, worker(&origin)?).with("exe", exe.as_str()).with("ray", exchange.ray.as_str()));
    }
    for (path, cause, end_how) in [("/segv", "crash", "crash"), ("/oom", "oom_kill", "oom")] {
        let pid = worker(&origin)?;
        let exchange = saw(lab.get(EDGE_A, 80, path)?, &[Seen::Empty])?;
        successor(&origin, pid)?;
        let want = Want::new(&exchange, cause, 520, "fin_no_response").process(ORIGIN, pid).with("end_how", end_how);
        wants.push(if cause == "oom_kill" { want.with("oom_scope", "memcg") } else { want });
    }
    wants.push(Want::new(&saw(lab.get(EDGE_C, 82, "/")?, &[Seen::Refused])?, "port_closed", 521, "refused"));
    let rules =
        format!("table inet t {{\nchain c {{\ntype filter hook input priority 0;\nip saddr {EDGE_C} drop\n}}\n}}\n");
    lab.origin().run("nft", &["-f", "-"], &rules)?;
    let exchange = saw(lab.get(EDGE_C, 80, "/")?, &[Seen::Timeout])?;
    wants.push(Want::new(&exchange, "firewall_drop", 522, "no_synack").with("process", ORIGIN));
    lab.origin().run("nft", &["flush", "ruleset"], "")?;
    check(agent, &lab, &wants)
}

/// A server of another user, in the agent's own network namespace: this very process, which has a request in hand and
/// does nothing from which the agent could learn whose it is.
fn with_the_units_privileges_it_finds_who_holds_what_was_open_before() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let mut edge = TcpStream::connect(("127.0.0.1", port))?;
    let (_origin, _) = listener.accept()?;
    edge.write_all(format!("GET /open HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(100)).as_bytes())?;
    let agent = Agent::start_as_unit(&["--extra-range=127.0.0.0/8", "--port", &port.to_string(), "--read-timeout=1s"])?;
    let record = wait::until("a record of the request that nobody answers", LIMIT, || {
        Ok(agent.events()?.into_iter().find(|record| record["local_port"] == port))
    });
    let record = record.with_context(|| agent.log())?;
    ensure!(record["cause"] == "response_timeout", "{record}");
    ensure!(!shows_sockets_to_the_unit()? || record["pid"] == std::process::id(), "{record}");
    Ok(())
}

/// Whether descriptions of descriptors tell their inodes; before Linux 5.14, others' sockets are shown only to who may
/// read every file.
fn shows_sockets_to_the_unit() -> Result<bool> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    Ok(fs::read_to_string(format!("/proc/self/fdinfo/{}", socket.as_raw_fd()))?.contains("ino:"))
}

fn with_the_units_privileges_it_reloads() -> Result<()> {
    let lab = Lab::new()?;
    let ranges = lab.dir().join("ranges");
    fs::write(&ranges, "192.0.2.0/24\n")?;
    let agent = Agent::start_as_unit(&["--ranges", &ranges.to_string_lossy()])?;
    saw(lab.get(EDGE_A, 80, "/")?, &[Seen::Refused])?;
    fs::write(&ranges, format!("{EDGE_A}/32\n"))?;
    fs::rename(agent.dir().join("events"), agent.dir().join("events.1"))?;
    agent.signal(Signal::HUP);
    wait::until_true("the new events file", LIMIT, || agent.dir().join("events").exists())?;
    saw(lab.get(EDGE_A, 80, "/")?, &[Seen::Refused])?;
    let records = wait::until("a record in the new file", LIMIT, || {
        let records = agent.events()?;
        Ok((!records.is_empty()).then_some(records))
    });
    let records = records.with_context(|| agent.log())?;
    ensure!(records.len() == 1 && records[0]["cause"] == "port_closed", "{records:?}");
    ensure!(fs::read_to_string(agent.dir().join("events.1"))?.is_empty(), "a stranger's refusal was told");
    Ok(())
}

fn of_the_units_privileges_every_thread_keeps_one() -> Result<()> {
    let agent = Agent::start_as_unit(&[])?;
    for thread in threads(&agent)? {
        ensure!(thread["Uid"].split_whitespace().all(|uid| uid == unit::USER.to_string()), "{thread:?}");
        // What the bounding set holds is out of reach: nothing that it executes gains a privilege.
        only(&thread, kept(&thread, SYS_PTRACE), &["CapPrm", "CapEff"])?;
    }
    Ok(())
}

fn of_roots_privileges_every_thread_keeps_two() -> Result<()> {
    let agent = Agent::start(&[])?;
    for thread in threads(&agent)? {
        only(&thread, kept(&thread, SYS_PTRACE | DAC_OVERRIDE), &["CapPrm", "CapEff", "CapBnd"])?;
    }
    Ok(())
}

/// One thread asks conntrack, and that takes another privilege than all others keep.
pub(super) fn kept(thread: &BTreeMap<String, String>, usual: u64) -> u64 {
    if thread["Name"] == "conntrack" { NET_ADMIN } else { usual }
}

/// The status of each of the agent's threads, once there is more than the first: that of the events.
pub(super) fn threads(agent: &Agent) -> Result<Vec<BTreeMap<String, String>>> {
    // What answers a scrape may start another.
    agent.metrics()?;
    let all = threads_of(agent.pid())?;
    ensure!(all.len() > 1, "the agent has one thread");
    let asking = all.iter().filter(|thread: &&BTreeMap<String, String>| thread["Name"] == "conntrack").count();
    ensure!(asking == 1, "{asking} threads ask conntrack");
    Ok(all)
}

/// The status of each thread of a process.
pub(super) fn threads_of(pid: u32) -> Result<Vec<BTreeMap<String, String>>> {
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("status"))?;
        let fields = text.lines().filter_map(|line| line.split_once(":\t"));
        all.push(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }
    Ok(all)
}

/// The thread must have these capabilities in these sets, none in those that pass them on, and no way to gain any.
pub(super) fn only(thread: &BTreeMap<String, String>, wanted: u64, sets: &[&str]) -> Result<()> {
    let set = |name: &str| u64::from_str_radix(&thread[name], 16).with_context(|| format!("{name}: {thread:?}"));
    for name in sets {
        // Before 5.19 the use of what is loaded may take CAP_BPF.
        let kept = if is_older_than(5, 19) { set(name)? & !BPF } else { set(name)? };
        ensure!(kept == wanted, "{name} of {} is {kept:x}, wanted {wanted:x}", thread["Name"]);
    }
    ensure!(set("CapInh")? == 0 && set("CapAmb")? == 0, "{thread:?}");
    ensure!(thread["NoNewPrivs"] == "1", "{thread:?}");
    Ok(())
}

fn systemd_hears_that_the_event_loop_turns() -> Result<()> {
    let lab = Lab::new()?;
    let path = lab.dir().join("notify");
    let systemd = UnixDatagram::bind(&path)?;
    systemd.set_read_timeout(Some(LIMIT * 3))?;
    let mut command = run_command(free_address()?);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000000").stderr(Stdio::null());
    let mut agent = command.spawn()?;
    let hear = || -> Result<String> {
        let mut buffer = [0; 4096];
        let len = systemd.recv(&mut buffer).context("waiting for a word of the agent")?;
        Ok(String::from_utf8_lossy(&buffer[..len]).trim().to_owned())
    };
    let heard = (|| {
        let heard = [hear()?, hear()?, hear()?];
        procs::signal(agent.id(), Signal::TERM);
        wait::until("the word that it stops", LIMIT, || Ok((hear()? == "STOPPING=1").then_some(heard.clone())))
    })();
    let _ = agent.kill();
    agent.wait()?;
    ensure!(heard? == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"], "not what systemd wants to hear");
    Ok(())
}
