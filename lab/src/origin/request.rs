//! Reading a request's head and not a byte more: the body stays in the socket until a behaviour reads it.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};

/// The longest head that the origin takes.
const LONGEST: usize = 16 * 1024;

/// A request's path, its query and its announced body length in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    query: String,
    pub(super) content_length: usize,
}

impl Request {
    /// All of the query behind this key.
    pub(super) fn rest(&self, key: &str) -> Option<&str> {
        Some(self.query.split_once(key)?.1)
    }

    /// A value from the query, `None` if it is not there.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        Some(pairs.find(|(name, _)| *name == key)?.1)
    }

    /// The same, if it is a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

/// Reads the next head. `None`: the peer left, or the idle timeout ran out, before its first byte.
pub(super) fn read_head(stream: &mut TcpStream) -> Result<Option<Request>> {
    let mut buffer = vec![0; LONGEST];
    let mut seen = 0;
    loop {
        let count = match stream.peek(&mut buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Ok(None);
        }
        if let Some(end) = buffer[..count].windows(4).position(|window| window == b"\r\n\r\n") {
            stream.read_exact(&mut buffer[..end + 4])?;
            return Ok(Some(parse(&String::from_utf8_lossy(&buffer[..end]))));
        }
        ensure!(count < LONGEST, "a request head above {LONGEST} bytes");
        if count == seen {
            // A peek returns at once while the rest of the head is on its way.
            std::thread::sleep(Duration::from_millis(1));
        }
        seen = count;
    }
}

fn parse(head: &str) -> Request {
    let target = head.split_ascii_whitespace().nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Request { path: path.into(), query: query.into(), content_length: length.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_query_and_length_are_found() {
        let request = parse("POST /slow?ms=20&x=y HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 12");
        assert_eq!((request.path.as_str(), request.content_length), ("/slow", 12));
        assert_eq!((request.number("ms"), request.number("x"), request.number("z")), (Some(20), None, None));
    }
}
