//! Requests of which a part never reaches the process: cut by the origin, or not read by it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::origin::Spec;
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, Exchange, Lab, Nginx, NginxOptions, Seen};

use super::{LIMIT, ORIGIN, TIMEOUT, saw, staged, want, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_request_that_its_server_does_not_wait_for,
        an_upload_that_is_refused_with_its_rest_to_come,
        an_edge_that_resets_an_upload_that_is_not_read,
    ]
}

/// The body is read before anybody is asked for an answer, and nobody is there to be asked.
const IMPATIENT: &str = "server { listen 80; listen [::]:80; client_header_timeout 400ms; client_body_timeout 400ms;
    location / { proxy_pass http://127.0.0.1:9; } }";

fn a_request_that_its_server_does_not_wait_for() -> Result<()> {
    let lab = Lab::new()?;
    let options = NginxOptions { http: IMPATIENT, ports: &[80], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let pid = nginx.workers().first().copied().context("nginx without a worker")?;
    let agent = Agent::start(&[])?;
    let length = |bytes: usize| format!("Content-Length: {bytes}\r\n");
    let mut fresh = lab.connect(EDGE_A, 80)?;
    fresh.send_with("POST", "/fresh", &length(50_000), &[b'u'; 20_000])?;
    let fresh = saw(fresh.answer()?, &[Seen::Empty])?;
    let mut later = lab.connect(EDGE_V6, 80)?;
    later.send_with("POST", "/whole", &length(3), b"abc")?;
    saw(later.answer()?, &[Seen::Complete(502)])?;
    later.send_with("PUT", "/later", &length(3_000), b"abc")?;
    let later = saw(later.answer()?, &[Seen::Empty])?;
    let mut chunked = lab.connect(EDGE_B, 80)?;
    chunked.send_with("POST", "/chunked", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n")?;
    let chunked = saw(chunked.answer()?, &[Seen::Empty])?;
    // Told to send its body (100 Continue), of which half comes.
    let mut expected = lab.connect(EDGE_B, 80)?;
    expected.send_with("PUT", "/expected", &format!("Expect: 100-continue\r\n{}", length(3_000)), b"")?;
    expected.wait_first_byte()?;
    expected.send_raw(&[b'u'; 1_500])?;
    let expected = saw(expected.answer()?, &[Seen::Partial])?;
    let mut head = lab.connect(EDGE_C, 80)?;
    head.send_raw(b"GET /head HTTP/1.1\r\nHost: www.example.com\r\nAccept-Enc")?;
    let head = saw(head.answer()?, &[Seen::Empty])?;
    let want = |exchange: &Exchange, path: &str, symptom: &str| {
        let want = Want::new(exchange, "request_cut", 520, symptom).process("nginx", pid);
        want.with("certainty", "certain").with("path", path)
    };
    let nothing = "fin_no_response";
    // Much more of it came than is kept.
    let counts = |want: Want| want.saying("the request announced 50").saying(" bytes, 20");
    let wants = [
        counts(want(&fresh, "/fresh", nothing)),
        want(&later, "/later", nothing).with("exchanges", 2),
        want(&chunked, "/chunked", nothing),
        want(&expected, "/expected", "fin_no_response"),
        want(&head, "/head", nothing),
    ];
    check(agent, &lab, &wants)
}

fn an_upload_that_is_refused_with_its_rest_to_come() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    // Long enough for what is sent behind the head to lie in the socket.
    let upload = |more: &str, body: &[u8]| -> Result<Exchange> {
        let mut conn = lab.connect(EDGE_A, 80)?;
        conn.send_with("POST", "/unread?after=300", more, b"")?;
        std::thread::sleep(TIMEOUT / 20);
        conn.send_raw(body)?;
        conn.answer()
    };
    let cut = saw(upload("Content-Length: 5000\r\n", &[b'u'; 1000])?, &[Seen::Reset])?;
    let whole = saw(upload("Content-Length: 20000\r\n", &[b'u'; 20_000])?, &[Seen::Reset])?;
    // Nothing of its body was on its way: the edge waits for leave to send it.
    let held_back = saw(upload("Content-Length: 5000\r\nExpect: 100-continue\r\n", b"")?, &[Seen::Empty])?;
    let wants = [
        want(&cut, "request_cut", Some(520), "rst_no_response", &origin)?.with("reset_by", "origin"),
        want(&whole, "closed_unread", Some(520), "rst_no_response", &origin)?,
        want(&held_back, "empty_reply", Some(520), "fin_no_response", &origin)?,
    ];
    check(agent, &lab, &wants)
}

/// A window that a small send buffer does not fill in one go.
const WINDOW: &str = "65536 65536 65536";

fn an_edge_that_resets_an_upload_that_is_not_read() -> Result<()> {
    let lab = Lab::new()?;
    lab.origin().sysctl("net/ipv4/tcp_rmem", WINDOW)?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&["--write-timeout=1600ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send_with("POST", "/ignore", "Content-Length: 9000000\r\n", b"")?;
    origin.wait_asked("/ignore", 1, LIMIT)?;
    // Its clock has begun when the last bytes come, as a probe of the shut window.
    conn.write_until_stuck(Duration::from_millis(1600))?;
    let exchange = conn.exchange(Seen::Timeout);
    conn.abort()?;
    let want = Want::new(&exchange, "request_stalled", 524, "zero_window");
    check(agent, &lab, &[want.process(ORIGIN, worker(&origin)?).with("certainty", "certain")])
}
