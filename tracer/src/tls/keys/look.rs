//! Whether a text looks like the beginning of a message: what a record proves whose tag was not kept.

/// Judges the beginning of a text, given from its first byte on: random bytes look so with a chance of 2^-n at most,
/// where n is what this gives. 0: it does not look so, or too few bytes are there to say. From 16 bytes on it must not
/// give 0 for what it gives more for with further bytes.
pub type Look = fn(&[u8]) -> u32;

/// Longest method that is taken for one.
const MAX_METHOD: usize = 12;

/// A request of HTTP/1: a method, a blank, the beginning of a target, and printable text as far as it goes.
#[must_use]
pub fn http_request(text: &[u8]) -> u32 {
    let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    let [b' ', b'/' | b'h' | b'*', rest @ ..] = &text[letters..] else { return 0 };
    if !(3..=MAX_METHOD).contains(&letters) {
        return 0;
    }
    // Three letters and more, and the blank: the sum of (27/256)^n / 256 from n = 3 on is below 2^-17.5. The target:
    // 3/256. Each further byte is one of 97.
    let printable = rest.iter().take_while(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')).count();
    23 + u32::try_from(printable.min(1000)).unwrap_or_default() * 7 / 5
}

/// A response of HTTP/1: `HTTP/1.1 200`, its version and its status code being any.
#[must_use]
pub fn http_response(text: &[u8]) -> u32 {
    // Seven bytes, one of two, the blank, one of five, and one of ten twice.
    match text.strip_prefix(b"HTTP/1.") {
        Some([b'0' | b'1', b' ', b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', ..]) => 56 + 7 + 8 + 5 + 9,
        _ => 0,
    }
}

/// The end of a text: printable, or the end of a chunked body (RFC 9112 §7.1).
#[must_use]
pub(super) fn text_end(text: &[u8]) -> u32 {
    if text.ends_with(b"\r\n0\r\n\r\n") {
        return 56;
    }
    let printable = text.iter().rev().take_while(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')).count();
    u32::try_from(printable.min(1000)).unwrap_or_default() * 7 / 5
}
