//! One request and its response: a stream of HTTP/2 (RFC 9113 §5).

use std::time::Duration;

use super::error::StreamError;
use super::head::Head;
use crate::http::{Progress, Request};
use crate::tls::keys::Side;

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// `None`: its beginning was not kept. What of it is not known is `None`.
    pub request: Option<Request>,
    /// When the request's HEADERS began to come.
    pub requested: Option<Duration>,
    /// When the edge had sent all of the request.
    pub request_ended: Option<Duration>,
    pub response: Response,
    /// The first RST_STREAM.
    pub reset: Option<Reset>,
    /// Everything that the origin sent since it last sent a part of this response, or since the request if it sent
    /// none, is known: if the response has no end, then none was sent.
    pub is_known: bool,
    /// Everything that the edge sent since the request is known: it did not reset the stream unless that is told.
    pub is_edge_known: bool,
}

/// What is known of the response on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `Whole` once END_STREAM came; `Malformed` never (see `error`); `Unknown` where its beginning may not have been
    /// kept.
    pub progress: Progress,
    /// Status of the final response.
    pub status: Option<u16>,
    /// An interim response (1xx) came.
    pub interim: bool,
    /// Size of the final header section as HTTP/1 would have it (name, colon, blank, value and line end for each field,
    /// `:status` among them), in bytes; `None`: not all of its fields are known.
    pub header_bytes: Option<u64>,
    /// Size of its header block, as compressed by HPACK; of an unfinished one what its frames have announced.
    pub block_bytes: u64,
    pub content_length: Option<u64>,
    /// Bytes of the body that were sent, as far as known.
    pub body_bytes: u64,
    /// These are all of them.
    pub is_body_known: bool,
    /// When the first and the last part of it was sent, interim responses included.
    pub first: Option<Duration>,
    pub last: Option<Duration>,
    /// When its END_STREAM was sent.
    pub ended: Option<Duration>,
    /// It had a DATA frame of its own, without data.
    pub ends_apart: bool,
    /// What of it no recipient takes.
    pub error: Option<StreamError>,
}

/// An RST_STREAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    pub by: Side,
    /// `None`: its bytes were not kept.
    pub code: Option<u32>,
    pub time: Duration,
}

impl Stream {
    /// A request that begins to come.
    pub(super) fn requested(time: Duration) -> Self {
        let response = Response { progress: Progress::Nothing, ..Response::default() };
        Self {
            request: Some(Request::default()),
            requested: Some(time),
            response,
            is_known: true,
            is_edge_known: true,
            ..Self::default()
        }
    }

    /// Whether the origin sends no more of it.
    pub(super) fn is_over(&self) -> bool {
        self.response.ended.is_some() || self.reset.is_some_and(|reset| reset.by == Side::Origin)
    }

    /// What the origin sent at this time is not known.
    pub(super) fn lose(&mut self, time: Duration) {
        if self.is_over() || self.requested.is_some_and(|requested| requested > time) {
            return;
        }
        self.is_known = false;
        let response = &mut self.response;
        response.is_body_known = false;
        if matches!(response.progress, Progress::Nothing | Progress::InHead) {
            response.progress = Progress::Unknown;
        }
    }

    pub(super) fn reset(&mut self, reset: Reset) {
        if self.reset.is_none_or(|earlier| earlier.time > reset.time) {
            self.reset = Some(reset);
        }
    }

    /// A frame of the response, a header block's or DATA, begins to come.
    pub(super) fn begins(&mut self, is_data: bool, time: Duration) {
        self.is_known = true;
        let response = &mut self.response;
        response.first.get_or_insert(time);
        response.last = Some(time);
        response.progress = match response.progress {
            Progress::Nothing if is_data => {
                response.error.get_or_insert(StreamError::DataFirst);
                Progress::InBody
            }
            Progress::Unknown if is_data => Progress::InBody,
            Progress::Nothing => Progress::InHead,
            other => other,
        };
    }

    /// More of the body.
    pub(super) fn data(&mut self, bytes: u64, is_sure: bool, time: Duration) {
        let response = &mut self.response;
        response.last = Some(time);
        response.body_bytes += bytes;
        response.is_body_known &= is_sure;
        let is_over = response.content_length.is_some_and(|length| response.body_bytes > length);
        if is_over && self.may_have_body() {
            self.response.error.get_or_insert(StreamError::ContentLength);
        }
    }

    /// What is known of a header section, and whether its end has come.
    pub(super) fn head(&mut self, head: &Head, block_bytes: u64, has_ended: bool, time: Duration) {
        let response = &mut self.response;
        response.last = Some(time);
        let is_final_there = response.status.is_some() || response.progress == Progress::InBody;
        if is_final_there && !(head.has_status() && response.status.is_none()) {
            return;
        }
        let is_interim = head.status().is_some_and(|status| (100..200).contains(&status));
        response.interim |= is_interim && has_ended;
        if is_interim {
            if has_ended {
                response.progress = Progress::Nothing;
            }
            return;
        }
        // Behind a gap these may be trailers.
        if response.progress == Progress::Unknown && !head.has_status() {
            return;
        }
        response.status = head.status();
        response.block_bytes = block_bytes;
        response.content_length = head.content_length();
        if has_ended {
            response.progress = Progress::InBody;
            response.is_body_known = true;
            response.header_bytes = head.size();
            response.error = response.error.or(head.error());
        }
    }

    /// END_STREAM.
    pub(super) fn end(&mut self, time: Duration) {
        let may_have_body = self.may_have_body();
        let response = &mut self.response;
        if response.progress == Progress::Nothing {
            // An interim response can't end the stream.
            response.error.get_or_insert(StreamError::Status);
        }
        let differs = response.content_length.is_some_and(|length| response.body_bytes != length);
        if response.is_body_known && may_have_body && differs {
            response.error.get_or_insert(StreamError::ContentLength);
        }
        response.ended = Some(time);
        response.progress = Progress::Whole;
    }

    /// Whether the length that is announced is the body's, as far as known (RFC 9110 §8.6).
    fn may_have_body(&self) -> bool {
        let method = self.request.as_ref().and_then(|request| request.method.as_deref());
        let is_head = method.map_or(self.response.body_bytes == 0, |method| method == "HEAD");
        !is_head && self.response.status.is_some_and(|status| !matches!(status, 204 | 304))
    }
}
