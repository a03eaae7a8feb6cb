//! Error codes (RFC 9113 §7), and what in the bytes of a side is an error.

use std::time::Duration;

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// The name of an error code; `None`: RFC 9113 has none for it.
#[must_use]
pub fn error_name(code: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(code).ok()?).copied()
}

/// An error for the whole connection, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub error: ConnectionError,
    /// Since the connection opened.
    pub time: Duration,
}

/// What one side sent that no peer goes on after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// A status line of HTTP/1.
    Http1,
    /// It begins neither with SETTINGS nor, the edge's side, with the preface.
    NoPreface,
    /// A frame longer than the other side takes, or not as long as its type demands.
    FrameSize,
    /// A frame on a stream where there can be none: 0, an even one, one that nobody opened; or not on 0 where it must.
    StreamId,
    /// More padding than the frame is long.
    Padding,
    /// A setting with a value that it can't have.
    Settings,
    /// A header block that HPACK doesn't explain.
    HeaderBlock,
    /// Another frame within a header block, or the continuation of none.
    Continuation,
    /// A promise that the edge had forbidden.
    Push,
}

/// What is wrong with the response on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// A header section without `:status`, or with one that is no number of three digits.
    Status,
    /// A field name with a capital.
    UpperCase,
    /// A field that HTTP/2 forbids: `connection`, `transfer-encoding` and their like.
    ConnectionField,
    /// NUL, CR or LF in a value.
    Value,
    /// DATA before any HEADERS.
    DataFirst,
    /// More DATA than `content-length` says, or less by the time the stream ended.
    ContentLength,
}

#[cfg(test)]
mod tests {
    use super::error_name;

    #[test]
    fn codes_have_the_names_of_the_rfc() {
        let names = [0, 1, 2, 7, 8, 9, 11, 13].map(|code| error_name(code).unwrap());
        assert_eq!(
            names,
            [
                "NO_ERROR",
                "PROTOCOL_ERROR",
                "INTERNAL_ERROR",
                "REFUSED_STREAM",
                "CANCEL",
                "COMPRESSION_ERROR",
                "ENHANCE_YOUR_CALM",
                "HTTP_1_1_REQUIRED"
            ]
        );
        assert_eq!([14, u32::MAX].map(error_name), [None; 2]);
    }
}
