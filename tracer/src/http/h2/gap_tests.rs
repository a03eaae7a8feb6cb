//! What is told where not all was kept.

use super::samples::*;
use super::*;
use crate::http::Progress;
use crate::tls::keys::Side;

const OK: &[(&str, &str)] = &[(":status", "200")];

/// The edge asked on the streams 1 and 3 at 10 ms, and this was kept of the origin's side.
fn origin(pieces: &[Piece<'_>]) -> Connection {
    Connection::read(&[piece(10, Gap::None, &asks(3))], pieces)
}

/// Progress of a stream, and whether it is known that no more was sent.
fn told(connection: &Connection, stream: u32) -> (Progress, bool) {
    let stream = &connection.streams[&stream];
    (stream.response.progress, stream.is_known)
}

#[test]
fn a_gap_within_a_frame_is_passed_over_where_its_length_is_known() {
    let body = data(1, false, &[b'x'; 5000]);
    let start = [settings(&[]), headers(1, false, OK), body[..100].to_vec()].concat();
    let rest = [&body[5001..], &data(1, true, b"end")].concat();
    let read = origin(&[piece(20, Gap::None, &start), piece(30, Gap::Bytes(4901), &rest)]);
    let response = &read.streams[&1].response;
    assert_eq!((response.body_bytes, response.is_body_known, response.ended), (5003, true, Some(ms(30))));
    assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::Whole, true), (Progress::Nothing, true)));
    // One byte more, and the header of the next frame lies in the gap.
    let read = origin(&[piece(20, Gap::None, &start), piece(30, Gap::Bytes(4910), &rest[9..])]);
    assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::InBody, false), (Progress::Unknown, false)));
    assert_eq!(read.broken_by_origin, None);
}

#[test]
fn a_gap_behind_everything_leaves_nothing_certain() {
    let start = [settings(&[]), headers(1, false, OK)].concat();
    for gap in [Gap::Unknown, Gap::Bytes(40)] {
        let read = origin(&[piece(20, Gap::None, &start), piece(30, gap, b"")]);
        assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::InBody, false), (Progress::Unknown, false)));
    }
    // It ended before either was asked for.
    let behind = [headers(1, true, OK), settings(&[])].concat();
    let read = origin(&[piece(5, Gap::Unknown, b""), piece(20, Gap::None, &behind)]);
    assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::Whole, true), (Progress::Nothing, true)));
}

#[test]
fn a_sign_of_life_behind_a_gap_makes_a_stream_known_again() {
    let start = [settings(&[]), headers(1, false, OK), headers(3, false, OK)].concat();
    let read = origin(&[piece(20, Gap::None, &start), piece(30, Gap::Unknown, &data(1, false, b"more"))]);
    assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::InBody, true), (Progress::InBody, false)));
    assert!(!read.streams[&1].response.is_body_known);
}

#[test]
fn a_record_that_is_one_reset_is_found_behind_anything() {
    let read = origin(&[piece(30, Gap::Unknown, &reset(3, 2))]);
    let expected = Reset { by: Side::Origin, code: Some(2), time: ms(30) };
    assert_eq!((read.streams[&3].reset, read.streams[&1].reset), (Some(expected), None));
    // Not so where a piece may begin anywhere: it could be in the middle of a body.
    let read = origin(&[piece(30, Gap::Bytes(100), &reset(3, 2))]);
    assert_eq!(read.streams[&3].reset, None);
    let confirmed = [reset(3, 2), data(1, true, b"x")].concat();
    let read = origin(&[piece(30, Gap::Bytes(100), &confirmed)]);
    assert_eq!(read.streams[&3].reset, Some(expected));
}

#[test]
fn what_begins_like_no_frame_is_passed_over() {
    let body = [b"in the middle of a body ".to_vec(), reset(3, 2)].concat();
    let read = origin(&[piece(30, Gap::Unknown, &body), piece(40, Gap::None, b"and more of it")]);
    assert!(read.broken_by_origin.is_none() && read.streams[&3].reset.is_none());
    let ended = headers(1, true, OK);
    let read = origin(&[piece(30, Gap::Unknown, &body), piece(40, Gap::Unknown, &ended)]);
    assert_eq!((told(&read, 1), told(&read, 3)), ((Progress::Whole, true), (Progress::Unknown, false)));
}

#[test]
fn a_stream_that_nobody_opened_shows_that_the_place_is_wrong() {
    let read = origin(&[piece(30, Gap::Unknown, &data(777, true, b"text"))]);
    assert_eq!((read.broken_by_origin, read.streams.len()), (None, 2));
}

#[test]
fn the_first_fields_of_a_block_that_is_cut_still_count() {
    let fields = [(":method", "GET"), ("cf-ray", "98c14dd2a2880001-AMS"), (":path", "/a"), ("x", "y")];
    let request = headers(5, true, &fields);
    let cut = [&asks(3)[..], &request[..request.len() - 4]].concat();
    for behind in [&[][..], &[piece(11, Gap::Unknown, b"")], &[piece(11, Gap::Bytes(2), b"")]] {
        let edge = [&[piece(10, Gap::None, &cut)], behind].concat();
        let read = Connection::read(&edge, &[]);
        let stream = &read.streams[&5];
        let request = stream.request.as_ref().unwrap();
        assert_eq!(request.ray.as_deref(), Some("98c14dd2a2880001-AMS"));
        assert_eq!((request.path.as_deref(), stream.request_ended), (Some("/a"), None));
    }
    let response = headers(1, true, &[(":status", "200"), ("etag", "5"), ("server", "x")]);
    let start = [settings(&[]), response[..response.len() - 4].to_vec()].concat();
    let read = origin(&[piece(20, Gap::None, &start)]);
    assert_eq!((told(&read, 1), read.streams[&1].response.status), ((Progress::InHead, true), Some(200)));
    let read = origin(&[piece(20, Gap::None, &start), piece(21, Gap::Bytes(4), &headers(3, true, OK))]);
    let response = &read.streams[&1].response;
    assert_eq!((response.progress, response.header_bytes, response.error), (Progress::Whole, None, None));
    assert_eq!(told(&read, 3), (Progress::Whole, true));
}

#[test]
fn a_gap_on_the_edges_side_may_hide_that_it_left() {
    let (first, second) = (asks(1), get(3));
    let edge = [piece(10, Gap::None, &first), piece(12, Gap::Unknown, &second)];
    let read = Connection::read(&edge, &[piece(20, Gap::None, &settings(&[]))]);
    assert_eq!([1, 3].map(|stream| read.streams[&stream].is_edge_known), [false, true]);
    assert!(read.streams.values().all(|stream| stream.is_known));
    // Nor is a stream that the gap may have opened an error.
    let origin = [settings(&[]), headers(5, true, OK)].concat();
    let read = Connection::read(&edge, &[piece(20, Gap::None, &origin)]);
    assert_eq!((read.broken_by_origin, &read.streams[&5].request), (None, &None));
}

#[test]
fn of_many_streams_the_latest_are_kept() {
    let edge = asks(999);
    let mut frames = settings(&[]);
    (1..=999).step_by(2).for_each(|stream| frames.extend(headers(stream, true, OK)));
    let read = Connection::read(&[piece(10, Gap::None, &edge)], &[piece(20, Gap::None, &frames)]);
    assert_eq!((read.streams.len(), read.dropped, read.broken_by_origin), (256, 244, None));
    assert_eq!(read.streams.keys().next(), Some(&489));
    assert!(read.streams.values().all(|stream| stream.response.progress == Progress::Whole));
}
