//! Whether a text looks like the beginning of HTTP/2: what a record proves whose tag was not kept.

use super::frame::Header;

/// What the edge's side begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The edge's preface, or as much of it as is there: random bytes look so with a chance of 2^-n at most, where n is
/// what this gives. 0: it does not look so.
#[must_use]
pub fn preface(text: &[u8]) -> u32 {
    let len = text.len().min(PREFACE.len());
    if text[..len] == PREFACE[..len] { u32::try_from(len).unwrap_or_default() * 8 } else { 0 }
}

/// The header of a frame, measured in the same way: 21 bits for HEADERS, 23 for DATA, 24 for CONTINUATION, 40 for
/// RST_STREAM, WINDOW_UPDATE and PRIORITY, 55 for SETTINGS, PING and GOAWAY. A promise and frames of other types do not
/// look so.
#[must_use]
pub fn frame(text: &[u8]) -> u32 {
    text.first_chunk().map_or(0, |header| Header::read(header).look())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_and_each_beginning_of_it_look_like_it() {
        for len in 0..=PREFACE.len() {
            assert_eq!(preface(&PREFACE[..len]) as usize, len * 8);
        }
        assert_eq!(preface(&[&PREFACE[..], b"\0\0\0\x04"].concat()), 192);
        assert_eq!(preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"), 0);
        assert_eq!(preface(b"GET / HTTP/1.1\r\n"), 0);
    }

    #[test]
    fn headers_of_frames_look_like_them_and_others_do_not() {
        for (header, bits) in [
            (b"\0\0\x05\x01\x05\0\0\0\x01", 21),
            (b"\0\x40\0\x00\x01\0\0\0\x03", 23),
            (b"\0\x40\x01\x00\x01\0\0\0\x03", 0),
            (b"\0\0\x04\x03\x00\0\0\0\x05", 40),
            (b"\0\0\x05\x03\x00\0\0\0\x05", 0),
            (b"\0\0\x04\x08\x00\0\0\0\x00", 40),
            (b"\0\0\x0c\x04\x00\0\0\0\x00", 55),
            (b"\0\0\x0d\x04\x00\0\0\0\x00", 0),
            (b"\0\0\x08\x06\x01\0\0\0\x00", 55),
            (b"\0\0\x05\x01\x05\0\0\0\x02", 0),
            (b"\0\0\x05\x01\x05\x80\0\0\x01", 0),
            (b"\0\0\x05\x01\x47\0\0\0\x01", 0),
            (b"\0\0\0\0\0\0\0\0\0", 0),
        ] {
            assert_eq!(frame(header), bits, "{header:?}");
        }
        assert_eq!(frame(b"\0\0\x05\x01\x05\0\0\0"), 0, "too short to say");
    }
}
