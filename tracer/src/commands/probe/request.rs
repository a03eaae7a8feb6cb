//! The requests that are sent: recognizable, and without a field that only Cloudflare may write.

use crate::config::Asked;

/// How the probe names itself.
pub(super) const AGENT: &str = concat!("tracer-probe/", env!("CARGO_PKG_VERSION"));
/// What the edge says that it takes.
pub(super) const ENCODINGS: &str = "br, gzip";

/// Name of the field that makes a head large.
const PADDING: &str = "X-Tracer-Probe-Padding";

/// A request in HTTP/1.1; `fields` are whole lines.
fn request(method: &str, asked: &Asked, fields: &str) -> Vec<u8> {
    format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\nAccept-Encoding: {ENCODINGS}\r\n\
         Connection: Keep-Alive\r\n{fields}\r\n",
        asked.target, asked.host
    )
    .into_bytes()
}

pub(super) fn get(asked: &Asked) -> Vec<u8> {
    request("GET", asked, "")
}

/// A request whose head has exactly so many bytes, or as few as there must be.
pub(super) fn padded(asked: &Asked, bytes: usize) -> Vec<u8> {
    let least = request("GET", asked, &format!("{PADDING}: \r\n")).len();
    request("GET", asked, &format!("{PADDING}: {}\r\n", "x".repeat(bytes.saturating_sub(least))))
}

/// The head of a request with a body of so many bytes.
pub(super) fn post(asked: &Asked, body: usize, expects: bool) -> Vec<u8> {
    let expect = if expects { "Expect: 100-continue\r\n" } else { "" };
    request("POST", asked, &format!("Content-Type: text/plain\r\nContent-Length: {body}\r\n{expect}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;

    #[test]
    fn heads_are_whole_of_their_size_and_claim_no_ray() {
        let asked = Asked {
            server: "192.0.2.1".to_owned(),
            port: 443,
            tls: true,
            host: "a.example".to_owned(),
            name: "a.example".to_owned(),
            target: "/x?y=1".to_owned(),
        };
        let large = padded(&asked, 32_768);
        assert_eq!(large.len(), 32_768);
        for bytes in [get(&asked), large, post(&asked, 5, true)] {
            let read = Request::read(&bytes).unwrap();
            let (host, path) = (read.host.as_deref(), read.path.as_deref());
            assert_eq!((host, path, read.ray.as_deref()), (Some("a.example"), Some("/x"), None));
            assert!(bytes.ends_with(b"\r\n\r\n"));
        }
    }
}
