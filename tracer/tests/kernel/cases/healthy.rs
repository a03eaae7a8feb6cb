//! What is no failure must leave no record.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, End, Lab, Nginx, NginxOptions, STRANGER, Seen};
use rustix::process::Signal;

use super::{LIMIT, answered, saw, successor, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{check, check_losing};

pub(super) fn cases() -> Vec<Case> {
    cases![
        sound_nginx_traffic_is_silent_and_counted,
        an_edge_that_leaves_first_is_silent,
        strangers_are_silent,
        health_checks_are_silent,
        idle_connections_of_a_dead_worker_are_silent,
        an_nginx_reload_is_silent,
        tasks_that_take_the_cpu_from_each_other_leave_nothing_out,
        packets_that_interrupt_a_close_are_seen,
    ]
}

const NGINX: &str = "server { listen 80; listen [::]:80; keepalive_timeout 300ms;
    location / { return 200 ok; } location /gone { return 404; } location /broken { return 500; }
    location /none { return 204; } }";

fn nginx(lab: &Lab) -> Result<Nginx> {
    Nginx::start(lab, &NginxOptions { http: NGINX, ports: &[80], workers: 2, ..NginxOptions::default() })
}

fn sound_nginx_traffic_is_silent_and_counted() -> Result<()> {
    const EACH: u64 = 30;
    let lab = Lab::new()?;
    let _nginx = nginx(&lab)?;
    let agent = Agent::start(&[])?;
    let mut kept = lab.connect(EDGE_B, 80)?;
    for _ in 0..EACH {
        saw(kept.request("/")?, &[Seen::Complete(200)])?;
        saw(lab.get(EDGE_A, 80, "/gone")?, &[Seen::Complete(404)])?;
        saw(lab.get(EDGE_A, 80, "/broken")?, &[Seen::Complete(500)])?;
        saw(lab.get(EDGE_V6, 80, "/none")?, &[Seen::Complete(204)])?;
    }
    // nginx leaves the idle connection, and nothing was asked on it: no failure.
    ensure!(kept.wait_end(LIMIT)? == End::Fin, "nginx keeps the idle connection");
    let metrics = agent.metrics()?;
    let exchanges = metrics.count("tracer_exchanges_total", &[("port", "80")]);
    ensure!(exchanges == 4 * EACH, "{exchanges} exchanges counted, {} were made", 4 * EACH);
    for (family, made) in [("ipv4", 2 * EACH + 1), ("ipv6", EACH)] {
        let counted = metrics.count("tracer_connections_total", &[("port", "80"), ("family", family)]);
        ensure!(counted == made, "{counted} connections over {family} counted, {made} were made");
    }
    check(agent, &lab, &[])
}

fn an_edge_that_leaves_first_is_silent() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    for _ in 0..3 {
        // Half-closed and then answered; abandoned by FIN and by RST before the answer; cut by the edge in mid-body.
        let mut conn = lab.connect(EDGE_A, 80)?;
        conn.send("/slow?ms=50")?;
        conn.half_close()?;
        saw(conn.answer()?, &[Seen::Complete(200)])?;
        let mut conn = lab.connect(EDGE_A, 80)?;
        conn.send("/empty?after=50")?;
        conn.half_close()?;
        saw(conn.answer()?, &[Seen::Empty])?;
        let mut conn = lab.connect(EDGE_B, 80)?;
        conn.send("/slow?ms=50")?;
        conn.abort()?;
        let mut conn = lab.connect(EDGE_B, 80)?;
        conn.send("/partial")?;
        conn.wait_first_byte()?;
        conn.abort()?;
    }
    // The abandoned answers go out while this one waits.
    saw(lab.get(EDGE_C, 80, "/slow?ms=150")?, &[Seen::Complete(200)])?;
    drop(origin);
    check(agent, &lab, &[])
}

fn strangers_are_silent() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    saw(lab.get(STRANGER, 80, "/ok")?, &[Seen::Complete(200)])?;
    saw(lab.get(STRANGER, 80, "/empty")?, &[Seen::Empty])?;
    saw(lab.get(STRANGER, 80, "/linger")?, &[Seen::Reset])?;
    saw(lab.get(STRANGER, 81, "/")?, &[Seen::Refused])?;
    let old = worker(&origin)?;
    saw(lab.get(STRANGER, 80, "/segv")?, &[Seen::Empty])?;
    successor(&origin, old)?;
    let metrics = agent.metrics()?;
    ensure!(metrics.count("tracer_connections_total", &[]) == 0, "a stranger's connection was counted");
    check(agent, &lab, &[])
}

fn health_checks_are_silent() -> Result<()> {
    let lab = Lab::new()?;
    let _http = lab.start_origin(&Spec::new(80), None)?;
    let _close = lab.start_origin(&Spec::new(81).mode(Mode::Close), None)?;
    let agent = Agent::start(&[])?;
    for _ in 0..5 {
        // Connect and leave, by FIN and by RST, without a byte; and leave after the origin did.
        drop(lab.connect(EDGE_A, 80)?);
        lab.connect(EDGE_B, 80)?.abort()?;
        ensure!(lab.connect(EDGE_A, 81)?.wait_end(LIMIT)? == End::Fin, "the origin keeps the connection");
    }
    check(agent, &lab, &[])
}

fn idle_connections_of_a_dead_worker_are_silent() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut idle = lab.connect(EDGE_A, 80)?;
    answered(&mut idle)?;
    let unused = lab.connect(EDGE_B, 80)?;
    // The worker has accepted the unused one as soon as it has answered a later one.
    answered(&mut lab.connect(EDGE_A, 80)?)?;
    let old = worker(&origin)?;
    saw(lab.get(STRANGER, 80, "/segv")?, &[Seen::Empty])?;
    successor(&origin, old)?;
    for conn in [&idle, &unused] {
        ensure!(conn.wait_end(LIMIT)? == End::Fin, "the dead worker's connection is open");
    }
    check(agent, &lab, &[])
}

fn an_nginx_reload_is_silent() -> Result<()> {
    let lab = Lab::new()?;
    let nginx = nginx(&lab)?;
    let agent = Agent::start(&[])?;
    for _ in 0..2 {
        let before = nginx.workers();
        nginx.signal(Signal::HUP);
        let deadline = std::time::Instant::now() + LIMIT;
        // One connection per request, as new ones must find a worker at any moment.
        while nginx.workers().iter().any(|pid| before.contains(pid)) {
            saw(lab.get(EDGE_A, 80, "/")?, &[Seen::Complete(200)])?;
            ensure!(std::time::Instant::now() < deadline, "nginx keeps its old workers");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    check(agent, &lab, &[])
}

/// A kernel that takes the CPU from a task may do so in the middle of a program, which it then skips for the other
/// tasks on that CPU.
fn tasks_that_take_the_cpu_from_each_other_leave_nothing_out() -> Result<()> {
    const EDGES: u64 = 8;
    const CONNECTIONS: u64 = 20;
    const EACH: u64 = 50;
    let lab = Lab::new()?;
    let _origin = lab.start_origin(&Spec::new(80).workers(4), None)?;
    let agent = Agent::start(&[])?;
    let edge = || -> Result<()> {
        for _ in 0..CONNECTIONS {
            let mut conn = lab.connect(EDGE_A, 80)?;
            for _ in 0..EACH {
                answered(&mut conn)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let edges: Vec<_> = (0..EDGES).map(|_| scope.spawn(edge)).collect();
        edges.into_iter().try_for_each(|edge| edge.join().map_err(|_| anyhow::anyhow!("an edge panicked"))?)
    })?;
    let metrics = agent.metrics()?;
    for (name, made) in
        [("tracer_connections_total", EDGES * CONNECTIONS), ("tracer_exchanges_total", EDGES * CONNECTIONS * EACH)]
    {
        let counted = metrics.count(name, &[("port", "80")]);
        ensure!(counted == made, "{name} is {counted}, {made} were made; the agent's log:\n{}", agent.log());
    }
    check(agent, &lab, &[])
}

/// A packet that comes in the middle of a program, in a task that closes a connection, changes another connection's
/// state: the kernel skips that program for it. What is then left of connections whose end went unseen must not be
/// taken for those that have the memory of their sockets later.
fn packets_that_interrupt_a_close_are_seen() -> Result<()> {
    const EDGES: u64 = 8;
    const EACH: u64 = 500;
    let lab = Lab::new()?;
    let _nginx = nginx(&lab)?;
    for namespace in [lab.origin(), lab.edge()] {
        namespace.spread_packets()?;
    }
    let agent = Agent::start(&[])?;
    let edge = || -> Result<()> {
        for _ in 0..EACH {
            saw(lab.get(EDGE_A, 80, "/")?, &[Seen::Complete(200)])?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let edges: Vec<_> = (0..EDGES).map(|_| scope.spawn(edge)).collect();
        edges.into_iter().try_for_each(|edge| edge.join().map_err(|_| anyhow::anyhow!("an edge panicked"))?)
    })?;
    let made = EDGES * EACH;
    let metrics = agent.metrics()?;
    let counted = metrics.count("tracer_connections_total", &[("port", "80")]);
    let lost = metrics.count("tracer_events_lost_total", &[]);
    // A kernel that hides its init process even from root may run no program while that has the CPU, and not count it.
    let hidden = if std::fs::read_link("/proc/1/exe").is_ok() { 0 } else { made / 200 };
    ensure!(
        (made.saturating_sub(hidden + lost)..=made).contains(&counted),
        "{counted} connections counted, {made} were made"
    );
    // Programs without a twin are interrupted, too; where tracepoints can be preempted, both of a pair at once.
    check_losing(agent, &lab, &[], made / 1000)
}
