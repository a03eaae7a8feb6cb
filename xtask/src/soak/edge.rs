//! The soak's edge: connections from Cloudflare's addresses that ask as the edge asks, and that say what they saw.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_reuseaddr, set_socket_timeout, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::answer::{self, Answer};
use super::rng::Rng;
use super::tls::{self, Inside};
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, ORIGIN_V4, ORIGIN_V6};

/// The edge's timeouts as tracer is told them.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// How much later than its timeout this edge leaves, so that tracer's clock has surely run out first. An edge that
/// leaves much later has other reasons, where nobody can see that it waits for something.
const GRACE: Duration = Duration::from_millis(80);
/// What follows bytes that are no HTTP is waited for so long.
const AFTER_GARBAGE: Duration = Duration::from_millis(150);
/// Source ports, used in turn so that a 4-tuple does not soon come back.
const PORTS: std::ops::Range<u16> = 10_000..65_000;
const ADDRESSES: [IpAddr; 4] = [EDGE_A, EDGE_B, EDGE_C, EDGE_V6];
/// In each request's query and cookie: tracer must never write it down.
pub(super) const SECRET: &str = "dontwritethisdown";

/// What became of one request, or of one attempt at a connection, as the edge saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A whole answer with this status.
    Whole(u16),
    /// FIN, or RST, with no byte of an answer.
    Empty,
    Reset,
    /// FIN, or RST, in the middle of an answer.
    Cut,
    CutReset,
    /// Bytes that are no HTTP.
    Malformed,
    /// A header section above the limit.
    TooLarge,
    /// No byte until the timeout; part of an answer until the timeout.
    Silent,
    Stalled,
    /// RST to the SYN.
    Refused,
    /// The edge left before an answer was there.
    Left,
}

/// How the edge leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Fin,
    Rst,
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// With Content-Length.
    Sized(usize),
    /// In chunks of at most this many bytes.
    Chunked(usize, usize),
}

/// A request, apart from what all have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What follows the path in place of the secret; for an origin that must know it.
    pub(super) query: Option<u64>,
    /// `1.0` or `1.1`.
    pub(super) version: &'static str,
    /// More header lines, each ended by CRLF.
    pub(super) fields: &'static str,
    pub(super) body: Body,
}

impl Request {
    /// GET without anything special.
    pub(super) const fn get(path: &'static str) -> Self {
        Self { method: "GET", path, query: None, version: "1.1", fields: "", body: Body::None }
    }

    fn bytes(&self, ray: u64) -> Vec<u8> {
        let query = self.query.map_or_else(|| format!("q={SECRET}"), |number| number.to_string());
        let keep = if self.version == "1.0" { "close" } else { "Keep-Alive" };
        let mut bytes = format!(
            "{} {}?{query} HTTP/{}\r\nHost: www.example.com\r\nCF-RAY: {ray:016x}-AMS\r\nCF-Connecting-IP: 203.0.113.9\r\n\
             X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nCDN-Loop: cloudflare; loops=1\r\n\
             Accept-Encoding: gzip\r\nCookie: session={SECRET}\r\nConnection: {keep}\r\n{}",
            self.method, self.path, self.version, self.fields
        )
        .into_bytes();
        match self.body {
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Sized(length) => {
                bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
                bytes.resize(bytes.len() + length, b'b');
            }
            Body::Chunked(length, piece) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for start in (0..length).step_by(piece) {
                    let size = piece.min(length - start);
                    bytes.extend_from_slice(format!("{size:x}\r\n{}\r\n", "c".repeat(size)).as_bytes());
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// The next source port of each address; shared by all threads.
#[derive(Debug)]
pub(super) struct Ports(AtomicU16);

impl Ports {
    /// Begins anywhere in the range.
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(AtomicU16::new(PORTS.start + rng.below(PORTS.len()) as u16))
    }

    fn next(&self) -> u16 {
        let step = |port| Some(if port + 1 < PORTS.end { port + 1 } else { PORTS.start });
        let (Ok(port) | Err(port)) = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        port
    }
}

/// One of the edge's addresses.
pub(super) fn any_address(rng: &mut Rng) -> IpAddr {
    *rng.pick(&ADDRESSES)
}

/// Where an address of that family finds the origin.
pub(super) fn origin_for(from: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(if from.is_ipv6() { ORIGIN_V6 } else { ORIGIN_V4 }, port)
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Conn {
    stream: TcpStream,
    /// Inside TLS.
    inside: Option<Inside>,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    unread: Vec<u8>,
    bodyless: bool,
    /// The origin said that it will close, or has.
    pub(super) closes: bool,
}

impl Conn {
    /// Connects from the namespace of the calling thread. `Err` in the inner result: refused, from this address.
    pub(super) fn open(ports: &Ports, from: IpAddr, port: u16) -> Result<Result<Self, SocketAddr>> {
        let to = origin_for(from, port);
        let family = if from.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        for _ in PORTS {
            let from = SocketAddr::new(from, ports.next());
            let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            set_socket_reuseaddr(&socket, true)?;
            set_tcp_nodelay(&socket, true)?;
            set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT + GRACE))?;
            match bind(&socket, &from).and_then(|()| retry_on_intr(|| connect(&socket, &to))) {
                Ok(()) => {
                    let stream = TcpStream::from(socket);
                    return Ok(Ok(Self {
                        stream,
                        inside: None,
                        from,
                        to,
                        unread: Vec::new(),
                        bodyless: false,
                        closes: false,
                    }));
                }
                Err(Errno::CONNREFUSED) => return Ok(Err(from)),
                // The port's last connection is not quite over: the next one.
                Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {}
                Err(error) => return Err(error).with_context(|| format!("connecting from {from} to {to}")),
            }
        }
        bail!("no free source port")
    }

    /// Shakes hands: from here on all of it is inside TLS.
    pub(super) fn shake(&mut self, edge: &tls::Edge, rng: &mut Rng) -> Result<()> {
        self.stream.set_read_timeout(Some(TIMEOUT))?;
        self.inside = Some(edge.shake(rng, &mut self.stream)?);
        Ok(())
    }

    /// Sends a request. A connection that the origin has reset is for [`Conn::answer`] to tell.
    pub(super) fn send(&mut self, request: &Request, ray: u64) -> Result<()> {
        self.bodyless = request.method == "HEAD";
        self.send_raw(&request.bytes(ray))
    }

    /// Sends bytes as they are.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = match &mut self.inside {
            Some(inside) => inside.write_all(&mut self.stream, bytes),
            None => self.stream.write_all(bytes),
        };
        match sent {
            Err(error) if !is_reset(&error) && !is_timeout(&error) => Err(error).context("sending a request"),
            _ => Ok(()),
        }
    }

    /// Reads the answer to what was sent last.
    pub(super) fn answer(&mut self) -> Result<Seen> {
        let mut buffer = [0; 65536];
        loop {
            let so_far = if self.unread.is_empty() { Answer::More } else { answer::read(&self.unread, self.bodyless) };
            match so_far {
                Answer::Whole { status, length, closes } => {
                    self.unread.drain(..length);
                    self.closes = closes;
                    return Ok(Seen::Whole(status));
                }
                Answer::Malformed => return self.drain().map(|()| Seen::Malformed),
                Answer::TooLarge => return Ok(Seen::TooLarge),
                Answer::More | Answer::UntilClose { .. } => {}
            }
            self.stream.set_read_timeout(Some(TIMEOUT + GRACE))?;
            let none = self.unread.is_empty();
            match (self.read(&mut buffer), so_far) {
                (Ok(0), Answer::UntilClose { status }) => {
                    self.closes = true;
                    return Ok(Seen::Whole(status));
                }
                (Ok(0), _) => return Ok(if none { Seen::Empty } else { Seen::Cut }),
                (Ok(count), _) => self.unread.extend_from_slice(&buffer[..count]),
                (Err(error), _) if is_reset(&error) => return Ok(if none { Seen::Reset } else { Seen::CutReset }),
                (Err(error), _) if is_timeout(&error) => return Ok(if none { Seen::Silent } else { Seen::Stalled }),
                (Err(error), _) => return Err(error).context("reading an answer"),
            }
        }
    }

    /// Reads on for a moment, to the end if it comes.
    fn drain(&mut self) -> Result<()> {
        self.stream.set_read_timeout(Some(AFTER_GARBAGE))?;
        while self.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inside {
            Some(inside) => inside.read(&mut self.stream, buffer),
            None => self.stream.read(buffer),
        }
    }

    /// Waits for bytes, and leaves them to be read. Inside TLS there may be some that are no answer's.
    fn peek(&mut self, limit: Duration) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(limit))?;
        if self.inside.is_none() {
            return self.stream.peek(&mut [0]);
        }
        let mut buffer = [0; 4096];
        let count = self.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..count]);
        // What ends the inside comes a moment before the end of the connection.
        if count == 0 { self.stream.peek(&mut [0]) } else { Ok(count) }
    }

    /// Waits until the origin has left the idle connection; `false`: it has not.
    pub(super) fn wait_left(&mut self, limit: Duration) -> Result<bool> {
        match self.peek(limit) {
            Ok(0) => Ok(true),
            Ok(_) => bail!("bytes on a connection that should be idle"),
            Err(error) if is_reset(&error) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error).context("waiting for the origin to leave"),
        }
    }

    /// Waits for an answer's first byte.
    pub(super) fn wait_first_byte(&mut self, limit: Duration) -> Result<()> {
        self.peek(limit).map(|_| ()).context("waiting for an answer's first byte")
    }

    /// Ends the edge's direction; the answer can still be read.
    pub(super) fn half_close(&self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("half-closing")
    }

    /// Leaves.
    pub(super) fn leave(mut self, how: Leave) -> Result<()> {
        if let (Leave::Fin, Some(inside)) = (how, &mut self.inside) {
            inside.close(&mut self.stream);
        }
        if how == Leave::Rst {
            set_socket_linger(self.stream.as_fd(), Some(Duration::ZERO)).context("setting SO_LINGER 0")?;
        }
        Ok(())
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
