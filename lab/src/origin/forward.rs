//! The origin as a proxy that reads no requests: passes bytes on, and hangs up as soon as the other server does.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use anyhow::{Context as _, Result};

/// Passes on what comes on the connection to the server on this port, and back, until either side ends.
pub(super) fn pass_on(stream: &TcpStream, port: u16) -> Result<()> {
    // Where the other server refuses, the first bytes are there, and unread.
    stream.peek(&mut [0])?;
    let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
    std::thread::scope(|scope| {
        scope.spawn(|| one_way(&upstream, stream));
        one_way(stream, &upstream);
    });
    Ok(())
}

/// Copies until one of them ends, and then ends both.
fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    let _ended = io::copy(&mut from, &mut to);
    for stream in [from, to] {
        let _gone = stream.shutdown(Shutdown::Both);
    }
}
