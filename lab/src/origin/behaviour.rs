//! What the origin does with a request, by its path. `?sent=1` sends half a response first; `?after=MS` waits before
//! it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::request::Request;
use super::supervisor::STUCK;
use super::{fault, gateway};
use crate::wait;

/// The body of a good answer, and twice the length that a cut one sends.
const BODY: [u8; 2000] = [b'x'; 2000];

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
    Abort,
}

fn after(kept: bool) -> After {
    if kept { After::KeepAlive } else { After::Close }
}

/// Answers one request, or fails as its path says.
pub(super) fn answer(stream: &mut TcpStream, request: &Request) -> Result<After> {
    if !matches!(request.path.as_str(), "/unread" | "/ignore") {
        let mut body = vec![0; request.content_length];
        stream.read_exact(&mut body).context("reading a request body")?;
    }
    eprintln!("{}", super::asked_for(&request.path));
    if request.number("sent").is_some() {
        half(stream)?;
    }
    if let Some(ms) = request.number("after") {
        std::thread::sleep(Duration::from_millis(ms));
    }
    match request.path.as_str() {
        "/ok" => ok(stream),
        "/slow" => {
            std::thread::sleep(Duration::from_millis(request.number("ms").unwrap_or(1000)));
            ok(stream)
        }
        "/status" => {
            let (status, cut) = (request.number("code").unwrap_or(500), request.number("cut").is_some());
            gateway::status(stream, status, cut).map(after)
        }
        "/via" => gateway::via(stream, request).map(after),
        "/short" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            Ok(After::KeepAlive)
        }
        "/head" => {
            head(stream)?;
            Ok(After::KeepAlive)
        }
        "/large" => large(stream, request.number("bytes").unwrap_or(1_000_000)),
        "/hints" => hints(stream, request),
        "/rows" => rows(stream, request),
        "/held" => held(stream, request),
        "/headers" => headers(stream, request.number("bytes").unwrap_or(1000)),
        "/rubbish" => {
            stream.write_all(b"<html>no status line</html>\n")?;
            Ok(if request.number("keep").is_some() { After::KeepAlive } else { After::Close })
        }
        "/cut" => {
            half(stream)?;
            Ok(After::Close)
        }
        "/cut-head" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: te")?;
            Ok(After::Close)
        }
        "/cut-reset" => {
            half(stream)?;
            // An abort throws away what the peer has not got yet.
            std::thread::sleep(Duration::from_millis(50));
            Ok(After::Abort)
        }
        "/empty" => Ok(After::Close),
        "/shutdown" => {
            // The FIN goes out here; the descriptor is closed only when the peer has left.
            stream.shutdown(Shutdown::Write)?;
            let _ = stream.read(&mut [0]);
            Ok(After::Close)
        }
        "/linger" => Ok(After::Abort),
        "/unread" => unread(stream),
        "/partial" => {
            half(stream)?;
            hang()
        }
        // The one has read its request, and the other only its head.
        "/hang" | "/ignore" => hang(),
        "/stuck" => {
            println!("{STUCK}");
            hang()
        }
        "/exit" => fault::exit(request.number("code").unwrap_or(1)),
        "/abort" => fault::abort(),
        "/segv" => fault::segv(),
        "/segv-exit" => fault::segv_exits(),
        "/segv-survived" => {
            fault::segv_survived()?;
            std::thread::sleep(Duration::from_millis(request.number("ms").unwrap_or(100)));
            fault::exit(request.number("code").unwrap_or(1))
        }
        "/self-kill" => fault::self_kill(),
        "/oom" => fault::eat_memory(),
        other => bail!("no behaviour {other}"),
    }
}

fn head(stream: &mut TcpStream) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", BODY.len());
    Ok(stream.write_all(head.as_bytes())?)
}

fn ok(stream: &mut TcpStream) -> Result<After> {
    head(stream)?;
    stream.write_all(&BODY)?;
    Ok(After::KeepAlive)
}

/// A whole response with a body of so many bytes.
fn large(stream: &mut TcpStream, bytes: u64) -> Result<After> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes())?;
    stream.write_all(&vec![b'x'; usize::try_from(bytes)?])?;
    Ok(After::KeepAlive)
}

fn half(stream: &mut TcpStream) -> Result<()> {
    head(stream)?;
    Ok(stream.write_all(&BODY[..BODY.len() / 2])?)
}

/// Several interim responses and what comes of the final one (`?then=`: nothing, half of its section or of its body, or
/// all), in one packet.
fn hints(stream: &mut TcpStream, request: &Request) -> Result<After> {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let (rest, after) = match request.number("then") {
        Some(0) => ("", After::Close),
        Some(1) => ("HTTP/1.1 200 OK\r\nContent-Le", After::Close),
        Some(2) => ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", After::Close),
        Some(4) => ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", After::Close),
        _ => ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", After::KeepAlive),
    };
    let hints = format!("HTTP/1.1 100 Continue\r\n\r\n{}", hint.repeat(3));
    stream.write_all((hints + rest).as_bytes())?;
    Ok(after)
}

/// A chunked response, each of whose `?rows=` chunks of a hundred bytes ends with what ends the last one, in packets of
/// `?each=` chunks. Behind them (`?then=`) nothing, another status line, or the last chunk with a trailer (then the
/// connection is closed, too); else the last chunk alone.
fn rows(stream: &mut TcpStream, request: &Request) -> Result<After> {
    let chunk = format!("64\r\n{}\r\n0\r\n\r\n", "x".repeat(100 - 5));
    let rows = usize::try_from(request.number("rows").unwrap_or(1))?;
    let each = usize::try_from(request.number("each").unwrap_or(1))?.max(1);
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for first in (0..rows).step_by(each) {
        stream.write_all(chunk.repeat(each.min(rows - first)).as_bytes())?;
    }
    let (end, after) = match request.number("then") {
        Some(0) => ("", After::Close),
        Some(1) => ("HTTP/1.1 500 Internal Server Error\r\n\r\n", After::Close),
        Some(2) => ("0\r\nServer-Timing: db;dur=5\r\n\r\n", After::Close),
        _ => ("0\r\n\r\n", After::KeepAlive),
    };
    stream.write_all(end.as_bytes())?;
    let keeps = request.number("keep").is_some();
    Ok(if keeps { After::KeepAlive } else { after })
}

/// A response whose second part the kernel holds back until the close: whole (`?then=0`, `1`), or cut (`2` to `4`), or
/// with a line that is no field (`5`); or the connection is reset, and the second part goes with it (`6`).
fn held(stream: &mut TcpStream, request: &Request) -> Result<After> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    const STATUS: &str = "HTTP/1.1 200 OK\r\n";
    let (first, second, after) = match request.number("then") {
        Some(1) => (CHUNKED, "0\r\n\r\n", After::Close),
        Some(2) => (CHUNKED, "2\r\nok\r\n", After::Close),
        Some(3) => (STATUS, "Content-Le", After::Close),
        Some(4) => (STATUS, "Content-Length: 4\r\n\r\nok", After::Close),
        Some(5) => (STATUS, "Content-Length 2\r\n\r\nok", After::Close),
        Some(6) => ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", "ok", After::Abort),
        _ => (STATUS, "Content-Length: 2\r\n\r\nok", After::Close),
    };
    stream.write_all(first.as_bytes())?;
    rustix::net::sockopt::set_tcp_cork(&*stream, true)?;
    stream.write_all(second.as_bytes())?;
    if after == After::Abort {
        // Also what the peer has not got yet would be thrown away.
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(after)
}

/// A whole response whose header section has exactly so many bytes.
fn headers(stream: &mut TcpStream, bytes: u64) -> Result<After> {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Filler: ";
    let filler = "f".repeat(usize::try_from(bytes)?.saturating_sub(start.len() + 4));
    stream.write_all(format!("{start}{filler}\r\n\r\nok").as_bytes())?;
    Ok(After::KeepAlive)
}

/// Closes once bytes of the request's body lie unread in the socket, which makes the kernel send RST.
fn unread(stream: &TcpStream) -> Result<After> {
    wait::until_true("unread bytes", Duration::from_secs(2), || {
        rustix::io::ioctl_fionread(stream).is_ok_and(|bytes| bytes > 0)
    })?;
    Ok(After::Close)
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}
