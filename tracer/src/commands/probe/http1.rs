//! One exchange in HTTP/1.1, by hand: what the verdicts' own parser makes of the answer, and how the connection ended.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout, timeout_at},
};

use crate::http::{Fields, Progress, Response, Seen};

/// Bytes of an answer that are kept, and at which reading ends.
const KEPT: usize = 1 << 20;
const READ: u64 = 2 << 20;
/// What comes together is parsed together: an answer in single bytes costs one parse in this time.
const TOGETHER: Duration = Duration::from_millis(20);

/// A stream that bytes go over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// How reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer is whole, or what came can't become one; the connection is open.
    Enough,
    /// FIN, or `close_notify`.
    Closed,
    /// RST.
    Reset,
    /// No further byte came in time.
    Silent,
    /// TLS broke off.
    Broken(String),
}

/// An answer, as far as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Its first bytes.
    pub(super) kept: Vec<u8>,
    pub(super) len: u64,
    tail: Vec<u8>,
    pub(super) response: Response,
    pub(super) ending: Option<Ending>,
    /// From the end of the request to the first byte, or to the end without one; and from the last byte to the end.
    pub(super) waited: Duration,
    pub(super) quiet: Duration,
}

impl Answer {
    /// None, since the connection ended so after that time.
    pub(super) fn none(ending: Ending, waited: Duration) -> Self {
        let response = Response { progress: Progress::Nothing, ..Response::default() };
        Self { response, ending: Some(ending), waited, ..Self::default() }
    }

    /// The field lines of a header section that is whole.
    pub(super) fn fields(&self) -> Option<Fields> {
        Fields::read(&self.kept)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.kept.extend_from_slice(&bytes[..bytes.len().min(KEPT - self.kept.len())]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(8)..]);
        self.tail.drain(..self.tail.len().saturating_sub(8));
    }

    fn parse(&mut self, method: &str) {
        let seen = Seen { head: &self.kept, tail: &self.tail, len: self.len, sent: self.len, ..Seen::default() };
        self.response = Response::read(Some(method), &seen);
    }

    /// Whether no further byte would change what is known.
    fn is_enough(&self) -> bool {
        let is_read = self.len > 0 && self.response == Response::default();
        is_read || matches!(self.response.progress, Progress::Whole | Progress::Upgraded | Progress::Malformed)
    }
}

/// Sends all of `bytes`; an error shows in what is read after it.
pub(super) async fn send(stream: &mut dyn Duplex, bytes: &[u8], patience: Duration) {
    let all = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    let _shows_in_the_answer = timeout(patience, all).await;
}

/// Reads an answer to `method`, as long as each next byte comes within `patience`, and ten times that in all at most.
pub(super) async fn read(stream: &mut dyn Duplex, method: &str, patience: Duration) -> Answer {
    read_on(stream, method, patience, &[]).await
}

/// The same where these bytes of it have come already.
pub(super) async fn read_on(stream: &mut dyn Duplex, method: &str, patience: Duration, begun: &[u8]) -> Answer {
    let start = Instant::now();
    let (mut answer, mut buffer, mut last) = (Answer::default(), vec![0; 16 * 1024], start);
    answer.add(begun);
    let mut is_new = !begun.is_empty();
    let ending = loop {
        let (next, all) = (last + patience, start + patience * 10);
        let end = next.min(all);
        let wake = if is_new { end.min(Instant::now() + TOGETHER) } else { end };
        match timeout_at(wake, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break Ending::Closed,
            Ok(Ok(len)) => {
                last = Instant::now();
                if answer.len == 0 {
                    answer.waited = start.elapsed();
                }
                answer.add(&buffer[..len]);
                is_new = true;
                if answer.len >= READ {
                    break Ending::Enough;
                }
            }
            Ok(Err(error)) => break ending(&error),
            Err(_) if is_new && Instant::now() < end => {
                is_new = false;
                answer.parse(method);
                if answer.is_enough() {
                    break Ending::Enough;
                }
            }
            Err(_) if all < next => break Ending::Enough,
            Err(_) => break Ending::Silent,
        }
    };
    answer.parse(method);
    if answer.len == 0 {
        answer.waited = start.elapsed();
    }
    answer.quiet = last.elapsed();
    answer.ending = Some(ending);
    answer
}

pub(super) fn ending(error: &io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ending::Reset,
        // A FIN without `close_notify` before it.
        io::ErrorKind::UnexpectedEof => Ending::Closed,
        _ => Ending::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pieces: &'static [&'static [u8]]) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut here, mut there) = tokio::io::duplex(64);
            let origin = async move {
                for piece in pieces {
                    there.write_all(piece).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            };
            tokio::join!(read(&mut here, "GET", Duration::from_millis(500)), origin).0
        })
    }

    #[test]
    fn an_answer_in_pieces_is_read_to_its_end_and_no_further() {
        let read = answer(&[b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\no", b"k"]);
        assert_eq!((read.response.progress, read.ending.clone()), (Progress::Whole, Some(Ending::Enough)));
        assert_eq!(read.fields().unwrap().sizes[0], ("content-length".to_owned(), 19));
        let cut = answer(&[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"]);
        assert_eq!((cut.response.progress, cut.ending), (Progress::InBody, Some(Ending::Closed)));
        let none = answer(&[]);
        assert_eq!((none.response.progress, none.ending), (Progress::Nothing, Some(Ending::Closed)));
    }
}
