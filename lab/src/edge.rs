//! The edge's side of a connection: speaks HTTP/1.1 as Cloudflare would, and says what it saw.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{
    Timeout, set_socket_linger, set_socket_send_buffer_size, set_socket_timeout, set_tcp_nodelay,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::addresses::{ORIGIN_V4, ORIGIN_V6};
use super::netns::Namespace;
use super::response::{Progress, progress};

/// How long the edge waits for a connection or an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An origin that takes no byte for so long takes none at all.
const FULL: Duration = Duration::from_millis(300);

/// What became of one request, or of one attempt at a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole response with this status.
    Complete(u16),
    /// FIN without a response byte.
    Empty,
    /// RST without a response byte.
    Reset,
    /// FIN in the middle of a response.
    Partial,
    /// RST in the middle of a response.
    PartialReset,
    /// RST to the SYN.
    Refused,
    /// No answer in time: to the SYN, or to the request.
    Timeout,
}

/// How the origin left a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Fin,
    /// RST.
    Reset,
    /// Not yet.
    Open,
}

/// One request as the edge saw it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The outcome.
    pub seen: Seen,
    /// Its CF-Ray.
    pub ray: String,
    /// The edge's address and port.
    pub from: SocketAddr,
    /// The origin's address and port.
    pub to: SocketAddr,
}

/// An open connection of the edge.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    from: SocketAddr,
    to: SocketAddr,
    ray: String,
    unread: Vec<u8>,
    /// A write learned of the origin's RST; the kernel tells each error once.
    was_reset: bool,
}

impl Conn {
    /// Connects from `from` to the origin's address of the same family. The inner error is what the edge saw instead.
    pub(crate) fn open(namespace: &Namespace, from: IpAddr, port: u16) -> Result<Result<Self, Exchange>> {
        let to = SocketAddr::new(if from.is_ipv6() { ORIGIN_V6 } else { ORIGIN_V4 }, port);
        let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = namespace.inside(|| socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None))??;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        set_tcp_nodelay(&socket, true)?;
        bind(&socket, &SocketAddr::new(from, 0)).with_context(|| format!("binding to {from}"))?;
        let stream = TcpStream::from(socket);
        let from = stream.local_addr()?;
        let seen = match retry_on_intr(|| connect(&stream, &to)) {
            Ok(()) => return Ok(Ok(Self { stream, from, to, ray: new_ray(), unread: Vec::new(), was_reset: false })),
            Err(Errno::CONNREFUSED) => Seen::Refused,
            Err(Errno::CONNRESET) => Seen::Reset,
            // With a send timeout an unanswered SYN ends as EINPROGRESS, or, after a signal, as EALREADY.
            Err(Errno::INPROGRESS | Errno::ALREADY | Errno::AGAIN | Errno::TIMEDOUT) => Seen::Timeout,
            Err(error) => return Err(error).with_context(|| format!("connecting from {from} to {to}")),
        };
        Ok(Err(Exchange { seen, ray: new_ray(), from, to }))
    }

    /// The origin's address and port.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// The request that was sent last, seen so.
    #[must_use]
    pub fn exchange(&self, seen: Seen) -> Exchange {
        Exchange { seen, ray: self.ray.clone(), from: self.from, to: self.to }
    }

    /// The edge's address and port.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// One GET, and its answer.
    pub fn request(&mut self, path: &str) -> Result<Exchange> {
        self.send(path)?;
        self.answer()
    }

    /// Sends a GET without reading the answer.
    pub fn send(&mut self, path: &str) -> Result<()> {
        self.send_with("GET", path, "", b"")
    }

    /// Sends a request with more header lines (each ended by CRLF) and a body, or the part of one that `body` is.
    pub fn send_with(&mut self, method: &str, path: &str, more: &str, body: &[u8]) -> Result<()> {
        self.ray = new_ray();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: www.example.com\r\nCF-RAY: {}\r\nCF-Connecting-IP: 203.0.113.9\r\n\
             X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nCDN-Loop: cloudflare; loops=1\r\n\
             Accept-Encoding: gzip\r\nConnection: Keep-Alive\r\n{more}\r\n",
            self.ray
        );
        self.send_raw(&[head.as_bytes(), body].concat())
    }

    /// Sends bytes as they are. A connection that the origin has reset is for [`Conn::answer`] to tell.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if !is_reset(&error) => Err(error).context("sending a request"),
            done => {
                self.was_reset |= done.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
                Ok(())
            }
        }
    }

    /// Sends bytes until the origin has taken none for a while. `false`: it took them all.
    pub fn fill(&mut self, count: usize) -> Result<bool> {
        self.stream.set_write_timeout(Some(FULL))?;
        match self.stream.write_all(&vec![b'f'; count]) {
            Ok(()) => Ok(false),
            Err(error) if is_timeout(&error) => Ok(true),
            Err(error) => Err(error).context("filling a connection"),
        }
    }

    /// Sends bytes until its kernel, whose send buffer is small, has asked for no more for `patience`.
    pub fn write_until_stuck(&mut self, patience: Duration) -> Result<()> {
        const SEND_BUFFER: usize = 8 << 10;
        const PIECE: [u8; 3000] = [b'f'; 3000];
        set_socket_send_buffer_size(self.stream.as_fd(), SEND_BUFFER)?;
        self.stream.set_nonblocking(true)?;
        loop {
            match self.stream.write(&PIECE) {
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    let mut room = [PollFd::new(&self.stream, PollFlags::OUT)];
                    let patience = patience.try_into().context("a long time")?;
                    if retry_on_intr(|| poll(&mut room, Some(&patience)))? == 0 {
                        return self.stream.set_nonblocking(false).context("filling a connection");
                    }
                }
                Err(error) => return Err(error).context("filling a connection"),
            }
        }
    }

    /// The connection itself, for a protocol above it; reading ends after the edge's patience.
    pub fn stream(&mut self) -> Result<&mut TcpStream> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        Ok(&mut self.stream)
    }

    /// Reads the answer to what was sent last.
    pub fn answer(&mut self) -> Result<Exchange> {
        let seen = self.read(Instant::now() + PATIENCE)?;
        Ok(self.exchange(seen))
    }

    fn read(&mut self, deadline: Instant) -> Result<Seen> {
        let mut buffer = [0; 65536];
        loop {
            let so_far = progress(&self.unread);
            if let Progress::Complete { status, length } = so_far {
                self.unread.drain(..length);
                return Ok(Seen::Complete(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Seen::Timeout);
            }
            self.stream.set_read_timeout(Some(left))?;
            let nothing = self.unread.is_empty();
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    return Ok(match so_far {
                        _ if self.was_reset => {
                            if nothing {
                                Seen::Reset
                            } else {
                                Seen::PartialReset
                            }
                        }
                        Progress::UntilClose { status } => Seen::Complete(status),
                        _ if nothing => Seen::Empty,
                        _ => Seen::Partial,
                    });
                }
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if is_reset(&error) => {
                    return Ok(if nothing { Seen::Reset } else { Seen::PartialReset });
                }
                Err(error) if is_timeout(&error) => return Ok(Seen::Timeout),
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
    }

    /// Waits until the answer's first byte is here, without reading it.
    pub fn wait_first_byte(&self) -> Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let count = self.stream.peek(&mut [0]).context("waiting for an answer's first byte")?;
        anyhow::ensure!(count > 0, "the origin closed instead of answering");
        Ok(())
    }

    /// Waits until the origin leaves the idle connection. Reads nothing.
    pub fn wait_end(&self, limit: Duration) -> Result<End> {
        self.stream.set_read_timeout(Some(limit))?;
        match self.stream.peek(&mut [0]) {
            Ok(0) => Ok(End::Fin),
            Ok(_) => anyhow::bail!("bytes on a connection that should be idle"),
            Err(error) if is_reset(&error) => Ok(End::Reset),
            Err(error) if is_timeout(&error) => Ok(End::Open),
            Err(error) => Err(error).context("waiting for the origin to leave"),
        }
    }

    /// Ends the edge's direction (FIN); the answer can still be read.
    pub fn half_close(&self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("half-closing")
    }

    /// Leaves with RST.
    pub fn abort(self) -> Result<()> {
        set_socket_linger(self.stream.as_fd(), Some(Duration::ZERO)).context("setting SO_LINGER 0")
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A ray that no other request has: 16 hex digits and a data centre.
fn new_ray() -> String {
    // The keys of a new hasher are random, which is all that is needed here.
    format!("{:016x}-AMS", RandomState::new().build_hasher().finish() | 8 << 60)
}
