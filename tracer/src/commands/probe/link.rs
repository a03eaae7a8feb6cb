//! One connection to the origin, bounded in time, and the first bytes of either side.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout},
};
use tracer_common::cloudflare::CONNECT_TIMEOUT;

/// Bytes of either side that are kept.
const KEPT: usize = 4096;

/// What one side sent.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) first: Vec<u8>,
    pub(super) len: u64,
}

impl Side {
    fn note(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.first.extend_from_slice(&bytes[..bytes.len().min(KEPT - self.first.len())]);
    }
}

/// What went over a connection first.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) sent: Side,
    pub(super) received: Side,
    /// The origin's FIN came.
    pub(super) closed: bool,
}

/// A connection whose first bytes are kept.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    trace: Arc<Mutex<Trace>>,
}

impl Link {
    /// Shares what is kept with somebody who outlives the connection.
    pub(super) fn trace(&self) -> Arc<Mutex<Trace>> {
        Arc::clone(&self.trace)
    }

    fn note(&self, how: impl FnOnce(&mut Trace)) {
        how(&mut self.trace.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unconnected {
    Refused,
    /// The connection was open, and reset before anything was sent.
    Reset,
    /// By an ICMP message, or this host has no way there.
    Unreachable,
    /// No answer in this time.
    Silent(Duration),
    Other(io::Error),
}

/// Connects, for no longer than the edge tries, and says how long it took.
pub(super) async fn connect(origin: SocketAddr, patience: Duration) -> Result<(Link, Duration), Unconnected> {
    let (start, patience) = (Instant::now(), patience.min(CONNECT_TIMEOUT));
    let stream = match timeout(patience, TcpStream::connect(origin)).await {
        Err(_) => return Err(Unconnected::Silent(patience)),
        Ok(Err(error)) => {
            return Err(match error.kind() {
                io::ErrorKind::ConnectionRefused => Unconnected::Refused,
                io::ErrorKind::ConnectionReset => Unconnected::Reset,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Unconnected::Unreachable,
                io::ErrorKind::TimedOut => Unconnected::Silent(start.elapsed()),
                _ => Unconnected::Other(error),
            });
        }
        Ok(Ok(stream)) => stream,
    };
    // The pieces of a slow body are to go out as they are written.
    stream.set_nodelay(true).map_err(Unconnected::Other)?;
    Ok((Link { stream, trace: Arc::default() }, start.elapsed()))
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, had_room) = (buf.filled().len(), buf.remaining() > 0);
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        let closed = matches!(done, Poll::Ready(Ok(()))) && had_room && new.is_empty();
        self.note(|trace| {
            trace.closed |= closed;
            trace.received.note(new);
        });
        done
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = done {
            self.note(|trace| trace.sent.note(&bytes[..written]));
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
