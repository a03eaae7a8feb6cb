//! Both sides of a connection of HTTP/2, whole, in pieces and with holes.

use std::time::Duration;

use tracer::http::h2::{self, Connection, Gap, Piece};

use super::sides;

/// Both sides of a connection. Whatever they hold: no panic; pieces make no difference; what came later undoes no end
/// and no reset; where parts were not kept, the streams are bounded and what is certain of one is in order.
pub fn http2(bytes: &[u8]) {
    let Some((edge, origin)) = sides(bytes) else { return };
    let _ = h2::preface(edge).max(h2::frame(origin));
    let whole = Connection::read(&one(edge), &one(origin));
    let size = 1 + edge.len() % 61;
    let read = Connection::read(&in_pieces(edge, size, Gap::None), &in_pieces(origin, size, Gap::None));
    assert_eq!(read, whole, "in pieces of {size} bytes");
    let less = Connection::read(&one(edge), &one(&origin[..origin.len() / 2]));
    for (id, stream) in &less.streams {
        let more = &whole.streams[id];
        assert!(stream.response.ended.is_none() || more.response.ended.is_some(), "{id}: {stream:?}, {more:?}");
        assert!(stream.reset.is_none() || more.reset.is_some(), "{id}: {stream:?}, {more:?}");
    }
    for gap in [Gap::Unknown, Gap::Bytes(size as u64), Gap::Bytes(u64::MAX)] {
        let read = Connection::read(&in_pieces(edge, size * 9, gap), &in_pieces(origin, size * 7, gap));
        assert!(read.streams.len() <= 256);
        for (id, stream) in &read.streams {
            let response = &stream.response;
            assert!(response.first <= response.last && response.ended <= response.last, "{id}: {stream:?}");
            assert!(stream.request.is_some() == stream.requested.is_some(), "{id}: {stream:?}");
        }
    }
}

fn one(text: &[u8]) -> [Piece<'_>; 1] {
    [Piece { time: Duration::ZERO, gap: Gap::None, text }]
}

/// Pieces of so many bytes, all at one time. Where there are gaps, every third one was not kept, and times differ.
fn in_pieces(text: &[u8], size: usize, gap: Gap) -> Vec<Piece<'_>> {
    let pieces = text.chunks(size).enumerate();
    let pieces = pieces.filter(|(number, _)| gap == Gap::None || number % 3 != 1);
    let of = |(number, text): (usize, _)| {
        let millis = if gap == Gap::None { 0 } else { number as u64 };
        Piece { time: Duration::from_millis(millis), gap: if number % 3 == 2 { gap } else { Gap::None }, text }
    };
    pieces.map(of).collect()
}
