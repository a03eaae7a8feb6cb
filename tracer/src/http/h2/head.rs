//! What the fields of one header section say.

use super::error::StreamError;
use super::hpack::Text;
use crate::http::Request;
use crate::http::h1::{is_ray, without_query};

/// Fields looked at; those behind them only count.
const MAX_FIELDS: usize = 256;
/// Longest path, host and method that are taken over, in bytes.
const MAX_TEXT: usize = 2048;
/// Longest name and value that are searched for what is forbidden, in bytes.
const MAX_JUDGED: usize = 1024;
/// Digits of the longest number.
const MAX_DIGITS: usize = 20;
/// Fields that HTTP/2 forbids (RFC 9113 §8.2.2).
const FORBIDDEN: [&[u8]; 5] = [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// A header section, field by field.
#[derive(Default)]
pub(super) struct Head {
    fields: usize,
    /// Size as HTTP/1 would have it, pseudo-header fields as the others: name, colon, blank, value and line end.
    size: u64,
    /// The names or values of some fields are not known.
    has_unknown: bool,
    /// Of these, at least one name.
    has_unknown_name: bool,
    method: Option<String>,
    path: Option<String>,
    authority: Option<String>,
    host: Option<String>,
    ray: Option<String>,
    /// A value that can only be a ray, under whatever name.
    ray_by_form: Option<String>,
    /// `None`: no such field; `Some(None)`: its value is not known, or no number.
    status: Option<Option<u16>>,
    is_status_wrong: bool,
    content_length: Option<u64>,
    error: Option<StreamError>,
}

impl Head {
    pub(super) fn field(&mut self, name: &Text, value: &Text) {
        let (name, value) = (name.known(), value.known());
        self.fields += 1;
        self.size += 4 + [name, value].iter().flatten().map(|text| text.len() as u64).sum::<u64>();
        self.has_unknown |= name.is_none() || value.is_none();
        if self.fields > MAX_FIELDS {
            return;
        }
        let Some(name) = name else {
            self.has_unknown_name = true;
            return self.value_alone(value);
        };
        if name.len().max(value.map_or(0, <[u8]>::len)) <= MAX_JUDGED {
            self.judge(name, value);
        }
        let text =
            || value.filter(|text| text.len() <= MAX_TEXT).map(|text| String::from_utf8_lossy(text).into_owned());
        match name {
            b":method" => self.method = text(),
            b":path" => self.path = text().map(|path| without_query(&path)),
            b":authority" => self.authority = text(),
            b"host" => self.host = text(),
            b"cf-ray" => self.ray = text().filter(|ray| is_ray(ray)),
            b":status" => {
                let digits = value.filter(|text| text.len() == 3);
                let status = digits.and_then(number).filter(|status| *status >= 100);
                self.is_status_wrong = value.is_some() && status.is_none();
                self.status = Some(status.and_then(|status| u16::try_from(status).ok()));
            }
            b"content-length" => self.content_length = value.and_then(number),
            _ => self.value_alone(value),
        }
    }

    fn value_alone(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|value| has_form_of_ray(value)) {
            self.ray_by_form = Some(String::from_utf8_lossy(value).into_owned());
        }
    }

    fn judge(&mut self, name: &[u8], value: Option<&[u8]>) {
        let error = if name.iter().any(u8::is_ascii_uppercase) {
            Some(StreamError::UpperCase)
        } else if FORBIDDEN.contains(&name) {
            Some(StreamError::ConnectionField)
        } else {
            let is_bad = value.is_some_and(|value| value.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')));
            is_bad.then_some(StreamError::Value)
        };
        self.error = self.error.or(error);
    }

    pub(super) fn into_request(self) -> Request {
        let ray = self.ray.or(self.ray_by_form);
        Request { method: self.method, path: self.path, host: self.authority.or(self.host), ray }
    }

    /// Whether it has a `:status`, known or not: trailers have none.
    pub(super) const fn has_status(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.status.flatten()
    }

    pub(super) const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Size in bytes; `None`: not all fields are known.
    pub(super) fn size(&self) -> Option<u64> {
        (!self.has_unknown).then_some(self.size)
    }

    /// There may be more fields than those that were read.
    pub(super) const fn cut(&mut self) {
        (self.has_unknown, self.has_unknown_name) = (true, true);
    }

    /// What is wrong with it as the header section of a response.
    pub(super) const fn error(&self) -> Option<StreamError> {
        let lacks_status = self.status.is_none() && !self.has_unknown_name && self.fields <= MAX_FIELDS;
        if lacks_status || self.is_status_wrong { Some(StreamError::Status) } else { self.error }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = text.len() <= MAX_DIGITS && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// `230b030023ae2822-SJC` and nothing else: what no other field's value is like.
fn has_form_of_ray(value: &[u8]) -> bool {
    let Some((id, [b'-', place @ ..])) = value.split_at_checked(16) else { return false };
    id.iter().all(u8::is_ascii_hexdigit) && place.len() == 3 && place.iter().all(u8::is_ascii_uppercase)
}
