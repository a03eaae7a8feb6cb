//! What the host's firewall does to the edge's packets and to its own, one case for each; and to a container's.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{CONTAINER, EDGE_A, EDGE_B, EDGE_V6, Exchange, Lab, Seen, wait};
use serde_json::Value;

use super::{LIMIT, ORIGIN, READ, answered, saw, staged, want};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_syn_that_netfilter_rejects,
        a_reject_that_waits_for_a_link_address,
        a_reject_that_is_held_up,
        the_same_addresses_once_more,
        a_syn_that_is_dropped_and_then_refused,
        a_syn_that_is_dropped_once_on_its_way_to_a_container,
        a_firewall_on_the_way_to_a_container,
        a_drop_on_the_way_to_a_container_and_back,
        the_edge_leaving_after_a_packet_that_came_late,
        a_request_that_netfilter_rejects,
        a_syn_that_netfilter_drops,
        a_response_that_netfilter_drops,
        a_response_that_netfilter_drops_after_one_that_came_through,
        the_rest_of_a_response_that_netfilter_drops,
        an_upload_that_netfilter_drops,
        a_response_that_netfilter_rejects,
    ]
}

/// Puts one rule into the origin's input hook.
fn firewall(lab: &Lab, rule: &str) -> Result<()> {
    firewall_in(lab, "input", rule)
}

fn firewall_in(lab: &Lab, hook: &str, rule: &str) -> Result<()> {
    let rules = format!("table inet t {{\nchain c {{\ntype filter hook {hook} priority 0;\n{rule}\n}}\n}}\n");
    lab.origin().run("nft", &["-f", "-"], &rules).map(|_| ())
}

fn no_firewall(lab: &Lab) -> Result<()> {
    lab.origin().run("nft", &["delete", "table", "inet", "t"], "").map(|_| ())
}

fn a_syn_that_netfilter_drops() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    firewall(&lab, &format!("ip saddr {EDGE_A} tcp dport 80 drop"))?;
    let dropped = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Timeout])?;
    saw(lab.get(EDGE_B, 80, "/ok")?, &[Seen::Complete(200)])?;
    let want = Want::new(&dropped, "firewall_drop", 522, "no_synack").with("firewall_hook", "input");
    check(agent, &lab, &[want.with("process", ORIGIN)])
}

/// The request was read, so that its record names it.
fn a_response_that_netfilter_drops() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&["--ack-timeout=1500ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    firewall_in(&lab, "output", "tcp sport 80 meta length > 80 drop")?;
    let dropped = saw(conn.request("/ok")?, &[Seen::Timeout])?;
    let want = want(&dropped, "firewall_drop", Some(522), "no_ack", &origin)?.with("firewall_hook", "output");
    check(agent, &lab, &[want.with("path", "/ok").with("exchanges", 2).with("reused", true)])
}

fn a_response_that_netfilter_drops_after_one_that_came_through() -> Result<()> {
    const RULE: &str = "tcp sport 80 meta length > 80 drop";
    let (lab, origin) = staged()?;
    let agent = Agent::start(&["--ack-timeout=1500ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    firewall_in(&lab, "output", RULE)?;
    conn.send("/ok")?;
    wait::until_true("a packet to be dropped", LIMIT, || {
        agent.metrics().is_ok_and(|metrics| metrics.count("tracer_firewall_drops_total", &[("port", "80")]) > 0)
    })?;
    no_firewall(&lab)?;
    saw(conn.answer()?, &[Seen::Complete(200)])?;
    firewall_in(&lab, "output", RULE)?;
    let dropped = saw(conn.request("/ok")?, &[Seen::Timeout])?;
    let want = want(&dropped, "firewall_drop", Some(522), "no_ack", &origin)?.with("firewall_hook", "output");
    check(agent, &lab, &[want.with("exchanges", 2)])
}

fn the_rest_of_a_response_that_netfilter_drops() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&["--ack-timeout=1500ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send("/slow?sent=1&ms=1000")?;
    conn.wait_first_byte()?;
    firewall_in(&lab, "output", "tcp sport 80 meta length > 80 drop")?;
    let dropped = saw(conn.answer()?, &[Seen::Timeout, Seen::Partial])?;
    let want = want(&dropped, "firewall_drop", Some(522), "no_ack", &origin)?.with("firewall_hook", "output");
    check(agent, &lab, &[want.with("exchanges", 1)])
}

/// Its head was read, and it is answered by nobody: one failure, and the firewall's.
fn an_upload_that_netfilter_drops() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send_with("POST", "/ok", "Content-Length: 2000\r\n", b"")?;
    // Packets come in the order in which they were sent: the head is there when this is answered.
    saw(lab.get(EDGE_B, 80, "/ok")?, &[Seen::Complete(200)])?;
    firewall(&lab, "tcp dport 80 meta length > 100 drop")?;
    conn.send_raw(&[b'x'; 2000])?;
    let dropped = saw(conn.answer()?, &[Seen::Timeout])?;
    let want = want(&dropped, "firewall_drop", Some(522), "no_ack", &origin)?.with("firewall_hook", "input");
    check(agent, &lab, &[want.with("method", "POST").with("exchanges", 1)])
}

/// Its RST goes to the origin's own socket, in the edge's name.
fn a_response_that_netfilter_rejects() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    firewall_in(&lab, "output", "tcp sport 80 meta length > 80 reject with tcp reset")?;
    conn.send("/ok")?;
    let rejected = conn.exchange(Seen::Timeout);
    let want = want(&rejected, "firewall_reject", Some(520), "rst_no_response", &origin)?;
    check(agent, &lab, &[want.with("reset_by", "firewall").with("firewall_hook", "output").with("exchanges", 2)])
}

fn a_syn_that_netfilter_rejects() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    firewall(&lab, &format!("ip saddr {EDGE_A} tcp dport 80 reject with tcp reset"))?;
    let reset = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Refused])?;
    no_firewall(&lab)?;
    firewall(&lab, &format!("ip saddr {EDGE_B} tcp dport 80 reject"))?;
    let icmp = saw(lab.get(EDGE_B, 80, "/ok")?, &[Seen::Refused])?;
    let wants = [
        Want::new(&reset, "firewall_reject", 521, "refused").with("reset_by", "firewall"),
        Want::new(&icmp, "firewall_reject", 521, "icmp_unreachable"),
    ];
    check(agent, &lab, &wants)
}

fn a_reject_that_waits_for_a_link_address() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Complete(200)])?;
    firewall(&lab, "tcp dport 80 reject with tcp reset")?;
    lab.origin().run("ip", &["neigh", "flush", "all"], "")?;
    let reset = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Refused])?;
    let want = Want::new(&reset, "firewall_reject", 521, "refused").with("reset_by", "firewall");
    check(agent, &lab, &[want])
}

/// A host that is virtual may lose its CPU between the answer and the drop of the packet. Here the answer's queue has
/// filters to go through, for longer than a millisecond.
fn a_reject_that_is_held_up() -> Result<()> {
    const STEPS: usize = 1900;
    const FILTERS: u32 = 100;
    // `ld rand`: the slowest of the classic instructions; `ret 0`: no match.
    let filter = format!("'{},{}6 0 0 0,'", STEPS + 1, "32 0 0 4294963256,".repeat(STEPS));
    let mut lines = "qdisc add dev origin0 root handle 1: htb default 1\n".to_owned();
    for priority in 1..=FILTERS {
        lines += &format!("filter add dev origin0 parent 1: protocol ip prio {priority} bpf bytecode {filter}\n");
    }
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Complete(200)])?;
    firewall(&lab, "tcp dport 80 reject with tcp reset")?;
    let rejected = || -> Result<_> {
        let asked = Instant::now();
        let reset = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Refused])?;
        Ok((Want::new(&reset, "firewall_reject", 521, "refused").with("reset_by", "firewall"), asked.elapsed()))
    };
    // The shortest of three: a busy machine may hold up one of them, too.
    let at_once = [rejected()?, rejected()?, rejected()?];
    let took = at_once.iter().map(|(_, took)| *took).min().unwrap_or_default();
    lab.origin().run("tc", &["-batch", "-"], &lines)?;
    let (late, took_held_up) = rejected()?;
    let held_up = took_held_up.saturating_sub(took);
    anyhow::ensure!(held_up > Duration::from_millis(1), "held up for {held_up:?} only");
    lab.origin().run("tc", &["qdisc", "del", "dev", "origin0", "root"], "")?;
    let wants: Vec<Want> = at_once.into_iter().map(|(want, _)| want).chain([late]).collect();
    check(agent, &lab, &wants)
}

/// An edge that has only so many ports: each attempt is one, though its addresses are those of one that was told.
fn the_same_addresses_once_more() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    lab.edge().sysctl("net/ipv4/ip_local_port_range", "40000 40000")?;
    let mut wants = Vec::new();
    firewall(&lab, "tcp dport 80 reject with tcp reset")?;
    for _ in 0..2 {
        let reset = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Refused])?;
        wants.push(Want::new(&reset, "firewall_reject", 521, "refused").with("reset_by", "firewall"));
    }
    no_firewall(&lab)?;
    for hook in ["input", "output"] {
        let port = if hook == "input" { "dport" } else { "sport" };
        firewall_in(&lab, hook, &format!("ip version 4 tcp {port} 80 drop"))?;
        for _ in 0..2 {
            let dropped = saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Timeout])?;
            wants.push(Want::new(&dropped, "firewall_drop", 522, "no_synack").with("firewall_hook", hook));
        }
        no_firewall(&lab)?;
    }
    for _ in 0..2 {
        let mut conn = lab.connect(EDGE_A, 80)?;
        answered(&mut conn)?;
        firewall(&lab, "tcp dport 80 meta length > 100 reject with tcp reset")?;
        let reset = saw(conn.request("/ok")?, &[Seen::Reset])?;
        no_firewall(&lab)?;
        let rejected = Want::new(&reset, "firewall_reject", 520, "rst_no_response").with("reset_by", "firewall");
        wants.push(rejected.with("exchanges", 2));
    }
    check(agent, &lab, &wants)
}

/// As at a start, when the firewall lets the edge through before the server listens: one failure, which the closed port
/// is.
fn a_syn_that_is_dropped_and_then_refused() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    let mut wants = Vec::new();
    for from in [EDGE_A, EDGE_V6] {
        firewall(&lab, "tcp dport 81 drop")?;
        let refused = std::thread::scope(|scope| -> Result<Exchange> {
            let asking = scope.spawn(|| lab.get(from, 81, "/ok"));
            std::thread::sleep(Duration::from_millis(300));
            no_firewall(&lab)?;
            asking.join().map_err(|_| anyhow::anyhow!("asking panicked"))?
        })?;
        wants.push(Want::new(&saw(refused, &[Seen::Refused])?, "port_closed", 521, "refused"));
    }
    // The edge's timeout, from the SYN on, and the agent's look.
    std::thread::sleep(Duration::from_secs(1));
    check(agent, &lab, &wants)
}

/// Who listens in a container whose port is published.
fn published(lab: &mut Lab) -> Result<TcpListener> {
    Ok(lab.publish(80)?.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)))??)
}

/// Answers the requests of one connection, all in one packet each.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    while stream.read(&mut [0; 1024])? > 0 {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{:40}", "").as_bytes())?;
    }
    Ok(())
}

/// Dropped at the host's address, or behind the translation; its retransmission gets through, to a socket that has
/// another address in another namespace.
fn a_syn_that_is_dropped_once_on_its_way_to_a_container() -> Result<()> {
    let mut lab = Lab::new()?;
    let listener = published(&mut lab)?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    for hook in ["prerouting priority raw", "forward priority filter"] {
        let rules = format!("table inet t {{\nchain c {{\ntype filter hook {hook};\ntcp dport 80 drop\n}}\n}}\n");
        lab.origin().run("nft", &["-f", "-"], &rules)?;
        let answered = std::thread::scope(|scope| -> Result<Exchange> {
            let asking = scope.spawn(|| lab.get(EDGE_A, 80, "/ok"));
            std::thread::sleep(Duration::from_millis(300));
            no_firewall(&lab)?;
            serve(&listener)?;
            asking.join().map_err(|_| anyhow::anyhow!("asking panicked"))?
        })?;
        saw(answered, &[Seen::Complete(200)])?;
    }
    // The edge's timeout, from the SYN on, and the agent's look.
    std::thread::sleep(Duration::from_secs(1));
    let dropped = agent.metrics()?.count("tracer_firewall_drops_total", &[("port", "80")]);
    anyhow::ensure!(dropped >= 2, "{dropped} packets were seen dropped");
    check(agent, &lab, &[])
}

/// A request and a response that the host drops between the edge and a container.
fn a_drop_on_the_way_to_a_container_and_back() -> Result<()> {
    let mut lab = Lab::new()?;
    let listener = published(&mut lab)?;
    let agent = Agent::start(&["--ack-timeout=1500ms"])?;
    let mut wants = Vec::new();
    for direction in ["dport", "sport"] {
        let dropped = std::thread::scope(|scope| -> Result<Exchange> {
            let server = scope.spawn(|| serve(&listener));
            let mut conn = lab.connect(EDGE_A, 80)?;
            answered(&mut conn)?;
            firewall_in(&lab, "forward", &format!("tcp {direction} 80 meta length > 100 drop"))?;
            let dropped = saw(conn.request("/ok")?, &[Seen::Timeout])?;
            conn.abort()?;
            no_firewall(&lab)?;
            // By the RST.
            let _reset = server.join();
            Ok(dropped)
        })?;
        let want = Want::new(&dropped, "firewall_drop", 522, "no_ack").with("local_addr", CONTAINER.to_string());
        wants.push(want.with("firewall_hook", "forward").with("reused", true));
    }
    check(agent, &lab, &wants)
}

/// The answer leaves under the address that the edge knows. Whoever listens on the same port of the host has no part in
/// it.
fn a_firewall_on_the_way_to_a_container() -> Result<()> {
    let (mut lab, _origin) = staged()?;
    let listener = published(&mut lab)?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    let mut wants = Vec::new();
    for (rule, end, cause, symptom) in [
        ("reject with tcp reset", Seen::Refused, "firewall_reject", "refused"),
        ("reject", Seen::Refused, "firewall_reject", "icmp_unreachable"),
        ("drop", Seen::Timeout, "firewall_drop", "no_synack"),
    ] {
        firewall_in(&lab, "forward", &format!("tcp dport 80 {rule}"))?;
        let exchange = saw(lab.get(EDGE_A, 80, "/ok")?, &[end])?;
        no_firewall(&lab)?;
        let status = if end == Seen::Refused { 521 } else { 522 };
        let want = Want::new(&exchange, cause, status, symptom).with("local_addr", CONTAINER.to_string());
        wants.push(want.with("firewall_hook", "forward").with("process", Value::Null));
    }
    drop(listener);
    check(agent, &lab, &wants)
}

/// A packet was dropped, and its retransmission answered; then the firewall drops the FIN, too.
fn the_edge_leaving_after_a_packet_that_came_late() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    firewall(&lab, "tcp dport 80 meta length > 100 drop")?;
    conn.send("/ok")?;
    std::thread::sleep(Duration::from_millis(50));
    no_firewall(&lab)?;
    saw(conn.answer()?, &[Seen::Complete(200)])?;
    firewall(&lab, "tcp dport 80 drop")?;
    drop(conn);
    check(agent, &lab, &[])
}

fn a_request_that_netfilter_rejects() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    firewall(&lab, "tcp dport 80 reject with tcp reset")?;
    let exchange = saw(conn.request("/ok")?, &[Seen::Reset])?;
    let want = Want::new(&exchange, "firewall_reject", 520, "rst_no_response").with("reset_by", "firewall");
    check(agent, &lab, &[want])
}
