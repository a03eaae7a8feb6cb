//! What is asked only where it is wanted: a large head, a request that waits for 100 (Continue), a slow body, an idle
//! connection.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use tracer_common::cloudflare::IDLE_TIMEOUT;

use super::{
    answer::{Sent, failure},
    finding::Finding,
    http1::{Answer, Duplex, Ending, ending, read, read_on, send},
    request,
    seen::{advise, evidence, span},
};
use crate::{config::Asked, diagnose::Cause, http::Progress};

pub(super) const LARGE: &str = "large request head";
pub(super) const EXPECT: &str = "Expect: 100-continue";
pub(super) const SLOW: &str = "slow body";
pub(super) const IDLE: &str = "keep-alive";

/// Size of a large head: what a browser's cookies may come to, and a quarter of what the edge passes on.
const LARGE_HEAD: usize = 32 * 1024;
/// The body of a request that asks first.
const BODY: &[u8] = b"ok";
/// How an answer begins that asks for it.
const CONTINUE: &[u8] = b"HTTP/1.1 100";
/// Pause between the single bytes of a slow body.
const PAUSE: Duration = Duration::from_secs(1);

/// A head that is larger than many servers take.
pub(super) async fn large_head(
    mut stream: Box<dyn Duplex>,
    asked: &Asked,
    origin: SocketAddr,
    patience: Duration,
) -> Finding {
    let request = request::padded(asked, LARGE_HEAD);
    send(&mut *stream, &request, patience).await;
    let answer = read(&mut *stream, "GET", patience).await;
    let bytes = request.len() as u64;
    if let Some(failure) = failure(LARGE, Sent { origin, bytes, large_head: Some(bytes) }, &answer) {
        return failure;
    }
    by_status(LARGE, &answer, &format!("{bytes} bytes of request head"))
}

/// A POST that sends its body only once it is told to go on.
pub(super) async fn expect(
    mut stream: Box<dyn Duplex>,
    asked: &Asked,
    origin: SocketAddr,
    patience: Duration,
) -> Finding {
    let mut request = request::post(asked, BODY.len(), true);
    send(&mut *stream, &request, patience).await;
    let start = Instant::now();
    let begun = match timeout(patience, begin(&mut *stream)).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(end)) => {
            let answer = Answer::none(end, start.elapsed());
            let sent = Sent { origin, bytes: request.len() as u64, large_head: None };
            return failure(EXPECT, sent, &answer).unwrap_or_else(|| Finding::ok(EXPECT, "closed"));
        }
        Err(_) => {
            let mut e = evidence(origin);
            e.waited = patience;
            let seen = format!("neither 100 (Continue) nor an answer in {}", span(patience));
            let found = Finding::at_risk(EXPECT, seen, advise(Cause::ResponseTimeout, &e));
            return Finding { edge_status: Some(524), ..found }.told_as(Cause::ResponseTimeout);
        }
    };
    let how = if begun.starts_with(CONTINUE) {
        send(&mut *stream, BODY, patience).await;
        request.extend_from_slice(BODY);
        "100 (Continue)"
    } else {
        "an answer without asking for the body, which is as good,"
    };
    let how = format!("{how} after {}", span(start.elapsed()));
    let answer = read_on(&mut *stream, "POST", patience, &begun).await;
    let sent = Sent { origin, bytes: request.len() as u64, large_head: None };
    failure(EXPECT, sent, &answer).unwrap_or_else(|| by_status(EXPECT, &answer, &how))
}

/// The first line or so of an answer, or how the connection ended before one.
async fn begin(stream: &mut dyn Duplex) -> Result<Vec<u8>, Ending> {
    let (mut begun, mut buffer) = (Vec::new(), [0; 4096]);
    while begun.len() < CONTINUE.len() {
        match stream.read(&mut buffer).await {
            Ok(0) if begun.is_empty() => return Err(Ending::Closed),
            Ok(0) => break,
            Ok(len) => begun.extend_from_slice(&buffer[..len]),
            Err(error) => return Err(ending(&error)),
        }
    }
    Ok(begun)
}

/// A POST whose body comes one byte a second.
pub(super) async fn slow_body(
    stream: Box<dyn Duplex>,
    asked: &Asked,
    origin: SocketAddr,
    (takes, patience): (Duration, Duration),
) -> Finding {
    let length = usize::try_from(takes.as_secs()).unwrap_or(1).max(1);
    let head = request::post(asked, length, false);
    let (mut from, mut to) = tokio::io::split(stream);
    let start = Instant::now();
    let mut sent = 0_u64;
    let mut first = vec![0; 16 * 1024];
    let send = async {
        to.write_all(&head).await?;
        for _ in 0..length {
            sleep(PAUSE).await;
            to.write_all(b"x").await?;
            to.flush().await?;
            sent += 1;
        }
        Ok::<_, std::io::Error>(())
    };
    let early = tokio::select! {
        early = from.read(&mut first) => Some(early),
        all = send => all.err().map(Err),
    };
    let took = start.elapsed();
    let seen = format!("after {sent} of {length} bytes in {}", span(took));
    match early {
        None => {
            let mut stream: Box<dyn Duplex> = Box::new(from.unsplit(to));
            let answer = read(&mut *stream, "POST", patience).await;
            let bytes = head.len() as u64 + sent;
            let whole = failure(SLOW, Sent { origin, bytes, large_head: None }, &answer);
            whole.unwrap_or_else(|| by_status(SLOW, &answer, &format!("{length} bytes in {}", span(took))))
        }
        Some(Ok(len)) if len > 0 => {
            let mut stream: Box<dyn Duplex> = Box::new(from.unsplit(to));
            let answer = read_on(&mut *stream, "POST", patience, &first[..len]).await;
            let bytes = head.len() as u64 + sent;
            let whole = failure(SLOW, Sent { origin, bytes, large_head: None }, &answer);
            whole.unwrap_or_else(|| by_status(SLOW, &answer, &format!("the origin answered {seen}")))
        }
        Some(_) => {
            let mut e = evidence(origin);
            e.waited = took;
            let advice = advise(Cause::RequestCut, &e);
            Finding::would_be(SLOW, 520, format!("the origin hung up {seen}"), advice).told_as(Cause::RequestCut)
        }
    }
}

/// How long the origin keeps the connection after a whole answer.
pub(super) async fn keep_alive(
    mut stream: Box<dyn Duplex>,
    asked: &Asked,
    origin: SocketAddr,
    (longest, patience): (Duration, Duration),
) -> Finding {
    send(&mut *stream, &request::get(asked), patience).await;
    let answer = read(&mut *stream, "GET", patience).await;
    let is_whole = matches!(answer.response.progress, Progress::Whole);
    if answer.fields().is_some_and(|fields| fields.closes) || answer.response.progress == Progress::UntilClose {
        let seen = "off: the origin closes after each answer and says so, so that no request can meet that close";
        return Finding::ok(IDLE, seen);
    }
    if !is_whole {
        return Finding::unknown(IDLE, "there was no whole answer after which to wait", "see the findings above");
    }
    let start = Instant::now();
    let mut byte = [0];
    let ended = match answer.ending {
        Some(Ending::Enough) => timeout(longest, stream.read(&mut byte)).await,
        _ => Ok(Ok(0)),
    };
    let idle = start.elapsed() + answer.quiet;
    let how = match ended {
        Err(_) if longest < IDLE_TIMEOUT => {
            let (kept, edge) = (longest.as_secs(), IDLE_TIMEOUT.as_secs());
            let seen = format!("open after {kept} s idle, which is as long as was asked; the edge keeps it {edge} s");
            return Finding::ok(IDLE, seen);
        }
        Err(_) => return Finding::ok(IDLE, format!("open after {} s idle, as long as the edge's", longest.as_secs())),
        Ok(Ok(0)) => "closed",
        Ok(Ok(_)) => "the origin sent something unasked",
        Ok(Err(error)) => match ending(&error) {
            Ending::Closed => "closed",
            _ => "reset",
        },
    };
    let mut e = evidence(origin);
    e.idle = Some(idle);
    let advice = advise(Cause::KeepaliveRace, &e);
    let found = Finding::at_risk(IDLE, format!("{how} after {} idle", span(idle)), advice);
    Finding { edge_status: Some(520), ..found }.told_as(Cause::KeepaliveRace)
}

/// An answer that is whole, to a request that many refuse.
fn by_status(name: &'static str, answer: &Answer, sent: &str) -> Finding {
    let status = answer.response.status;
    let seen = status.map_or_else(|| format!("{sent}: answered"), |status| format!("{sent}: status {status}"));
    match status {
        Some(400 | 408 | 413 | 414 | 417 | 431 | 494) => {
            let advice = "visitors who send such a request see this answer, which is no 52x; raise the server's limit \
                          if that is not meant";
            Finding::at_risk(name, seen, advice)
        }
        Some(500..) => Finding::at_risk(name, seen, "the origin's own error: look into its log"),
        _ => Finding::ok(name, seen),
    }
}
