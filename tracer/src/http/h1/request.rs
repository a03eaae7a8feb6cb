//! The request, as far as a record may name it: method, path, Host and CF-Ray; nothing else ever leaves.

use super::{MAX_FIELDS, with_empty_line};

/// What a record says of a request. The query string is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: Option<String>,
    pub path: Option<String>,
    pub host: Option<String>,
    pub ray: Option<String>,
}

impl Request {
    /// Reads the head of a request, or as much of it as was kept. `None`: not an HTTP/1 request.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Self> {
        Self::read_sized(without_proxy_header(head)?).map(|(request, _)| request)
    }

    /// The same without a PROXY header, and the size of the whole request where its whole head is there and states it.
    pub(super) fn read_sized(head: &[u8]) -> Option<(Self, Option<u64>)> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        if let Ok(httparse::Status::Complete(size)) = parsed.parse(head) {
            let body = body(parsed.headers);
            return Some((Self::of(&parsed), body.and_then(|body| body.checked_add(size as u64))));
        }
        // Cut short: every line that is there whole still counts.
        let end = head.windows(2).rposition(|pair| pair == b"\r\n")?;
        let lines = with_empty_line(&head[..end + 2]);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        matches!(parsed.parse(&lines), Ok(httparse::Status::Complete(_))).then(|| (Self::of(&parsed), None))
    }

    /// A head that reads back as this request, and says nothing more.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let part = |part: &Option<String>, otherwise: &str| part.as_deref().unwrap_or(otherwise).to_owned();
        let mut head = format!("{} {} HTTP/1.1\r\n", part(&self.method, "GET"), part(&self.path, "/"));
        for (name, value) in [("Host", &self.host), ("CF-Ray", &self.ray)] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn of(parsed: &httparse::Request<'_, '_>) -> Self {
        let field = |name: &str| {
            let field = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(field.value).into_owned())
        };
        Self {
            method: parsed.method.map(str::to_owned),
            path: parsed.path.map(without_query),
            host: field("host"),
            ray: field("cf-ray").filter(|ray| is_ray(ray)),
        }
    }
}

/// Length of a request's body; `None`: chunked, or not a number.
fn body(fields: &[httparse::Header<'_>]) -> Option<u64> {
    let value = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
    if value("transfer-encoding").is_some() {
        return None;
    }
    value("content-length").map_or(Some(0), |length| std::str::from_utf8(length).ok()?.trim().parse().ok())
}

/// First bytes of a PROXY protocol header, version 2.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What follows a load balancer's PROXY protocol header (version 1 or 2), where there is one.
#[must_use]
pub fn without_proxy_header(head: &[u8]) -> Option<&[u8]> {
    if head.starts_with(PROXY_V2) {
        let len = u16::from_be_bytes([*head.get(14)?, *head.get(15)?]);
        head.get(16 + usize::from(len)..)
    } else if head.starts_with(b"PROXY ") {
        let end = head.windows(2).position(|pair| pair == b"\r\n")?;
        head.get(end + 2..)
    } else {
        Some(head)
    }
}

/// The target's path: no scheme, no authority, no query, no fragment.
pub(in crate::http) fn without_query(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    // A path may hold another address: only what does not begin with a slash has a scheme (RFC 9112 §3.2).
    let absolute = path.split_once("://").filter(|_| !path.starts_with('/'));
    let path = absolute.map_or(path, |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

/// `230b030023ae2822-SJC`: hexadecimal, and perhaps the data centre.
pub(in crate::http) fn is_ray(text: &str) -> bool {
    let (id, place) = text.split_once('-').unwrap_or((text, "AAA"));
    (8..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (1..=8).contains(&place.len())
        && place.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /api/users?token=secret HTTP/1.1\r\nHost: www.example.com\r\nCookie: a=b\r\n\
                          CF-RAY: 7d1234567890abcd-LAX\r\nAccept: */*\r\n\r\n";

    #[test]
    fn a_whole_head_gives_the_four_fields_and_no_query() {
        let request = Request::read(HEAD).unwrap();
        assert_eq!(request.method.as_deref(), Some("GET"));
        assert_eq!(request.path.as_deref(), Some("/api/users"));
        assert_eq!(request.host.as_deref(), Some("www.example.com"));
        assert_eq!(request.ray.as_deref(), Some("7d1234567890abcd-LAX"));
    }

    #[test]
    fn every_prefix_gives_what_its_whole_lines_say() {
        for len in 0..HEAD.len() {
            let Some(request) = Request::read(&HEAD[..len]) else { continue };
            assert_eq!(request.path.as_deref(), Some("/api/users"));
            let ray_line = HEAD.windows(6).position(|at| at == b"Accept").unwrap();
            assert_eq!(request.ray.is_some(), len >= ray_line, "{len} bytes");
        }
    }

    #[test]
    fn an_absolute_target_keeps_only_its_path() {
        let request = Request::read(b"GET http://user:pw@host/p?q HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(request.path.as_deref(), Some("/p"));
        let request = Request::read(b"GET /proxy/http://host/p?q HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(request.path.as_deref(), Some("/proxy/http://host/p"));
    }

    #[test]
    fn a_target_that_is_all_query_reads_back_as_the_root() {
        let request = Request::read(b"GET ?1 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(request.path.as_deref(), Some("/"));
        assert_eq!(Request::read(&request.head()), Some(request));
    }

    #[test]
    fn what_is_no_ray_is_not_recorded_as_one() {
        for ray in ["../../etc/passwd", "short-X", "7d1234567890abcd-", "7d1234567890abcd-\x1b[2J"] {
            let head = format!("GET / HTTP/1.1\r\nCF-Ray: {ray}\r\n\r\n");
            assert_eq!(Request::read(head.as_bytes()).and_then(|request| request.ray), None, "{ray}");
        }
    }

    #[test]
    fn a_proxy_protocol_header_is_passed_over() {
        let v1 = [&b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n"[..], HEAD].concat();
        let v2 = [PROXY_V2, &[0x21, 0x11, 0, 12], &[0; 12], HEAD].concat();
        for bytes in [v1, v2] {
            assert_eq!(Request::read(&bytes).and_then(|request| request.path).as_deref(), Some("/api/users"));
        }
        assert_eq!(Request::read(PROXY_V2), None);
    }

    #[test]
    fn bytes_that_are_no_request_are_none() {
        for bytes in [&b"\x16\x03\x01\x02\x00"[..], b"", b"\r\n", b"\0\0\0\0\r\n\r\n", b"GET"] {
            assert_eq!(Request::read(bytes), None);
        }
    }
}
