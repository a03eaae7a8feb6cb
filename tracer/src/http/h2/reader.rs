//! Makes of the frames of one side what they say about the connection and its streams.

use std::time::Duration;

use zeroize::Zeroizing;

use super::error::{Broken, ConnectionError};
use super::frame::{self, Header};
use super::head::Head;
use super::hpack::Decoder;
use super::payload::{Frame, append};
use super::settings::Settings;
use super::stream::Reset;
use super::streams::Streams;
use crate::tls::keys::Side;

/// How far above the highest known stream another one may be where some were not seen.
const STREAMS_UNSEEN: u32 = 10_000;

/// A GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The highest stream that its sender may have acted on.
    pub last: u32,
    pub code: u32,
    /// Since the connection opened.
    pub time: Duration,
}

/// What one side allows the other, where all that it sent is known.
#[derive(Clone, Copy)]
pub(super) struct Allows {
    settings: Settings,
    /// The highest stream that it opened.
    highest: u32,
}

/// A header block of which parts have come.
struct Block {
    stream: u32,
    ends_stream: bool,
    is_promise: bool,
    bytes: Zeroizing<Vec<u8>>,
    len: u64,
    is_kept: bool,
}

/// Reads the frames of one side.
pub(super) struct Reader<'s> {
    side: Side,
    pub(super) streams: &'s mut Streams,
    hpack: Decoder,
    peer: Option<Allows>,
    block: Option<Block>,
    /// Every frame since the beginning of the connection was seen.
    is_whole: bool,
    /// Of the origin: the highest stream that it promised.
    promised: u32,
    settings: Settings,
    pub(super) goaway: Option<GoAway>,
    pub(super) broken: Option<Broken>,
    /// Frames were followed long enough that they can be nothing else.
    pub(super) is_http2: bool,
}

impl<'s> Reader<'s> {
    /// `peer`: what the other side allows, if known.
    pub(super) fn new(side: Side, streams: &'s mut Streams, peer: Option<Allows>) -> Self {
        Self {
            side,
            streams,
            hpack: Decoder::new(false, None),
            peer,
            block: None,
            is_whole: false,
            promised: 0,
            settings: Settings::default(),
            goaway: None,
            broken: None,
            is_http2: false,
        }
    }

    /// What follows is the beginning of the connection.
    pub(super) fn start(&mut self) {
        self.hpack = Decoder::new(true, self.peer.map(|peer| peer.settings.max_table));
        self.is_whole = true;
    }

    /// What this side allows, where all that it sent is known.
    pub(super) fn allows(&self) -> Option<Allows> {
        let is_known = self.is_whole && self.broken.is_none();
        is_known.then_some(Allows { settings: self.settings, highest: self.streams.highest })
    }

    /// Frames that were sent at this time are not known.
    pub(super) fn lose(&mut self, time: Duration) {
        self.hpack.forget();
        self.block = None;
        self.is_whole = false;
        for stream in self.streams.kept.values_mut() {
            match self.side {
                Side::Edge => stream.is_edge_known = false,
                Side::Origin => stream.lose(time),
            }
        }
    }

    /// Whether frames may go on with this one, behind a gap.
    pub(super) fn is_plausible(&self, header: &Header) -> bool {
        let highest = self.streams.highest;
        let most = match self.peer {
            Some(peer) => peer.highest,
            None if highest == 0 => u32::MAX,
            None => highest.saturating_add(STREAMS_UNSEEN),
        };
        header.look() > 0 && header.stream <= most
    }

    /// Whether streams are known, so that a number of one proves something.
    pub(super) const fn knows_streams(&self) -> bool {
        self.streams.highest != 0
    }

    /// The header of a frame has come.
    pub(super) fn begin(&mut self, header: &Header, time: Duration) -> Result<(), ConnectionError> {
        header.check()?;
        if self.peer.is_some_and(|peer| header.len > peer.settings.max_len) {
            return Err(ConnectionError::FrameSize);
        }
        let continues = self.block.as_ref().map(|block| block.stream);
        if (header.kind == frame::CONTINUATION).then_some(header.stream) != continues {
            return Err(ConnectionError::Continuation);
        }
        match self.side {
            Side::Edge if header.kind == frame::HEADERS && header.stream % 2 == 1 => {
                self.streams.open(header.stream, time);
            }
            Side::Edge => {}
            Side::Origin => {
                self.check_stream(header)?;
                let is_part = matches!(header.kind, frame::DATA | frame::HEADERS | frame::CONTINUATION);
                if let Some(stream) = is_part.then(|| self.streams.answered(header.stream)).flatten() {
                    stream.begins(header.kind == frame::DATA, time);
                }
            }
        }
        Ok(())
    }

    /// Whether the origin may send this frame on its stream.
    fn check_stream(&self, header: &Header) -> Result<(), ConnectionError> {
        let forbids_push = self.peer.is_some_and(|peer| !peer.settings.push);
        match header.kind {
            frame::PUSH_PROMISE if forbids_push => return Err(ConnectionError::Push),
            frame::DATA | frame::HEADERS | frame::CONTINUATION | frame::RST_STREAM => {}
            _ => return Ok(()),
        }
        let is_wrong = if header.stream.is_multiple_of(2) {
            forbids_push || self.is_whole && header.stream > self.promised
        } else {
            self.peer.is_some_and(|peer| header.stream > peer.highest)
        };
        if is_wrong { Err(ConnectionError::StreamId) } else { Ok(()) }
    }

    /// More of a DATA frame has come: so many bytes of the body; `None`: how many is not known.
    pub(super) fn data(&mut self, header: &Header, body: Option<u64>, time: Duration) {
        if self.side == Side::Edge {
            return;
        }
        if let Some(stream) = self.streams.answered(header.stream) {
            stream.data(body.unwrap_or_default(), body.is_some(), time);
        }
    }

    /// All of a frame has come.
    pub(super) fn end(&mut self, frame: &Frame, time: Duration) -> Result<(), ConnectionError> {
        frame.check_padding()?;
        match frame.header.kind {
            frame::DATA if frame.header.ends_stream() => {
                let stream = if self.side == Side::Origin { self.streams.answered(frame.header.stream) } else { None };
                if let Some(stream) = stream {
                    stream.response.ends_apart = frame.header.len == 0;
                }
                self.end_stream(frame.header.stream, time);
            }
            frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION => {
                self.fragment(frame);
                if frame.header.ends_headers() {
                    return self.end_block(time);
                }
            }
            frame::RST_STREAM => self.reset(frame, time),
            frame::SETTINGS if frame.is_kept() => return self.settings.set(frame.kept()),
            frame::SETTINGS => self.is_whole = false,
            frame::GOAWAY => self.go_away(frame.kept(), time),
            _ => {}
        }
        Ok(())
    }

    /// No more of a frame is known.
    pub(super) fn cut(&mut self, frame: &Frame, time: Duration) {
        if matches!(frame.header.kind, frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION) {
            self.fragment(frame);
            if let Some(block) = &mut self.block {
                block.is_kept = false;
            }
        }
        self.cut_block(time);
    }

    /// No more of a header block is known, if one has begun: its first fields still count.
    pub(super) fn cut_block(&mut self, time: Duration) {
        let Some(block) = self.block.take() else { return };
        let mut head = Head::default();
        // A block that is cut is never invalid where it ends; anything else may be a gap's fault.
        let read = self.hpack.decode(&block.bytes, false, |name, value| head.field(name, value));
        self.hpack.forget();
        if read.is_ok() {
            head.cut();
            self.head(&block, head, false, time);
        }
    }

    fn fragment(&mut self, frame: &Frame) {
        let header = &frame.header;
        if header.kind == frame::PUSH_PROMISE {
            let promised = frame.kept().get(usize::from(header.is_padded())..).and_then(<[u8]>::first_chunk);
            let promised = promised.map_or(u32::MAX, |number| u32::from_be_bytes(*number) & 0x7fff_ffff);
            self.promised = self.promised.max(promised);
        }
        if header.kind != frame::CONTINUATION {
            self.block = Some(Block {
                stream: header.stream,
                ends_stream: header.ends_stream(),
                is_promise: header.kind == frame::PUSH_PROMISE,
                bytes: Zeroizing::new(Vec::new()),
                len: 0,
                is_kept: true,
            });
        }
        let Some(block) = &mut self.block else { return };
        if block.is_kept {
            append(&mut block.bytes, frame.fragment());
        }
        block.len += frame.fragment_len();
        block.is_kept &= frame.is_kept();
    }

    fn end_block(&mut self, time: Duration) -> Result<(), ConnectionError> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let mut head = Head::default();
        let read = self.hpack.decode(&block.bytes, block.is_kept, |name, value| head.field(name, value));
        if read.is_err() || !block.is_kept {
            self.hpack.forget();
        }
        if read.is_err() && block.is_kept {
            return Err(ConnectionError::HeaderBlock);
        }
        if !block.is_kept {
            head.cut();
        }
        self.head(&block, head, true, time);
        if block.ends_stream {
            self.end_stream(block.stream, time);
        }
        Ok(())
    }

    fn head(&mut self, block: &Block, head: Head, has_ended: bool, time: Duration) {
        if block.is_promise {
            return;
        }
        match self.side {
            Side::Edge => {
                let stream = self.streams.get(block.stream).filter(|stream| stream.request_ended.is_none());
                if let Some(request) = stream.and_then(|stream| stream.request.as_mut())
                    && *request == Default::default()
                {
                    *request = head.into_request();
                }
            }
            Side::Origin => {
                if let Some(stream) = self.streams.answered(block.stream) {
                    stream.head(&head, block.len, has_ended, time);
                }
            }
        }
    }

    fn end_stream(&mut self, number: u32, time: Duration) {
        match self.side {
            Side::Edge => {
                if let Some(stream) = self.streams.get(number) {
                    stream.request_ended.get_or_insert(time);
                }
            }
            Side::Origin => {
                if let Some(stream) = self.streams.answered(number) {
                    stream.end(time);
                }
            }
        }
    }

    fn reset(&mut self, frame: &Frame, time: Duration) {
        let code = frame.kept().first_chunk().map(|code| u32::from_be_bytes(*code));
        let reset = Reset { by: self.side, code, time };
        let stream = match self.side {
            Side::Edge => self.streams.get(frame.header.stream),
            Side::Origin => self.streams.answered(frame.header.stream),
        };
        if let Some(stream) = stream {
            stream.reset(reset);
        }
    }

    fn go_away(&mut self, payload: &[u8], time: Duration) {
        let Some(([a, b, c, d], rest)) = payload.split_first_chunk() else { return };
        let Some(code) = rest.first_chunk() else { return };
        let last = u32::from_be_bytes([*a, *b, *c, *d]) & 0x7fff_ffff;
        self.goaway = Some(GoAway { last, code: u32::from_be_bytes(*code), time });
    }
}
