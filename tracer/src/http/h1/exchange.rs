//! Which of several requests that came together failed: pipelining (RFC 9112 §9.3.2).

use super::{Progress, Request, Response, Seen, Unfinished, without_proxy_header};

/// The exchange that a verdict is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    pub request: Request,
    pub response: Response,
    /// More of the request was announced than came.
    pub unfinished: Option<Unfinished>,
}

/// Exchanges looked at; what follows stays unknown.
const MOST: usize = 64;

impl Exchange {
    /// Finds the first exchange that isn't whole among those whose requests begin with `requests` (what was kept of
    /// `requested` bytes) and whose responses begin with what was `seen`; the last one where all are.
    #[must_use]
    pub fn read(requests: &[u8], requested: u64, seen: &Seen<'_>) -> Self {
        Self::read_behind(false, requests, requested, seen)
    }

    /// The same where what was `seen` may follow an `interim` response, which asked for the body of the request.
    #[must_use]
    pub fn read_behind(interim: bool, requests: &[u8], requested: u64, seen: &Seen<'_>) -> Self {
        let kept = requests.len();
        let mut requests = without_proxy_header(requests).unwrap_or_default();
        let skipped = (kept - requests.len()) as u64;
        let mut requested = requested.saturating_sub(skipped).max(requests.len() as u64);
        let mut seen = *seen;
        let mut exchange = Self::default();
        for _ in 0..MOST {
            let unfinished = Unfinished::read(requests, requested, interim);
            let Some((request, size)) = Request::read_sized(requests) else {
                (exchange.response, exchange.unfinished) = (Response::read(None, &seen), unfinished);
                return exchange;
            };
            let (response, end) = Response::read_sized(request.method.as_deref(), &seen);
            exchange = Self { request, response, unfinished };
            let more = size.filter(|size| *size < requested && exchange.response.progress == Progress::Whole);
            let (Some(size), Some(end)) = (more, end) else { return exchange };
            let Some(rest) = usize::try_from(size).ok().and_then(|size| requests.get(size..)) else { return exchange };
            if Request::read_sized(rest).is_none() {
                return exchange;
            }
            (requests, requested) = (rest, requested - size);
            seen = seen.after(end);
        }
        exchange.response = Response::default();
        exchange
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Lacks, *};

    const REQUESTS: &[u8] =
        b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.1\r\n\r\n";

    fn read(responses: &[u8]) -> (Option<String>, Progress) {
        let tail = &responses[responses.len().saturating_sub(8)..];
        let len = responses.len() as u64;
        let seen = Seen { head: responses, tail, len, sent: len, ..Seen::default() };
        let exchange = Exchange::read(REQUESTS, REQUESTS.len() as u64, &seen);
        (exchange.request.path, exchange.response.progress)
    }

    #[test]
    fn the_first_exchange_that_is_not_whole_is_the_one() {
        let ok = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..];
        let cut = &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"[..];
        assert_eq!(read(b""), (Some("/a".to_owned()), Progress::Nothing));
        assert_eq!(read(ok), (Some("/b".to_owned()), Progress::Nothing));
        assert_eq!(read(cut), (Some("/a".to_owned()), Progress::InBody));
        assert_eq!(read(&[ok, cut].concat()), (Some("/b".to_owned()), Progress::InBody));
        assert_eq!(read(&[ok, ok].concat()), (Some("/c".to_owned()), Progress::Nothing));
        assert_eq!(read(&[ok, ok, b"HTTP/1.1 2"].concat()), (Some("/c".to_owned()), Progress::InHead));
        assert_eq!(read(&[ok, ok, ok].concat()), (Some("/c".to_owned()), Progress::Whole));
        assert_eq!(read(&[ok, b"rubbish\r\n"].concat()), (Some("/b".to_owned()), Progress::Malformed));
        let chunked = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..];
        assert_eq!(read(chunked), (Some("/b".to_owned()), Progress::Nothing));
        assert_eq!(read(&[chunked, chunked].concat()), (Some("/c".to_owned()), Progress::Nothing));
    }

    #[test]
    fn of_a_response_of_which_nothing_was_kept_nothing_is_said() {
        let ok = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..];
        let len = ok.len() as u64 + 5000;
        let seen = Seen { head: ok, unsearched: true, len, sent: len, ..Seen::default() };
        let second = Exchange::read(REQUESTS, REQUESTS.len() as u64, &seen);
        assert_eq!((second.request.path.as_deref(), second.response.progress), (Some("/b"), Progress::Unknown));
    }

    #[test]
    fn of_several_requests_the_one_that_is_not_answered_may_be_unfinished() {
        let ok = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..];
        let cut = REQUESTS.len() - b"bcGET /c HTTP/1.1\r\n\r\n".len();
        let unfinished = |responses: &[u8]| {
            let len = responses.len() as u64;
            let seen = Seen { head: responses, len, sent: len, ..Seen::default() };
            Exchange::read(&REQUESTS[..cut], cut as u64, &seen).unfinished
        };
        assert_eq!(unfinished(b""), None, "the first one came whole");
        let second = "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\n".len() as u64;
        let lacks = Lacks::Body { announced: second + 3, at_least: false };
        assert_eq!(unfinished(ok), Some(Unfinished { came: second + 1, lacks }));
    }

    #[test]
    fn what_was_not_kept_of_a_request_came_all_the_same() {
        let head = "POST /b HTTP/1.1\r\nContent-Length: 5000\r\n\r\n";
        let proxied = format!("PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n{head}");
        let came = |kept: &str, requested: usize| {
            let unfinished = Exchange::read(kept.as_bytes(), requested as u64, &Seen::default()).unfinished;
            unfinished.map(|unfinished| unfinished.came)
        };
        for kept in [head, &proxied] {
            assert_eq!(came(kept, kept.len() + 4000), Some(head.len() as u64 + 4000), "{kept}");
            assert_eq!(came(kept, kept.len() + 5000), None, "{kept}");
        }
    }

    #[test]
    fn every_prefix_of_requests_and_responses_is_read_without_a_panic() {
        let responses = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 304 N\r\n\r\n";
        for requested in 0..=REQUESTS.len() {
            for len in 0..=responses.len() {
                let seen = Seen { head: &responses[..len], len: len as u64, sent: len as u64, ..Seen::default() };
                let read = Exchange::read(&REQUESTS[..requested], requested as u64, &seen);
                assert!(requested < 19 || read.request.method.is_some());
            }
        }
    }
}
