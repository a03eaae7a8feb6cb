//! How far did the response get? RFC 9112 §6.3, decided from its first bytes, its last bytes and its length.

use super::MAX_FIELDS;

/// What is known of the response to the current request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status of the final response, once its status line was there.
    pub status: Option<u16>,
    /// Size of the header section, interim responses not counted.
    pub header_bytes: Option<u64>,
    pub progress: Progress,
}

/// How far the response got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// The bytes don't tell, or were not seen.
    #[default]
    Unknown,
    /// No byte.
    Nothing,
    /// Some of the header section.
    InHead,
    /// The header section and not all of the body.
    InBody,
    /// A body that only the end of the connection ends.
    UntilClose,
    /// All of it.
    Whole,
    /// 101: the connection speaks another protocol now.
    Upgraded,
}

impl Response {
    /// Reads the response to `method` of which `head` are the first bytes, `tail` the last ones on the wire and `len` the
    /// length in all, bytes not yet on the wire included; `sent`: those on the wire.
    #[must_use]
    pub fn read(method: Option<&str>, head: &[u8], tail: &[u8], len: u64, sent: u64) -> Self {
        if len == 0 {
            return Self { progress: Progress::Nothing, ..Self::default() };
        }
        let mut at = 0;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            let status = parsed.parse(&head[at..]);
            match status {
                Ok(httparse::Status::Complete(size)) => {
                    let code = parsed.code.unwrap_or(0);
                    if (100..200).contains(&code) && code != 101 {
                        at += size;
                        continue;
                    }
                    let body = len.saturating_sub((at + size) as u64);
                    let framing = Framing::of(method, code, parsed.headers);
                    return Self {
                        status: Some(code),
                        header_bytes: Some(size as u64),
                        progress: framing.progress(body, tail, sent >= len),
                    };
                }
                // The end of the head is not among the bytes that were kept.
                Ok(httparse::Status::Partial) if (head.len() as u64) < len => return Self::default(),
                Ok(httparse::Status::Partial) => {
                    let status = parsed.code;
                    return Self { status, header_bytes: None, progress: Progress::InHead };
                }
                Err(_) => return Self::default(),
            }
        }
    }
}

/// How the end of a body is told.
enum Framing {
    None,
    Upgrade,
    Length(u64),
    Chunked,
    UntilClose,
    /// Contradicts itself.
    Broken,
}

impl Framing {
    fn of(method: Option<&str>, status: u16, fields: &[httparse::Header<'_>]) -> Self {
        if status == 101 || (method == Some("CONNECT") && (200..300).contains(&status)) {
            return Self::Upgrade;
        }
        if method == Some("HEAD") || status == 204 || status == 304 {
            return Self::None;
        }
        let values = |name: &'static str| {
            fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
        };
        if let Some(last) = values("transfer-encoding").next_back() {
            let last = last.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            return if last.trim_ascii().eq_ignore_ascii_case(b"chunked") { Self::Chunked } else { Self::UntilClose };
        }
        let mut length = None;
        for value in values("content-length") {
            let Some(number) = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok()) else {
                return Self::Broken;
            };
            if length.replace(number).is_some_and(|before| before != number) {
                return Self::Broken;
            }
        }
        length.map_or(Self::UntilClose, Self::Length)
    }

    fn progress(&self, body: u64, tail: &[u8], all_sent: bool) -> Progress {
        match self {
            Self::None => Progress::Whole,
            Self::Upgrade => Progress::Upgraded,
            Self::Length(length) if body >= *length => Progress::Whole,
            Self::Length(_) => Progress::InBody,
            // The last chunk, without trailers or after some.
            Self::Chunked if !all_sent => Progress::Unknown,
            Self::Chunked if body >= 5 && tail.ends_with(b"0\r\n\r\n") => Progress::Whole,
            Self::Chunked if tail.ends_with(b"\r\n\r\n") => Progress::Unknown,
            Self::Chunked => Progress::InBody,
            Self::UntilClose => Progress::UntilClose,
            Self::Broken => Progress::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, bytes: &[u8]) -> Response {
        let tail = &bytes[bytes.len().saturating_sub(8)..];
        let len = bytes.len() as u64;
        Response::read(Some(method), &bytes[..bytes.len().min(1024)], tail, len, len)
    }

    #[test]
    fn content_length_tells_whole_from_cut_at_every_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for len in 1..=bytes.len() {
            let expected = match len {
                len if len == bytes.len() => Progress::Whole,
                len if len >= bytes.len() - 5 => Progress::InBody,
                _ => Progress::InHead,
            };
            assert_eq!(read("GET", &bytes[..len]).progress, expected, "{len} bytes");
        }
    }

    #[test]
    fn a_chunked_body_is_whole_at_its_last_chunk_only() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec();
        let with = |body: &[u8]| read("GET", &[&head[..], body].concat()).progress;
        assert_eq!(with(b"5\r\nhello\r\n0\r\n\r\n"), Progress::Whole);
        assert_eq!(with(b"5\r\nhello\r\n"), Progress::InBody);
        assert_eq!(with(b"5\r\nhel"), Progress::InBody);
        assert_eq!(with(b""), Progress::Unknown);
        assert_eq!(with(b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"), Progress::Unknown);
    }

    #[test]
    fn a_response_without_a_body_is_whole_after_its_head() {
        assert_eq!(read("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").progress, Progress::Whole);
        assert_eq!(read("GET", b"HTTP/1.1 204 No Content\r\n\r\n").progress, Progress::Whole);
        assert_eq!(read("GET", b"HTTP/1.1 304 NM\r\nContent-Length: 5\r\n\r\n").progress, Progress::Whole);
        assert_eq!(read("GET", b"HTTP/1.1 101 SP\r\nUpgrade: websocket\r\n\r\n\x81").progress, Progress::Upgraded);
        assert_eq!(read("GET", b"HTTP/1.0 200 OK\r\n\r\nsome").progress, Progress::UntilClose);
    }

    #[test]
    fn interim_responses_are_not_the_answer() {
        assert_eq!(read("GET", b"HTTP/1.1 103 EH\r\nLink: x\r\n\r\n").progress, Progress::InHead);
        let both = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read("POST", both).progress, Progress::Whole);
        assert_eq!(read("POST", both).status, Some(200));
    }

    #[test]
    fn a_head_longer_than_what_was_kept_is_unknown() {
        let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 5000]].concat();
        assert_eq!(read("GET", &long).progress, Progress::Unknown);
    }

    #[test]
    fn contradicting_lengths_and_rubbish_are_unknown() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
        assert_eq!(read("GET", head).progress, Progress::Unknown);
        assert_eq!(read("GET", b"\0\0\0\0").progress, Progress::Unknown);
        assert_eq!(read("GET", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").progress, Progress::Unknown);
    }
}
