//! One exchange in HTTP/2, as the edge prefers it: on a connection that agreed on it by ALPN.

use std::{future::poll_fn, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use hyper::http::{Request, header};
use tokio::time::{Instant, timeout};

use super::{
    answer::{header as of_header, sound},
    finding::Finding,
    http1::Duplex,
    request::{AGENT, ENCODINGS},
    seen::{advise, evidence, span},
};
use crate::{
    config::Asked,
    diagnose::{Cause, ResetBy, Stream, StreamEnd},
    http::{h2::error_name, sizes},
};

pub(super) const NAME: &str = "HTTP/2";

/// Largest header section that is taken, so that its size can be told.
const MAX_HEADER: u32 = 1 << 20;
/// Bytes of a body after which enough was read.
const MAX_BODY: usize = 2 << 20;

/// What a sound answer was like.
struct Sound {
    status: u16,
    took: Duration,
    header: u64,
    sizes: Vec<(String, u64)>,
}

/// Why there was no answer, or not all of it.
enum Unsound {
    /// The answer has begun, and its header section was whole.
    InBody(h2::Error),
    Before(h2::Error),
}

impl From<h2::Error> for Unsound {
    fn from(error: h2::Error) -> Self {
        Self::Before(error)
    }
}

/// Sends one request, and says what came of it.
pub(super) async fn ask(
    stream: Box<dyn Duplex>,
    asked: &Asked,
    origin: SocketAddr,
    patience: Duration,
) -> Vec<Finding> {
    let url = format!("https://{}{}", asked.host, asked.target);
    let request = Request::get(url)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, ENCODINGS)
        .body(());
    let request = match request {
        Ok(request) => request,
        Err(error) => return vec![Finding::unknown(NAME, error.to_string(), "give a --host that a URL can have")],
    };
    let all = async {
        let (client, connection) =
            Builder::new().max_header_list_size(MAX_HEADER).enable_push(false).handshake::<_, Bytes>(stream).await?;
        let driver = tokio::spawn(connection);
        let answer = exchange(client, request).await;
        driver.abort();
        answer
    };
    let start = Instant::now();
    match timeout(patience, all).await {
        Ok(Ok(sound_)) => {
            let by_status = sound(NAME, Some(sound_.status), sound_.took);
            let by_size = of_header(origin, sound_.header, &sound_.sizes);
            vec![by_status, Finding { name: "HTTP/2 response header", ..by_size }]
        }
        Ok(Err(Unsound::Before(error))) => vec![broken(&error, origin, Some(520))],
        Ok(Err(Unsound::InBody(error))) => vec![broken(&error, origin, None)],
        Err(_) => {
            let mut e = evidence(origin);
            e.waited = start.elapsed();
            let seen = format!("the answer was not whole after {}", span(e.waited));
            let slow = Finding::at_risk(NAME, seen, advise(Cause::ResponseTimeout, &e));
            vec![Finding { edge_status: Some(524), ..slow }.told_as(Cause::ResponseTimeout)]
        }
    }
}

async fn exchange(client: SendRequest<Bytes>, request: Request<()>) -> Result<Sound, Unsound> {
    let start = Instant::now();
    let mut client = client.ready().await?;
    let (response, _) = client.send_request(request, true)?;
    let response = response.await?;
    let took = start.elapsed();
    let lines = response.headers().iter().map(|(name, value)| (name.as_str(), value.len()));
    let sizes = sizes(lines);
    let header = sizes.iter().map(|(_, size)| size).sum();
    let (head, mut body) = response.into_parts();
    let mut read = 0;
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        let data = data.map_err(Unsound::InBody)?;
        read += data.len();
        if read >= MAX_BODY {
            break;
        }
        body.flow_control().release_capacity(data.len()).map_err(Unsound::InBody)?;
    }
    Ok(Sound { status: head.status.as_u16(), took, header, sizes })
}

/// What broke it, in the words of the verdicts. The text that may come with GOAWAY is not shown.
fn broken(error: &h2::Error, origin: SocketAddr, edge_status: Option<u16>) -> Finding {
    let mut e = evidence(origin);
    let code = error.reason().map(u32::from);
    let named = code.map_or_else(String::new, |code| {
        error_name(code).map_or_else(|| format!(" with code {code}"), |name| format!(" with {name}"))
    });
    let by = if error.is_remote() { ResetBy::Origin } else { ResetBy::Edge };
    let (cause, end, seen) = if error.is_reset() && by == ResetBy::Origin {
        (Cause::Http2ProtocolError, StreamEnd::Reset { by, code }, format!("the origin reset the stream{named}"))
    } else if error.is_reset() {
        let seen = format!("what the origin sent on the stream breaks the protocol{named}");
        (Cause::Http2ProtocolError, StreamEnd::Reset { by, code }, seen)
    } else if error.is_go_away() && by == ResetBy::Origin {
        let end = StreamEnd::GoAway { by, code: code.unwrap_or(0) };
        (Cause::Http2ProtocolError, end, format!("the origin refused the stream by GOAWAY{named}"))
    } else if error.is_io() {
        let is_reset = error.get_io().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset);
        let (cause, how) = if is_reset { (Cause::AppReset, "reset") } else { (Cause::EmptyReply, "closed") };
        (cause, StreamEnd::Connection, format!("the connection was {how} before the answer was whole"))
    } else {
        (Cause::Http2ProtocolError, StreamEnd::NotHttp2, format!("what the origin sent is no HTTP/2{named}"))
    };
    let cause = match edge_status {
        None if cause == Cause::EmptyReply => Cause::TruncatedBody,
        None if cause == Cause::AppReset => Cause::ResetMidResponse,
        _ => cause,
    };
    e.stream = Some(Stream { id: 1, end, block_bytes: 0 });
    let advice = advise(cause, &e);
    match edge_status {
        Some(status) => Finding::would_be(NAME, status, seen, advice),
        None => Finding::at_risk(NAME, seen, advice),
    }
    .told_as(cause)
}
