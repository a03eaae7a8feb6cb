//! What only the bytes or the clock show: one case for each, and its healthy neighbour.

use std::time::Duration;

use anyhow::Result;
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, Seen, wait};

use super::{LIMIT, ORIGIN, READ, TIMEOUT, answered, saw, staged, want, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_response_cut_by_fin_or_rst,
        a_chunked_response_cut_between_two_chunks,
        something_else_where_a_chunk_belongs,
        a_response_of_which_the_close_sends_the_rest,
        responses_behind_interim_ones_in_one_packet,
        the_second_of_two_pipelined_requests,
        a_request_behind_a_response_that_is_still_being_sent,
        a_method_that_nobody_registered_and_what_is_no_request,
        bytes_that_are_no_response,
        a_request_in_pieces,
        distributions_of_healthy_exchanges,
        an_answer_that_never_comes,
        an_answer_that_stops,
        the_edge_leaving_before_its_timeout,
        an_edge_that_takes_nothing_for_longer_than_its_timeout,
        a_header_section_at_the_limit_and_one_byte_above,
    ]
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

/// Few chunks, all of which are kept; more than are kept, one in a packet and many; more in one packet than are
/// followed.
const ROWS: [&str; 4] = ["/rows?rows=2", "/rows?rows=60", "/rows?rows=60&each=30", "/rows?rows=300&each=300"];

fn a_chunked_response_cut_between_two_chunks() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for path in ROWS {
        let mut conn = lab.connect(EDGE_A, 80)?;
        for _ in 0..2 {
            saw(conn.request(path)?, &[Seen::Complete(200)])?;
        }
        answered(&mut conn)?;
        saw(conn.request(&format!("{path}&then=2"))?, &[Seen::Complete(200)])?;
        let cut = saw(lab.get(EDGE_B, 80, &format!("{path}&then=0"))?, &[Seen::Partial])?;
        // Of the last one the end alone is known, and says that it is whole.
        if path != ROWS[3] {
            wants.push(want(&cut, "truncated_body", None, "fin_in_response", &origin)?.with("response_status", 200));
        }
    }
    check(agent, &lab, &wants)
}

fn something_else_where_a_chunk_belongs() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut wants = Vec::new();
    for path in &ROWS[..3] {
        let closed = saw(lab.get(EDGE_A, 80, &format!("{path}&then=1"))?, &[Seen::Partial])?;
        wants.push(want(&closed, "malformed_response", None, "bad_response", &origin)?.with("certainty", "likely"));
        // The edge has had enough of it, before the origin has.
        let mut conn = lab.connect(EDGE_B, 80)?;
        conn.send(&format!("{path}&then=1&keep=1"))?;
        conn.wait_first_byte()?;
        std::thread::sleep(Duration::from_millis(50));
        let left = conn.exchange(Seen::Partial);
        conn.half_close()?;
        wants.push(want(&left, "malformed_response", None, "bad_response", &origin)?.with("certainty", "likely"));
    }
    check(agent, &lab, &wants)
}

fn a_response_of_which_the_close_sends_the_rest() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    for whole in ["/held?then=0", "/held?then=1"] {
        saw(lab.get(EDGE_A, 80, whole)?, &[Seen::Complete(200)])?;
    }
    let mut wants = Vec::new();
    for (path, cause, status) in [
        ("/held?then=2", "truncated_body", None),
        ("/held?then=3", "truncated_headers", Some(520)),
        ("/held?then=4", "truncated_body", None),
    ] {
        let cut = saw(lab.get(EDGE_B, 80, path)?, &[Seen::Partial])?;
        wants.push(want(&cut, cause, status, "fin_in_response", &origin)?);
    }
    let odd = lab.get(EDGE_C, 80, "/held?then=5")?;
    wants.push(want(&odd, "malformed_response", Some(520), "bad_response", &origin)?.with("certainty", "likely"));
    let reset = saw(lab.get(EDGE_V6, 80, "/held?then=6")?, &[Seen::PartialReset])?;
    wants.push(want(&reset, "reset_mid_response", None, "rst_in_response", &origin)?);
    check(agent, &lab, &wants)
}

fn responses_behind_interim_ones_in_one_packet() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    saw(conn.request("/hints?then=3")?, &[Seen::Complete(200)])?;
    answered(&mut conn)?;
    // An empty line too many stands before the final one: all recipients pass over it.
    saw(lab.get(EDGE_B, 80, "/hints?then=4")?, &[Seen::Complete(200)])?;
    let nothing = saw(conn.request("/hints?then=0")?, &[Seen::Partial])?;
    let head = saw(lab.get(EDGE_B, 80, "/hints?then=1")?, &[Seen::Partial])?;
    let body = saw(lab.get(EDGE_C, 80, "/hints?then=2")?, &[Seen::Partial])?;
    let wants = [
        want(&nothing, "empty_reply", Some(520), "fin_no_response", &origin)?.with("exchanges", 3),
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

fn an_edge_that_takes_nothing_for_longer_than_its_timeout() -> Result<()> {
    let (lab, _origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    // Its visitor is slow: the rest of the response waits in the origin's socket.
    let mut conns = [lab.connect(EDGE_A, 80)?, lab.connect(EDGE_B, 80)?];
    for conn in &mut conns {
        conn.send(LARGE)?;
        conn.wait_first_byte()?;
    }
    std::thread::sleep(TIMEOUT * 2);
    let [mut stays, leaves] = conns;
    saw(stays.answer()?, &[Seen::Complete(200)])?;
    leaves.abort()?;
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
