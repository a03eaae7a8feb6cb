//! The first bytes of an upstream's answer, as a gateway gets them: HTTP/1 or FastCGI.

/// How much of the header section there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// None of it, or a part.
    #[default]
    Open,
    /// All of it, well-formed.
    Whole,
    /// A line that is no field, or no status line where one has to be.
    Broken,
}

/// What an upstream answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamAnswer {
    pub status: Option<u16>,
    pub section: Section,
}

/// FastCGI's version, and the types of records that a server sends.
const FASTCGI: u8 = 1;
const END_REQUEST: u8 = 3;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const RECORD_HEADER: usize = 8;

impl UpstreamAnswer {
    /// Reads the first bytes of an answer.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::default(),
            [FASTCGI, END_REQUEST | STDOUT | STDERR, ..] => fastcgi(bytes),
            _ if bytes.starts_with(b"HTTP/") || b"HTTP/".starts_with(bytes) => http(bytes),
            _ => Self { status: None, section: Section::Broken },
        }
    }

    /// First bytes that read back as this answer, and say nothing more.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let line = self.status.map_or_else(String::new, |status| format!("HTTP/1.1 {status}"));
        let rest = match (self.status, self.section) {
            (_, Section::Open) => "",
            (Some(_), Section::Whole) => "\r\n\r\n",
            (Some(_), Section::Broken) => "\r\nx\r\n",
            (None, Section::Whole | Section::Broken) => "x",
        };
        (line + rest).into_bytes()
    }
}

fn http(bytes: &[u8]) -> UpstreamAnswer {
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let status = number(bytes.split(|byte| *byte == b' ').nth(1).unwrap_or_default());
    match (line_end, status) {
        (None, _) => UpstreamAnswer { status, section: Section::Open },
        (Some(_), None) => UpstreamAnswer { status, section: Section::Broken },
        (Some(end), Some(_)) => UpstreamAnswer { status, section: fields(&bytes[end + 1..]).0 },
    }
}

/// The status is a field of the header section here, and 200 where it is not there.
fn fastcgi(mut bytes: &[u8]) -> UpstreamAnswer {
    let mut output = Vec::new();
    while let [FASTCGI, kind, _, _, high, low, padding, _, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == STDOUT {
            output.extend_from_slice(&rest[..len.min(rest.len())]);
        }
        bytes = bytes.get(RECORD_HEADER + len + usize::from(*padding)..).unwrap_or_default();
    }
    let (section, status) = fields(&output);
    let status = match (status, section) {
        (None, Section::Whole) => Some(200),
        (status, _) => status,
    };
    UpstreamAnswer { status, section }
}

/// Reads fields up to the empty line; also the value of a field `Status`.
fn fields(bytes: &[u8]) -> (Section, Option<u16>) {
    let (mut section, mut status) = (Section::Open, None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            section = Section::Whole;
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0) else {
            section = Section::Broken;
            break;
        };
        if line[..colon].eq_ignore_ascii_case(b"status") {
            status = number(line[colon + 1..].trim_ascii());
        }
    }
    (section, status)
}

/// A status at the beginning of these bytes: three digits.
fn number(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let ends = bytes.get(3).is_none_or(|byte| !byte.is_ascii_digit());
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|_| ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        let mut record = vec![FASTCGI, kind, 0, 1, len[0], len[1], padding, 0];
        record.extend(content);
        record.extend(vec![0; padding.into()]);
        record
    }

    fn answer(status: Option<u16>, section: Section) -> UpstreamAnswer {
        UpstreamAnswer { status, section }
    }

    #[test]
    fn an_http_answer_has_its_status_and_the_state_of_its_section() {
        let read = |text: &str| UpstreamAnswer::read(text.as_bytes());
        assert_eq!(read(""), answer(None, Section::Open));
        assert_eq!(read("HTTP/1.1 503 Busy\r\nA: b\r\n\r\nbody"), answer(Some(503), Section::Whole));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Le"), answer(Some(200), Section::Open));
        assert_eq!(read("HTTP/1.1 200 OK\r\nno field\r\n\r\n"), answer(Some(200), Section::Broken));
        assert_eq!(read("HTTP/1.1 abc\r\n"), answer(None, Section::Broken));
        assert_eq!(read("HTT"), answer(None, Section::Open));
        assert_eq!(read("\0\u{1}garbage"), answer(None, Section::Broken));
    }

    #[test]
    fn a_fastcgi_answer_has_its_status_in_a_field() {
        let status = b"Status: 503 Service Unavailable\r\nX: y\r\n\r\n<p>";
        let mut bytes = record(STDERR, b"PHP message: no", 3);
        bytes.extend(record(STDOUT, status, 2));
        assert_eq!(UpstreamAnswer::read(&bytes), answer(Some(503), Section::Whole));
        let sound = record(STDOUT, b"Content-type: text/html\r\n\r\nok", 0);
        assert_eq!(UpstreamAnswer::read(&sound), answer(Some(200), Section::Whole));
        let end = record(END_REQUEST, &[0; 8], 0);
        assert_eq!(UpstreamAnswer::read(&end), answer(None, Section::Open));
    }

    #[test]
    fn what_is_kept_of_an_answer_reads_back_as_it() {
        for whole in
            ["HTTP/1.1 503 Busy\r\nSecret: x\r\n\r\n", "HTTP/1.1 200 OK\r\nbad\r\n", "HTTP/1.1 200 O", "x\n", ""]
        {
            let read = UpstreamAnswer::read(whole.as_bytes());
            let kept = read.head();
            assert_eq!(UpstreamAnswer::read(&kept), read, "{whole:?}");
            assert!(kept.len() < 32 && !kept.windows(6).any(|part| part == b"Secret"));
        }
    }

    #[test]
    fn every_prefix_is_read_without_a_panic() {
        let mut bytes = record(STDERR, b"x", 7);
        bytes.extend(record(STDOUT, b"Status: 500 Oops\r\n\r\n", 1));
        for whole in [&bytes[..], b"HTTP/1.1 500 Oops\r\nA: b\r\n\r\n"] {
            for len in 0..=whole.len() {
                let read = UpstreamAnswer::read(&whole[..len]);
                assert!(read.status.is_none_or(|status| status == 500 || status == 200), "{read:?}");
            }
        }
    }
}
