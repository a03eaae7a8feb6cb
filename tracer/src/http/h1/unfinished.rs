//! Whether more of a request was announced than has come (RFC 9112 §6).

use super::{MAX_FIELDS, without_proxy_header};

/// What of a request had yet to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Bytes of it that came.
    pub came: u64,
    pub lacks: Lacks,
}

/// The part that had yet to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// The end of its header section.
    Head,
    /// The end of a body of a known length.
    Body {
        /// Bytes of the whole request, or, where the end of the header section was not kept, of so much at least.
        announced: u64,
        at_least: bool,
    },
    /// The last chunk.
    Chunks,
}

impl Unfinished {
    /// Of a request that begins with `kept`, the first of `came` bytes. `asked_for`: an interim response may have told
    /// the edge to send the body. `None`: it came whole, as far as can be told, or holds its body back until it is told
    /// to send it (`Expect: 100-continue`).
    #[must_use]
    pub fn read(kept: &[u8], came: u64, asked_for: bool) -> Option<Self> {
        let request = without_proxy_header(kept)?;
        let came = came.checked_sub((kept.len() - request.len()) as u64)?.max(request.len() as u64);
        let all_kept = request.len() as u64 == came;
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        let (size, has_end) = match parsed.parse(request).ok()? {
            httparse::Status::Complete(size) => (size as u64, true),
            httparse::Status::Partial if all_kept && !request.is_empty() => {
                return Some(Self { came, lacks: Lacks::Head });
            }
            // The header section goes on beyond what was kept; its fields so far count.
            httparse::Status::Partial => (request.len() as u64, false),
        };
        let value = |name: &str| {
            let named = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(named.value).ok().map(str::trim)
        };
        let holds_back = value("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue"));
        if holds_back && !asked_for && came == size {
            return None;
        }
        if let Some(coding) = value("transfer-encoding") {
            let chunked = has_end && coding.eq_ignore_ascii_case("chunked");
            let lacking = chunked && lacks_chunks(request.get(usize::try_from(size).ok()?..)?, came - size);
            return lacking.then_some(Self { came, lacks: Lacks::Chunks });
        }
        let announced = size.checked_add(value("content-length")?.parse().ok()?)?;
        (came < announced).then_some(Self { came, lacks: Lacks::Body { announced, at_least: !has_end } })
    }
}

/// Whether a chunked body that begins with `kept`, the first of `came` bytes, surely goes on.
fn lacks_chunks(mut kept: &[u8], mut came: u64) -> bool {
    loop {
        match httparse::parse_chunk_size(kept) {
            // The trailer section, and the empty line, are not followed.
            Ok(httparse::Status::Complete((_, 0))) | Err(_) => return false,
            Ok(httparse::Status::Complete((line, size))) => {
                let Some(end) = size.checked_add(line as u64 + 2) else { return false };
                if came < end {
                    return true;
                }
                let Some(rest) = usize::try_from(end).ok().and_then(|end| kept.get(end..)) else { return false };
                (kept, came) = (rest, came - end);
            }
            Ok(httparse::Status::Partial) => return kept.len() as u64 == came,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(kept: &str, came: usize) -> Option<Lacks> {
        Unfinished::read(kept.as_bytes(), came as u64, false).map(|unfinished| unfinished.lacks)
    }

    /// All of it was kept.
    fn of(kept: &str) -> Option<Lacks> {
        lacks(kept, kept.len())
    }

    const LENGTH: &str = "POST /a HTTP/1.1\r\nHost: a\r\ncontent-length:  20 \r\n\r\n";
    const CHUNKED: &str = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_body_is_whole_when_as_much_came_as_was_announced() {
        let head = LENGTH.len();
        let body = Some(Lacks::Body { announced: head as u64 + 20, at_least: false });
        for came in 0..20 {
            assert_eq!(lacks(LENGTH, head + came), body, "{came}");
            assert_eq!(of(&format!("{LENGTH}{}", "u".repeat(came))), body, "{came}");
        }
        for came in [20, 21, 900] {
            assert_eq!(lacks(LENGTH, head + came), None, "{came}");
        }
    }

    #[test]
    fn a_head_without_its_end_is_unfinished_where_all_of_it_was_kept() {
        for end in 1..LENGTH.len() {
            assert_eq!(of(&LENGTH[..end]), Some(Lacks::Head), "{end}");
        }
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(of(get), None);
        assert_eq!(lacks(&get[..20], 40), None, "its end may be among the rest");
        let beyond = "POST /a HTTP/1.1\r\nContent-Length: 100\r\nCookie: a";
        let announced = beyond.len() as u64 + 100;
        assert_eq!(lacks(beyond, beyond.len() + 99), Some(Lacks::Body { announced, at_least: true }));
        assert_eq!(lacks(beyond, beyond.len() + 100), None);
    }

    #[test]
    fn chunks_are_followed_as_far_as_they_were_kept() {
        let with = |body: &str| format!("{CHUNKED}{body}");
        for body in ["", "5", "5\r", "5\r\n", "5\r\nab", "5\r\nabcde", "5\r\nabcde\r\n", "5\r\nabcde\r\nff"] {
            assert_eq!(of(&with(body)), Some(Lacks::Chunks), "{body:?}");
        }
        for body in ["0\r\n\r\n", "5\r\nabcde\r\n0\r\n\r\n", "5\r\nabcde\r\n0\r\n", "no chunk\r\n"] {
            assert_eq!(of(&with(body)), None, "{body:?}");
        }
        let long = with("ffff\r\nabc");
        assert_eq!(lacks(&long, long.len() + 60_000), Some(Lacks::Chunks), "its first chunk goes on");
        assert_eq!(lacks(&long, long.len() + 70_000), None, "what follows it was not kept");
        assert_eq!(of("POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"), None);
    }

    #[test]
    fn a_body_that_waits_for_leave_was_not_announced() {
        let waiting = "POST /a HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(of(waiting), None);
        assert!(Unfinished::read(waiting.as_bytes(), waiting.len() as u64, true).is_some(), "it was told to come");
        assert!(lacks(waiting, waiting.len() + 1).is_some(), "it came unasked");
        assert_eq!(of("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
    }

    #[test]
    fn a_proxy_header_is_no_part_of_the_request() {
        let proxied = format!("PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n{LENGTH}abc");
        let read = Unfinished::read(proxied.as_bytes(), proxied.len() as u64, false).unwrap();
        assert_eq!(read.came, LENGTH.len() as u64 + 3);
        assert_eq!(read.lacks, Lacks::Body { announced: LENGTH.len() as u64 + 20, at_least: false });
    }

    #[test]
    fn what_is_no_request_is_not_unfinished() {
        for bytes in ["", "\u{16}\u{3}\u{1}", "GET\0/ HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
        let huge = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", u64::MAX);
        assert_eq!(of(&huge), None);
    }
}
