//! For tests: frames, and conversations that other programs encoded.

use std::time::Duration;

use super::{Connection, Gap, Piece};

pub(super) const PREFACE: &[u8] = super::look::PREFACE;

/// Streams of each recorded conversation: 1, 3, and so on.
pub(super) const EXCHANGES: u32 = 40;

/// Edge sides of one conversation, by the way in which the encoder writes fields; all have the same origin's side.
pub(super) const STYLES: [(&str, &[u8]); 6] = [
    ("incremental", include_bytes!("../../../testdata/h2/incremental.edge.bin")),
    ("indexed", include_bytes!("../../../testdata/h2/indexed.edge.bin")),
    ("mixed", include_bytes!("../../../testdata/h2/mixed.edge.bin")),
    ("named", include_bytes!("../../../testdata/h2/named.edge.bin")),
    ("never", include_bytes!("../../../testdata/h2/never.edge.bin")),
    ("plain", include_bytes!("../../../testdata/h2/plain.edge.bin")),
];
pub(super) const ORIGIN: &[u8] = include_bytes!("../../../testdata/h2/styles.origin.bin");
/// Both sides of a conversation between a client and a server that use the same library.
pub(super) const LIBRARY: (&[u8], &[u8]) = (
    include_bytes!("../../../testdata/h2/library.edge.bin"),
    include_bytes!("../../../testdata/h2/library.origin.bin"),
);

/// The ray of the n-th request in the recorded conversations.
pub(super) fn ray(number: u32) -> String {
    format!("{:016x}-AMS", 0x98c1_4dd2_a288_0000_u64 + u64::from(number))
}

pub(super) fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

pub(super) fn piece(time: u64, gap: Gap, text: &[u8]) -> Piece<'_> {
    Piece { time: ms(time), gap, text }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal without Huffman code that enters no table.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// HEADERS that end the header section, and the stream if this is said.
pub(super) fn headers(stream: u32, ends: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, 4 | u8::from(ends), stream, &block(fields))
}

pub(super) fn get(stream: u32) -> Vec<u8> {
    headers(stream, true, &[(":method", "GET"), (":path", "/a?b"), (":authority", "h"), ("cf-ray", &ray(stream))])
}

pub(super) fn data(stream: u32, ends: bool, body: &[u8]) -> Vec<u8> {
    frame(0, u8::from(ends), stream, body)
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload = values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(4, 0, 0, &payload.collect::<Vec<_>>())
}

/// What the edge sends that asks on the streams 1, 3, and so on, up to this one; it refuses promises.
pub(super) fn asks(last: u32) -> Vec<u8> {
    let requests = (1..=last).step_by(2).flat_map(get);
    [PREFACE, &settings(&[(2, 0)])].concat().into_iter().chain(requests).collect()
}

/// A connection all of which was kept: the edge asks on these streams at 10 ms, the origin answers at 20 ms.
pub(super) fn answered(last: u32, frames: &[Vec<u8>]) -> Connection {
    let origin = [settings(&[]), frames.concat()].concat();
    Connection::read(&[piece(10, Gap::None, &asks(last))], &[piece(20, Gap::None, &origin)])
}
