//! Behind the published port of a container: the address and port that the edge had dialled.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use anyhow::{Result, ensure};
use lab::{CONTAINER, EDGE_A, EDGE_V6, Exchange, Lab, ORIGIN_V4, ORIGIN_V6, Seen};
use serde_json::Value;

use super::{saw, staged};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        behind_a_published_port_the_record_names_what_was_dialled,
        behind_a_redirected_port_the_record_names_what_was_dialled,
        with_the_units_privileges_what_was_dialled_is_found,
    ]
}

/// What comes for this address and port of the origin goes elsewhere.
fn translate(lab: &Lab, addr: IpAddr, port: u16, to: &str) -> Result<()> {
    let family = if addr.is_ipv4() { "ip" } else { "ip6" };
    let chain = format!("type nat hook prerouting priority dstnat;\n{family} daddr {addr} tcp dport {port} {to}");
    let table = format!("table {family} t{port} {{\nchain c {{\n{chain}\n}}\n}}\n");
    lab.origin().run("nft", &["-f", "-"], &table).map(|_| ())
}

/// A container that listens on port 80, which is published as it is and as 8088.
fn container() -> Result<(Lab, TcpListener)> {
    let mut lab = Lab::new()?;
    let listener = lab.publish(80)?.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)))??;
    translate(&lab, ORIGIN_V4, 8088, &format!("dnat to {CONTAINER}:80"))?;
    Ok((lab, listener))
}

/// The edge's request to this port, on which the container hangs up with a part of an answer or with none.
fn cut(lab: &Lab, listener: &TcpListener, port: u16, part: &str, seen: Seen) -> Result<Exchange> {
    let mut conn = lab.connect(EDGE_A, port)?;
    conn.send("/ok")?;
    let (mut stream, _) = listener.accept()?;
    ensure!(stream.read(&mut [0; 1024])? > 0, "no request came");
    stream.write_all(part.as_bytes())?;
    drop(stream);
    saw(conn.answer()?, &[seen])
}

/// The container has one address and port, whatever the edge had dialled.
fn of_the_container(exchange: &Exchange, cause: &'static str, symptom: &str) -> Want {
    let want = Want::new(exchange, cause, 520, symptom).with("local_addr", CONTAINER.to_string());
    want.with("local_port", 80).with("published_addr", ORIGIN_V4.to_string())
}

fn behind_a_published_port_the_record_names_what_was_dialled() -> Result<()> {
    let (lab, listener) = container()?;
    let agent = Agent::start_inside(lab.origin(), &[])?;
    let empty = cut(&lab, &listener, 8088, "", Seen::Empty)?;
    let same = cut(&lab, &listener, 80, "", Seen::Empty)?;
    let wants = [
        of_the_container(&empty, "empty_reply", "fin_no_response")
            .with("published_port", 8088)
            .saying(format!("connected to {ORIGIN_V4}:8088, which NAT on this host translates to {CONTAINER}:80")),
        of_the_container(&same, "empty_reply", "fin_no_response").with("published_port", 80),
    ];
    check(agent, &lab, &wants)
}

/// Within the host. What is dialled directly has no second address.
fn behind_a_redirected_port_the_record_names_what_was_dialled() -> Result<()> {
    let (lab, _origin) = staged()?;
    for addr in [ORIGIN_V4, ORIGIN_V6] {
        translate(&lab, addr, 8089, "redirect to :80")?;
    }
    let agent = Agent::start_inside(lab.origin(), &[])?;
    let redirected = saw(lab.get(EDGE_A, 8089, "/empty")?, &[Seen::Empty])?;
    let over_v6 = saw(lab.get(EDGE_V6, 8089, "/empty")?, &[Seen::Empty])?;
    let direct = saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
    let told = |exchange| Want::new(exchange, "empty_reply", 520, "fin_no_response").with("local_port", 80);
    let wants = [
        told(&redirected).with("published_addr", ORIGIN_V4.to_string()).with("published_port", 8089),
        told(&over_v6).with("published_addr", ORIGIN_V6.to_string()).with("published_port", 8089),
        told(&direct).with("published_addr", Value::Null).with("published_port", Value::Null),
    ];
    check(agent, &lab, &wants)
}

fn with_the_units_privileges_what_was_dialled_is_found() -> Result<()> {
    let (lab, listener) = container()?;
    let agent = Agent::start_as_unit_inside(lab.origin(), &[])?;
    let reset = cut(&lab, &listener, 8088, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Seen::Partial)?;
    let want = of_the_container(&reset, "truncated_body", "fin_in_response").with("edge_status", Value::Null);
    check(agent, &lab, &[want.with("published_port", 8088)])
}
