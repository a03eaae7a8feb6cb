//! One stream of a connection that speaks HTTP/2, and what ended it.

use super::ResetBy;

/// The stream that the evidence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub id: u32,
    pub end: StreamEnd,
    /// Size of the response's header block, as HPACK compresses it, in bytes.
    pub block_bytes: u64,
}

/// What ended a stream before its response was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The end of its connection, or nothing yet.
    Connection,
    /// RST_STREAM, with an error code where that was seen.
    Reset { by: ResetBy, code: Option<u32> },
    /// GOAWAY, which left the stream out or told of an error.
    GoAway { by: ResetBy, code: u32 },
    /// What the origin sent is no HTTP/2.
    NotHttp2,
    /// The response ended before as many bytes had come as it had announced.
    Short,
}

impl Stream {
    /// The error code and who sent it.
    #[must_use]
    pub fn error(self) -> Option<(u32, ResetBy)> {
        match self.end {
            StreamEnd::Reset { by, code: Some(code) } | StreamEnd::GoAway { by, code } => Some((code, by)),
            _ => None,
        }
    }
}
