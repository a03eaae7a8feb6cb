//! How far did the response get? RFC 9112 §6.3, decided from its first bytes, its last bytes and its length.

use super::{MAX_FIELDS, with_empty_line};

/// What is known of the response to the current request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status of the final response, once its status line was there.
    pub status: Option<u16>,
    /// Size of the header section, interim responses not counted; of an unfinished one what there was.
    pub header_bytes: Option<u64>,
    pub progress: Progress,
    /// With [`Progress::Malformed`]: what is wrong.
    pub fault: Option<Fault>,
    /// An interim response (1xx) came before it.
    pub interim: bool,
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
    /// No recipient takes it for a response.
    Malformed,
}

/// What is wrong with a malformed response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin with a status line.
    StatusLine,
    /// A line of the header section is no field: no colon, a bad name, a forbidden byte.
    Field,
    /// Content-Length is no number, or two of them differ.
    ContentLength,
    /// In a chunked body there is something else where the size of a chunk belongs.
    ChunkSize,
}

impl Fault {
    /// Whether the edge has passed on the header section by the time it finds out.
    #[must_use]
    pub const fn is_in_body(self) -> bool {
        matches!(self, Self::ChunkSize)
    }
}

/// What was seen of a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Its first bytes, as many as were kept.
    pub head: &'a [u8],
    /// Size of the header section, where its end was found, perhaps beyond what was kept.
    pub section: Option<u64>,
    /// Its end was looked for in what was kept alone: beyond that, where it ends is not known.
    pub unsearched: bool,
    /// Its last bytes on the wire.
    pub tail: &'a [u8],
    /// Those are not known.
    pub unread: bool,
    /// Length in all, bytes not yet on the wire included; and on the wire.
    pub len: u64,
    pub sent: u64,
    /// Where its chunks got to, if it has any.
    pub chunks: Chunks,
}

/// What the kernel saw of a response's chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunks {
    /// They could not be followed.
    #[default]
    Unknown,
    /// The next one begins so many bytes into the response.
    Next(u64),
    /// The last one was there.
    Last,
    /// Something else was in the place of one.
    Broken,
}

impl Seen<'_> {
    /// What follows after `bytes`.
    pub(super) fn after(&self, bytes: u64) -> Self {
        let from = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.head.len());
        let (len, sent) = (self.len.saturating_sub(bytes), self.sent.saturating_sub(bytes));
        let (head, unread, unsearched) = (&self.head[from..], self.unread, self.unsearched);
        Self { head, tail: self.tail, unread, unsearched, len, sent, ..Self::default() }
    }
}

impl Response {
    /// Reads the response to `method`.
    #[must_use]
    pub fn read(method: Option<&str>, seen: &Seen<'_>) -> Self {
        Self::read_sized(method, seen).0
    }

    /// The same, and where a whole response ends.
    pub(super) fn read_sized(method: Option<&str>, seen: &Seen<'_>) -> (Self, Option<u64>) {
        let (mut at, mut interim) = (0, false);
        loop {
            // Recipients pass over empty lines in front of a status line (RFC 9112 §2.2), but not if that is all.
            at += seen.head[at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if at > 0 && at as u64 == seen.len && !interim {
                return (Self::malformed(None, Fault::StatusLine), None);
            }
            if at as u64 >= seen.len {
                return (Self { progress: Progress::Nothing, interim, ..Self::default() }, None);
            }
            let head = &seen.head[at..];
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            match tolerant().parse_response(&mut parsed, head) {
                Ok(httparse::Status::Complete(size)) => {
                    let code = parsed.code.unwrap_or(0);
                    if (100..200).contains(&code) && code != 101 {
                        (at, interim) = (at + size, true);
                        continue;
                    }
                    let end = at + size;
                    let body = Body { bytes: &seen.head[end..], len: seen.len.saturating_sub(end as u64) };
                    let framing = Framing::of(method, code, parsed.headers);
                    let header_bytes = Some(size as u64);
                    let response = Self { status: Some(code), header_bytes, interim, ..Self::default() };
                    let whole = framing.length(body.bytes).map(|length| length.saturating_add(end as u64));
                    return (response.framed(&framing, &body, seen), whole);
                }
                Ok(httparse::Status::Partial) => {
                    return (Self { interim, ..Self::cut(method, head, parsed.code, at, seen) }, None);
                }
                Err(httparse::Error::TooManyHeaders) => return (Self::default(), None),
                Err(error) => {
                    let fault = match error {
                        httparse::Error::HeaderName | httparse::Error::HeaderValue => Fault::Field,
                        _ if parsed.code.is_some() => Fault::Field,
                        _ => Fault::StatusLine,
                    };
                    return (Self::malformed(parsed.code, fault), None);
                }
            }
        }
    }

    fn malformed(status: Option<u16>, fault: Fault) -> Self {
        Self { status, progress: Progress::Malformed, fault: Some(fault), ..Self::default() }
    }

    fn framed(mut self, framing: &Framing, body: &Body<'_>, seen: &Seen<'_>) -> Self {
        self.progress = framing.progress(body, seen);
        self.fault = match (self.progress, framing) {
            (Progress::Malformed, Framing::Chunked) => Some(Fault::ChunkSize),
            (Progress::Malformed, _) => Some(Fault::ContentLength),
            _ => None,
        };
        self
    }

    /// The end of the header section is not among the bytes that were kept.
    fn cut(method: Option<&str>, head: &[u8], status: Option<u16>, at: usize, seen: &Seen<'_>) -> Self {
        if seen.unsearched && seen.section.is_none() && ((at + head.len()) as u64) < seen.sent {
            return Self::beyond(method, head, status, at, seen);
        }
        let Some(section) = seen.section else {
            let so_far = seen.len.saturating_sub(at as u64);
            let progress = Progress::InHead;
            return Self { status, header_bytes: Some(so_far), progress, ..Self::default() };
        };
        let response = Self { status, header_bytes: Some(section), ..Self::default() };
        let Some((code, framing)) = Framing::so_far(method, head) else { return response };
        let response = Self { status: Some(code), ..response };
        let body = Body { bytes: &[], len: seen.len.saturating_sub(section) };
        match framing {
            Framing::UntilClose | Framing::Unclear | Framing::Broken => response,
            _ => response.framed(&framing, &body, seen),
        }
    }

    /// The header section goes on beyond what was kept, and nobody has looked for its end there. What can be told: that
    /// not even all the bytes behind those that were kept make up the body, and how a chunked one ends.
    fn beyond(method: Option<&str>, head: &[u8], status: Option<u16>, at: usize, seen: &Seen<'_>) -> Self {
        let response = Self { status, ..Self::default() };
        let Some((code, framing)) = Framing::so_far(method, head) else { return response };
        let kept = (at + head.len()) as u64;
        let behind = seen.len.saturating_sub(kept);
        let progress = match framing {
            Framing::Length(length) if behind < length => Progress::InBody,
            Framing::Chunked => Framing::chunked(&Body { bytes: &[], len: behind }, seen),
            Framing::Upgrade => Progress::Upgraded,
            _ => Progress::Unknown,
        };
        // What is not body is header section.
        let body = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::UntilClose => body_at_the_end(seen.tail),
            _ => None,
        };
        let least = body.and_then(|body| seen.len.checked_sub(at as u64 + body));
        Self { status: Some(code), progress, header_bytes: least.filter(|least| *least > kept), ..response }
    }
}

/// Length of a body that lies at the end of a response whole, behind the line that states it.
fn body_at_the_end(tail: &[u8]) -> Option<u64> {
    let end = tail.windows(4).rposition(|four| four == b"\r\n\r\n")?;
    let body = (tail.len() - end - 4) as u64;
    let length = |line: &[u8]| {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let value = || std::str::from_utf8(&value[1..]).ok()?.trim().parse::<u64>().ok();
        if name.eq_ignore_ascii_case(b"content-length") { value() } else { None }
    };
    // The first line may be cut.
    let stated = tail[..end].split(|byte| *byte == b'\n').skip(1).find_map(length);
    (stated == Some(body)).then_some(body)
}

/// What recipients put up with (RFC 9112 §2.2, §5.1, §5.2), and Cloudflare's proxy library does.
pub(super) fn tolerant() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    config
}

/// A response's body, as far as it was kept, and its length.
struct Body<'a> {
    bytes: &'a [u8],
    len: u64,
}

/// How a recipient finds the end of the body.
enum Framing {
    None,
    Upgrade,
    Length(u64),
    Chunked,
    UntilClose,
    /// Recipients may differ.
    Unclear,
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
            let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
            return if is_chunked(last.trim_ascii()) {
                Self::Chunked
            } else if last
                .trim_ascii()
                .rsplit(|byte| matches!(byte, b' ' | b'\t' | b':'))
                .next()
                .is_some_and(is_chunked)
            {
                Self::Unclear
            } else {
                Self::UntilClose
            };
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

    /// The status and the framing by the lines that are there of a header section that goes on; `None`: there is no
    /// whole line.
    fn so_far(method: Option<&str>, head: &[u8]) -> Option<(u16, Self)> {
        let end = head.windows(2).rposition(|pair| pair == b"\r\n")?;
        let lines = with_empty_line(&head[..end + 2]);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(_)) = tolerant().parse_response(&mut parsed, &lines) else { return None };
        let code = parsed.code.unwrap_or(0);
        Some((code, Self::of(method, code, parsed.headers)))
    }

    /// Length of the body on the wire, where a field states it, or all of its chunks were kept.
    fn length(&self, kept: &[u8]) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(*length),
            Self::Chunked => match chunks(kept) {
                Kept::Whole(length) => Some(length as u64),
                Kept::Part | Kept::Broken => None,
            },
            _ => None,
        }
    }

    fn progress(&self, body: &Body<'_>, seen: &Seen<'_>) -> Progress {
        match self {
            Self::None => Progress::Whole,
            Self::Upgrade => Progress::Upgraded,
            Self::Length(length) if body.len >= *length => Progress::Whole,
            Self::Length(_) => Progress::InBody,
            Self::Chunked => Self::chunked(body, seen),
            Self::UntilClose => Progress::UntilClose,
            Self::Unclear => Progress::Unknown,
            Self::Broken => Progress::Malformed,
        }
    }

    fn chunked(body: &Body<'_>, seen: &Seen<'_>) -> Progress {
        match chunks(body.bytes) {
            Kept::Whole(_) => return Progress::Whole,
            Kept::Broken => return Progress::Malformed,
            Kept::Part => {}
        }
        // The kernel notes the last bytes only of a response that is longer than what it keeps.
        let last = if seen.head.len() as u64 >= seen.sent { seen.head } else { seen.tail };
        let ends_with = |end: &[u8]| body.len >= end.len() as u64 && last.ends_with(end);
        match seen.chunks {
            Chunks::Broken => Progress::Malformed,
            Chunks::Next(at) if seen.len <= at => Progress::InBody,
            _ if seen.sent < seen.len || seen.unread => Progress::Unknown,
            Chunks::Last if ends_with(b"\r\n\r\n") => Progress::Whole,
            Chunks::Unknown if ends_with(b"0\r\n\r\n") => Progress::Whole,
            // Trailers, or data that end so.
            Chunks::Unknown if ends_with(b"\r\n\r\n") => Progress::Unknown,
            _ => Progress::InBody,
        }
    }
}

/// What was kept of a chunked body.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// All of it, with its last chunk and trailers: so many bytes.
    Whole(usize),
    /// The rest did not come, or was not kept; or some recipients take it, and others don't.
    Part,
    /// In the place of a chunk's size stands something else, or a size of more than 64 bits.
    Broken,
}

/// Follows the chunks from size to size.
fn chunks(bytes: &[u8]) -> Kept {
    let mut at = 0_usize;
    loop {
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return Kept::Part };
        // httparse takes an empty line for a size of 0.
        if !rest[0].is_ascii_hexdigit() {
            return Kept::Broken;
        }
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Kept::Part,
            Err(_) if some_take(rest) => return Kept::Part,
            Err(_) => return Kept::Broken,
        };
        at += line;
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; MAX_FIELDS];
            return match httparse::parse_headers(&bytes[at..], &mut trailers) {
                Ok(httparse::Status::Complete((end, _))) => Kept::Whole(at + end),
                Ok(httparse::Status::Partial) | Err(_) => Kept::Part,
            };
        }
        let Some(end) = usize::try_from(size).ok().and_then(|size| at.checked_add(size)) else { return Kept::Part };
        // The kernel programs, which follow the chunks, pass over what ends the data.
        if !bytes.get(end..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
            return Kept::Part;
        }
        at = end + 2;
    }
}

/// Whether some recipients take a size line that httparse does not: one with many zeros in front, or with LF alone at
/// its end.
fn some_take(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let zeros = line.iter().take_while(|byte| **byte == b'0').count();
    digits - zeros <= 16 && matches!(line.get(digits), None | Some(b'\r' | b'\n' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, bytes: &[u8]) -> Response {
        read_followed(method, bytes, Chunks::Unknown)
    }

    fn read_followed(method: &str, bytes: &[u8], chunks: Chunks) -> Response {
        let tail = &bytes[bytes.len().saturating_sub(8)..];
        let len = bytes.len() as u64;
        // The kernel keeps so much, and finds the end of the section wherever it is.
        let section = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end as u64 + 4);
        let section = section.filter(|_| !bytes.starts_with(b"HTTP/1.1 1"));
        let head = &bytes[..bytes.len().min(1024)];
        Response::read(Some(method), &Seen { head, section, tail, len, sent: len, chunks, ..Seen::default() })
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
        assert_eq!(with(b""), Progress::InBody);
        assert_eq!(with(b"hello"), Progress::Malformed);
        assert_eq!(with(b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"), Progress::Whole);
        assert_eq!(with(b"5\r\nhello\r\n0\r\nTrailer: x\r\n"), Progress::InBody);
        let long = [b"1000\r\n", &[b'x'; 4096][..], b"\r\n0\r\nTrailer: x\r\n\r\n"].concat();
        assert_eq!(with(&long), Progress::Unknown, "not all of it was kept");
    }

    #[test]
    fn chunks_that_were_followed_tell_a_cut_whatever_the_data_end_with() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let rows = [&head[..], b"1002\r\n", &[b'x'; 4096][..], b"\r\n\r\n"].concat();
        let zeros = [&rows[..], b"3\r\n0\r\n\r\n"].concat();
        let of = |bytes: &[u8], chunks: Chunks| read_followed("GET", bytes, chunks).progress;
        for bytes in [&rows, &zeros] {
            assert_eq!(of(bytes, Chunks::Next(bytes.len() as u64)), Progress::InBody, "the next one is not there");
            assert_eq!(of(&bytes[..bytes.len() - 4], Chunks::Next(bytes.len() as u64)), Progress::InBody);
            let trailers = [bytes, &b"0\r\nTrailer: x\r\n\r\n"[..]].concat();
            assert_eq!(of(&trailers, Chunks::Last), Progress::Whole);
            assert_eq!(of(&trailers[..trailers.len() - 2], Chunks::Last), Progress::InBody);
            let broken = read_followed("GET", &[bytes, &b"HTTP/1.1 500 E\r\n\r\n"[..]].concat(), Chunks::Broken);
            assert_eq!((broken.progress, broken.fault), (Progress::Malformed, Some(Fault::ChunkSize)));
        }
        let plain = [&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"[..], b"aa"].concat();
        assert_eq!(of(&plain, Chunks::Broken), Progress::Whole, "it has no chunks");
    }

    #[test]
    fn last_bytes_of_an_earlier_response_do_not_count() {
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let len = cut.len() as u64;
        // The kernel notes the last bytes of longer responses only.
        let seen = Seen { head: cut, tail: b"ab\r\n0\r\n\r\n", len, sent: len, ..Seen::default() };
        assert_eq!(Response::read(Some("GET"), &seen).progress, Progress::InBody);
        let longer = Seen { len: len + 9, sent: len + 9, ..seen };
        assert_eq!(Response::read(Some("GET"), &longer).progress, Progress::Whole);
        // Recipients differ on these size lines: the end tells.
        let odd = [&cut[..], b"0\nTrailer: x\r\n\r\n"].concat();
        assert_eq!(read("GET", &odd).progress, Progress::Unknown);
    }

    #[test]
    fn the_length_of_chunks_is_known_where_all_of_them_are_there() {
        let body = b"5;name=value\r\nhello\r\nA\r\n0\r\n\r\n01234\r\n0\r\nTrailer: x\r\n\r\n";
        let more = [&body[..], b"HTTP/1.1 200 OK\r\n\r\n"].concat();
        assert_eq!(chunks(&more), Kept::Whole(body.len()));
        for len in 0..body.len() {
            assert_eq!(chunks(&body[..len]), Kept::Part, "{len} bytes");
        }
        for part in [&b"FFFFFFFFFFFFFFFF\r\nx"[..], b"5\r\nhelloX\r\n0\r\n\r\n"] {
            assert_eq!(chunks(part), Kept::Part, "{part:?}");
        }
        for hostile in [&b"-1\r\n"[..], b"\r\n", b"\r\n\r\n"] {
            assert_eq!(chunks(hostile), Kept::Broken, "{hostile:?}");
        }
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
        // Whole, and alone: no byte of the response has come.
        for after in ["", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let interim = format!("HTTP/1.1 103 EH\r\nLink: x\r\n\r\n{after}");
            let response = read("GET", interim.as_bytes());
            assert_eq!((response.progress, response.interim), (Progress::Nothing, true), "{interim:?}");
        }
        assert_eq!(read("GET", b"HTTP/1.1 103 EH\r\nLink").progress, Progress::InHead);
        assert_eq!(read("GET", b"HTTP/1.1 103 EH\r\n\r\nHTTP/1.1 2").progress, Progress::InHead);
        let blank = b"HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read("POST", blank).progress, Progress::Whole);
        let both = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read("POST", both).progress, Progress::Whole);
        assert_eq!(read("POST", both).status, Some(200));
    }

    #[test]
    fn a_section_that_ends_nobody_knows_where_is_judged_by_what_is_certain() {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\nX: {}", "a".repeat(100));
        let kept = head.len() as u64;
        let read = |head: &str, len: u64, tail: &[u8]| {
            let seen = Seen { head: head.as_bytes(), unsearched: true, tail, len, sent: len, ..Seen::default() };
            let read = Response::read(Some("GET"), &seen);
            (read.status, read.header_bytes, read.progress)
        };
        let unknown = |bytes| (Some(200), bytes, Progress::Unknown);
        assert_eq!(read(&head, kept, b""), (Some(200), Some(kept), Progress::InHead), "there is no more");
        assert_eq!(read(&head, kept + 899, b""), (Some(200), None, Progress::InBody));
        assert_eq!(read(&head, kept + 900, b""), unknown(None), "the section may have ended just there, or not");
        assert_eq!(read(&head, kept + 200_900, b""), unknown(Some(kept + 200_000)), "no more of it can be body");
        let chunked = head.replace("Content-Length: 900", "Transfer-Encoding: chunked");
        assert_eq!(read(&chunked, kept + 900, b"\r\n0\r\n\r\n"), (Some(200), None, Progress::Whole));
        assert_eq!(read(&chunked, kept + 900, b"aaaaaaaa"), (Some(200), None, Progress::InBody));
        let seen = Seen { head: chunked.as_bytes(), unsearched: true, unread: true, ..Seen::default() };
        let unread = Response::read(Some("GET"), &Seen { len: kept + 900, sent: kept + 900, ..seen });
        assert_eq!(unread.progress, Progress::Unknown, "how it ended is not known");
        let until_close = head.replace("Content-Length: 900", "Server: x");
        assert_eq!(read(&until_close, kept + 900, b""), unknown(None));
        let last = b"e\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read(&until_close, kept + 900, last), unknown(Some(kept + 898)), "the length stands at the end");
        let earlier = b"e\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";
        assert_eq!(read(&until_close, kept + 900, earlier), unknown(Some(kept + 898)));
        assert_eq!(read(&until_close, kept + 900, b"e\r\nContent-Length: 3\r\n\r\nok"), unknown(None));
    }

    #[test]
    fn a_section_longer_than_what_was_kept_is_judged_by_the_lines_that_are_there() {
        let long = vec![b'x'; 5000];
        let early = [&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: "[..], &long, b"\r\n\r\nok"].concat();
        assert_eq!(read("GET", &early).progress, Progress::Whole);
        assert_eq!(read("GET", &early[..early.len() - 1]).progress, Progress::InBody);
        assert_eq!(read("GET", &early).header_bytes, Some(early.len() as u64 - 2));
        let late = [&b"HTTP/1.1 200 OK\r\nX: "[..], &long, b"\r\nContent-Length: 2\r\n\r\no"].concat();
        assert_eq!(read("GET", &late).progress, Progress::Unknown);
        assert_eq!(read("GET", &early[..3000]).progress, Progress::InHead);
    }

    #[test]
    fn what_no_recipient_takes_is_malformed_and_says_why() {
        let fault = |bytes: &[u8]| {
            let response = read("GET", bytes);
            assert_eq!(response.progress, Progress::Malformed, "{bytes:?}");
            response.fault
        };
        for bytes in [
            &b"<html>\n"[..],
            b"Content-Type: text/html\r\n\r\nok",
            b"\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTPER/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTPER/1.1 200",
            b"\0\0\0\0",
            b"SSH-2.0-OpenSSH\r\n",
        ] {
            assert_eq!(fault(bytes), Some(Fault::StatusLine), "{bytes:?}");
        }
        for line in ["Content-Type text/html", "Warning in line 3: x", "<br />", "A\0: b", "A: \0"] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 2\r\n\r\nok");
            assert_eq!(fault(bytes.as_bytes()), Some(Fault::Field), "{line}");
        }
        for size in ["10000000000000000", "FFFFFFFFFFFFFFFFFFFF", "-1", "xyz", "5 x"] {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{size}\r\nhello");
            assert_eq!(fault(bytes.as_bytes()), Some(Fault::ChunkSize), "{size}");
        }
        for line in ["Content-Length: -1", "Content-Length: 5\r\nContent-Length: 6"] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\nhello");
            assert_eq!(fault(bytes.as_bytes()), Some(Fault::ContentLength), "{line}");
        }
    }

    #[test]
    fn what_recipients_put_up_with_is_no_fault() {
        for bytes in [
            &b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"[..],
            b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(read("GET", bytes).progress, Progress::Whole, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
