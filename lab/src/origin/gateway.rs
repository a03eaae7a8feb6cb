//! The origin as a gateway: asks another server, on loopback or a unix socket, and answers 502 or 504 where that fails.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::request::Request;
use crate::response::{Progress, progress};

/// How long it waits for the other server.
const PATIENCE: Duration = Duration::from_millis(400);

/// A whole response with this status; `cut`: with half of its body. Whether the connection is kept.
pub(super) fn status(stream: &mut TcpStream, status: u64, cut: bool) -> Result<bool> {
    let body = if cut { "ha" } else { "half" };
    stream.write_all(format!("HTTP/1.1 {status} Status\r\nContent-Length: 4\r\n\r\n{body}").as_bytes())?;
    Ok(!cut)
}

/// Asks the server on `?port=`, or on the unix socket `?unix=` (which waits for `?patience=` milliseconds), for `to=`,
/// the rest of the query, and relays its answer. Whether the connection is kept.
pub(super) fn via(stream: &mut TcpStream, request: &Request) -> Result<bool> {
    let port = u16::try_from(request.number("port").unwrap_or(8080))?;
    let to = request.rest("to=").unwrap_or("/ok");
    let patience = request.number("patience").map_or(PATIENCE, Duration::from_millis);
    let answer = match request.text("unix") {
        Some(path) => ask(
            || {
                let upstream = UnixStream::connect(path)?;
                upstream.set_read_timeout(Some(patience))?;
                Ok(upstream)
            },
            to,
        ),
        None => ask(
            || {
                let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
                upstream.set_read_timeout(Some(patience))?;
                Ok(upstream)
            },
            to,
        ),
    };
    match answer {
        Ok(answer) => {
            stream.write_all(&answer)?;
            Ok(true)
        }
        Err(Fault::Silent) => status(stream, 504, false),
        Err(Fault::Broken) => status(stream, 502, false),
    }
}

enum Fault {
    Silent,
    Broken,
}

fn ask<S: Read + Write>(connect: impl FnOnce() -> std::io::Result<S>, to: &str) -> Result<Vec<u8>, Fault> {
    let exchange = || -> Result<Vec<u8>> {
        let mut upstream = connect().context("connecting")?;
        upstream.write_all(format!("GET {to} HTTP/1.1\r\nHost: upstream\r\n\r\n").as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        while progress(&answer) == Progress::Incomplete {
            let count = upstream.read(&mut buffer)?;
            anyhow::ensure!(count > 0, "the upstream hung up");
            answer.extend_from_slice(&buffer[..count]);
        }
        Ok(answer)
    };
    exchange().map_err(|error| match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Fault::Silent,
        _ => Fault::Broken,
    })
}
