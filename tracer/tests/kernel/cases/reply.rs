//! What this host sends and the edge never gets: lost in the edge's namespace, where the agent can't see it. Beside it
//! the slow visitors that look alike.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{EDGE_A, EDGE_B, EDGE_V6, Lab, Nginx, NginxOptions, Seen};
use tokio_rustls::rustls::Stream;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::tls::{Certificate, client};
use super::{ORIGIN, answered, saw, staged, want};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_response_that_gets_lost,
        the_rest_of_a_response_that_gets_lost,
        a_response_that_gets_lost_until_the_edge_leaves,
        a_response_inside_tls_that_gets_lost,
        a_tls_handshake_whose_answer_gets_lost,
        a_visitor_who_reads_nothing_is_silent,
        a_path_that_carries_nothing_for_a_while_is_silent,
        a_syn_ack_that_gets_lost,
        a_syn_ack_that_gets_through_later_is_silent,
        a_syn_ack_that_netfilter_drops_is_not_lost,
    ]
}

const READ: &str = "--read-timeout=1500ms";

/// A path that carries no packet to the edge for which this rule holds. It gets there from a port that the edge knows
/// nothing of: drops by netfilter would be seen, even in the edge's namespace.
fn lose(lab: &Lab, rule: &str) -> Result<()> {
    let chain = format!("type filter hook prerouting priority -300;\n{rule} tcp sport set 1");
    let rules = format!("table inet t {{\nchain c {{\n{chain}\n}}\n}}\n");
    lab.edge().run("nft", &["-f", "-"], &rules).map(|_| ())
}

fn carry_all(lab: &Lab) -> Result<()> {
    lab.edge().run("nft", &["delete", "table", "inet", "t"], "").map(|_| ())
}

/// Small answers arrive, as through a tunnel.
const LARGE: &str = "tcp sport 80 meta length > 1000";

fn a_response_that_gets_lost() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    lose(&lab, LARGE)?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    saw(conn.request("/short")?, &[Seen::Complete(200)])?;
    let lost = saw(conn.request("/headers?bytes=4000")?, &[Seen::Timeout])?;
    let want = want(&lost, "reply_lost", Some(524), "no_response", &origin)?;
    check(agent, &lab, &[want.with("exchanges", 2).with("path", "/headers")])
}

fn the_rest_of_a_response_that_gets_lost() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    lose(&lab, LARGE)?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    let lost = saw(conn.request("/large?bytes=60000")?, &[Seen::Timeout])?;
    check(agent, &lab, &[want(&lost, "reply_lost", None, "stalled_response", &origin)?])
}

/// The edge's clock runs from its request.
fn a_response_that_gets_lost_until_the_edge_leaves() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&["--read-timeout=4500ms"])?;
    lose(&lab, LARGE)?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    let lost = saw(conn.request("/headers?bytes=4000&after=1500")?, &[Seen::Timeout])?;
    drop(conn);
    check(agent, &lab, &[want(&lost, "reply_lost", Some(524), "no_response", &origin)?])
}

/// Of a connection through which nothing goes any more; and one that merely stood still, for less than the timeout.
fn a_path_that_carries_nothing_for_a_while_is_silent() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&["--read-timeout=4500ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    lose(&lab, "tcp sport 80 meta length > 80")?;
    conn.send("/ok")?;
    std::thread::sleep(Duration::from_millis(900));
    carry_all(&lab)?;
    saw(conn.answer()?, &[Seen::Complete(200)])?;
    check(agent, &lab, &[])
}

/// Its window is shut, and the edge gives up after its timeout, or later. The edge's receive buffer keeps the kernel's
/// own size: before 6.6 a kernel whose buffer was made smaller, below the window that it had promised, drops what
/// exceeds it and leaves the window open.
fn a_visitor_who_reads_nothing_is_silent() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    for (from, abort) in [(EDGE_A, false), (EDGE_B, true)] {
        let mut conn = lab.connect(from, 80)?;
        conn.send("/large?bytes=30000000")?;
        conn.wait_first_byte()?;
        std::thread::sleep(Duration::from_millis(1650));
        if abort {
            conn.abort()?;
        }
    }
    check(agent, &lab, &[])
}

fn tls(lab: &Lab, certificate: &Certificate) -> Result<Nginx> {
    let site = certificate.site();
    let large = "x".repeat(3000);
    let protocols = "ssl_protocols TLSv1.2 TLSv1.3";
    let http = format!("server {{ listen 443 ssl; {protocols}; {site} location /large {{ return 200 {large}; }} }}\n");
    Nginx::start(lab, &NginxOptions { http: &http, ports: &[443], workers: 1, ..NginxOptions::default() })
}

/// One request inside TLS; `false`: nothing came for as long as the edge waits.
fn ask(stream: &mut (impl Read + Write), path: &str) -> Result<bool> {
    let asked = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n").as_bytes());
    Ok(asked.and_then(|()| stream.read(&mut [0; 1024])).is_ok_and(|count| count > 0))
}

fn a_response_inside_tls_that_gets_lost() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let nginx = tls(&lab, &certificate)?;
    let agent = Agent::start(&[READ])?;
    let mut wants = Vec::new();
    for version in [&TLS12, &TLS13] {
        let mut conn = lab.connect(EDGE_A, 443)?;
        let exchange = conn.exchange(Seen::Timeout);
        let mut edge = client(version, certificate.trusted()?)?;
        let mut stream = Stream::new(&mut edge, conn.stream()?);
        ensure!(ask(&mut stream, "/")?, "the first request was not answered");
        lose(&lab, "tcp sport 443 meta length > 1000")?;
        ensure!(!ask(&mut stream, "/large")?, "the second request was answered");
        carry_all(&lab)?;
        let want = Want::new(&exchange, "reply_lost", 524, "no_response").with("certainty", "likely");
        wants.push(want.process("nginx", nginx.workers()[0]));
    }
    check(agent, &lab, &wants)
}

fn a_tls_handshake_whose_answer_gets_lost() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let nginx = tls(&lab, &certificate)?;
    let agent = Agent::start(&[READ])?;
    lose(&lab, "tcp sport 443 meta length > 200")?;
    let mut conn = lab.connect(EDGE_A, 443)?;
    let exchange = conn.exchange(Seen::Timeout);
    let mut edge = client(&TLS13, certificate.trusted()?)?;
    ensure!(!ask(&mut Stream::new(&mut edge, conn.stream()?), "/")?, "the request was answered");
    drop(conn);
    let want = Want::new(&exchange, "reply_lost", 525, "tls_no_answer").with("certainty", "certain");
    check(agent, &lab, &[want.process("nginx", nginx.workers()[0])])
}

const CONNECT: &str = "--connect-timeout=3500ms";
/// Of a packet that opens a connection, from the origin.
const SYN_ACK: &str = "tcp sport 80 tcp flags & syn == syn";

fn a_syn_ack_that_gets_lost() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[CONNECT])?;
    lose(&lab, SYN_ACK)?;
    let mut wants = Vec::new();
    for from in [EDGE_A, EDGE_V6] {
        let lost = saw(lab.get(from, 80, "/ok")?, &[Seen::Timeout])?;
        let want = Want::new(&lost, "reply_lost", 522, "no_synack").with("certainty", "certain");
        wants.push(want.with("process", ORIGIN));
    }
    check(agent, &lab, &wants)
}

fn a_syn_ack_that_gets_through_later_is_silent() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[CONNECT])?;
    lose(&lab, SYN_ACK)?;
    std::thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| lab.get(EDGE_A, 80, "/ok"));
        std::thread::sleep(Duration::from_millis(1500));
        carry_all(&lab)?;
        saw(asking.join().map_err(|_| anyhow::anyhow!("asking panicked"))??, &[Seen::Complete(200)])?;
        Ok(())
    })?;
    check(agent, &lab, &[])
}

/// Both hooks see it: the firewall's is the cause.
fn a_syn_ack_that_netfilter_drops_is_not_lost() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[CONNECT])?;
    let rules = format!("table inet t {{\nchain c {{\ntype filter hook output priority 0;\n{SYN_ACK} drop\n}}\n}}\n");
    lab.origin().run("nft", &["-f", "-"], &rules)?;
    let dropped = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Timeout])?;
    let want = Want::new(&dropped, "firewall_drop", 522, "no_synack").with("firewall_hook", "output");
    check(agent, &lab, &[want.with("process", ORIGIN)])
}
