//! Connections of which the streams are known: which of them are told, and as what.

use std::{collections::BTreeMap, time::Duration};

use tracer_common::{ConnRecord, conn_flags as flag, kinds, pf, triggers};
use zerocopy::FromZeros as _;

use super::*;
use crate::{
    diagnose::{Cause, Diagnosis},
    edge::EdgeRanges,
    http::{Request, h2::GoAway},
    state::State,
};

const SECOND: u64 = 1_000_000_000;

fn clock(monotonic_ns: u64) -> Clock {
    Clock { monotonic_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The record of a connection that opened at 1 s, made at 200 s, for this reason. The process lives.
fn record(trigger: u32) -> ConnRecord {
    let mut record = ConnRecord::new_zeroed();
    (record.header.kind, record.trigger, record.header.time_ns) = (kinds::CONN, trigger, 200 * SECOND);
    let conn = &mut record.conn;
    conn.flags = flag::SNIFFED | flag::TLS | flag::TLS_DATA | flag::FINISHED | flag::SEALED | flag::H2;
    (conn.key, conn.opened_ns, conn.exchanges, conn.owner) = (77, SECOND, 1, 7);
    conn.owner_comm[..3].copy_from_slice(b"web");
    (conn.close.accepted, conn.close.bytes_received) = (1, 900);
    if !matches!(trigger, triggers::HELLO | triggers::STREAM) {
        conn.close.time_ns = 200 * SECOND;
    }
    record
}

/// The same at the end of its process, which SIGKILL ended.
fn killed() -> ConnRecord {
    let mut record = record(triggers::FIN);
    record.conn.flags |= flag::ORIGIN_FIN;
    let closer = &mut record.conn.closer;
    (closer.tgid, closer.flags, closer.exit_code) = (7, pf::EXITING, 9);
    record
}

/// A stream whose request came so long after the connection opened.
fn asked(millis: u64) -> h2::Stream {
    let request = Request { method: Some("GET".into()), path: Some("/a".into()), ..Request::default() };
    h2::Stream {
        request: Some(request),
        requested: Some(at(millis)),
        request_ended: Some(at(millis)),
        response: h2::Response { progress: Progress::Nothing, ..h2::Response::default() },
        is_known: true,
        is_edge_known: true,
        ..h2::Stream::default()
    }
}

/// With a header section sent, and a part of a body.
fn answered(millis: u64) -> h2::Stream {
    let mut stream = asked(millis);
    let response = &mut stream.response;
    (response.progress, response.status, response.header_bytes) = (Progress::InBody, Some(200), Some(90));
    (response.first, response.last) = (Some(at(millis)), Some(at(millis)));
    stream
}

/// And with its end.
fn whole(millis: u64) -> h2::Stream {
    let mut stream = answered(millis);
    (stream.response.progress, stream.response.ended) = (Progress::Whole, Some(at(millis)));
    stream
}

fn reset(mut stream: h2::Stream, by: Side, code: u32, millis: u64) -> h2::Stream {
    stream.reset = Some(h2::Reset { by, code: Some(code), time: at(millis) });
    stream
}

fn connection(streams: &[h2::Stream]) -> Connection {
    let numbered = streams.iter().enumerate().map(|(number, stream)| (2 * number as u32 + 1, stream.clone()));
    Connection { is_http2: Some(true), streams: numbered.collect(), ..Connection::default() }
}

fn diagnoses(outputs: Vec<Output>) -> Vec<Diagnosis> {
    let failure = |output| if let Output::Failure(diagnosis) = output { Some(*diagnosis) } else { None };
    outputs.into_iter().filter_map(failure).collect()
}

/// What is told of these streams: cause, stream and edge status.
fn told(record: &ConnRecord, connection: &Connection) -> Vec<(Cause, u32, Option<u16>)> {
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let (mut outputs, found) = state.handle_streams(record, connection, false, &clock(200 * SECOND));
    outputs.extend(state.flush());
    let told: Vec<_> = diagnoses(outputs)
        .into_iter()
        .map(|told| (told.cause, told.stream_id.unwrap_or_default(), told.edge_status))
        .collect();
    assert_eq!(told.len(), found);
    told
}

#[test]
fn a_killed_process_takes_its_open_streams_and_no_other() {
    let streams = [whole(10), asked(20), answered(30), whole(40)];
    assert_eq!(
        told(&killed(), &connection(&streams)),
        [(Cause::ProcessKilled, 3, Some(520)), (Cause::ProcessKilled, 5, None)]
    );
}

#[test]
fn what_is_not_known_to_be_open_is_not_told() {
    let unknown = h2::Stream { is_known: false, ..answered(10) };
    let maybe_cancelled = h2::Stream { is_edge_known: false, ..asked(10) };
    let never_seen = h2::Stream { requested: None, ..asked(10) };
    assert_eq!(told(&killed(), &connection(&[unknown, maybe_cancelled, never_seen])), []);
}

#[test]
fn a_living_origin_that_closes_leaves_its_streams_empty_or_cut() {
    let streams = connection(&[asked(10), answered(20), whole(30)]);
    let mut fin = record(triggers::FIN);
    fin.conn.flags |= flag::ORIGIN_FIN;
    assert_eq!(told(&fin, &streams), [(Cause::EmptyReply, 1, Some(520)), (Cause::TruncatedBody, 3, None)]);
    assert_eq!(
        told(&record(triggers::RST), &streams),
        [(Cause::AppReset, 1, Some(520)), (Cause::ResetMidResponse, 3, None)]
    );
}

#[test]
fn a_reset_of_the_origin_fails_one_stream_while_its_connection_goes_on() {
    let streams = [
        reset(asked(10), Side::Origin, 2, 20),
        asked(15),
        reset(answered(20), Side::Origin, 8, 30),
        // After a whole answer the origin may not want the rest of an upload.
        reset(whole(20), Side::Origin, 0, 30),
    ];
    let h2 = Cause::Http2ProtocolError;
    assert_eq!(told(&record(triggers::STREAM), &connection(&streams)), [(h2, 1, Some(520)), (h2, 5, None)]);
}

#[test]
fn a_visitor_who_leaves_is_no_failure_and_one_who_waited_in_vain_is() {
    let (cancel, protocol_error) = (8, 1);
    let mut malformed = whole(10);
    malformed.response.error = Some(StreamError::UpperCase);
    let mut large = whole(10);
    large.response.header_bytes = Some(200_000);
    let streams = [
        reset(asked(10), Side::Edge, cancel, 5_000),
        reset(asked(10), Side::Edge, cancel, 125_100),
        reset(answered(10), Side::Edge, cancel, 125_100),
        reset(malformed, Side::Edge, protocol_error, 20),
        reset(large, Side::Edge, cancel, 20),
        // Frames crossed with the end of the stream.
        reset(whole(10), Side::Edge, 5, 20),
    ];
    assert_eq!(
        told(&record(triggers::STREAM), &connection(&streams)),
        [
            (Cause::ResponseTimeout, 3, Some(524)),
            (Cause::ResponseStalled, 5, None),
            (Cause::MalformedResponse, 7, Some(520)),
            (Cause::HeadersTooLarge, 9, Some(520)),
        ]
    );
}

#[test]
fn a_goaway_refuses_the_streams_behind_its_last() {
    let mut refused = connection(&[asked(10), asked(20), whole(20)]);
    refused.goaway_by_origin = Some(GoAway { last: 1, code: 0, time: at(30) });
    let h2 = Cause::Http2ProtocolError;
    assert_eq!(told(&record(triggers::STREAM), &refused), [(h2, 3, Some(520))]);
    refused.goaway_by_origin = Some(GoAway { last: 5, code: 11, time: at(30) });
    assert_eq!(told(&record(triggers::STREAM), &refused), [(h2, 1, Some(520)), (h2, 3, Some(520))]);
    // One without an error that has taken all streams ends nothing.
    refused.goaway_by_origin = Some(GoAway { last: 5, code: 0, time: at(30) });
    assert_eq!(told(&record(triggers::STREAM), &refused), []);
}

#[test]
fn a_request_that_meets_a_close_is_late() {
    let mut fin = record(triggers::FIN);
    fin.conn.flags |= flag::ORIGIN_FIN;
    fin.conn.close.time_ns = 100 * SECOND;
    let late = asked(99_500);
    assert_eq!(told(&fin, &connection(&[whole(10), late.clone()])), [(Cause::KeepaliveRace, 3, Some(520))]);
    assert_eq!(told(&fin, &connection(&[late])), [(Cause::EmptyReply, 1, Some(520))], "the preface had come before");
}

#[test]
fn an_edge_that_leaves_upon_a_goodbye_was_left_by_the_origin() {
    let open = connection(&[asked(199_000), whole(10)]);
    let left = record(triggers::EDGE_FIN);
    assert_eq!(told(&left, &open), []);
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let (mut outputs, _) = state.handle_streams(&left, &open, true, &clock(200 * SECOND));
    outputs.extend(state.flush());
    let causes: Vec<_> = diagnoses(outputs).iter().map(|told| (told.cause, told.stream_id)).collect();
    assert_eq!(causes, [(Cause::EmptyReply, Some(1))]);
}

#[test]
fn each_stream_is_told_once() {
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let failed = connection(&[reset(asked(10), Side::Origin, 2, 20), asked(15)]);
    let clock = clock(200 * SECOND);
    assert_eq!(state.handle_streams(&record(triggers::STREAM), &failed, false, &clock).1, 1);
    assert_eq!(state.handle_streams(&record(triggers::STREAM), &failed, false, &clock).1, 0);
    assert_eq!(state.handle_streams(&killed(), &failed, false, &clock).1, 1);
    // Another connection has streams of the same numbers.
    let mut other = record(triggers::STREAM);
    other.conn.opened_ns += 1;
    assert_eq!(state.handle_streams(&other, &failed, false, &clock).1, 1);
}
