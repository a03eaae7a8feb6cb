//! Sound requests: what may be asked of a server, and the status that answers it.

use super::edge::{Body, Request};

/// One kind of sound request.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) request: Request,
    pub(super) status: u16,
}

const fn get(path: &'static str, status: u16) -> Kind {
    Kind { request: Request::get(path), status }
}

const fn with(method: &'static str, path: &'static str, body: Body) -> Kind {
    Kind { request: Request { method, body, ..Request::get(path) }, status: 200 }
}

const fn old(path: &'static str) -> Kind {
    Kind { request: Request { version: "1.0", ..Request::get(path) }, status: 200 }
}

const fn unchanged() -> Kind {
    Kind { request: Request { fields: "If-None-Match: *\r\n", ..Request::get("/notmodified") }, status: 304 }
}

/// What every server answers.
pub(super) const KINDS: [Kind; 13] = [
    get("/small", 200),
    get("/small", 200),
    with("HEAD", "/small", Body::None),
    get("/large", 200),
    get("/chunked", 200),
    get("/nocontent", 204),
    unchanged(),
    get("/missing", 404),
    with("POST", "/echo", Body::Sized(2_000)),
    with("POST", "/echo", Body::Chunked(20_000, 3_000)),
    // Without a length the connection's end is the answer's.
    old("/chunked"),
    old("/small"),
    with("POST", "/echo", Body::Sized(300 * 1024)),
];

/// All but the large POST: Go's HTTP client, by which Caddy asks its upstream, cuts the answer of one in some hundreds
/// (`use of closed network connection`).
pub(super) const KINDS_OF_CADDY: &[Kind] = KINDS.split_at(KINDS.len() - 1).0;

/// What a server whose answers all look alike is asked.
pub(super) const SMALL: [Kind; 1] = [get("/small", 200)];
