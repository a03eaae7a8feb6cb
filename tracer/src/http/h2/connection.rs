//! One connection: both sides of it, and its streams.

use std::collections::BTreeMap;

use super::error::Broken;
use super::follow::follow;
use super::piece::Piece;
use super::reader::{GoAway, Reader};
use super::stream::Stream;
use super::streams::Streams;
use crate::tls::keys::Side;

/// What is known of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether it is HTTP/2 at all; `None`: what was kept doesn't say.
    pub is_http2: Option<bool>,
    /// The latest 256 streams at most, by number.
    pub streams: BTreeMap<u32, Stream>,
    /// How many there were beside these, as far as known.
    pub dropped: u64,
    /// The last GOAWAY of each side.
    pub goaway_by_origin: Option<GoAway>,
    pub goaway_by_edge: Option<GoAway>,
    /// What made the connection unusable. What the same side sent behind it does not count.
    pub broken_by_origin: Option<Broken>,
    pub broken_by_edge: Option<Broken>,
}

impl Connection {
    /// Reads what was kept of both sides, each in the order in which it was sent. A side without pieces sent nothing.
    /// The edge's must reach as far as the origin's: an answer to a request that is not there, nor in a gap, is an
    /// error.
    ///
    /// Frames are followed from header to header. Behind a gap in which a header may lie, they are found again where a
    /// piece begins with what looks like one and the next one confirms it; what lies before may be missing. Whatever
    /// was missed is shown by [`Stream::is_known`], [`Stream::is_edge_known`] and what is `None`.
    #[must_use]
    pub fn read(edge: &[Piece<'_>], origin: &[Piece<'_>]) -> Self {
        let mut streams = Streams::default();
        // The edge first: what it opened and allows decides what the origin's frames mean.
        let mut reader = Reader::new(Side::Edge, &mut streams, None);
        follow(Side::Edge, edge, &mut reader);
        let allows = reader.allows();
        let (goaway_by_edge, broken_by_edge, mut is_http2) = (reader.goaway, reader.broken, reader.is_http2);
        if broken_by_edge.is_some() && !is_http2 {
            return Self { is_http2: Some(false), broken_by_edge, ..Self::default() };
        }
        let mut reader = Reader::new(Side::Origin, &mut streams, allows);
        follow(Side::Origin, origin, &mut reader);
        is_http2 |= reader.is_http2;
        let (goaway_by_origin, broken_by_origin) = (reader.goaway, reader.broken);
        Self {
            is_http2: is_http2.then_some(true),
            streams: streams.kept,
            dropped: streams.dropped,
            goaway_by_origin,
            goaway_by_edge,
            broken_by_origin,
            broken_by_edge,
        }
    }

    /// Whether the origin ends sound responses with a DATA frame without data.
    #[must_use]
    pub fn ends_apart(&self) -> bool {
        self.streams.values().any(|stream| stream.response.ends_apart && stream.response.error.is_none())
    }
}
