//! What frames made by hand, and conversations that other programs encoded, say of their streams.

use super::samples::{frame, *};
use super::*;
use crate::http::Progress;
use crate::tls::keys::Side;

const OK: &[(&str, &str)] = &[(":status", "200")];

fn sized(length: &str) -> Vec<(&str, &str)> {
    vec![(":status", "200"), ("content-length", length)]
}

#[test]
fn a_whole_exchange_is_told_whole() {
    let connection = answered(1, &[headers(1, false, &sized("2")), data(1, true, b"ok")]);
    assert_eq!((connection.is_http2, connection.broken_by_origin, connection.dropped), (Some(true), None, 0));
    let stream = &connection.streams[&1];
    let request = stream.request.as_ref().unwrap();
    assert_eq!(request.method.as_deref(), Some("GET"));
    assert_eq!((request.path.as_deref(), request.host.as_deref()), (Some("/a"), Some("h")), "the query is cut off");
    assert_eq!(request.ray.as_deref(), Some(&*ray(1)));
    assert_eq!((stream.requested, stream.request_ended), (Some(ms(10)), Some(ms(10))));
    let expected = Response {
        progress: Progress::Whole,
        status: Some(200),
        header_bytes: Some(":status: 200\r\ncontent-length: 2\r\n".len() as u64),
        block_bytes: block(&sized("2")).len() as u64,
        content_length: Some(2),
        body_bytes: 2,
        is_body_known: true,
        first: Some(ms(20)),
        last: Some(ms(20)),
        ended: Some(ms(20)),
        ..Response::default()
    };
    assert_eq!(stream.response, expected);
    assert!(stream.is_known && stream.is_edge_known && stream.reset.is_none());
}

#[test]
fn each_way_to_fail_is_told_of_its_stream_alone() {
    let connection = answered(
        13,
        &[
            headers(3, false, OK),
            data(3, false, b"some"),
            reset(5, 2),
            headers(7, false, &[(":status", "103")]),
            frame(1, 1, 9, &block(OK)[..5]),
            frame(9, 4, 9, &block(OK)[5..]),
            headers(11, true, OK),
            frame(7, 0, 0, &[0, 0, 0, 11, 0, 0, 0, 2, b'w', b'h', b'y']),
        ],
    );
    assert_eq!(connection.broken_by_origin, None);
    assert_eq!(connection.goaway_by_origin, Some(GoAway { last: 11, code: 2, time: ms(20) }));
    let progress = |stream| connection.streams[&stream].response.progress;
    let all = [1, 3, 5, 7, 9, 11, 13].map(progress);
    let (none, whole) = (Progress::Nothing, Progress::Whole);
    assert_eq!(all, [none, Progress::InBody, none, none, whole, whole, none]);
    assert!(connection.streams[&7].response.interim && connection.streams[&7].response.status.is_none());
    let reset = Reset { by: Side::Origin, code: Some(2), time: ms(20) };
    let resets: Vec<_> = connection.streams.iter().filter_map(|(id, stream)| Some((*id, stream.reset?))).collect();
    assert_eq!(resets, [(5, reset)]);
    assert!(connection.streams.values().all(|stream| stream.is_known));
}

#[test]
fn what_no_recipient_takes_is_told_of_its_stream() {
    let error = |frames: &[Vec<u8>]| answered(1, frames).streams[&1].response.error;
    let with = |name, value| headers(1, true, &[(":status", "200"), (name, value)]);
    assert_eq!(error(&[headers(1, true, &[("server", "x")])]), Some(StreamError::Status));
    assert_eq!(error(&[headers(1, true, &[(":status", "2x0")])]), Some(StreamError::Status));
    assert_eq!(error(&[headers(1, true, &[(":status", "103")])]), Some(StreamError::Status));
    assert_eq!(error(&[with("X-Upper", "1")]), Some(StreamError::UpperCase));
    assert_eq!(error(&[with("connection", "close")]), Some(StreamError::ConnectionField));
    assert_eq!(error(&[with("x", "a\r\nb")]), Some(StreamError::Value));
    assert_eq!(error(&[data(1, false, b"x")]), Some(StreamError::DataFirst));
    assert_eq!(error(&[headers(1, false, &sized("5")), data(1, true, b"abc")]), Some(StreamError::ContentLength));
    assert_eq!(error(&[headers(1, false, &sized("2")), data(1, false, b"abc")]), Some(StreamError::ContentLength));
    assert_eq!(error(&[headers(1, true, &sized("2"))]), Some(StreamError::ContentLength));
    assert_eq!(error(&[headers(1, false, &sized("5")), data(1, false, b"abc")]), None, "it may go on");
    assert_eq!(error(&[headers(1, true, &[(":status", "304"), ("content-length", "5")])]), None);
    assert_eq!(
        error(&[headers(1, false, OK), data(1, false, b"x"), headers(1, true, &[("x", "y")])]),
        None,
        "trailers"
    );
}

#[test]
fn origins_that_end_sound_responses_without_data_are_told_from_those_that_break_off_so() {
    let ends = |frames: &[Vec<u8>]| answered(1, frames).ends_apart();
    let (start, rest) = (headers(1, false, &sized("5")), data(1, false, b"abcde"));
    assert!(ends(&[start.clone(), rest, data(1, true, b"")]));
    assert!(!ends(&[start.clone(), data(1, false, b"abc"), data(1, true, b"")]), "cut");
    assert!(!ends(&[start, data(1, true, b"abcde")]));
}

#[test]
fn the_answer_to_head_has_a_length_and_no_body() {
    let edge = [PREFACE, &settings(&[]), &headers(1, true, &[(":method", "HEAD")])].concat();
    let origin = [settings(&[]), headers(1, true, &sized("5"))].concat();
    let read = Connection::read(&[piece(1, Gap::None, &edge)], &[piece(2, Gap::None, &origin)]);
    assert_eq!(read.streams[&1].response.error, None);
}

#[test]
fn padding_priorities_and_trailers_are_passed_over() {
    let head = [&[3][..], b"\0\0\0\0\x10", &block(&sized("4")), b"\0\0\0"].concat();
    let body = [&[2][..], b"body", b"\0\0"].concat();
    let read = answered(
        1,
        &[
            frame(1, 4 | 8 | 0x20, 1, &head),
            frame(0xbe, 0xff, 1, b"of a type that nobody knows"),
            frame(2, 0, 77, b"\0\0\0\0\x10"),
            frame(0, 8, 1, &body),
            headers(1, true, &[("grpc-status", "0")]),
        ],
    );
    let response = &read.streams[&1].response;
    assert_eq!((response.status, response.body_bytes, response.progress), (Some(200), 4, Progress::Whole));
    assert_eq!((response.error, read.broken_by_origin), (None, None));
}

#[test]
fn an_origin_that_breaks_the_connection_is_told_how() {
    let broken = |frame: Vec<u8>| {
        let read = answered(3, &[headers(1, true, OK), frame]);
        assert_eq!(read.streams[&1].response.progress, Progress::Whole, "what came before counts");
        assert!(read.broken_by_origin.is_none_or(|broken| broken.time == ms(20)));
        read.broken_by_origin.map(|broken| broken.error)
    };
    assert_eq!(broken(headers(3, true, OK)), None);
    for (frame, error) in [
        (frame(0, 0, 3, &vec![0; 16_385]), ConnectionError::FrameSize),
        (frame(8, 0, 0, b"abc"), ConnectionError::FrameSize),
        (frame(3, 0, 3, b"abc"), ConnectionError::FrameSize),
        (frame(4, 1, 0, b"abcdef"), ConnectionError::FrameSize),
        (frame(7, 0, 0, b"abc"), ConnectionError::FrameSize),
        (data(0, false, b"x"), ConnectionError::StreamId),
        (headers(2, true, OK), ConnectionError::StreamId),
        (headers(5, true, OK), ConnectionError::StreamId),
        (reset(0, 1), ConnectionError::StreamId),
        (frame(4, 0, 3, &[]), ConnectionError::StreamId),
        (frame(0, 8, 3, b"\x05abcd"), ConnectionError::Padding),
        (settings(&[(5, 100)]), ConnectionError::Settings),
        (settings(&[(4, 1 << 31)]), ConnectionError::Settings),
        (frame(1, 5, 3, b"\x40\xff\xff\xff\xff\xff\x0f"), ConnectionError::HeaderBlock),
        (frame(1, 5, 3, b"\xbe"), ConnectionError::HeaderBlock),
        (frame(1, 5, 3, b"\x00\x05ab"), ConnectionError::HeaderBlock),
        (frame(9, 4, 3, b""), ConnectionError::Continuation),
        ([frame(1, 0, 3, b""), data(3, false, b"x")].concat(), ConnectionError::Continuation),
        (frame(5, 4, 3, b"\0\0\0\x02"), ConnectionError::Push),
    ] {
        assert_eq!(broken(frame.clone()), Some(error), "{frame:?}");
    }
}

#[test]
fn what_is_no_http2_from_its_first_bytes_on_is_told() {
    let broken = |origin: &[u8]| {
        let read = Connection::read(&[piece(1, Gap::None, &asks(3))], &[piece(2, Gap::None, origin)]);
        assert_eq!(read.streams.len(), 2);
        read.broken_by_origin.map(|broken| broken.error)
    };
    assert_eq!(broken(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Some(ConnectionError::Http1));
    assert_eq!(broken(b"HTTP/1"), Some(ConnectionError::Http1));
    assert_eq!(broken(b"SSH-2.0-OpenSSH\r\n"), Some(ConnectionError::NoPreface));
    assert_eq!(broken(&headers(1, true, OK)), Some(ConnectionError::NoPreface));
    assert_eq!([&b""[..], b"HTT", &settings(&[])].map(broken), [None; 3]);
    let plain = Connection::read(&[piece(1, Gap::None, b"GET / HTTP/1.1\r\n\r\n")], &[]);
    assert_eq!((plain.is_http2, plain.streams.len()), (Some(false), 0));
    assert_eq!(Connection::read(&[piece(1, Gap::None, &PREFACE[..10])], &[]).is_http2, None);
    assert_eq!(Connection::read(&[], &[]), Connection::default());
}

#[test]
fn only_a_limit_that_is_known_is_held_against_the_origin() {
    let long = frame(0, 0, 1, &vec![0; 20_000]);
    let origin = [settings(&[]), headers(1, false, OK), long, data(1, true, b"")].concat();
    let broken = |edge: &[Piece<'_>]| Connection::read(edge, &[piece(9, Gap::None, &origin)]).broken_by_origin;
    let larger = [PREFACE, &settings(&[(5, 32_768)]), &get(1)].concat();
    let request = get(1);
    let unknown = [piece(1, Gap::Unknown, &request)];
    assert_eq!(broken(&[piece(1, Gap::None, &asks(1))]).map(|broken| broken.error), Some(ConnectionError::FrameSize));
    assert_eq!([broken(&[piece(1, Gap::None, &larger)]), broken(&unknown)], [None; 2]);
}

#[test]
fn the_first_reset_counts_and_a_cancelled_stream_is_the_edges() {
    let edge = [asks(3), reset(1, 8)].concat();
    let origin = [settings(&[]), reset(1, 5), reset(3, 7)].concat();
    let read = Connection::read(&[piece(10, Gap::None, &edge)], &[piece(20, Gap::None, &origin)]);
    let reset = |stream| read.streams[&stream].reset.map(|reset| (reset.by, reset.code));
    assert_eq!([reset(1), reset(3)], [Some((Side::Edge, Some(8))), Some((Side::Origin, Some(7)))]);
}

/// What the recorded conversations say of each of their exchanges.
fn check_answers(name: &str, streams: &std::collections::BTreeMap<u32, Stream>, is_library: bool) {
    assert_eq!(streams.len() as u32, EXCHANGES, "{name}");
    for (number, (id, stream)) in (0..).zip(streams) {
        let at = format!("{name}, stream {id}");
        let request = stream.request.as_ref().unwrap();
        assert_eq!(request.path.as_deref(), Some(&*format!("/{name}/{number}")), "{at}");
        assert_eq!(request.host.as_deref(), Some("www.example.com"), "{at}");
        assert_eq!(request.ray.as_deref(), Some(&*ray(number)), "{at}");
        let is_post = !is_library && number % 5 == 4;
        assert_eq!(request.method.as_deref(), Some(if is_post { "POST" } else { "GET" }), "{at}");
        let is_reset = number % 8 == 7;
        assert_eq!(stream.reset.map(|reset| reset.code), is_reset.then_some(Some(2)), "{at}");
        let expected = match number {
            3 => Progress::InBody,
            _ if is_reset => Progress::Nothing,
            _ => Progress::Whole,
        };
        let response = &stream.response;
        assert_eq!((response.progress, response.error), (expected, None), "{at}");
        let status = [200, 200, 404, 503][number as usize % 4];
        assert_eq!(response.status, (!is_reset).then_some(status), "{at}");
        assert_eq!(response.interim, !is_library && !is_reset && number % 10 == 6, "{at}");
        assert!(is_reset || response.header_bytes > Some(40), "{at}");
        assert!(stream.is_known && stream.is_edge_known, "{at}");
        if !is_reset && number != 3 {
            assert_eq!(Some(response.body_bytes), response.content_length, "{at}");
        }
    }
}

#[test]
fn conversations_of_other_encoders_are_read_however_they_write_fields() {
    for (name, edge) in STYLES {
        let read = Connection::read(&[piece(1, Gap::None, edge)], &[piece(2, Gap::None, ORIGIN)]);
        assert_eq!((read.broken_by_edge, read.broken_by_origin), (None, None), "{name}");
        assert_eq!(read.goaway_by_origin.map(|goaway| (goaway.last, goaway.code)), Some((79, 0)));
        check_answers(name, &read.streams, false);
    }
    let (edge, origin) = LIBRARY;
    let read = Connection::read(&[piece(1, Gap::None, edge)], &[piece(2, Gap::None, origin)]);
    assert_eq!((read.broken_by_edge, read.broken_by_origin), (None, None));
    check_answers("library", &read.streams, true);
}

/// Where each frame of a side begins, and the end.
pub(super) fn frames(side: &[u8]) -> Vec<usize> {
    let mut at = if side.starts_with(PREFACE) { PREFACE.len() } else { 0 };
    let mut starts = vec![at];
    while let Some(header) = side[at..].first_chunk() {
        at += 9 + super::frame::Header::read(header).len as usize;
        starts.push(at);
    }
    starts
}

#[test]
fn rays_are_known_from_wherever_the_reading_begins() {
    for (name, edge) in STYLES {
        for start in frames(edge) {
            let read = Connection::read(&[piece(1, Gap::Unknown, &edge[start..])], &[]);
            let rest = frames(&edge[start..]).len() - 1;
            let headers = read.streams.len();
            assert!(headers as u32 == EXCHANGES || headers + 18 >= rest, "{name} from {start}: {headers} of {rest}");
            for (id, stream) in &read.streams {
                let request = stream.request.as_ref().unwrap();
                assert_eq!(request.ray.as_deref(), Some(&*ray(id / 2)), "{name} from {start}");
                let path = format!("/{name}/{}", id / 2);
                assert!(request.path.as_ref().is_none_or(|found| *found == path), "{name} from {start}");
                assert!(request.host.as_ref().is_none_or(|found| found == "www.example.com"), "{name} from {start}");
            }
        }
    }
}

#[test]
fn too_much_body_is_an_error_even_where_the_request_is_unknown() {
    let frames = |body| [headers(1, false, &sized("2")), data(1, false, body), settings(&[])].concat();
    let error = |body| Connection::read(&[], &[piece(1, Gap::Unknown, &frames(body))]).streams[&1].response.error;
    assert_eq!((error(b"abc"), error(b"ab"), error(b"a")), (Some(StreamError::ContentLength), None, None));
}
