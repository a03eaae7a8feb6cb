//! What a response's header section is made of, by name and size. No value of a field leaves this file.

use super::{MAX_FIELDS, response::tolerant};

/// Longest name that is kept, in bytes.
const MAX_NAME: usize = 64;
/// Bytes of a field line beside its name and value: `: ` and CRLF.
const AROUND: usize = 4;

/// The field lines of a response's header section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Each name once, in lower case, with the bytes that all its lines take; the largest first.
    pub sizes: Vec<(String, u64)>,
    /// The server says that it closes the connection after this response (RFC 9112 §9.3).
    pub closes: bool,
}

impl Fields {
    /// Reads the response that follows upon interim ones (1xx) at the start of `bytes`; `None`: its header section is
    /// not whole, or is no such thing.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        loop {
            let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            bytes = &bytes[start..];
            let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut parsed = httparse::Response::new(&mut lines);
            let Ok(httparse::Status::Complete(size)) = tolerant().parse_response(&mut parsed, bytes) else {
                return None;
            };
            let is_interim = parsed.code.is_some_and(|code| (100..200).contains(&code) && code != 101);
            if is_interim {
                bytes = &bytes[size..];
                continue;
            }
            let says = |option: &str| {
                let connection = parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
                let mut options = connection.flat_map(|field| field.value.split(|byte| *byte == b','));
                options.any(|one| one.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
            };
            let closes = says("close") || parsed.version == Some(0) && !says("keep-alive");
            let lines = parsed.headers.iter().map(|field| (field.name, field.value.len()));
            return Some(Self { sizes: sizes(lines), closes });
        }
    }
}

/// Names and lengths of values as [`Fields::sizes`] has them.
pub fn sizes<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> Vec<(String, u64)> {
    let mut sizes: Vec<(String, u64)> = Vec::new();
    for (name, value) in lines {
        let size = (name.len() + value + AROUND) as u64;
        let name: String = name.chars().take(MAX_NAME).map(|c| c.to_ascii_lowercase()).collect();
        match sizes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += size,
            None => sizes.push((name, size)),
        }
    }
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_name_count_together_and_the_largest_comes_first() {
        let head =
            b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\nSet-Cookie: aa\r\nset-cookie: b\r\n\r\n";
        let fields = Fields::read(head).unwrap();
        assert_eq!(fields.sizes, [("set-cookie".to_owned(), 31), ("a".to_owned(), 6)]);
        assert!(!fields.closes);
        let lines = "A: 1\r\nSet-Cookie: aa\r\nset-cookie: b\r\n".len() as u64;
        assert_eq!(fields.sizes.iter().map(|(_, size)| size).sum::<u64>(), lines);
    }

    #[test]
    fn a_close_is_announced_by_an_option_or_by_version_1_0() {
        let closes = |head: &str| Fields::read(format!("{head}\r\n\r\n").as_bytes()).unwrap().closes;
        assert!(closes("HTTP/1.1 200 OK\r\nConnection: x, Close"));
        assert!(closes("HTTP/1.0 200 OK"));
        assert!(!closes("HTTP/1.0 200 OK\r\nConnection: keep-alive"));
        assert!(!closes("HTTP/1.1 200 OK\r\nConnection: closed"));
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        let head = b"\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\n\r\nbody";
        let whole = head.len() - b"body".len();
        for len in 0..=head.len() {
            assert_eq!(Fields::read(&head[..len]).is_some(), len >= whole, "{len}");
        }
    }
}
