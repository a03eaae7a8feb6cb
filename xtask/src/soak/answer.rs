//! What the bytes of an answer come to so far, with the edge's limits: no HTTP, too long a header section, whole or
//! not.

use lab::{Progress, progress};

/// The edge's limit for a response's header section, in bytes.
const HEADER_LIMIT: usize = 128 * 1024;

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// More bytes are needed.
    More,
    /// Whole, with this many bytes; `closes`: the origin said that it will close the connection.
    Whole { status: u16, length: usize, closes: bool },
    /// Whole once the connection closes.
    UntilClose { status: u16 },
    /// No HTTP.
    Malformed,
    /// A header section above the edge's limit.
    TooLarge,
}

/// Reads the answer at the start of `bytes`; `bodyless`: to a HEAD request.
pub(super) fn read(bytes: &[u8], bodyless: bool) -> Answer {
    let start = &bytes[..bytes.len().min(5)];
    if !b"HTTP/".starts_with(start) {
        return Answer::Malformed;
    }
    let section = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    if section.unwrap_or(bytes.len()) > HEADER_LIMIT {
        return Answer::TooLarge;
    }
    let Some(section) = section else { return Answer::More };
    let head = String::from_utf8_lossy(&bytes[..section]).to_ascii_lowercase();
    let closes = head.contains("\r\nconnection: close") || head.starts_with("http/1.0");
    if bodyless {
        let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
        return status.map_or(Answer::Malformed, |status| Answer::Whole { status, length: section, closes });
    }
    match progress(bytes) {
        Progress::Incomplete => Answer::More,
        Progress::Complete { status, length } => Answer::Whole { status, length, closes },
        Progress::UntilClose { status } => Answer::UntilClose { status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_head_ends_with_its_header_section() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(bytes, true), Answer::Whole { status: 200, length: bytes.len(), closes: false });
        assert_eq!(read(bytes, false), Answer::More);
    }

    #[test]
    fn a_connection_that_will_close_is_known() {
        let bytes = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        assert_eq!(read(bytes, false), Answer::Whole { status: 204, length: bytes.len(), closes: true });
        assert_eq!(read(b"HTTP/1.0 200 OK\r\n\r\nab", false), Answer::UntilClose { status: 200 });
    }

    #[test]
    fn what_is_not_http_is_malformed_at_its_first_byte() {
        assert_eq!(read(b"P", false), Answer::Malformed);
        assert_eq!(read(b"HTTX", false), Answer::Malformed);
        assert_eq!(read(b"HTT", false), Answer::More);
    }

    #[test]
    fn a_header_section_may_have_the_limit_and_no_more() {
        let field = |length: usize| format!("HTTP/1.1 204 No\r\nX: {}\r\n\r\n", "p".repeat(length)).into_bytes();
        let fixed = field(0).len();
        assert!(matches!(read(&field(HEADER_LIMIT - fixed), false), Answer::Whole { status: 204, .. }));
        assert_eq!(read(&field(HEADER_LIMIT - fixed + 1), false), Answer::TooLarge);
        assert_eq!(read(&field(2 * HEADER_LIMIT)[..HEADER_LIMIT + 1], false), Answer::TooLarge);
    }
}
