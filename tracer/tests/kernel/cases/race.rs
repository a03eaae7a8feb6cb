//! Requests that meet a connection which the origin has closed: before the first one, or between two.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{Conn, EDGE_A, EDGE_B, EDGE_C, EDGE_V6, Exchange, Lab, Nginx, NginxOptions, ORIGIN_V4, Seen, wait};
use serde_json::Value;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream};

use super::tls::{Certificate, client};
use super::{LIMIT, ORIGIN, answered, saw, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        closed_before_request,
        keepalive_race,
        keepalive_race_in_which_fin_and_request_cross,
        keepalive_race_inside_tls,
        keepalive_race_without_payload_sight,
        what_follows_the_close_of_an_upgraded_connection_or_of_an_upload,
    ]
}

/// An idle connection ends after this.
const IDLE: Duration = Duration::from_millis(200);
/// What is sent once a connection is closed may be answered by either, depending on whether the FIN was seen.
const LOST: &[Seen] = &[Seen::Empty, Seen::Reset];
/// What an edge says in answer to the end of a TLS connection: an alert of TLS 1.3 on the wire.
const GOODBYE: &[u8] = &[0x17; 24];

/// No shorter than an edge's.
const TLS_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example.com\r\nCF-RAY: 9ba8aef5182077c4-AMS\r\n\
    CF-Connecting-IP: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n";

/// `TCP_FIN_WAIT1`, and `TCP_FIN_WAIT2`, which is shown of one that has become a time-wait socket, too.
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;

/// These edges never get a FIN of this port, so that their requests are as those that were on their way already.
fn keep_fins_from(lab: &Lab, edges: &[IpAddr], port: u16) -> Result<()> {
    let mut rules = "add table inet lab\nadd chain inet lab in { type filter hook input priority 0; }\n".to_owned();
    for edge in edges {
        rules += &format!("add rule inet lab in ip daddr {edge} tcp sport {port} tcp flags & fin == fin drop\n");
    }
    lab.edge().run("nft", &["-f", "-"], &rules).map(|_| ())
}

/// Waits until the origin has sent its FIN, which does not arrive (`FIN_WAIT1`), or has been acknowledged
/// (`FIN_WAIT2`).
fn closed(lab: &Lab, conn: &Conn, state: u8) -> Result<()> {
    wait::until(&format!("the origin's socket in state {state}"), LIMIT, || {
        let now = lab.origin().state(conn.to().port(), conn.from().port())?;
        Ok((now == Some(state)).then_some(()))
    })
}

/// A request to a connection that the origin has closed.
fn late(lab: &Lab, mut conn: Conn, state: u8, path: &str) -> Result<Exchange> {
    closed(lab, &conn, state)?;
    saw(conn.request(path)?, LOST)
}

fn race(exchange: &Exchange, process: &str, pid: u32) -> Want {
    Want::new(exchange, "keepalive_race", 520, "fin_before_request").process(process, pid).with("reused", true)
}

/// The kernel shows the late request: it came to a socket.
fn seen(want: Want, exchange: &Exchange) -> Want {
    want.with("certainty", "certain").with("ray", exchange.ray.as_str())
}

/// Of what came to a time-wait socket, or inside TLS, it does not.
fn unseen(want: Want) -> Want {
    want.with("certainty", "likely").with("ray", Value::Null)
}

fn closed_before_request() -> Result<()> {
    let lab = Lab::new()?;
    keep_fins_from(&lab, &[EDGE_A], 80)?;
    let origin = lab.start_origin(&Spec::new(80).mode(Mode::Close), None)?;
    let agent = Agent::start(&[])?;
    let crossing = late(&lab, lab.connect(EDGE_A, 80)?, FIN_WAIT1, "/")?;
    let after = late(&lab, lab.connect(EDGE_B, 80)?, FIN_WAIT2, "/")?;
    let pid = worker(&origin)?;
    let want = |exchange: &Exchange| {
        let want = Want::new(exchange, "closed_before_request", 520, "fin_before_request");
        want.process(ORIGIN, pid).with("reused", false)
    };
    check(agent, &lab, &[seen(want(&crossing), &crossing), unseen(want(&after))])
}

fn keepalive_race() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80).idle(IDLE), None)?;
    let http = "server { listen 81; keepalive_timeout 200ms; location / { return 200 ok; } }";
    let nginx = Nginx::start(&lab, &NginxOptions { http, ports: &[81], workers: 1, ..NginxOptions::default() })?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for (from, port, process, name) in
        [(EDGE_A, 80, &origin, ORIGIN), (EDGE_A, 81, &*nginx, "nginx"), (EDGE_V6, 80, &origin, ORIGIN)]
    {
        let mut conn = lab.connect(from, port)?;
        answered(&mut conn)?;
        let exchange = late(&lab, conn, FIN_WAIT2, "/ok")?;
        wants.push(unseen(race(&exchange, name, worker(process)?)));
    }
    check(agent, &lab, &wants)
}

fn keepalive_race_in_which_fin_and_request_cross() -> Result<()> {
    let lab = Lab::new()?;
    keep_fins_from(&lab, &[EDGE_A], 80)?;
    let origin = lab.start_origin(&Spec::new(80).idle(IDLE), None)?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    answered(&mut conn)?;
    let exchange = late(&lab, conn, FIN_WAIT1, "/ok")?;
    check(agent, &lab, &[seen(race(&exchange, ORIGIN, worker(&origin)?), &exchange)])
}

/// One exchange inside TLS.
fn exchanged(conn: &mut Conn, tls: &mut ClientConnection) -> Result<()> {
    let mut stream = Stream::new(tls, conn.stream()?);
    stream.write_all(TLS_REQUEST)?;
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer)?;
    ensure!(answer[..count].starts_with(b"HTTP/1.1 200"), "the origin did not answer inside TLS");
    Ok(())
}

/// nginx says goodbye inside TLS (close_notify) before it closes. An edge that answers in kind has lost nothing; one
/// whose next request was on its way, or came after, has.
fn keepalive_race_inside_tls() -> Result<()> {
    const PORT: u16 = 443;
    let lab = Lab::new()?;
    keep_fins_from(&lab, &[EDGE_B], PORT)?;
    let certificate = Certificate::make(&lab)?;
    let site = certificate.site();
    let http =
        format!("server {{ listen {PORT} ssl; ssl_protocols TLSv1.2 TLSv1.3; keepalive_timeout 200ms; {site} }}");
    let options = NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for version in [&TLS12, &TLS13] {
        for (from, state, asks) in [
            (EDGE_A, FIN_WAIT2, false),
            (EDGE_A, FIN_WAIT2, true),
            (EDGE_B, FIN_WAIT1, false),
            (EDGE_B, FIN_WAIT1, true),
        ] {
            let (mut conn, mut tls) = (lab.connect(from, PORT)?, client(version, certificate.trusted()?)?);
            exchanged(&mut conn, &mut tls)?;
            closed(&lab, &conn, state)?;
            if asks {
                tls.writer().write_all(TLS_REQUEST)?;
                wants.push(unseen(race(&conn.exchange(Seen::Reset), "nginx", worker(&nginx)?)));
            } else {
                tls.send_close_notify();
            }
            let mut bytes = Vec::new();
            tls.write_tls(&mut bytes)?;
            conn.send_raw(&bytes)?;
        }
    }
    check(agent, &lab, &wants)
}

/// Without a look at the bytes their number tells a request from a goodbye.
fn keepalive_race_without_payload_sight() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80).idle(IDLE), None)?;
    let agent = Agent::start(&["--no-payload"])?;
    let [mut leaves, mut asks] = [lab.connect(EDGE_A, 80)?, lab.connect(EDGE_C, 80)?];
    for conn in [&mut leaves, &mut asks] {
        answered(conn)?;
    }
    closed(&lab, &leaves, FIN_WAIT2)?;
    leaves.send_raw(GOODBYE)?;
    let exchange = late(&lab, asks, FIN_WAIT2, "/ok")?;
    check(agent, &lab, &[unseen(race(&exchange, ORIGIN, worker(&origin)?))])
}

/// A WebSocket's frames after its origin has left, and the rest of an upload that paused and was answered: no requests.
fn what_follows_the_close_of_an_upgraded_connection_or_of_an_upload() -> Result<()> {
    let lab = Lab::new()?;
    let listener = lab.origin().inside(|| TcpListener::bind((ORIGIN_V4, 80)))??;
    let agent = Agent::start(&[])?;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let refused = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for (method, more, body, answer, rest) in [
        ("GET", "Upgrade: websocket\r\n", "", switched, &[0x88; 8][..]),
        ("GET", "Upgrade: websocket\r\n", "", switched, &[0x82; 300]),
        ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", refused, b"0\r\n\r\n"),
    ] {
        let mut conn = lab.connect(EDGE_A, 80)?;
        conn.send_with(method, "/", more, body.as_bytes())?;
        let (mut stream, _) = listener.accept()?;
        ensure!(stream.read(&mut [0; 4096])? > 0, "no request");
        std::thread::sleep(IDLE);
        stream.write_all(answer.as_bytes())?;
        conn.wait_first_byte()?;
        std::thread::sleep(IDLE);
        drop(stream);
        closed(&lab, &conn, FIN_WAIT2)?;
        conn.send_raw(rest)?;
    }
    check(agent, &lab, &[])
}
