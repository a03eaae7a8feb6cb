//! Connections that the living origin ended: one case for each mechanism.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, Exchange, Lab, Nginx, NginxOptions, ORIGIN_V4, Seen};
use rustix::net::listen;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{ORIGIN, answered, saw, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        empty_reply,
        empty_reply_on_a_kept_alive_connection,
        empty_reply_by_nginx,
        closed_unread,
        app_reset,
        listener_closed,
        port_closed,
        over_ipv6_as_over_ipv4,
        each_one_of_a_crowd_is_known,
    ]
}

fn empty_reply() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (from, path) in [(EDGE_A, "/empty"), (EDGE_B, "/empty?after=20"), (EDGE_C, "/shutdown")] {
        let exchange = saw(lab.get(from, 80, path)?, &[Seen::Empty])?;
        wants.push(empty(&exchange, worker(&origin)?).with("bytes_sent", 0).with("reused", false));
    }
    check(agent, &lab, &wants)
}

fn empty(exchange: &Exchange, pid: u32) -> Want {
    Want::new(exchange, "empty_reply", 520, "fin_no_response").process(ORIGIN, pid)
}

fn empty_reply_on_a_kept_alive_connection() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    answered(&mut conn)?;
    let exchange = saw(conn.request("/empty")?, &[Seen::Empty])?;
    let want = empty(&exchange, worker(&origin)?).with("reused", true).with("exchanges", 3);
    check(agent, &lab, &[want])
}

fn empty_reply_by_nginx() -> Result<()> {
    let lab = Lab::new()?;
    let http = "server { listen 80; location / { return 200 ok; } location /no { return 444; } }";
    let nginx = Nginx::start(&lab, &NginxOptions { http, ports: &[80], workers: 1, ..NginxOptions::default() })?;
    let agent = Agent::start(&[])?;
    saw(lab.get(EDGE_A, 80, "/")?, &[Seen::Complete(200)])?;
    let exchange = saw(lab.get(EDGE_A, 80, "/no")?, &[Seen::Empty])?;
    let want = Want::new(&exchange, "empty_reply", 520, "fin_no_response").process("nginx", worker(&nginx)?);
    check(agent, &lab, &[want])
}

fn closed_unread() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&[])?;
    // The agent saw who began to listen: not the one that closes what it never read from.
    let at_accept = lab.start_origin(&Spec::new(81).mode(Mode::CloseUnread), None)?;
    let after_head = lab.start_origin(&Spec::new(80), None)?;
    let whole = saw(lab.get(EDGE_A, 81, "/")?, &[Seen::Reset])?;
    let mut conn = lab.connect(EDGE_B, 80)?;
    conn.send_with("POST", "/unread", "Content-Length: 5000\r\n", &[b'u'; 5000])?;
    let body = saw(conn.answer()?, &[Seen::Reset])?;
    let want = |exchange: &Exchange, pid| {
        Want::new(exchange, "closed_unread", 520, "rst_no_response").process(ORIGIN, pid).with("reset_by", "origin")
    };
    check(agent, &lab, &[want(&whole, worker(&at_accept)?), want(&body, worker(&after_head)?)])
}

fn app_reset() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let first = saw(lab.get(EDGE_A, 80, "/linger")?, &[Seen::Reset])?;
    let mut conn = lab.connect(EDGE_B, 80)?;
    answered(&mut conn)?;
    let second = saw(conn.request("/linger")?, &[Seen::Reset])?;
    let pid = worker(&origin)?;
    let want = |exchange: &Exchange| {
        Want::new(exchange, "app_reset", 520, "rst_no_response").process(ORIGIN, pid).with("reset_by", "origin")
    };
    check(agent, &lab, &[want(&first).with("reused", false), want(&second).with("reused", true)])
}

fn listener_closed() -> Result<()> {
    let lab = Lab::new()?;
    let spec = Spec::new(80).mode(Mode::LetGo).workers(0).idle(Duration::from_millis(300));
    let origin = lab.start_origin(&spec, None)?;
    let agent = Agent::start(&[])?;
    let mut conns = [EDGE_A, EDGE_B, EDGE_C].map(|from| lab.connect(from, 80));
    for conn in conns.iter_mut().flatten() {
        conn.send("/")?;
    }
    let mut wants = Vec::new();
    for conn in conns {
        let exchange = saw(conn?.answer()?, &[Seen::Reset])?;
        wants.push(Want::new(&exchange, "listener_closed", 520, "rst_no_response").process(ORIGIN, origin.pid()));
    }
    check(agent, &lab, &wants)
}

fn port_closed() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for from in [EDGE_A, EDGE_B, EDGE_V6] {
        wants.push(Want::new(&saw(lab.get(from, 80, "/")?, &[Seen::Refused])?, "port_closed", 521, "refused"));
    }
    // A server that was there and is gone.
    let origin = lab.start_origin(&Spec::new(81), None)?;
    saw(lab.get(EDGE_A, 81, "/ok")?, &[Seen::Complete(200)])?;
    drop(origin);
    wants.push(Want::new(&saw(lab.get(EDGE_A, 81, "/ok")?, &[Seen::Refused])?, "port_closed", 521, "refused"));
    check(agent, &lab, &wants)
}

fn over_ipv6_as_over_ipv4() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&[])?;
    let pid = worker(&origin)?;
    let closed = saw(lab.get(EDGE_V6, 80, "/empty")?, &[Seen::Empty])?;
    let reset = saw(lab.get(EDGE_V6, 80, "/linger")?, &[Seen::Reset])?;
    let wants = [
        empty(&closed, pid).with("edge_range", "2606:4700::/32"),
        Want::new(&reset, "app_reset", 520, "rst_no_response").process(ORIGIN, pid),
    ];
    check(agent, &lab, &wants)
}

/// So many that some find no place in the first of their buckets of the kernel's table, whatever their sockets'
/// addresses: three for each bucket of eight.
const CROWD: usize = 12_000;

fn each_one_of_a_crowd_is_known() -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    ensure!(
        files.maximum.is_none_or(|most| most > CROWD as u64 + 100),
        "the limit of open files is too low: ulimit -Hn"
    );
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;
    let lab = Lab::new()?;
    let agent = Agent::start(&[])?;
    // Where they wait to be accepted they take no files.
    lab.origin().sysctl("net/core/somaxconn", &(2 * CROWD).to_string())?;
    let listener = lab.origin().inside(|| TcpListener::bind((ORIGIN_V4, 80)))??;
    listen(&listener, 2 * CROWD as i32)?;
    let mut crowd = Vec::with_capacity(CROWD);
    for edge in [EDGE_A, EDGE_B].into_iter().cycle().take(CROWD) {
        let mut conn = lab.connect(edge, 80)?;
        conn.send("/")?;
        crowd.push(conn);
    }
    let metrics = agent.metrics()?;
    let known = metrics.count("tracer_table_entries", &[("table", "connections")]);
    ensure!(known == CROWD as u64, "{known} connections are known, {CROWD} are open");
    let mut wants = Vec::new();
    for (index, mut conn) in crowd.into_iter().enumerate() {
        let (mut stream, _) = listener.accept()?;
        ensure!(stream.read(&mut [0; 1024])? > 0, "no request");
        if index % 100 == 0 {
            drop(stream);
            let exchange = saw(conn.answer()?, &[Seen::Empty])?;
            wants.push(Want::new(&exchange, "empty_reply", 520, "fin_no_response").with("pid", std::process::id()));
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            saw(conn.answer()?, &[Seen::Complete(200)])?;
        }
    }
    let metrics = agent.metrics()?;
    let exchanges = metrics.count("tracer_exchanges_total", &[("port", "80")]);
    ensure!(exchanges == CROWD as u64, "{exchanges} exchanges counted, {CROWD} were made");
    check(agent, &lab, &wants)
}
