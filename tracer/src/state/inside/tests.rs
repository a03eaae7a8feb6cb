//! Exchanges that were made up, sealed, kept as the kernel programs keep them, and opened again.

use std::collections::BTreeMap;

use tracer_common::{conn_flags as flag, secret};

use super::*;
use crate::{
    decode::Event,
    diagnose::{Cause, Certainty, Diagnosis},
    edge::EdgeRanges,
    state::{Clock, Output, State},
    tls::samples::{
        ALERT, CERTIFICATE_REQUIRED, CLOSE_NOTIFY, DATA, HANDSHAKE, TICKET, record, request, response, sealed, session,
    },
};

const GET: &[u8] = b"GET /a?q=1 HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\n\r\n";
const SECOND: &[u8] = b"GET /b HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abce-LAX\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn read(record: &ConnRecord) -> Exchange {
    exchange(record, &Said::read(record, &session()).unwrap())
}

/// How far a response of this text got, in records of 4,000 bytes and packets of this size.
fn progress(text: &[u8], packet: usize) -> Progress {
    let sealed = response(text, 4000);
    let exchange = read(&record(&request(GET), &sealed.chunks(packet).collect::<Vec<_>>()));
    assert_eq!(exchange.request.path.as_deref(), Some("/a"));
    exchange.response.progress
}

#[test]
fn a_request_without_an_answer_is_known_and_nothing_of_a_response() {
    let exchange = read(&record(&request(GET), &[]));
    assert_eq!(exchange.request.ray.as_deref(), Some("7d1234567890abcd-LAX"));
    assert_eq!(exchange.response.progress, Progress::Nothing);
    assert_eq!(exchange.unfinished, None);
    // The rest of an upload did not come.
    let upload = read(&record(&request(b"POST /u HTTP/1.1\r\nContent-Length: 900\r\n\r\nabc"), &[]));
    assert!(upload.unfinished.is_some());
}

#[test]
fn a_body_is_held_against_its_content_length_far_beyond_what_is_kept() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let whole = [&head[..], &[b'x'; 100_000]].concat();
    for packet in [1400, 4022, 60_000] {
        assert_eq!(progress(&whole, packet), Progress::Whole, "{packet}");
        for short in [1, 100, 50_000, 97_000] {
            assert_eq!(progress(&whole[..whole.len() - short], packet), Progress::InBody, "{packet}, {short}");
        }
    }
}

#[test]
fn the_last_chunk_is_read_at_the_end_of_a_long_response() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [&b"1388\r\n"[..], &[b'x'; 5000], b"\r\n"].concat();
    let begun = [&head[..], &chunk, &chunk, &chunk].concat();
    assert_eq!(progress(&[&begun[..], b"0\r\n\r\n"].concat(), 9000), Progress::Whole);
    assert_eq!(progress(&begun, 9000), Progress::InBody);
    // In a record and a packet of its own.
    let slot = secret::SERVER_TRAFFIC;
    let first = sealed(slot, 0, &[(DATA, &begun[..8000]), (DATA, &begun[8000..])]);
    let last = sealed(slot, 2, &[(DATA, b"0\r\n\r\n")]);
    let exchange = read(&record(&request(GET), &[&first, &last]));
    assert_eq!(exchange.response.progress, Progress::Whole);
    // And with a goodbye behind it.
    let goodbye = sealed(slot, 3, &[(ALERT, CLOSE_NOTIFY)]);
    let ended = record(&request(GET), &[&first, &last, &goodbye]);
    assert_eq!(read(&ended).response.progress, Progress::Whole);
    assert!(is_closed(&Said::read(&ended, &session()).unwrap()));
}

#[test]
fn a_body_that_only_the_close_ends_is_cut_where_its_record_is() {
    let text = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 9000]].concat();
    assert_eq!(progress(&text, 9000), Progress::UntilClose);
    let wire = response(&text, 4000);
    let exchange = read(&record(&request(GET), &[&wire[..wire.len() - 10]]));
    assert_eq!(exchange.response.progress, Progress::InBody);
}

#[test]
fn tickets_are_no_answer_and_hide_none() {
    let tickets = [(HANDSHAKE, TICKET), (HANDSHAKE, TICKET)];
    let alone = sealed(secret::SERVER_TRAFFIC, 0, &tickets);
    assert_eq!(read(&record(&request(GET), &[&alone])).response.progress, Progress::Nothing);
    let before = sealed(secret::SERVER_TRAFFIC, 0, &[tickets[0], tickets[1], (DATA, OK)]);
    let exchange = read(&record(&request(GET), &[&before]));
    assert_eq!((exchange.response.progress, exchange.response.status), (Progress::Whole, Some(200)));
}

#[test]
fn of_two_requests_that_are_kept_behind_one_another_the_lost_one_is_told() {
    let both = sealed(secret::CLIENT_TRAFFIC, 0, &[(DATA, GET), (DATA, SECOND)]);
    let lost = read(&record(&both, &[&response(OK, 4000)]));
    assert_eq!((lost.request.path.as_deref(), lost.response.progress), (Some("/b"), Progress::Nothing));
    let answered = read(&record(&both, &[&response(&[OK, OK].concat(), 4000)]));
    assert_eq!(answered.response.progress, Progress::Whole);
}

#[test]
fn a_request_that_came_too_late_has_no_response() {
    let mut late = record(&request(GET), &[&response(OK, 4000)]);
    (late.trigger, late.conn.late_len) = (triggers::LATE, late.conn.request_len);
    let exchange = read(&late);
    assert_eq!((exchange.request.path.as_deref(), exchange.response), (Some("/a"), Default::default()));
}

#[test]
fn only_an_alert_in_the_place_of_a_response_refuses_a_handshake() {
    let slot = secret::SERVER_TRAFFIC;
    let said =
        |texts: &[(u8, &[u8])]| Said::read(&record(&request(GET), &[&sealed(slot, 0, texts)]), &session()).unwrap();
    let refusal = alert(&said(&[(ALERT, CERTIFICATE_REQUIRED)])).unwrap();
    assert_eq!(refused(refusal).origin_alert, Some(refusal));
    assert_eq!(alert(&said(&[(DATA, OK), (ALERT, CERTIFICATE_REQUIRED)])), None);
    let goodbye = said(&[(ALERT, CLOSE_NOTIFY)]);
    assert!(alert(&goodbye).is_none() && is_closed(&goodbye));
}

#[test]
fn a_request_that_met_a_refused_certificate_is_told_as_that() {
    let mut met = record(&request(GET), &[]);
    met.trigger = triggers::RST;
    met.conn.flags |= flag::NO_CERTIFICATE;
    (met.conn.exchanges, met.conn.turn_out) = (0, 900);
    (met.conn.close.since_read, met.conn.close.unread) = (24, 344);
    let refused = told(&met, true).unwrap();
    assert_eq!((refused.cause, refused.certainty), (Cause::TlsClientCertRequired, Certainty::Likely));
    assert_eq!(refused.ray.as_deref(), Some("7d1234567890abcd-LAX"));
    // It read what came after the alert, and closed.
    (met.trigger, met.conn.exchanges, met.conn.turn_out) = (triggers::FIN, 1, 24);
    (met.conn.close.since_read, met.conn.close.unread) = (0, 0);
    assert_eq!(told(&met, true).unwrap().cause, Cause::TlsClientCertRequired);
    // The request could not be opened, and took the place of the handshake's first bytes.
    assert_eq!(told(&met, false).unwrap().cause, Cause::TlsClientCertRequired);
    // The certificate was optional: session tickets came before the request was read.
    met.conn.turn_out = 500;
    assert_eq!(told(&met, true).unwrap().cause, Cause::EmptyReply);
}

#[test]
fn an_alert_that_was_written_before_the_request_was_read_is_found() {
    let alerts: [(u8, &[u8]); 1] = [(ALERT, CERTIFICATE_REQUIRED)];
    let mut met = record(&request(GET), &[&sealed(secret::SERVER_TRAFFIC, 0, &alerts)]);
    // The request was read after that: its response is still awaited.
    (met.conn.answered, met.conn.close.response_bytes) = (met.conn.asked.wrapping_sub(1), 0);
    let refused = told(&met, true).unwrap();
    assert_eq!((refused.cause, refused.certainty), (Cause::TlsClientCertRequired, Certainty::Certain));
    // The response before says nothing about a later request.
    met.conn.exchanges = 2;
    assert_eq!(told(&met, true).unwrap().cause, Cause::EmptyReply);
}

/// What is told of a record, the exchange of which could be read or not.
fn told(record: &ConnRecord, is_read: bool) -> Option<Box<Diagnosis>> {
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    state.set_said(Said::read(record, &session()).filter(|_| is_read));
    let clock = Clock { monotonic_ns: 0, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 };
    let mut outputs = state.handle(&Event::Conn(Box::new(*record)), &clock);
    outputs.extend(state.flush());
    outputs.into_iter().find_map(|output| match output {
        Output::Failure(diagnosis) => Some(diagnosis),
        _ => None,
    })
}

#[test]
fn a_failure_that_was_read_is_certain_and_says_so() {
    let record = record(&request(GET), &[]);
    let read = told(&record, true).unwrap();
    assert_eq!((read.cause, read.certainty), (Cause::EmptyReply, Certainty::Certain));
    assert_eq!((read.ray.as_deref(), read.path.as_deref()), (Some("7d1234567890abcd-LAX"), Some("/a")));
    assert!(read.evidence.iter().any(|line| line.contains("with the secrets of its session")), "{read:#?}");
    assert!(!read.inside_tls);
    let sealed = told(&record, false).unwrap();
    assert_eq!((sealed.certainty, sealed.ray.clone(), sealed.inside_tls), (Certainty::Likely, None, true));
    assert!(!sealed.evidence.iter().any(|line| line.contains("secrets")), "{sealed:#?}");
}

#[test]
fn a_close_notify_is_not_told_as_a_fin() {
    for trigger in [triggers::EDGE_FIN, triggers::EDGE_RST, triggers::FIN] {
        let mut record = record(&request(GET), &[&sealed(secret::SERVER_TRAFFIC, 0, &[(ALERT, CLOSE_NOTIFY)])]);
        record.trigger = trigger;
        let read = told(&record, true).unwrap();
        assert_eq!(read.cause, Cause::EmptyReply, "{read:#?}");
        let is_fin = trigger == triggers::FIN;
        assert_eq!(read.evidence.iter().any(|line| line.starts_with("FIN sent")), is_fin, "{read:#?}");
        let goodbye = "close_notify (the end of a TLS connection) sent in web[7]; then the edge closed the connection";
        assert_eq!(read.evidence.iter().any(|line| line == goodbye), !is_fin, "{read:#?}");
    }
}

#[test]
fn an_origin_that_answers_the_edges_close_notify_with_its_own_lost_nothing() {
    let alert = sealed(secret::SERVER_TRAFFIC, 0, &[(ALERT, CLOSE_NOTIFY)]);
    for trigger in [triggers::EDGE_FIN, triggers::EDGE_RST, triggers::FIN] {
        let mut record = record(&request(GET), &[&alert]);
        record.trigger = trigger;
        record.conn.flags |= flag::CLOSE_NOTIFY;
        // Nothing had been written by then.
        assert_eq!(told(&record, true), None);
        // The origin's had: it was the edge that answered.
        record.conn.record_seq = record.conn.response_len;
        assert_eq!(told(&record, true).map(|failure| failure.cause), Some(Cause::EmptyReply));
    }
}

#[test]
fn a_close_notify_ends_a_response_that_ends_with_the_connection() {
    let response = sealed(secret::SERVER_TRAFFIC, 0, &[(23, b"HTTP/1.0 200 OK\r\n\r\nok"), (ALERT, CLOSE_NOTIFY)]);
    let mut record = record(&request(GET), &[&response]);
    record.trigger = triggers::RST;
    assert_eq!(told(&record, true), None);
}

#[test]
fn a_sound_exchange_that_the_gate_asked_about_is_no_failure() {
    let mut sound = record(&request(GET), &[&response(OK, 4000)]);
    sound.conn.flags |= flag::ASKED;
    assert_eq!(told(&sound, true), None);
    let short = &response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 4000);
    assert_eq!(told(&record(&request(GET), &[short]), true).unwrap().cause, Cause::TruncatedBody);
}
