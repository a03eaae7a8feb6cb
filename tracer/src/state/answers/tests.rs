//! Answers inside TLS: which streams are told as errors, with what behind them, and when.

use std::collections::BTreeMap;

use tracer_common::{conn_flags as flag, upstream_flags};
use zerocopy::FromZeros as _;

use super::*;
use crate::{
    decode::Event,
    diagnose::origin::{OriginCause, OriginError},
    edge::EdgeRanges,
    http::h2,
};

const MILLI: u64 = 1_000_000;
const OPENED: u64 = 1_000 * MILLI;

fn clock(millis: u64) -> Clock {
    Clock { monotonic_ns: OPENED + millis * MILLI, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}

fn state() -> State {
    let mut state = State::new(EdgeRanges::builtin(), [].into(), [].into());
    state.set_sees_unix(true);
    state
}

/// The record of an answer that nginx sends so long after the connection opened.
fn record(millis: u64) -> AnswerRecord {
    let mut record = AnswerRecord::new_zeroed();
    record.header.time_ns = OPENED + millis * MILLI;
    let conn = &mut record.conn;
    conn.flags = flag::TLS | flag::SEALED | flag::TRAILED | flag::H2;
    (conn.key, conn.opened_ns, conn.owner, conn.exchanges) = (64, OPENED, 7, 2);
    conn.owner_comm[..5].copy_from_slice(b"nginx");
    record
}

/// An upstream connection that was asked at this time, and brought so many bytes before it was closed.
fn upstream(key: u64, asked: u64, received: u32) -> Upstream {
    let mut upstream = Upstream {
        key,
        front: 64,
        opened_ns: OPENED + asked * MILLI,
        asked_ns: OPENED + asked * MILLI,
        ended_ns: OPENED + (asked + 1) * MILLI,
        flags: upstream_flags::UNIX | upstream_flags::CONNECTED | upstream_flags::SERVER_FIN,
        uses: 1,
        sent: 100,
        received,
        ..Upstream::default()
    };
    upstream.path.as_flattened_mut()[..10].copy_from_slice(b"/run/a.sok");
    upstream
}

/// A stream that was asked for at one time, and answered at another.
fn stream(asked: u64, answered: u64, status: u16) -> Stream {
    let at = Duration::from_millis;
    let response = h2::Response {
        progress: Progress::Whole,
        status: Some(status),
        first: Some(at(answered)),
        last: Some(at(answered)),
        ended: Some(at(answered)),
        ..h2::Response::default()
    };
    Stream { requested: Some(at(asked)), request_ended: Some(at(asked)), response, ..Stream::default() }
}

fn connection(streams: impl IntoIterator<Item = (u32, Stream)>) -> Connection {
    Connection { streams: streams.into_iter().collect::<BTreeMap<_, _>>(), ..Connection::default() }
}

fn told(outputs: Vec<Output>) -> Vec<(u32, OriginCause)> {
    let errors = outputs.into_iter().map(|output| match output {
        Output::OriginError(error) => *error,
        other => panic!("{other:?}"),
    });
    errors.map(|error: OriginError| (error.stream_id.unwrap(), error.cause)).collect()
}

#[test]
fn a_sound_answer_is_none() {
    let sound = connection([(1, stream(5, 10, 200)), (3, stream(5, 10, 404)), (5, stream(5, 10, 600))]);
    assert_eq!(state().handle_answers(&record(10), &sound, &clock(10)), (vec![], false));
}

#[test]
fn what_failed_belongs_to_the_answer_that_follows() {
    let mut record = record(10);
    record.failed = upstream(128, 6, 0);
    let streams = connection([(1, stream(5, 10, 502)), (3, stream(4, 8, 200))]);
    let mut state = state();
    let (outputs, is_error) = state.handle_answers(&record, &streams, &clock(10));
    assert_eq!((told(outputs), is_error), (vec![(1, OriginCause::UpstreamClosed)], true));
    // The same trail again: told once.
    assert_eq!(state.handle_answers(&record, &streams, &clock(11)), (vec![], false));
}

#[test]
fn of_two_answers_at_once_one_had_the_failure_and_the_other_is_not_explained() {
    let mut record = record(10);
    record.failed = upstream(128, 6, 0);
    let streams = connection([(1, stream(5, 10, 502)), (3, stream(5, 10, 502))]);
    let (outputs, _) = state().handle_answers(&record, &streams, &clock(10));
    assert_eq!(told(outputs), [(3, OriginCause::UpstreamClosed), (1, OriginCause::Unexplained)]);
}

#[test]
fn what_was_asked_before_the_request_came_is_of_another() {
    let mut record = record(10);
    (record.failed, record.upstream) = (upstream(128, 2, 0), upstream(192, 3, 500));
    let streams = connection([(1, stream(5, 10, 502))]);
    let (outputs, _) = state().handle_answers(&record, &streams, &clock(10));
    assert_eq!(told(outputs), [(1, OriginCause::UpstreamRefused)]);
}

#[test]
fn what_was_read_last_belongs_to_the_answer_in_this_packet_alone() {
    let mut record = record(10);
    record.upstream = upstream(192, 6, 500);
    let streams = connection([(1, stream(5, 9, 500)), (3, stream(5, 10, 500))]);
    let (outputs, _) = state().handle_answers(&record, &streams, &clock(10));
    let behind: Vec<_> = outputs
        .into_iter()
        .map(|output| match output {
            Output::OriginError(error) => (error.stream_id, error.upstream.upstream_addr),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(behind, [(Some(3), Some("unix:/run/a.sok".to_owned())), (Some(1), None)]);
}

#[test]
fn an_answer_that_came_after_the_record_waits_for_its_own() {
    let streams = connection([(1, stream(5, 20, 502))]);
    let mut state = state();
    assert_eq!(state.handle_answers(&record(10), &streams, &clock(21)).0, []);
    let mut own = record(20);
    own.failed = upstream(128, 6, 0);
    let (outputs, _) = state.handle_answers(&own, &streams, &clock(21));
    assert_eq!(told(outputs), [(1, OriginCause::UpstreamClosed)]);
    assert_eq!(state.flush(), []);
}

#[test]
fn an_answer_that_has_no_record_of_its_own_is_told_all_the_same_and_once() {
    let streams = connection([(1, stream(5, 20, 503))]);
    let mut state = state();
    assert_eq!(state.handle_answers(&record(10), &streams, &clock(21)).0, []);
    assert_eq!(told(state.flush()), [(1, OriginCause::ApplicationError)]);
    assert_eq!(state.handle_answers(&record(20), &streams, &clock(22)), (vec![], false));
}

#[test]
fn an_answer_that_fails_before_its_end_is_none() {
    let mut cut = stream(5, 10, 502);
    cut.response.ended = None;
    cut.response.progress = Progress::InBody;
    let streams = connection([(1, cut)]);
    let mut state = state();
    assert_eq!(state.handle_answers(&record(10), &streams, &clock(10)), (vec![], true));
    // The process is killed.
    let mut failed = ConnRecord::new_zeroed();
    (failed.header.time_ns, failed.trigger) = (OPENED + 30 * MILLI, triggers::FIN);
    failed.conn = record(30).conn;
    failed.conn.flags |= flag::ORIGIN_FIN;
    (failed.conn.close.accepted, failed.conn.close.time_ns) = (1, OPENED + 30 * MILLI);
    let mut cut = stream(5, 10, 502);
    (cut.response.ended, cut.response.progress) = (None, Progress::InBody);
    (cut.is_known, cut.is_edge_known) = (true, true);
    let (_, found) = state.handle_streams(&failed, &connection([(1, cut)]), false, &clock(30));
    assert_eq!(found, 1);
    assert!(state.flush().into_iter().all(|output| matches!(output, Output::Failure(_))));
}

#[test]
fn a_record_alone_tells_nothing() {
    assert_eq!(state().handle(&Event::Answer(Box::new(record(10))), &clock(10)), []);
}
