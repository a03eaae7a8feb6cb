//! Whether the bytes so far are a whole HTTP/1.1 response: just enough to tell "complete" from "cut".

/// How far a response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Incomplete,
    /// Complete, with this status and this many bytes.
    Complete { status: u16, length: usize },
    /// Complete once the connection closes: no length was announced.
    UntilClose { status: u16 },
}

/// Reads the response at the start of `bytes`; interim (1xx) responses are passed over.
pub fn progress(bytes: &[u8]) -> Progress {
    parse(bytes, 0).unwrap_or(Progress::Incomplete)
}

fn parse(bytes: &[u8], before: usize) -> Option<Progress> {
    let section = position(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..section]).ok()?;
    let status: u16 = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    if (100..200).contains(&status) && status != 101 {
        return parse(&bytes[section..], before + section);
    }
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let body = &bytes[section..];
    let length = if matches!(status, 101 | 204 | 304) {
        0
    } else if field("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        chunked(body)?
    } else if let Some(length) = field("Content-Length") {
        length.parse().ok()?
    } else {
        return Some(Progress::UntilClose { status });
    };
    (body.len() >= length).then_some(Progress::Complete { status, length: before + section + length })
}

/// The length of a whole chunked body, with its trailers.
fn chunked(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = position(&body[at..], b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[at..at + line]).ok()?.trim(), 16).ok()?;
        at += line + 2;
        if size == 0 {
            // The empty line may follow at once.
            return Some(at - 2 + position(&body[at - 2..], b"\r\n\r\n")? + 4);
        }
        at += size + 2;
        if at > body.len() {
            return None;
        }
    }
}

fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &str, status: u16) {
        let whole = response.as_bytes();
        for end in 0..whole.len() {
            assert_eq!(progress(&whole[..end]), Progress::Incomplete, "prefix of {end}");
        }
        assert_eq!(progress(whole), Progress::Complete { status, length: whole.len() });
        let next = [whole, b"HTTP/1.1 500"].concat();
        assert_eq!(progress(&next), Progress::Complete { status, length: whole.len() });
    }

    #[test]
    fn a_length_is_met_at_its_last_byte() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", 200);
    }

    #[test]
    fn chunks_end_with_the_empty_one() {
        for trailers in ["", "Server-Timing: db;dur=5\r\n"] {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            check(&format!("{head}3\r\nabc\r\n0\r\n{trailers}\r\n"), 200);
        }
    }

    #[test]
    fn interim_responses_are_passed_over() {
        check("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204);
    }

    #[test]
    fn without_a_length_the_close_is_the_end() {
        assert_eq!(progress(b"HTTP/1.1 200 OK\r\n\r\nab"), Progress::UntilClose { status: 200 });
    }
}
