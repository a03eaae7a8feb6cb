//! Follows the frames of one side from header to header, over gaps too, and finds them again where they were lost.

use std::time::Duration;

use super::error::{Broken, ConnectionError};
use super::frame::{self, Header};
use super::look::PREFACE;
use super::payload::Frame;
use super::piece::{Gap, Piece};
use super::reader::Reader;
use crate::tls::keys::Side;

/// Pieces in which the next header is looked for, to confirm the one before it.
const MOST_PIECES: usize = 64;
/// Headers in a row that leave no doubt.
const CERTAIN: u32 = 2;

/// Where the text stands.
enum Place {
    /// Nobody knows where a frame begins.
    Lost,
    /// In the preface, behind so many bytes of it.
    Preface(usize),
    /// In a header, of which these bytes came.
    Header(Vec<u8>),
    /// Behind a header.
    Frame(Frame),
    /// Behind an error: nothing that follows counts.
    Broken,
}

struct Follower<'r, 's> {
    side: Side,
    reader: &'r mut Reader<'s>,
    place: Place,
    /// No frame has come, and this is where the first one must be.
    is_first: bool,
    /// Headers that followed one another since the place was last found.
    headers: u32,
}

/// Hands everything that one side sent to its reader.
pub(super) fn follow(side: Side, pieces: &[Piece<'_>], reader: &mut Reader<'_>) {
    let mut follower = Follower { side, reader, place: Place::Lost, is_first: false, headers: 0 };
    for (at, piece) in pieces.iter().enumerate() {
        if at == 0 {
            follower.start(piece);
        } else {
            follower.gap(piece);
        }
        if matches!(follower.place, Place::Broken) {
            break;
        }
        if matches!(follower.place, Place::Lost) && !piece.text.is_empty() {
            let Some(headers) = follower.found(&pieces[at..]) else {
                follower.reader.lose(piece.time);
                continue;
            };
            (follower.place, follower.headers) = (Place::Header(Vec::new()), headers - 1);
        }
        follower.take(piece);
    }
    follower.finish(pieces.last().map_or(Duration::ZERO, |piece| piece.time));
}

impl Follower<'_, '_> {
    /// Whether the first piece is where the connection begins.
    fn start(&mut self, piece: &Piece<'_>) {
        let is_beginning = piece.gap.len() == Some(0)
            || self.side == Side::Edge && piece.gap == Gap::Unknown && piece.text.starts_with(PREFACE);
        if is_beginning {
            self.place = if self.side == Side::Edge { Place::Preface(0) } else { Place::Header(Vec::new()) };
            (self.is_first, self.headers) = (true, CERTAIN);
            self.reader.start();
        } else {
            self.reader.lose(piece.time);
        }
    }

    /// Goes over what lies in front of a piece.
    fn gap(&mut self, piece: &Piece<'_>) {
        match piece.gap.len() {
            Some(0) => {}
            Some(len) if !matches!(self.place, Place::Broken) => self.skip(len, piece.time),
            None if !matches!(self.place, Place::Broken) => self.lose(piece.time),
            _ => {}
        }
    }

    fn skip(&mut self, len: u64, time: Duration) {
        let Place::Frame(frame) = &mut self.place else { return self.lose(time) };
        let Some(len) = u32::try_from(len).ok().filter(|len| *len <= frame.left()) else { return self.lose(time) };
        let before = frame.body();
        frame.skip(len);
        self.came(before, time);
    }

    fn lose(&mut self, time: Duration) {
        if let Place::Frame(frame) = &self.place {
            self.reader.cut(frame, time);
        }
        self.reader.cut_block(time);
        self.reader.lose(time);
        (self.place, self.is_first, self.headers) = (Place::Lost, false, 0);
    }

    /// Whether a frame begins where the first of these pieces does: how many headers in a row say so, its own included.
    fn found(&self, pieces: &[Piece<'_>]) -> Option<u32> {
        let header = Header::read(pieces.first()?.text.first_chunk()?);
        // A header block that begins before this piece can't be read.
        if header.kind == frame::CONTINUATION || !self.reader.is_plausible(&header) {
            return None;
        }
        let mut skipped = Header::SIZE as u64 + u64::from(header.len);
        let mut next = Vec::with_capacity(Header::SIZE);
        for (at, piece) in pieces.iter().take(MOST_PIECES).enumerate() {
            let gap = if at == 0 { Some(0) } else { piece.gap.len() };
            match gap {
                Some(0) => {}
                Some(len) if len <= skipped => skipped -= len,
                _ => break,
            }
            let from = skipped.min(piece.text.len() as u64);
            skipped -= from;
            let rest = piece.text.iter().skip(usize::try_from(from).ok()?);
            next.extend(rest.take(Header::SIZE - next.len()));
        }
        match next.first_chunk() {
            Some(next) => self.reader.is_plausible(&Header::read(next)).then_some(CERTAIN),
            // Where a record begins, one header may do.
            None if pieces.first()?.gap != Gap::Unknown => None,
            None => (skipped == 0 && next.is_empty() || self.reader.knows_streams()).then_some(1),
        }
    }

    fn take(&mut self, piece: &Piece<'_>) {
        let (mut text, time) = (piece.text, piece.time);
        while !text.is_empty() {
            match &mut self.place {
                Place::Lost | Place::Broken => return,
                Place::Preface(came) => {
                    let expected = &PREFACE[*came..];
                    let len = expected.len().min(text.len());
                    if text[..len] != expected[..len] {
                        return self.fail(ConnectionError::NoPreface, time);
                    }
                    *came += len;
                    text = &text[len..];
                    if *came == PREFACE.len() {
                        self.reader.is_http2 = true;
                        self.place = Place::Header(Vec::with_capacity(Header::SIZE));
                    }
                }
                Place::Header(came) => {
                    let (own, rest) = text.split_at((Header::SIZE - came.len()).min(text.len()));
                    came.extend_from_slice(own);
                    text = rest;
                    if let Some(header) = came.first_chunk().map(Header::read) {
                        self.header(header, time);
                    }
                }
                Place::Frame(frame) => {
                    let before = frame.body();
                    text = frame.take(text);
                    self.came(before, time);
                }
            }
        }
    }

    fn header(&mut self, header: Header, time: Duration) {
        if self.is_first && (header.kind != frame::SETTINGS || header.is_ack()) {
            return self.fail(self.beginning(), time);
        }
        if self.headers == CERTAIN - 1 && !self.reader.is_plausible(&header) {
            return self.lose(time);
        }
        if let Err(error) = self.reader.begin(&header, time) {
            let error = if self.is_first { ConnectionError::NoPreface } else { error };
            return self.fail(error, time);
        }
        self.is_first = false;
        self.headers = self.headers.saturating_add(1);
        self.reader.is_http2 |= self.headers >= CERTAIN;
        self.place = Place::Frame(Frame::new(header));
        self.came(Some(0), time);
    }

    /// What the first bytes are, that are no SETTINGS.
    fn beginning(&self) -> ConnectionError {
        match &self.place {
            Place::Header(came) if came.starts_with(b"HTTP/") => ConnectionError::Http1,
            _ => ConnectionError::NoPreface,
        }
    }

    /// More of a frame has come; `before`: how much of its body had come by then.
    fn came(&mut self, before: Option<u64>, time: Duration) {
        let Place::Frame(frame) = &self.place else { return };
        if frame.header.kind == frame::DATA {
            let body = frame.body().map(|body| body.saturating_sub(before.unwrap_or_default()));
            self.reader.data(&frame.header, body, time);
        }
        if frame.left() > 0 {
            return;
        }
        match self.reader.end(frame, time) {
            Ok(()) => self.place = Place::Header(Vec::with_capacity(Header::SIZE)),
            Err(error) => self.fail(error, time),
        }
    }

    /// What came can't be: an error of this side's, or the place was found wrongly.
    fn fail(&mut self, error: ConnectionError, time: Duration) {
        if self.headers < CERTAIN {
            return self.lose(time);
        }
        self.reader.broken = Some(Broken { error, time });
        self.place = Place::Broken;
    }

    /// There is no more text.
    fn finish(&mut self, time: Duration) {
        match &self.place {
            Place::Frame(frame) => self.reader.cut(frame, time),
            Place::Header(came) if self.is_first && came.starts_with(b"HTTP/") => {
                self.fail(ConnectionError::Http1, time);
            }
            _ => self.reader.cut_block(time),
        }
    }
}
