//! What only the bytes, the clock or netfilter show: one case for each, and its healthy neighbour.

use std::time::{Duration, Instant};

use anyhow::Result;
use xtask::lab::origin::Spec;
use xtask::lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, Exchange, Lab, Process, Seen, wait};

use super::{LIMIT, ORIGIN, answered, saw, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_response_cut_by_fin_or_rst,
        responses_behind_interim_ones_in_one_packet,
        the_second_of_two_pipelined_requests,
        a_request_behind_a_response_that_is_still_being_sent,
        a_method_that_nobody_registered_and_what_is_no_request,
        bytes_that_are_no_response,
        a_request_in_pieces,
        a_syn_that_netfilter_rejects,
        a_reject_that_waits_for_a_link_address,
        a_reject_that_is_held_up,
        the_same_addresses_once_more,
        a_syn_that_is_dropped_and_then_refused,
        the_edge_leaving_after_a_packet_that_came_late,
        a_request_that_netfilter_rejects,
        distributions_of_healthy_exchanges,
        an_answer_that_never_comes,
        an_answer_that_stops,
        the_edge_leaving_before_its_timeout,
        a_header_section_at_the_limit_and_one_byte_above,
        a_syn_that_netfilter_drops,
        a_response_that_netfilter_drops,
        a_response_that_netfilter_drops_after_one_that_came_through,
        the_rest_of_a_response_that_netfilter_drops,
        an_upload_that_netfilter_drops,
        a_response_that_netfilter_rejects,
    ]
}

/// Long for the agent, short for a test.
const READ: &str = "--read-timeout=600ms";
const TIMEOUT: Duration = Duration::from_millis(600);

fn staged() -> Result<(Lab, Process)> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    Ok((lab, origin))
}

fn want(
    exchange: &Exchange,
    cause: &'static str,
    status: Option<u16>,
    symptom: &str,
    origin: &Process,
) -> Result<Want> {
    let status = status.map_or(serde_json::Value::Null, Into::into);
    let want = Want::new(exchange, cause, status, symptom).process(ORIGIN, worker(origin)?);
    Ok(want.with("certainty", "certain").with("ray", exchange.ray.as_str()))
}

fn a_response_cut_by_fin_or_rst() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let body = saw(lab.get(EDGE_A, 80, "/cut")?, &[Seen::Partial])?;
    let head = saw(lab.get(EDGE_V6, 80, "/cut-head")?, &[Seen::Partial])?;
    let reset = saw(lab.get(EDGE_B, 80, "/cut-reset")?, &[Seen::PartialReset])?;
    let mut conn = lab.connect(EDGE_C, 80)?;
    answered(&mut conn)?;
    let later = saw(conn.request("/cut")?, &[Seen::Partial])?;
    let wants = [
        want(&body, "truncated_body", None, "fin_in_response", &origin)?.with("response_status", 200),
        want(&head, "truncated_headers", Some(520), "fin_in_response", &origin)?,
        want(&reset, "reset_mid_response", None, "rst_in_response", &origin)?.with("reset_by", "origin"),
        want(&later, "truncated_body", None, "fin_in_response", &origin)?.with("exchanges", 2),
    ];
    check(agent, &lab, &wants)
}

fn responses_behind_interim_ones_in_one_packet() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    saw(conn.request("/hints?then=3")?, &[Seen::Complete(200)])?;
    answered(&mut conn)?;
    let nothing = saw(conn.request("/hints?then=0")?, &[Seen::Partial])?;
    let head = saw(lab.get(EDGE_B, 80, "/hints?then=1")?, &[Seen::Partial])?;
    let body = saw(lab.get(EDGE_C, 80, "/hints?then=2")?, &[Seen::Partial])?;
    let wants = [
        want(&nothing, "truncated_headers", Some(520), "fin_in_response", &origin)?.with("exchanges", 3),
        want(&head, "truncated_headers", Some(520), "fin_in_response", &origin)?,
        want(&body, "truncated_body", None, "fin_in_response", &origin)?.with("response_status", 200),
    ];
    check(agent, &lab, &wants)
}

fn the_second_of_two_pipelined_requests() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send_raw(b"GET /short HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: b\r\n\r\n")?;
    saw(conn.answer()?, &[Seen::Complete(200)])?;
    let second = saw(conn.answer()?, &[Seen::Empty])?;
    let want = Want::new(&second, "empty_reply", 520, "fin_no_response")
        .process(ORIGIN, worker(&origin)?)
        .with("path", "/empty")
        .with("host", "b");
    check(agent, &lab, &[want])
}

/// More than both ends' buffers hold.
const LARGE: &str = "/large?bytes=16000000";

fn a_request_behind_a_response_that_is_still_being_sent() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    let mut wants = Vec::new();
    for (path, end) in [("/short", Seen::Complete(200)), ("/empty", Seen::Empty)] {
        let mut conn = lab.connect(EDGE_A, 80)?;
        answered(&mut conn)?;
        // Some of it is written, and not sent, as the next request comes.
        conn.send(LARGE)?;
        conn.wait_first_byte()?;
        std::thread::sleep(Duration::from_millis(50));
        conn.send(path)?;
        // It is not late while the edge is busy with the response before.
        std::thread::sleep(TIMEOUT + Duration::from_millis(400));
        saw(conn.answer()?, &[Seen::Complete(200)])?;
        let second = saw(conn.answer()?, &[end])?;
        if end == Seen::Empty {
            wants.push(want(&second, "empty_reply", Some(520), "fin_no_response", &origin)?.with("path", path));
        }
        // Nor is an answer overlooked that went out in one packet with the end of the response before.
        std::thread::sleep(TIMEOUT + Duration::from_millis(400));
    }
    // That the next request is HEAD says nothing of the response before.
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    conn.send(LARGE)?;
    conn.wait_first_byte()?;
    conn.send_with("HEAD", "/head", "", b"")?;
    saw(conn.answer()?, &[Seen::Complete(200)])?;
    conn.abort()?;
    check(agent, &lab, &wants)
}

fn a_method_that_nobody_registered_and_what_is_no_request() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    conn.send_with("X-ASK", "/empty", "", b"")?;
    let own = saw(conn.answer()?, &[Seen::Empty])?;
    let mut conn = lab.connect(EDGE_B, 80)?;
    answered(&mut conn)?;
    conn.send_raw(b"AB\x01 is neither a request nor part of one")?;
    conn.abort()?;
    let want = want(&own, "empty_reply", Some(520), "fin_no_response", &origin)?
        .with("method", "X-ASK")
        .with("path", "/empty")
        .with("exchanges", 2);
    check(agent, &lab, &[want])
}

fn bytes_that_are_no_response() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    // Closed by the origin, and by the edge, which has had enough; after a response without its announced body, too.
    for (path, head_first) in [("/rubbish", false), ("/rubbish?keep=1", false), ("/rubbish?keep=1", true)] {
        let mut conn = lab.connect(EDGE_A, 80)?;
        if head_first {
            conn.send_raw(b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n")?;
            std::thread::sleep(Duration::from_millis(20));
        }
        conn.send(path)?;
        conn.wait_first_byte()?;
        std::thread::sleep(Duration::from_millis(20));
        conn.half_close()?;
        let exchange = conn.exchange(Seen::Partial);
        let want = Want::new(&exchange, "malformed_response", 520, "bad_response");
        wants.push(want.process(ORIGIN, worker(&origin)?).with("certainty", "certain"));
    }
    check(agent, &lab, &wants)
}

fn a_header_section_at_the_limit_and_one_byte_above() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&["--header-limit=20000"])?;
    saw(lab.get(EDGE_A, 80, "/headers?bytes=20000")?, &[Seen::Complete(200)])?;
    let above = saw(lab.get(EDGE_A, 80, "/headers?bytes=20001")?, &[Seen::Complete(200)])?;
    let want = want(&above, "headers_too_large", Some(520), "headers_too_large", &origin)?;
    check(agent, &lab, &[want.with("response_header_bytes", 20_001)])
}

fn an_answer_that_never_comes() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    // One edge gives up, the other one stays.
    let mut leaves = lab.connect(EDGE_A, 80)?;
    let mut stays = lab.connect(EDGE_B, 80)?;
    answered(&mut stays)?;
    leaves.send("/hang")?;
    stays.send("/hang")?;
    std::thread::sleep(TIMEOUT);
    let wants = [&leaves, &stays].map(|conn| conn.exchange(Seen::Timeout));
    leaves.abort()?;
    let wants: Result<Vec<_>> =
        wants.iter().map(|seen| want(seen, "response_timeout", Some(524), "no_response", &origin)).collect();
    let mut wants = wants?;
    wait::until_true("both timeouts", LIMIT, || {
        agent.metrics().is_ok_and(|seen| seen.count("tracer_failures_total", &[("cause", "response_timeout")]) == 2)
    })?;
    // Its process ends later: no second failure of the request that was told.
    let pid = worker(&origin)?;
    let crash = saw(lab.get(EDGE_C, 80, "/segv")?, &[Seen::Empty])?;
    saw(stays.answer()?, &[Seen::Empty])?;
    wants.push(Want::new(&crash, "crash", 520, "fin_no_response").process(ORIGIN, pid));
    check(agent, &lab, &wants)
}

fn an_answer_that_stops() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send("/partial")?;
    conn.wait_first_byte()?;
    let seen = conn.exchange(Seen::Timeout);
    let want = want(&seen, "response_stalled", None, "stalled_response", &origin)?;
    check(agent, &lab, &[want])
}

fn the_edge_leaving_before_its_timeout() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    for path in ["/hang", "/partial"] {
        let mut conn = lab.connect(EDGE_A, 80)?;
        conn.send(path)?;
        std::thread::sleep(TIMEOUT / 4);
        conn.abort()?;
    }
    check(agent, &lab, &[])
}

fn a_request_in_pieces() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    for piece in [&b"G"[..], b"ET /em", b"pty HTTP/1.1\r\nHost: a\r\nCF-Ray: 7d1234567890", b"abcd-LAX\r\n", b"\r\n"] {
        conn.send_raw(piece)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    let exchange = saw(conn.answer()?, &[Seen::Empty])?;
    let want = Want::new(&exchange, "empty_reply", 520, "fin_no_response").process(ORIGIN, worker(&origin)?);
    check(agent, &lab, &[want.with("ray", "7d1234567890abcd-LAX").with("path", "/empty").with("exchanges", 1)])
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
    lab.origin().run("nft", &["flush", "ruleset"], "").map(|_| ())
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

/// A host that is virtual may lose its CPU between the answer and the drop of the packet. Here the answer's queue has filters
/// to go through, for longer than a millisecond.
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
    let (at_once, took) = rejected()?;
    lab.origin().run("tc", &["-batch", "-"], &lines)?;
    let (late, took_held_up) = rejected()?;
    let held_up = took_held_up.saturating_sub(took);
    anyhow::ensure!(held_up > Duration::from_millis(1), "held up for {held_up:?} only");
    lab.origin().run("tc", &["qdisc", "del", "dev", "origin0", "root"], "")?;
    check(agent, &lab, &[at_once, late])
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

/// As at a start, when the firewall lets the edge through before the server listens: one failure, which the closed port is.
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

fn distributions_of_healthy_exchanges() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    for path in ["/ok", "/ok", "/slow?ms=150", "/headers?bytes=9000"] {
        saw(conn.request(path)?, &[Seen::Complete(200)])?;
    }
    let counted =
        |metric: &str, le: &str| -> Result<u64> { Ok(agent.metrics()?.count(metric, &[("port", "80"), ("le", le)])) };
    wait::until_true("four exchanges in the distributions", LIMIT, || {
        counted("tracer_first_byte_seconds_bucket", "+Inf").is_ok_and(|count| count == 4)
    })?;
    let bytes = "tracer_response_header_bytes_bucket";
    let figures =
        [counted("tracer_first_byte_seconds_bucket", "0.1")?, counted(bytes, "256")?, counted(bytes, "8192")?];
    anyhow::ensure!(figures == [3, 3, 3], "not 3 exchanges each: {figures:?}");
    anyhow::ensure!(counted(bytes, "16384")? == 4, "the header section of 9,000 bytes is not in its bucket");
    check(agent, &lab, &[])
}
